// SPDX-License-Identifier: LGPL-2.1-or-later
// The threads of an engine's workers, each with an ivykis loop of its own.
#pragma once

#include "host/daemon-headers.hpp"

#include "engine/engine.hpp"

#include <memory>
#include <vector>

namespace parallelize {

// Main thread, except for wake().
class WorkerThreads
{
public:
  // The engine must outlive it.
  WorkerThreads(Engine &engine, unsigned count);
  // Only after stop().
  ~WorkerThreads();
  WorkerThreads(const WorkerThreads &) = delete;

  // Create the threads, which wait for the start, as long as `spare_descriptors`
  // file descriptors would be left.  FALSE if not all of them could be created:
  // `error` is set, and only stop() may follow.  Once.
  bool create(unsigned spare_descriptors, GError **error);

  // Start the engine.  From then on the daemon's request to its worker threads to
  // exit stops it.  Once.
  void start();

  // Stop the engine, unless that has happened, and wait for the threads.  They
  // may be woken until then.
  void stop();

  // Callbacks::wake().  Any thread, until stop() has returned.
  void wake(unsigned index);

  // How many threads have to use the locked path of memory queues.
  unsigned count_without_id() const;

private:
  class Thread;

  // What the daemon's exit request finds.  The daemon offers no way to take the
  // callback back, so the request may come after the threads are gone.
  struct ExitRequest
  {
    WorkerThreads *threads;     // NULL: gone
  };

  static void exit_requested(gpointer request) noexcept;
  void let_run();

  Engine &engine_;
  std::vector<std::unique_ptr<Thread>> threads_;
  ExitRequest *exit_request_ = nullptr; // NULL: it has come, or is not expected
  bool started_ = false;                // set before the threads run: they are jobs of the daemon
};

}
