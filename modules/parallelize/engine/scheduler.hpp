// SPDX-License-Identifier: LGPL-2.1-or-later
// Which tasks wait, who takes them, and who is woken for them.
#pragma once

#include "callbacks.hpp"
#include "path-cost.hpp"
#include "counter.hpp"
#include "strand.hpp"
#include "task-ring.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace parallelize {

// Owns the run queue, the workers' local queues, and the list of sleepers, with
// the lock that guards them.  Nothing else takes that lock.  WorkerThreads wakes
// each worker at the start; afterwards only the scheduler wakes workers.
//
// A hand-over puts tasks into the run queue.  A worker takes a share of it into
// its local queue, from which idle workers steal.  Outlets have a queue of their
// own that comes first: their messages are older than all that wait.
class Scheduler
{
public:
  // `in_flight`: messages handed over and not yet published.
  Scheduler(unsigned workers, Callbacks &callbacks, const PathCost &cost, const std::atomic<std::uint64_t> &in_flight);
  ~Scheduler();
  Scheduler(const Scheduler &) = delete;

  // [main]  All workers are alive; before, none is.
  void start();
  // [any]  One of them has no thread.
  void abandon_worker();
  // [any]
  bool any_worker_alive();

  // [producer]  Tasks with `messages` messages; wakes as many workers as these are worth.
  void hand_over(const std::vector<Task> &tasks, std::size_t messages);
  // [producer]  A message whose source hands over each one by itself.  `tasks`: its
  // task, or none if its strand has one.  Wakes nobody if a worker naps, until there
  // is enough to be worth waking one.
  void hand_over_single(const std::vector<Task> &tasks);
  // [runner]  Strands that got messages while the runner had them.
  void requeue(StrandList strands, OnThread on);
  // [any]  Outlets that got messages.  False if no worker is alive: the caller must run them.
  bool schedule_outlets(StrandList outlets);

  // An outlet that no runner has.  [runner]
  bool take_outlet(Task &task);
  // The next task of a worker: from its local queue, the run queue, or another
  // worker's local queue.  `stolen`: how many tasks it took from that.  [worker]
  bool take(unsigned worker, Task &task, std::size_t &stolen);
  // One task for a producer that assists.  [producer]
  bool take_one(Task &task, std::size_t &stolen);

  // True if assisting is worth a publish.  [producer]
  bool has_enough_to_assist(std::uint64_t high_water_mark);

  enum class Park
  {
    has_work,           // look again
    sleeps,             // until it is woken
    naps,               // the same, and looks again after nap_ns
    ends,
  };
  // The worker finds nothing to do.  `may_end()`, called under the lock: nothing can come any more.  [worker]
  template <typename MayEnd>
  Park try_park(unsigned worker, const MayEnd &may_end)
  {
    Section section(*this);
    if (!outlets_.empty() || !run_queue_.empty() || local_queues_in_use_.load(std::memory_order_relaxed) > 0)
      return Park::has_work;
    if (may_end())
      {
        alive_--;
        return Park::ends;
      }
    return park(worker);
  }
  // The worker was woken, and begins its turn.  [worker]
  void woken(unsigned worker);
  // The worker's nap is over.  False if somebody is about to wake it: it may not
  // begin its turn before that, or it could have ended by then.  [worker]
  bool end_nap(unsigned worker);

  // [any]  Wakes sleepers if there is a task for them.  Once a second: a hand-over
  // wakes no more workers than its messages are worth at their usual cost.  If one
  // of them takes much longer, the others must not wait for it.
  void rescan_sleepers();
  // [any]  Each worker looks whether it may end.
  void wake_all();

  // [any]  May have changed on return.
  bool anybody_sleeps() const { return sleeping_.load(std::memory_order_relaxed) > 0; }
  bool outlets_wait() const { return outlets_wait_.load(std::memory_order_relaxed); }

  // [any]  Metrics
  std::size_t local_tasks(unsigned worker) const { return locals_[worker].size.load(std::memory_order_relaxed); }
  std::uint64_t wakeups(unsigned worker) const { return locals_[worker].wakeups.get(); }

private:
  // Tasks that a worker took and has not started.
  struct alignas(64) LocalQueue
  {
    std::mutex mutex;                   // guards `tasks`; taken after Scheduler::mutex_, never with another of its kind
    TaskRing tasks;
    std::atomic<std::size_t> size{0};   // of `tasks`, for a look without the lock
    Counter wakeups;                    // under Scheduler::mutex_
    std::uint64_t singles_before = 0;   // singles_ when its worker parked; under Scheduler::mutex_
    TaskRing stolen_batch;              // its worker's thread; empty between calls
  };

  // The lock.  Workers that wake() picks are woken after it is given back.
  class Section
  {
  public:
    explicit Section(Scheduler &scheduler) : scheduler_(scheduler) { scheduler.mutex_.lock(); }
    ~Section();
    Section(const Section &) = delete;

    // Pick up to `count` sleepers, the last to fall asleep first.  Each is taken
    // out of the list, so that it is woken once for each time it fell asleep.
    void wake(std::size_t count);

  private:
    Scheduler &scheduler_;
    std::vector<unsigned> woken_;
  };

  Park park(unsigned worker);
  void wake_for_the_rest(Section &section, unsigned worker);
  bool take_local(LocalQueue &local, Task &task);
  bool take_share(unsigned worker, Task &task);
  bool steal(unsigned thief, Task &task, std::size_t &stolen);
  void take_over(LocalQueue &local, TaskRing &from, std::size_t count);
  bool is_hot(const Task &task) const;
  std::size_t workers_worth_waking(std::size_t messages) const;

  static constexpr unsigned no_worker = ~0u;

  // Set once
  const unsigned workers_;
  Callbacks &callbacks_;
  const PathCost &cost_;
  const std::atomic<std::uint64_t> &in_flight_;
  const std::unique_ptr<LocalQueue[]> locals_;

  // Written when a worker falls asleep or wakes up, read with every task
  alignas(64) std::atomic<unsigned> sleeping_{0};   // idle_.size()
  std::atomic<bool> outlets_wait_{false};           // outlets_ is not empty

  // Local queues that are not empty.  Grows from zero only under mutex_: a thief
  // counts its own before its victim's becomes empty.
  alignas(64) std::atomic<unsigned> local_queues_in_use_{0};

  alignas(64) std::mutex mutex_;        // guards the following
  TaskRing run_queue_;
  TaskRing outlets_;                    // outlets that no runner has
  bool others_had_a_turn_ = true;       // since a hot strand was put first
  std::vector<unsigned> idle_;          // workers that sleep or nap, the last to begin at the end
  unsigned napper_ = no_worker;         // the one of them that naps
  unsigned waking_ = 0;                 // workers that were woken and have not begun their turn
  std::uint64_t singles_ = 0;           // calls of hand_over_single()
  std::size_t unannounced_ = 0;         // of these: since the last one that woke a worker
  unsigned alive_ = 0;                  // workers that will answer a wake-up
};

}
