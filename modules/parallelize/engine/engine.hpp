// SPDX-License-Identifier: LGPL-2.1-or-later
// The engine of parallelize() and resequence().
//
// A message comes in by Producer::submit(), on the thread that brings it.  It
// runs there, inline, or the engine hands it over to one of its workers.  It
// leaves by Callbacks::forward_inline() or Callbacks::forward().
//
// The engine starts no thread, reads no clock, and keeps no global: the code
// around it runs the workers' threads, and lends it Callbacks.  It blocks on
// nothing but short internal locks, and holds none of them while it calls back.
//
// [main], [producer], [worker], [runner], [any] name the thread of a function: a
// runner's thread is a worker's, or a producer's.
#pragma once

#include "callbacks.hpp"
#include "core.hpp"
#include "counters.hpp"
#include "options.hpp"
#include "producer.hpp"
#include "worker.hpp"

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace parallelize {

class Engine
{
public:
  // `callbacks` must outlive the engine.
  Engine(const EngineOptions &options, Callbacks &callbacks);
  // Only if no worker is alive, no producer is open, and no message is inside.
  ~Engine();
  Engine(const Engine &) = delete;

  // From here on `workers` threads answer wake().  Until then, and after the last
  // of them has ended, producers process their messages themselves.  [main]
  void start();
  // Workers end as soon as nothing is left to do.  Any number of times.  [any]
  void stop();
  // After start(): one of the workers has no thread and will never run.  [any]
  void abandon_worker() { core_.scheduler.abandon_worker(); }
  // Wake workers for tasks that wait, and note workers that are stuck in a message.
  // Once a second.  [main]
  void rescan_sleepers();

  // Let the worker work.  Its thread only.  [worker]
  Turn run(unsigned worker) { return workers_[worker]->turn(); }
  // The same, at the end of a nap during which it was not woken.  [worker]
  Turn run_after_nap(unsigned worker) { return workers_[worker]->turn_after_nap(); }

  // Begin a batch of messages on this thread.  `flags`: of Producer.  `source`: a
  // number for the source that the thread reads, or 0.  The producer is the
  // thread's until close(), which must follow.  [producer]
  Producer &open(unsigned flags, std::uint64_t source);
  // The batch is over, and everything that the thread has forwarded is published.
  // Forwards nothing.  [producer]
  void close(Producer &producer);

  // For a ticket that is retained, also inside the callbacks of another engine:
  // a copy has come to an outlet.  Takes over the handle.  [any]
  void arrived(unsigned outlet, const Message &copy) { core_.sequencer->arrived(outlet, core_.arrival(copy)); }
  // The end of retain_ticket().  May forward from outlets if no worker is alive.  [any]
  void release_ticket(std::uint32_t ticket);

  // The rest is for those who watch.  [any]

  EngineCounters counters() const;
  BatchSizes batch_sizes() const;
  WorkerCounters worker_counters(unsigned index) const;
  std::uint64_t processed_by(unsigned index) const { return workers_[index]->runner.counters.processed.get(); }

  // A thread that runs messages: a worker, or one that brings messages.
  struct Runners
  {
    std::uint64_t messages;             // that it has started
    std::uint64_t busy_since;           // in a slice of it since, 0: idle
  };
  // The workers first, by their index; then producers, each always in the same place.
  std::vector<Runners> runners() const;
  // The message that a runner, by its place among these, is processing.  False if it is not known.
  bool running_message(std::size_t runner, RunningMessage::Identity &identity) const;

  const EngineOptions &options() const { return core_.options; }
  const SourceWindows &windows() const { return core_.windows; }
  LimitedSource::Report limited_source() const { return core_.limited_source.report(); }
  const Samples &samples() const { return core_.samples; }
  const HotKeys &keys_by_messages() const { return core_.keys_by_messages; }
  std::uint64_t messages_inside() const { return core_.messages_inside(); }
  // True if a message has blocked its thread lately.
  bool blocks() const { return core_.cost.blocks(now()); }
  std::uint64_t now() const { return core_.callbacks.now(); }

private:
  // They stay where they are as long as the engine lives.
  std::vector<const Producer *> producers() const;
  SourceCost &cost_of(std::uint64_t source);

  // Sources share one if there are more, or if their numbers collide.
  static constexpr unsigned source_cost_bits = 7;

  Core core_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::uint64_t> messages_before_;  // each worker's, at the last rescan_sleepers(); main thread
  const std::unique_ptr<SourceCost[]> source_costs_;

  mutable std::mutex producers_mutex_;  // guards the following; taken once a batch
  std::vector<std::unique_ptr<Producer>> producers_;
  Producer *free_producers_ = nullptr;  // linked by next_free_
};

}
