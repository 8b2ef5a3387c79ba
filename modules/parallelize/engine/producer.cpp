// SPDX-License-Identifier: LGPL-2.1-or-later
#include "producer.hpp"

#include <algorithm>

namespace parallelize {

namespace {

constexpr unsigned hard_marks = 32;                     // times prefetch(): then a source runs messages in any case
constexpr unsigned max_unpublished = 4096;              // messages: memory queues count them in 16 bits
constexpr unsigned pause_after_no_assist = 32;          // messages: some runner may have everything that is pending

// A message during which the coarse clock has advanced this far has taken longer
// than harmful_ns, if the clock ticks at least every five milliseconds.
constexpr std::uint64_t long_by_coarse_clock_ns = 5'000'000;

}

Producer::Producer(Core &core)
  : runner(OnThread::producer, core), core_(core), nodes_(core.slabs), inline_strands_(core.strand_mask + 1),
    time_this_(sample_one_in), sample_this_(sample_one_in), sample_key_(sample_key_one_in),
    fetch_again_(sample_one_in)
{
}

void
Producer::open(unsigned flags, SourceCost &cost, bool no_worker)
{
  flags_ = flags;
  cost_ = &cost;
  no_worker_ = no_worker;
  runner.share_watch(cost.watch);
  decide();
}

// Everything is published.
void
Producer::close()
{
  published();
  hand_over();
}

void
Producer::published()
{
  if (counters.inside_since.get())
    return;
  inline_strands_.clear();
  runner.published();
}

void
Producer::publish()
{
  // Outlets may be run.
  const Inside inside(*this, core_.callbacks.coarse_now());
  runner.publish();
  inline_strands_.clear();
  decide();
}

/* -- Where a message runs -- */

void
Producer::decide()
{
  way_ = flags_ & publishes ? cost_->decide(core_.callbacks.coarse_now(), core_.cost)
                            : SourceCost::Way::hand_over;
  if (way_ != SourceCost::Way::inline_trial)
    core_.cost.end_trial(cost_);
  runner.expect_cheap(way_ != SourceCost::Way::hand_over);
  expects_long_ = core_.callbacks.coarse_now() < cost_->watch.until.load(std::memory_order_relaxed);
}

bool
Producer::is_over_high_water_mark()
{
  const std::uint64_t mark = core_.options.prefetch;
  const std::uint64_t inside = core_.in_flight.load(std::memory_order_relaxed) + pending_.size();
  over_high_water_mark_ = inside > (over_high_water_mark_ ? mark - mark / 4 : mark);
  return over_high_water_mark_;
}

bool
Producer::allows_inline()
{
  if (no_worker_ || way_ != SourceCost::Way::hand_over)
    return true;
  // Processing a message that blocks would only keep this thread from reading.
  return (flags_ & assists) && (flags_ & publishes) && is_over_high_water_mark() && !is_blocking();
}

// True while this source waits after harm, or while messages of the path block: this
// thread had better read on.  Not for ever: messages that no window bounds would fill
// the memory.
bool
Producer::is_blocking() const
{
  if (core_.in_flight.load(std::memory_order_relaxed) > hard_marks * std::uint64_t{core_.options.prefetch})
    return false;
  const std::uint64_t now = core_.callbacks.coarse_now();
  return cost_->harmed(now) || core_.cost.blocks(now);
}

Producer::Key
Producer::look_at_key(void *arrival)
{
  Key key;
  key.text = core_.callbacks.key(arrival);
  if (key.text.empty())
    {
      counters.empty_keys.add(1);
      if (core_.options.empty_key_round_robin)
        return key;
    }
  else if (!counters.saw_key.get())
    counters.saw_key.set(1);
  key.hash = core_.hash(key.text.data(), key.text.size());
  key.strand = &core_.strands[core_.strand_of(key.hash)];
  return key;
}

// True if the message can run inline now: everything that was collected before it
// is handed over.  A message also runs inline if another one of its strand did, and
// is not published: to hand this one over, the thread would have to publish first.
bool
Producer::prepare_inline(const Key &key, bool allowed)
{
  if (!allowed && !(key.strand && inline_strands_.contains(core_.strand_of(key.hash))))
    return false;
  if (key.strand && !key.strand->looks_idle())
    return false;
  // Messages that came before this one go first.
  hand_over();
  return !key.strand || key.strand->looks_idle();
}

Producer::Submitted
Producer::submit(void *arrival)
{
  const bool allowed = allows_inline();
  Key key;

  // Acquire: an engine in which nothing is in flight has published everything
  // that this thread has handed over.  So no key needs to be looked at.
  if (allowed && (no_worker_ || !core_.options.keyed
              || (pending_.empty() && core_.in_flight.load(std::memory_order_acquire) == 0)))
    {
      hand_over();
      inline_strands_.add_all();
      run_inline(arrival, key);
      return Submitted::done;
    }

  if (core_.options.keyed)
    {
      key = look_at_key(arrival);
      if (key.strand)
        sample_key(key);
      if (prepare_inline(key, allowed))
        {
          if (key.strand)
            inline_strands_.add(core_.strand_of(key.hash));
          run_inline(arrival, key);
          return Submitted::done;
        }
      if (key.strand && inline_strands_.contains(core_.strand_of(key.hash)))
        {
          // Nothing may wait here while this thread runs what is due at an outlet.
          hand_over();
          publish();
        }
    }
  collect(arrival, key);

  const bool assist_now = shall_assist();
  if (!assist_now && !worth_handing_over())
    return Submitted::done;
  hand_over();
  if (!assist_now || assist())
    return Submitted::done;
  pause_ = pause_after_no_assist;
  counters.yields.add(1);
  return Submitted::source_yields;
}

/* -- Inline -- */

void
Producer::run_inline(void *arrival, const Key &key)
{
  const InlineReason reason = no_worker_ ? InlineReason::no_worker
                              : way_ != SourceCost::Way::hand_over ? InlineReason::too_cheap
                                                                   : InlineReason::crowded;
  // The last message's end will do for this one's beginning, unless messages may be long.
  const std::uint64_t before = expects_long_ || runner.ran() == 0 ? core_.callbacks.coarse_now() : runner.tick();
  Inside inside(*this, before);
  if (const unsigned weight = inline_weight())
    time_inline(arrival, key, weight);
  else
    {
      runner.resequence_inline(runner.run_inline(arrival));
      if (runner.tick() - before >= long_by_coarse_clock_ns)
        long_message(runner.tick() - before);
    }
  counters.inlined[static_cast<std::size_t>(reason)].add(1);

  // Strands with unpublished inline messages stay inline.  So the thread publishes
  // when the path stops being cheap.
  const bool leaves = reason == InlineReason::too_cheap && way_ == SourceCost::Way::hand_over;
  if (no_worker_ && core_.sequencer)
    drain_outlets();
  else if (leaves || runner.slice_is_over() || runner.ran() >= max_unpublished)
    publish();
}

// No worker would run the outlets that this thread gives up at its batch's end.
void
Producer::drain_outlets()
{
  const Inside inside(*this, core_.callbacks.coarse_now());
  runner.drain_outlets();
  inline_strands_.clear();
}

// Each message in a trial and the first ones after it: the trial may have been
// lucky.  Also each one if messages are so slow that the clock does not matter.
unsigned
Producer::inline_weight()
{
  if (way_ == SourceCost::Way::inline_trial || runner.has_slowed_down()
      || (way_ == SourceCost::Way::inline_cheap && !cost_->is_sure())
      || (way_ == SourceCost::Way::hand_over && core_.cost.slow()))
    return 1;
  return time_this_.pick() ? sample_one_in : 0;
}

// By the coarse clock this message took `took`.  Or the thread did something else
// before it: the first time, that is not known.
void
Producer::long_message(std::uint64_t took)
{
  const std::uint64_t now = core_.callbacks.now();
  if (expects_long_)
    inline_took(now, took, 0);
  else
    runner.expect_long(now);
  expects_long_ = true;
}

void
Producer::time_inline(void *arrival, const Key &key, unsigned weight)
{
  HashedKey hashed = {{}, key.hash};
  hashed.head.assign(key.text);
  const std::uint64_t started = core_.callbacks.now();
  runner.sample_receipt(started - core_.callbacks.age_of_arrival(arrival), weight);
  const std::uint32_t ticket = runner.run_inline(arrival);
  const std::uint64_t ended = core_.callbacks.now();
  // The copies that waited are those of others, too.  They say nothing about the
  // cost of this source's messages, but this thread reads nothing meanwhile.
  runner.resequence_inline(ticket);

  core_.record_processing(key.strand ? &hashed : nullptr, ended - started, weight);
  if (way_ == SourceCost::Way::hand_over)
    core_.samples.latencies.record(ended - started, weight);
  inline_took(ended, ended - started, weight);
  if (core_.sequencer)
    if (const std::uint64_t now = core_.callbacks.now(); now - ended > harmful_ns)
      inline_took(now, now - ended, 0);
}

// `weight`: how many messages this one stands for; 0 if it was not sampled.
void
Producer::inline_took(std::uint64_t now, std::uint64_t nanoseconds, unsigned weight)
{
  // A long message stands for itself only: long messages are noticed without a sample.
  if (nanoseconds > harmful_ns)
    weight = std::min(weight, 1u);
  counters.inline_busy_ns.add(nanoseconds * std::max(weight, 1u));
  if (nanoseconds > harmful_ns)
    {
      const Slowness slowness = runner.judge(now, nanoseconds);
      // Over the high-water mark a thread that computes for long is of use.
      const bool useful = slowness == Slowness::computed && way_ == SourceCost::Way::hand_over;
      if (slowness == Slowness::none || useful)
        return;
      if (cost_->is_harmed_by(now, nanoseconds))
        {
          decide();
          return;
        }
    }
  if (weight)
    core_.cost.add_inline(nanoseconds * weight);
  if (weight && way_ != SourceCost::Way::hand_over)
    {
      cost_->add(now, nanoseconds, weight);
      if (way_ == SourceCost::Way::inline_trial || nanoseconds > leave_cheap_ns)
        decide();
    }
}

}
