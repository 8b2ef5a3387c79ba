// SPDX-License-Identifier: LGPL-2.1-or-later
// The part of the scheduler that gives tasks to runners.
#include "scheduler.hpp"

#include "prefetch.hpp"

#include <algorithm>
#include <utility>

namespace parallelize {

namespace {

// A worker takes at most this many tasks from the run queue at once: enough to
// make its lock and the publish rare, few enough to spread them.
constexpr std::size_t max_share = 32;

}

bool
Scheduler::take_outlet(Task &task)
{
  if (!outlets_wait())
    return false;
  Section section(*this);
  if (outlets_.empty())
    return false;
  task = outlets_.pop_front();
  outlets_wait_.store(!outlets_.empty(), std::memory_order_relaxed);
  return true;
}

bool
Scheduler::take(unsigned worker, Task &task, std::size_t &stolen)
{
  LocalQueue &local = locals_[worker];
  if (!take_local(local, task) && !take_share(worker, task) && !steal(worker, task, stolen))
    return false;

  // The rest of the local queue is work for a sleeper.
  if (anybody_sleeps() && local.size.load(std::memory_order_relaxed) >= cost_.per_wake_up())
    Section(*this).wake(1);
  return true;
}

bool
Scheduler::take_one(Task &task, std::size_t &stolen)
{
  {
    Section section(*this);
    if (!run_queue_.empty())
      {
        task = run_queue_.pop_front();
        others_had_a_turn_ |= !is_hot(task);
        return true;
      }
  }
  for (unsigned i = 0; i < workers_; i++)
    if (take_local(locals_[i], task))
      {
        stolen++;
        return true;
      }
  return false;
}

// For a few messages the publish would cost more than it brings, unless far too many are pending.
bool
Scheduler::has_enough_to_assist(std::uint64_t high_water_mark)
{
  Section section(*this);
  return run_queue_.size() >= cost_.per_wake_up()
         || (!run_queue_.empty()
             && in_flight_.load(std::memory_order_relaxed) > high_water_mark + high_water_mark / 4);
}

bool
Scheduler::take_local(LocalQueue &local, Task &task)
{
  if (local.size.load(std::memory_order_relaxed) == 0)
    return false;
  std::lock_guard lock(local.mutex);
  if (local.tasks.empty())
    return false;
  task = local.tasks.pop_front();
  local.size.store(local.tasks.size(), std::memory_order_relaxed);
  if (local.tasks.empty())
    local_queues_in_use_.fetch_sub(1, std::memory_order_relaxed);
  else
    prefetch_task(local.tasks.front());
  return true;
}

// Move `count` tasks to an empty local queue, which counts as in use from here on.
void
Scheduler::take_over(LocalQueue &local, TaskRing &from, std::size_t count)
{
  std::lock_guard lock(local.mutex);
  from.move_front(count, local.tasks);
  local.size.store(local.tasks.size(), std::memory_order_relaxed);
}

// A worker's share of the run queue: half of the fair one, so that the last
// workers to come still find something.
bool
Scheduler::take_share(unsigned worker, Task &task)
{
  Section section(*this);
  if (run_queue_.empty())
    return false;
  const std::size_t share = run_queue_.size() / (2 * workers_);
  task = run_queue_.pop_front();
  const bool hot = is_hot(task);
  others_had_a_turn_ |= !hot;
  // A hot strand is taken alone, or it would wait for the others that were taken with it.
  if (share > 1 && !hot && !is_hot(run_queue_.front()))
    {
      local_queues_in_use_.fetch_add(1, std::memory_order_relaxed);
      take_over(locals_[worker], run_queue_, std::min(share, max_share) - 1);
    }
  // The producer that filled the queue may have thought its messages cheaper than they are.
  if (run_queue_.size() >= cost_.per_wake_up())
    section.wake(1);
  return true;
}

// Half of the tasks that some other worker has not started.
bool
Scheduler::steal(unsigned thief, Task &task, std::size_t &stolen)
{
  if (local_queues_in_use_.load(std::memory_order_relaxed) == 0)
    return false;
  TaskRing &batch = locals_[thief].stolen_batch;
  for (unsigned i = 1; i < workers_; i++)
    {
      LocalQueue &victim = locals_[(thief + i) % workers_];
      if (victim.size.load(std::memory_order_relaxed) == 0)
        continue;
      {
        std::lock_guard lock(victim.mutex);
        if (victim.tasks.empty())
          continue;
        // Before the victim's queue becomes empty: try_park() must not find both unused.
        local_queues_in_use_.fetch_add(1, std::memory_order_relaxed);
        victim.tasks.move_front((victim.tasks.size() + 1) / 2, batch);
        victim.size.store(victim.tasks.size(), std::memory_order_relaxed);
        if (victim.tasks.empty())
          local_queues_in_use_.fetch_sub(1, std::memory_order_relaxed);
      }
      stolen += batch.size();
      task = batch.pop_front();
      if (batch.empty())
        local_queues_in_use_.fetch_sub(1, std::memory_order_relaxed);
      else
        take_over(locals_[thief], batch, batch.size());
      return true;
    }
  return false;
}

}
