// SPDX-License-Identifier: LGPL-2.1-or-later
// The messages that a thread brings to one element, from the first one until the
// thread's batch callbacks.
#pragma once

#include "host/daemon-headers.hpp"

#include "engine/engine.hpp"
#include "host/source-window.h"

#include <cstddef>
#include <cstdint>

namespace parallelize {

// The thread that opens a batch owns it, and is the only one to touch it.  It
// ends by itself: when the daemon invokes the thread's batch callbacks, or with
// the first message where the daemon never does that.
class Batch
{
public:
  // What the batch is told about its thread and its source.
  struct Origin
  {
    HostSource *source;         // that this thread reads, alive until the batch ends; NULL: none
    unsigned flags;             // of Producer
  };

  // The batch that this thread has open for the engine, or NULL.
  static Batch *find(const Engine &engine);
  static Batch &open(Engine &engine, const Origin &origin);

  // Hand a message to the producer; see Producer::submit().  The batch may be gone afterwards.
  void submit(void *arrival);

  // Invoke this thread's batch callbacks: the queues of destinations publish.
  static void publish_thread();

private:
  // Of this thread, for all elements.
  struct ThreadState
  {
    Batch *open = nullptr;      // batches
    unsigned submitting = 0;    // calls of submit() on the stack
  };

  Batch(Engine &engine, const Origin &origin, ThreadState &thread);
  ~Batch();
  Batch(const Batch &) = delete;

  void report_source();
  void expect_callback();
  static gpointer callback_invoked(gpointer self) noexcept;

  static thread_local constinit ThreadState here;

  Engine &engine_;
  ThreadState &thread_;         // found once a batch: it takes a function call
  Producer &producer_;
  HostSource *const source_;
  std::size_t came_ = 0;        // messages
  const bool has_callback_;     // the daemon invokes this thread's batch callbacks
  bool expects_callback_ = false;
  WorkerBatchCallback callback_;
  Batch *next_;                 // of this thread
};

}
