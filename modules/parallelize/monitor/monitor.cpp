// SPDX-License-Identifier: LGPL-2.1-or-later
#include "monitor/monitor.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <utility>

namespace parallelize {

namespace {

constexpr std::size_t judged_ticks = 10;
constexpr unsigned least_samples = 32;       // that tell which key takes most of the time
constexpr std::uint64_t enough_empty_keys = 1000;       // messages: then the key is taken for wrong

// The keys by the time that they take.  Where messages are counted, more of a key's text is kept.
HotKeys::Report
keys_by_time(const Engine &engine, const HotKeys::Report &by_messages)
{
  HotKeys::Report result = engine.samples().keys_by_time.report();
  for (HotKey &busy : result.keys)
    {
      const auto known = std::find_if(by_messages.keys.begin(), by_messages.keys.end(),
                                      [&](const HotKey &key) { return key.hash == busy.hash; });
      if (!busy.cut || known == by_messages.keys.end())
        continue;
      busy.key = known->key;
      busy.cut = known->cut;
    }
  return result;
}

}

Monitor::Monitor(const Engine &engine, const MonitorOptions &options, std::uint64_t cpu_ns)
  : engine_(engine), options_(options), stuck_watch_(engine, options.stuck_ns, options.listener)
{
  history_.push_back(take_snapshot(cpu_ns));
}

void
Monitor::tick(std::uint64_t cpu_ns)
{
  Snapshot now = take_snapshot(cpu_ns);
  now.seen_full_inside += now.window_full_inside;
  now.seen_full_after += now.window_full_after;
  stuck_watch_.tick(now.time_ns);
  look_for_empty_keys();
  history_.push_back(std::move(now));
  if (history_.size() > judged_ticks)
    history_.pop_front();
  look_for_small_fetches();
}

void
Monitor::look_for_empty_keys()
{
  if (told_empty_keys_ || !engine_.options().keyed)
    return;
  const EngineCounters counters = engine_.counters();
  if (counters.saw_key || counters.empty_keys < enough_empty_keys)
    return;
  told_empty_keys_ = true;
  options_.listener.keys_are_empty(counters.empty_keys);
}

// As the verdict does, when there is enough to judge.
void
Monitor::look_for_small_fetches()
{
  if (told_small_fetches_ || history_.size() < judged_ticks
      || history_.back().fetch_limited == history_.front().fetch_limited)
    return;
  const HotKeys::Report by_messages = engine_.keys_by_messages().report();
  const Verdict verdict = judge(history_.front(), history_.back(),
                                context(by_messages, keys_by_time(engine_, by_messages)));
  if (!verdict.fetch_limit)
    return;
  told_small_fetches_ = true;
  options_.listener.reads_few(engine_.limited_source(), verdict.utilization);
}

Snapshot
Monitor::take_snapshot(std::uint64_t cpu_ns) const
{
  constexpr auto relaxed = std::memory_order_relaxed;
  const EngineCounters counters = engine_.counters();
  const SourceWindows &windows = engine_.windows();
  Snapshot result;

  for (unsigned i = 0; i < engine_.options().workers; i++)
    result.busy_ns.push_back(engine_.worker_counters(i).busy_ns);
  result.time_ns = engine_.now();
  result.entered = counters.entered;
  result.processed = counters.processed;
  result.pending = counters.waiting;
  result.in_flight = counters.in_flight;
  result.parked = counters.parked;
  result.released = counters.released;
  result.ordered = counters.ordered;
  result.too_cheap = counters.too_cheap;
  result.source_yields = counters.source_yields;
  result.waited_ns = engine_.samples().waiting.sum();
  result.sources_busy_ns = counters.sources_busy_ns;
  result.came = windows.came.load(relaxed);
  result.window_limited = windows.window_limited.load(relaxed);
  result.fetch_limited = counters.fetch_limited;
  if (!history_.empty())
    {
      result.seen_full_inside = history_.back().seen_full_inside;
      result.seen_full_after = history_.back().seen_full_after;
    }
  // The messages that used up the window may have gone on since.
  const SourceWindows::State last = windows.last.load(relaxed);
  const bool full = last == SourceWindows::used_up_inside || last == SourceWindows::used_up_after;
  result.window_full_after = full && windows.last_size.load(relaxed) > 2 * engine_.messages_inside();
  result.window_full_inside = full && !result.window_full_after;
  result.blocks = engine_.blocks();
  result.cpu_ns = cpu_ns;
  return result;
}

VerdictContext
Monitor::context(const HotKeys::Report &by_messages, const HotKeys::Report &by_time) const
{
  VerdictContext result;

  result.cores = options_.cores;
  result.keyed = engine_.options().keyed;
  result.key = options_.key;
  result.key_advice = options_.key_advice;
  result.distinct_keys = by_messages.keys.size();
  result.distinct_keys_known = by_messages.complete;
  const HotKeys::Report &judged = by_time.samples >= least_samples ? by_time : by_messages;
  if (!judged.keys.empty())
    {
      const HotKey &hottest = judged.keys.front();
      result.hottest_key = shown_key(hottest.key, hottest.cut);
      result.hottest_is_empty = hottest.key.empty();
      result.hottest_share = share(hottest.count - hottest.error, judged.total);
    }
  result.window = engine_.windows().last_size.load(std::memory_order_relaxed);
  const LimitedSource::Report limited = engine_.limited_source();
  result.limited_source = limited.source;
  result.fetch_limit = limited.limit;
  result.blocks = engine_.blocks()
                  || std::any_of(history_.begin(), history_.end(), [](const Snapshot &then) { return then.blocks; });
  result.median_ns = engine_.samples().processing.read().quantile(0.5);
  add_stuck(result);
  return result;
}

void
Monitor::add_stuck(VerdictContext &context) const
{
  const std::uint64_t time = history_.back().time_ns;
  if (const auto source = stuck_watch_.longest(StuckThread::source))
    context.source_stuck_ns = time - source->since;

  const auto worker = stuck_watch_.longest(StuckThread::worker);
  if (!worker)
    return;
  context.stuck_ns = time - worker->since;
  context.pending_since_stuck = engine_.counters().waiting;
  for (const Snapshot &then : history_)
    if (then.time_ns > worker->since)
      context.pending_since_stuck = std::min(context.pending_since_stuck, then.pending);
  RunningMessage::Identity identity;
  if (!engine_.running_message(worker->runner, identity))
    return;
  context.stuck_key = shown_key(identity.key.view(), identity.key.cut);
  context.stuck_after_outlet = identity.after_outlet;
}

std::string
Monitor::report(const ElementDescription &element, std::uint64_t cpu_ns) const
{
  const HotKeys::Report by_messages = engine_.keys_by_messages().report();
  const HotKeys::Report by_time = keys_by_time(engine_, by_messages);
  const Verdict verdict = judge(history_.front(), take_snapshot(cpu_ns), context(by_messages, by_time));
  return format_report(engine_, element, by_messages, by_time, verdict);
}

}
