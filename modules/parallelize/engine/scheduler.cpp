// SPDX-License-Identifier: LGPL-2.1-or-later
#include "scheduler.hpp"

#include <algorithm>
#include <utility>

namespace parallelize {

namespace {

// A worker naps if at least this many single messages were handed over since it last parked.
constexpr std::uint64_t singles_worth_a_nap = 2;

// Single messages that wait for a napper: fewer than the smallest usual window of a source.
constexpr std::size_t most_unannounced = 32;

}

/* -- Any thread: the lock and the wake-ups -- */

Scheduler::Section::~Section()
{
  scheduler_.mutex_.unlock();
  for (const unsigned worker : woken_)
    scheduler_.callbacks_.wake(worker);
}

void
Scheduler::Section::wake(std::size_t count)
{
  std::vector<unsigned> &idle = scheduler_.idle_;
  if (count == 0 || idle.empty())
    return;
  for (; count && !idle.empty(); count--)
    {
      woken_.push_back(idle.back());
      scheduler_.locals_[idle.back()].wakeups.add(1);
      if (idle.back() == scheduler_.napper_)
        scheduler_.napper_ = no_worker;
      scheduler_.waking_++;
      idle.pop_back();
    }
  scheduler_.sleeping_.store(idle.size(), std::memory_order_relaxed);
}

Scheduler::Scheduler(unsigned workers, Callbacks &callbacks, const PathCost &cost,
                     const std::atomic<std::uint64_t> &in_flight)
  : workers_(workers), callbacks_(callbacks), cost_(cost), in_flight_(in_flight),
    locals_(std::make_unique<LocalQueue[]>(workers))
{
  idle_.reserve(workers);
}

Scheduler::~Scheduler() = default;

void
Scheduler::start()
{
  Section section(*this);
  alive_ = workers_;
}

void
Scheduler::abandon_worker()
{
  Section section(*this);
  alive_--;
}

bool
Scheduler::any_worker_alive()
{
  Section section(*this);
  return alive_ > 0;
}

void
Scheduler::wake_all()
{
  Section section(*this);
  section.wake(idle_.size());
}

void
Scheduler::rescan_sleepers()
{
  if (!anybody_sleeps())
    return;
  Section section(*this);
  std::size_t tasks = outlets_.size() + run_queue_.size();
  for (unsigned i = 0; i < workers_; i++)
    tasks += local_tasks(i);
  section.wake(tasks);
}

std::size_t
Scheduler::workers_worth_waking(std::size_t messages) const
{
  const std::size_t each = cost_.per_wake_up();
  return std::min<std::size_t>((messages + each - 1) / each, workers_);
}

/* -- Any thread: tasks come -- */

void
Scheduler::hand_over(const std::vector<Task> &tasks, std::size_t messages)
{
  Section section(*this);
  for (const Task &task : tasks)
    run_queue_.push_back(task);
  section.wake(std::min(run_queue_.size(), workers_worth_waking(messages)));
}

void
Scheduler::hand_over_single(const std::vector<Task> &tasks)
{
  Section section(*this);
  for (const Task &task : tasks)
    run_queue_.push_back(task);
  singles_++;
  unannounced_++;
  const std::size_t each = cost_.per_wake_up();
  const std::size_t worth = napper_ == no_worker ? 1 : std::min(each, most_unannounced);
  // Workers that are under way have not taken their tasks yet.
  if (unannounced_ < worth || run_queue_.size() <= waking_ * each)
    return;
  unannounced_ = 0;
  section.wake(1);
}

// True if the strand has a worker's share of all messages, or more.  Runners
// must run such a strand nearly all the time, or one of them still has it when
// the others are done.
bool
Scheduler::is_hot(const Task &task) const
{
  return task.strand && task.strand->backlog() * workers_ >= in_flight_.load(std::memory_order_relaxed);
}

void
Scheduler::requeue(StrandList strands, OnThread on)
{
  for (Strand *strand = strands.first(); strand; strand = strand->next)
    strand->gather();
  Section section(*this);
  while (Strand *strand = strands.pop())
    {
      const Task task{strand, {}};
      if (strand->outlet != Strand::no_outlet)
        outlets_.push_back(task);
      else if (!is_hot(task))
        run_queue_.push_back(task);
      else if (std::exchange(others_had_a_turn_, false))
        // Anywhere else it would wait until some worker is done with a message.
        run_queue_.push_front(task);
      else
        // All other workers are busy for long: the other strands must not wait for ever.
        run_queue_.push_second(task);
    }
  if (!outlets_.empty())
    outlets_wait_.store(true, std::memory_order_relaxed);
  // A worker takes one of them itself.  A producer may leave without.
  const std::size_t tasks = outlets_.size() + run_queue_.size();
  section.wake(tasks - std::min<std::size_t>(tasks, on == OnThread::worker));
}

bool
Scheduler::schedule_outlets(StrandList outlets)
{
  Section section(*this);
  while (Strand *outlet = outlets.pop())
    outlets_.push_back({outlet, {}});
  outlets_wait_.store(true, std::memory_order_relaxed);
  section.wake(outlets_.size());
  return alive_ > 0;
}

/* -- Workers: sleep and nap -- */

// Waking a thread takes longer than processing a cheap message.  A source that hands
// over each message by itself would wake a worker for each.  So while such messages
// come one after the other, one worker naps: it looks for tasks each nap_ns.
Scheduler::Park
Scheduler::park(unsigned worker)
{
  const std::uint64_t singles = singles_ - std::exchange(locals_[worker].singles_before, singles_);
  unannounced_ = 0;             // all are taken
  idle_.push_back(worker);
  sleeping_.store(idle_.size(), std::memory_order_relaxed);
  if (singles < singles_worth_a_nap || napper_ != no_worker)
    return Park::sleeps;
  napper_ = worker;
  return Park::naps;
}

void
Scheduler::woken(unsigned worker)
{
  Section section(*this);
  waking_--;
  wake_for_the_rest(section, worker);
}

bool
Scheduler::end_nap(unsigned worker)
{
  Section section(*this);
  const auto found = std::find(idle_.begin(), idle_.end(), worker);
  if (found == idle_.end())
    return false;
  idle_.erase(found);
  sleeping_.store(idle_.size(), std::memory_order_relaxed);
  napper_ = no_worker;
  wake_for_the_rest(section, worker);
  return true;
}

// The message that this worker takes may be long, and no hand-over may follow.
void
Scheduler::wake_for_the_rest(Section &section, unsigned worker)
{
  if (singles_ != locals_[worker].singles_before && napper_ == no_worker && run_queue_.size() > 1)
    section.wake(1);
}

}
