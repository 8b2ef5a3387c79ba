// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "cost-estimate.hpp"
#include "counter.hpp"
#include "engine.h"
#include "histogram.hpp"
#include "hot-key.hpp"
#include "run-queue.hpp"
#include "running-message.hpp"
#include "sampler.hpp"
#include "sequencer.hpp"
#include "siphash.hpp"
#include "strand.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

namespace parallelize {

// What a runner's thread counts, for all to read.
struct RunnerCounters
{
  RunningMessage message;                   // the one that is being processed, or was the last
  Counter processed;                        // of those started: published
  Counter waiting;                          // in the strand that is being run
  BusyTime busy;
  Counter stolen;
  Counter busy_since;                       // the first task after the last publish; 0: none yet
};

// A message of which it is watched how long it waits and takes.  Instead of it
// the engine keeps this, until it is run.
struct Probe
{
  static constexpr std::uint32_t flag = PARALLELIZE_ENGINE_FLAGS;

  ParallelizeMessage message;
  std::uint64_t handed_over;
  unsigned weight;                          // of so many messages one is watched
};

}

// A thread that runs tasks: a worker, or a producer's thread while it helps.
// It keeps every strand that it ran until it has published what they
// forwarded.  Touched by its own thread only.
struct parallelize_runner
{
  parallelize_runner(ParallelizeThread on, parallelize_engine &engine, parallelize::RunnerCounters &counters);

  const ParallelizeThread on;
  parallelize_engine &engine;
  parallelize::RunnerCounters &counters;
  parallelize::NodeSink nodes;
  parallelize::SequencerEvents events;      // since the last publish; only with outlets
  parallelize::Strand *held = nullptr;      // run since the last publish, linked by Strand::next
  unsigned done = 0;                // messages since the last publish
  unsigned from_outlets = 0;        // of these: behind resequence()
  std::uint64_t slice_started = 0;
  unsigned until_clock = 0;         // messages until the clock is looked at
  bool slice_over = false;
};

namespace parallelize {

using Runner = parallelize_runner;

struct Worker
{
  explicit Worker(parallelize_engine &engine) : runner(PARALLELIZE_ON_WORKER, engine, counters) {}

  // The worker's own thread
  alignas(64) RunnerCounters counters;
  Runner runner;
  TaskRing loot;                    // stolen and not yet in `group`; empty between calls

  // Any runner, under `mutex`: what the worker took and has not started yet
  alignas(64) std::mutex mutex;
  TaskRing group;
  std::atomic<std::size_t> group_size{0};   // of `group`, for a look without the lock

  // Any thread, under parallelize_engine::mutex_
  Counter wakeups;
};

// What is known of the windows of the sources.  Any thread.
struct SourceWindows
{
  enum State
  {
    unknown,
    open,
    used_up_inside,                 // what was sent is still here
    used_up_beyond,                 // what was sent was forwarded, and is not acknowledged
  };

  std::atomic<std::uint64_t> looks{0};
  std::atomic<std::uint64_t> seen_used_up_inside{0};
  std::atomic<std::uint64_t> seen_used_up_beyond{0};
  // Messages that came, and those of them that used up a window: all since one
  // was last used up, but no more than it holds.
  std::atomic<std::uint64_t> came{0};
  std::atomic<std::uint64_t> came_to_the_end{0};
  std::atomic<std::uint64_t> accounted{0};  // of those that came, when a window was last used up
  std::atomic<State> last{unknown};
  std::atomic<std::size_t> last_size{0};
};

}

// Messages that one thread brings, from open to close.  Its own thread only.
struct parallelize_producer
{
  struct Pending
  {
    parallelize::Strand *strand;    // nullptr: needs no order, and has no node
    parallelize::Node *node;
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
  parallelize::Sampler probe_this;  // other messages
  parallelize::KeyHead timed_key;   // of the message that enqueue() wants the time of
  std::uint64_t timed_hash = 0;     // the same
  unsigned timed_weight = 0;        // of so many messages it is one; 0: accept() wants the time
  unsigned forwarded = 0;           // directly, in this batch
  unsigned helped = 0;              // of these: because more than prefetch() waited
  unsigned from_outlets = 0;        // forwarded inside parallelize_producer_return_ticket()
  parallelize::Strand *held = nullptr;  // strands of such messages, linked by Strand::next
  parallelize::Strand *outlets = nullptr;  // strands of outlets that this thread runs, the same
  unsigned pause = 0;               // messages before helping is tried again
  bool direct = false;              // no worker is alive: this thread runs what it brings
  bool solo = false;                // see parallelize_engine::solo_
  bool solo_refused = false;        // in this batch
  parallelize_producer *next_free = nullptr;
};

struct parallelize_engine
{
public:
  using Runner = parallelize::Runner;

  parallelize_engine(const ParallelizeEngineOptions &options, const ParallelizeCallbacks &callbacks,
                     void *user_data);
  ~parallelize_engine();

  void start();
  void stop();
  void abandon_worker();
  void wake_for_what_waits();
  ParallelizeRun run(unsigned index);

  ParallelizeProducer *open(unsigned flags);
  ParallelizeAccept accept(ParallelizeProducer &producer);
  void timed(ParallelizeProducer &producer, std::uint64_t nanoseconds);
  ParallelizeEnqueue enqueue(ParallelizeProducer &producer, const ParallelizeMessage &message, std::string_view key);
  void flush(ParallelizeProducer &producer) { hand_over(producer); }
  void close(ParallelizeProducer &producer);
  void report_window(ParallelizeProducer &producer, std::size_t window, std::size_t left, std::size_t came);

  std::uint32_t take_ticket(ParallelizeProducer &producer);
  void return_ticket(ParallelizeProducer &producer, std::uint32_t ticket);
  bool may_pass(ParallelizeProducer &producer, unsigned outlet, std::uint32_t ticket);
  void arrived(unsigned outlet, const ParallelizeMessage &copy) { sequencer_->arrived(outlet, copy, arrival_time(copy)); }
  std::uint64_t arrival_time(const ParallelizeMessage &copy) const;
  void hold_ticket(std::uint32_t ticket) { sequencer_->hold(ticket); }
  void hold_ticket(Runner &runner, std::uint32_t ticket) { sequencer_->hold(ticket, runner.events); }
  void release_ticket(std::uint32_t ticket);

  // Metrics; any thread
  ParallelizeEngineCounters counters() const;
  ParallelizeWorkerCounters worker_counters(unsigned index) const;
  std::uint64_t processed_by(unsigned index) const;
  bool running_message(unsigned index, parallelize::RunningMessage::Identity &identity) const;
  std::uint64_t messages_run(unsigned index) const;
  std::uint64_t busy_since(unsigned index) const;
  const ParallelizeEngineOptions &options() const { return options_; }
  const parallelize::SourceWindows &windows() const { return windows_; }
  const parallelize::Histogram &resequencing_times() const { return resequencing_times_; }
  const parallelize::HotKeys &hot_keys() const { return hot_keys_; }
  const parallelize::HotKeys &busy_keys() const { return busy_keys_; }
  const parallelize::Histogram &waiting_times() const { return waiting_times_; }
  const parallelize::Histogram &processing_times() const { return processing_times_; }
  const parallelize::Histogram &latencies() const { return latencies_; }
  std::uint64_t inside() const;
  std::uint64_t now() const { return callbacks_.now(user_data_); }

private:
  friend struct parallelize_producer;
  friend struct parallelize_runner;
  using Strand = parallelize::Strand;
  using Task = parallelize::Task;
  using Worker = parallelize::Worker;

  // Producer's thread
  bool needs_order(std::string_view key) const;
  void watch_for_hot_key(ParallelizeProducer &producer, std::string_view key, std::uint64_t hash);
  void probe(ParallelizeMessage &message, std::uint64_t time, unsigned weight);
  void record_resequencing(std::uint64_t parked_at);
  void record_processing(const parallelize::KeyHead &key, std::uint64_t hash, std::uint64_t nanoseconds, unsigned weight);
  bool worth_handing_over(const ParallelizeProducer &producer) const;
  void hand_over(ParallelizeProducer &producer);
  bool try_solo(ParallelizeProducer &producer);
  bool more_wait_than_should(const ParallelizeProducer &producer) const;
  bool runs_here(ParallelizeProducer &producer, Strand &strand);
  bool shall_time(ParallelizeProducer &producer, std::string_view key, std::uint64_t hash);
  bool hold(ParallelizeProducer &producer, Strand &strand);
  void release_held(ParallelizeProducer &producer);
  unsigned may_forward(const ParallelizeProducer &producer) const;
  void hold_outlet(ParallelizeProducer &producer, Strand &outlet);
  void run_outlets(ParallelizeProducer &producer);
  bool shall_help(ParallelizeProducer &producer) const;
  std::uint64_t runnable() const;
  parallelize::SourceWindows::State window_state(const ParallelizeProducer &producer, std::size_t window,
                                                 std::size_t left, std::size_t came) const;
  bool nobody_is_alive();
  bool worth_helping();
  bool help(std::uint64_t until_in_flight, ParallelizeInlineReason reason);

  // Any runner
  void run_task(Runner &runner, const Task &task, unsigned limit);
  void run_message(Runner &runner, const ParallelizeMessage &message, const parallelize::KeyHead &key, std::uint64_t hash);
  void run_probe(Runner &runner, const ParallelizeMessage &message, const parallelize::KeyHead &key, std::uint64_t hash);
  void forward(Runner &runner, const ParallelizeMessage &message, const parallelize::KeyHead &key);
  void run_from_outlet(Runner &runner, unsigned outlet, const ParallelizeMessage &message);
  void resequence(Runner &runner);
  bool take_outlet(Task &task);
  void schedule_outlets(Strand *outlets);
  void run_scheduled_outlets();
  bool outweighs_the_others(const Task &task) const;
  void start_slice(Runner &runner);
  unsigned messages_until_clock() const;
  bool slice_is_over(Runner &runner);
  bool publish(Runner &runner);
  bool give_up(Strand *strands, ParallelizeThread on);
  void requeue(Strand *strands, ParallelizeThread on);
  bool take_one(Runner &runner, Task &task);

  // A worker's thread
  bool take_from_group(Worker &worker, Task &task);
  bool take_group(Worker &worker, Task &task);
  bool steal_into(Worker &thief, unsigned index, Task &task);
  bool somebody_has_a_group() const;
  bool rest(unsigned index, ParallelizeRun &result);

  // Any thread
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
  const std::uint64_t created_;             // when
  const parallelize::SipHash hash_;
  std::size_t strand_mask_;
  std::unique_ptr<Strand[]> strands_;
  parallelize::SlabPool slabs_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<parallelize::Sequencer> sequencer_;   // nullptr: no outlets

  // Written now and then, by anybody
  alignas(64) parallelize::CostEstimate cost_;
  std::atomic<unsigned> sleeping_{0};       // idle_.size(), for a look without the lock
  std::atomic<bool> outlets_wait_{false};   // outlet_queue_ is not empty, the same
  std::atomic<bool> stopping_{true};        // no workers yet, or soon no more
  std::atomic<bool> solo_taken_{false};     // solo_ is set, or about to be
  std::atomic<bool> solo_wanted_by_others_{false};
  std::atomic<std::uint64_t> hot_key_reported_{0};   // when; 0: never
  parallelize::HotKeys hot_keys_;           // by messages

  // Once a batch, by every producer and runner.  Messages handed over and not
  // yet published, and strands held by producers.
  alignas(64) std::atomic<std::uint64_t> in_flight_{0};
  std::atomic<unsigned> open_{0};           // producers between open and close
  std::atomic<std::uint64_t> handed_over_{0};
  std::atomic<std::uint64_t> batches_{0};
  std::atomic<std::uint64_t> ordered_{0};   // pushed to a strand that was not idle

  alignas(64) std::mutex mutex_;            // guards what follows; taken before a Worker's
  parallelize::TaskRing run_queue_;
  parallelize::TaskRing outlet_queue_;      // outlets that nobody runs: before anything else
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

  // Once a batch or slice of a producer's thread
  alignas(64) std::atomic<std::uint64_t> never_handed_over_[PARALLELIZE_INLINE_REASONS] = {};    // inlined
  std::atomic<std::uint64_t> helped_started_[PARALLELIZE_INLINE_REASONS] = {};      // the same, of what was handed over
  std::atomic<std::uint64_t> helped_published_{0};
  std::atomic<std::uint64_t> helped_stolen_{0};
  std::atomic<std::uint64_t> sources_busy_ns_{0};
  std::atomic<std::uint64_t> outrun_{0};
  parallelize::SourceWindows windows_;

  // Once a message that is watched
  parallelize::Histogram waiting_times_;
  parallelize::Histogram processing_times_;
  parallelize::Histogram latencies_;                // waiting and processing, of what is worth a hand-over
  parallelize::Histogram resequencing_times_;       // from the arrival at an outlet
  parallelize::HotKeys busy_keys_;          // by the time that they take; their text is cut
};
