// SPDX-License-Identifier: LGPL-2.1-or-later
// The part of a producer that hands messages over, and runs those of others.
#include "producer.hpp"

#include <algorithm>
#include <string>

namespace parallelize {

namespace {

constexpr std::uint64_t longest_assist_ns = 20'000'000; // then the source reads on
constexpr unsigned hot_key_backlog = 32;                // messages; small windows never hold many more

}

/* -- Hand-over -- */

void
Producer::sample_key(const Key &key)
{
  if (!sample_key_.pick())
    return;
  std::string hot;
  const unsigned percent = core_.keys_by_messages.sample(key.text, key.hash, hot);
  if (!percent || core_.options.workers == 1 || !core_.scheduler.anybody_sleeps())
    return;
  // Only if enough messages are in flight that a sleeper had something to do, if they had other keys.
  if (core_.in_flight.load(std::memory_order_relaxed) + pending_.size()
      <= std::min(core_.cost.per_wake_up(), hot_key_backlog))
    return;
  if (core_.may_report_hot_key())
    core_.callbacks.hot_key(hot, percent);
}

void
Producer::collect(void *arrival, const Key &key)
{
  if (!key.strand)
    {
      pending_.push_back({nullptr, nullptr, core_.callbacks.pack(arrival)});
      return;
    }
  Node *node = nodes_.take();
  node->key_hash = key.hash;
  node->key.assign(key.text);
  // The last look at the key: pack() may free its text.
  node->message = core_.callbacks.pack(arrival);
  pending_.push_back({key.strand, node, {}});
}

bool
Producer::worth_handing_over() const
{
  const std::size_t count = pending_.size();
  return count >= std::min(core_.options.batch_size, core_.options.prefetch)
         || (core_.scheduler.anybody_sleeps() && count >= core_.cost.per_wake_up());
}

void
Producer::flush()
{
  hand_over();
}

void
Producer::hand_over()
{
  if (pending_.empty())
    return;

  const std::size_t count = pending_.size();
  const bool sample_all = core_.cost.very_slow();
  std::uint64_t now = 0;                // the clock is read once, and only for a sample

  std::uint32_t ticket = core_.sequencer ? core_.sequencer->issue(static_cast<std::uint32_t>(count)) : 0;
  core_.in_flight.fetch_add(count, std::memory_order_relaxed);
  for (auto &[strand, node, unordered] : pending_)
    {
      Message &message = strand ? node->message : unordered;
      message.ticket = ticket++;
      message.sampled_at = 0;
      if (sample_all || sample_this_.pick())
        {
          now = now ? now : core_.callbacks.now();
          message.sampled_at = SampleClock::at(now);
          message.flags |= sample_all ? Message::each_is_sampled : 0;
        }
      if (!strand)
        tasks_.push_back({nullptr, message});
      else if (strand->push(node))
        tasks_.push_back({strand, {}});
    }
  counters.handed_over.add(count);
  counters.hand_overs.add(1);
  counters.hand_over_sizes.record(count);
  counters.ordered.add(count - tasks_.size());
  pending_.clear();
  if (flags_ & single && count == 1)
    core_.scheduler.hand_over_single(tasks_);
  else if (!tasks_.empty())
    core_.scheduler.hand_over(tasks_, count);
  tasks_.clear();
}

/* -- Assist -- */

bool
Producer::shall_assist()
{
  if (!(flags_ & assists) || !is_over_high_water_mark())
    return false;
  if (pause_ == 0)
    return true;
  pause_--;
  return false;
}

// Run strands on this thread until three quarters of prefetch() messages are
// left, or none can be run right now, or for long enough.  False if the thread
// ran nothing.
bool
Producer::assist()
{
  if (is_blocking() || !core_.scheduler.has_enough_to_assist(core_.options.prefetch))
    return false;

  const std::uint64_t started = core_.callbacks.now();
  const std::uint64_t until = core_.options.prefetch - core_.options.prefetch / 4;
  const std::uint64_t first = runner.counters.message.sequence();
  std::size_t stolen = 0;
  publish();
  runner.expect_cheap(false);
  Inside inside(*this, core_.callbacks.coarse_now());
  for (bool more = true; more;)
    {
      const std::uint64_t before = runner.counters.message.started();
      const Runner::Step step = runner.step(core_.options.quantum, [&](Task &task)
      {
        return core_.scheduler.take_one(task, stolen);
      });
      counters.assisted.add(runner.counters.message.started() - before);
      if (step == Runner::Step::ran && runner.ran() < core_.options.quantum)
        continue;
      if (step == Runner::Step::ran)
        runner.publish();
      more = step != Runner::Step::found_nothing && core_.in_flight.load(std::memory_order_relaxed) > until
             && core_.callbacks.now() - started < longest_assist_ns && !is_blocking();
    }
  runner.counters.stolen.add(stolen);
  decide();
  return runner.counters.message.sequence() != first;
}

void
Producer::report_window(std::size_t window, std::size_t left, std::size_t came)
{
  core_.windows.report(window, left, came, core_.messages_inside() + pending_.size());
}

void
Producer::report_fetch(const Fetch &fetch)
{
  if (!is_small_limit(fetch.limit))
    return;
  const FetchPressure::State state = cost_->fetch_pressure.add(core_.callbacks.coarse_now(), fetch.full);
  if (state == FetchPressure::low)
    return;
  counters.fetch_limited.add(fetch.came);
  // Again and again: the last one named is one that is limited now.
  if (state == FetchPressure::rises || fetch_again_.pick())
    core_.limited_source.note(fetch);
}

}
