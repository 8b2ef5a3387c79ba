// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "cost-estimate.hpp"
#include "engine.h"
#include "hot-key.hpp"
#include "run-queue.hpp"
#include "sampler.hpp"
#include "siphash.hpp"
#include "strand.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

namespace parallelize {

// A thread that runs tasks: a worker, or a producer's thread while it helps.
// It keeps every strand that it ran until it has published what they
// forwarded.  Touched by its own thread only.
struct Runner
{
  Runner(ParallelizeThread on, SlabPool &slabs) : on(on), nodes(slabs) {}

  const ParallelizeThread on;
  NodeSink nodes;
  Strand *held = nullptr;           // run since the last publish, linked by Strand::next
  unsigned done = 0;                // messages since the last publish
  unsigned until_clock = 0;         // messages until the clock is looked at
  bool slice_over = false;
  std::uint64_t slice_started = 0;  // of the slice that the next publish ends
};

struct Worker
{
  explicit Worker(SlabPool &slabs) : runner(PARALLELIZE_ON_WORKER, slabs) {}

  // The worker's own thread
  alignas(64) Runner runner;
  TaskRing loot;                    // stolen and not yet in `group`; empty between calls
  std::atomic<std::uint64_t> processed{0};

  // Any runner, under `mutex`: what the worker took and has not started yet
  alignas(64) std::mutex mutex;
  TaskRing group;
  std::atomic<std::size_t> group_size{0};   // of `group`, for a look without the lock
};

}

// Messages that one thread brings, from open to close.  Its own thread only.
struct parallelize_producer
{
  struct Pending
  {
    parallelize::Strand *strand;    // nullptr: needs no order
    ParallelizeMessage message;
  };

  explicit parallelize_producer(parallelize_engine &engine);

  parallelize_engine &engine;
  parallelize::NodeSource nodes;
  std::vector<Pending> pending;
  std::vector<parallelize::Task> tasks;   // scratch of a hand-over
  unsigned flags = 0;
  parallelize::Sampler time_this;   // messages forwarded directly
  parallelize::Sampler watch_this;  // keys
  unsigned forwarded = 0;           // directly, in this batch
  unsigned helped = 0;              // of these: because more than prefetch() waited
  parallelize::Strand *held = nullptr;  // strands of such messages, linked by Strand::next
  unsigned pause = 0;               // messages before helping is tried again
  bool direct = false;              // no worker is alive: this thread runs what it brings
  bool solo = false;                // see parallelize_engine::solo_
  bool solo_refused = false;        // in this batch
  parallelize_producer *next_free = nullptr;
};

struct parallelize_engine
{
public:
  parallelize_engine(const ParallelizeEngineOptions &options, const ParallelizeCallbacks &callbacks,
                     void *user_data);
  ~parallelize_engine();

  void start();
  void stop();
  void abandon_worker();
  ParallelizeRun run(unsigned index);

  ParallelizeProducer *open(unsigned flags);
  ParallelizeAccept accept(ParallelizeProducer &producer);
  void timed(std::uint64_t nanoseconds) { cost_.sample(nanoseconds); }
  ParallelizeEnqueue enqueue(ParallelizeProducer &producer, const ParallelizeMessage &message, std::string_view key);
  void flush(ParallelizeProducer &producer) { hand_over(producer); }
  void close(ParallelizeProducer &producer);

  ParallelizeEngineCounters counters() const;
  std::uint64_t processed_by(unsigned index) const;

private:
  friend struct parallelize_producer;
  using Strand = parallelize::Strand;
  using Task = parallelize::Task;
  using Runner = parallelize::Runner;
  using Worker = parallelize::Worker;

  // Producer's thread
  Strand *strand_of(std::string_view key);
  void watch_for_hot_key(ParallelizeProducer &producer, std::string_view key);
  bool worth_handing_over(const ParallelizeProducer &producer) const;
  void hand_over(ParallelizeProducer &producer);
  bool try_solo(ParallelizeProducer &producer);
  bool more_wait_than_should(const ParallelizeProducer &producer) const;
  bool runs_here(ParallelizeProducer &producer, Strand &strand);
  bool hold(ParallelizeProducer &producer, Strand &strand);
  void release_held(ParallelizeProducer &producer);
  bool shall_help(ParallelizeProducer &producer) const;
  bool nobody_is_alive();
  bool worth_helping();
  bool help(std::uint64_t until_in_flight);

  // Any runner
  void run_task(Runner &runner, const Task &task, unsigned limit);
  void run_message(Runner &runner, const ParallelizeMessage &message);
  bool outweighs_the_others(const Task &task) const;
  void start_slice(Runner &runner);
  unsigned messages_until_clock() const;
  bool slice_is_over(Runner &runner);
  bool publish(Runner &runner);
  bool give_up(Strand *strands, ParallelizeThread on);
  void requeue(Strand *strands, ParallelizeThread on);
  bool take_one(Task &task);

  // A worker's thread
  bool take_from_group(Worker &worker, Task &task);
  bool take_group(Worker &worker, Task &task);
  bool steal_into(Worker &thief, unsigned index, Task &task);
  bool somebody_has_a_group() const;
  bool rest(unsigned index, ParallelizeRun &result);

  // Any thread
  std::uint64_t now() const { return callbacks_.now(user_data_); }
  unsigned workers_worth_waking(std::size_t messages) const;
  void wake_locked(std::size_t count, std::vector<unsigned> &sleepers);
  void wake(std::vector<unsigned> &sleepers);
  void wake_one();
  void wake_all();

  // Set once
  const ParallelizeEngineOptions options_;
  const ParallelizeCallbacks callbacks_;
  void *const user_data_;
  const std::uint64_t help_until_;
  const parallelize::SipHash hash_;
  std::size_t strand_mask_;
  std::unique_ptr<Strand[]> strands_;
  parallelize::SlabPool slabs_;
  std::vector<std::unique_ptr<Worker>> workers_;

  // Written now and then, by anybody
  alignas(64) parallelize::CostEstimate cost_;
  std::atomic<unsigned> sleeping_{0};       // idle_.size(), for a look without the lock
  std::atomic<bool> stopping_{true};        // no workers yet, or soon no more
  std::atomic<bool> solo_taken_{false};     // solo_ is set, or about to be
  std::atomic<bool> solo_wanted_by_others_{false};
  parallelize::HotKeyVote hot_keys_;
  std::atomic<std::uint64_t> hot_key_reported_{0};   // when; 0: never

  // Once a batch, by every producer and runner.  Messages handed over and not
  // yet published, and strands held by producers.
  alignas(64) std::atomic<std::uint64_t> in_flight_{0};
  std::atomic<unsigned> open_{0};           // producers between open and close

  alignas(64) std::mutex mutex_;            // guards what follows; taken before a Worker's
  parallelize::TaskRing run_queue_;
  std::vector<unsigned> idle_;              // sleeping workers, the last to fall asleep at the end
  // Since a hot strand was last put in front: all other workers may be busy for
  // long, and then the others must not wait for ever.
  bool others_had_a_turn_ = true;
  unsigned alive_ = 0;                      // workers that will answer a wake-up
  // The producer whose thread processes its messages itself, all of them one
  // strand: nothing else is run before it closes.  nullptr: none.
  ParallelizeProducer *solo_ = nullptr;

  alignas(64) std::mutex producers_mutex_;
  ParallelizeProducer *free_producers_ = nullptr;

  std::atomic<std::uint64_t> helped_{0};
  std::atomic<std::uint64_t> forwarded_directly_{0};
  std::atomic<std::uint64_t> wakeups_{0};
  std::atomic<std::uint64_t> stolen_{0};
};
