// SPDX-License-Identifier: LGPL-2.1-or-later
#include "monitor/monitor.h"

#include "engine/engine.hpp"
#include "monitor/json.hpp"
#include "monitor/verdict.hpp"

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

using namespace parallelize;

namespace {

constexpr std::size_t judged_ticks = 10;
constexpr std::size_t reported_keys = 10;
constexpr unsigned least_samples = 32;       // that say which key takes most of the time
constexpr std::uint64_t stuck_report_every_ns = 60'000'000'000;
constexpr double quantiles[] = {0.5, 0.9, 0.99, 0.999};
constexpr const char *quantile_names[] = {"p50", "p90", "p99", "p999"};
constexpr const char *inline_reasons[PARALLELIZE_INLINE_REASONS] = {"too_cheap", "crowded", "no_worker"};

double
share(std::uint64_t part, std::uint64_t all)
{
  return all ? static_cast<double>(part) / static_cast<double>(all) : 0;
}

std::string
text_of(std::string_view key, bool cut)
{
  return std::string(key) + (cut ? "..." : "");
}

// A worker, as it was at the last tick.
struct Watched
{
  std::uint64_t since;          // it has been with its message, as far as known
  std::uint64_t messages = 0;
  bool reported = false;
  ParallelizeStuckWorker report = {};
  std::string key = {};
};

}

struct parallelize_monitor
{
public:
  parallelize_monitor(const parallelize_engine &engine, const ParallelizeMonitorOptions &options, std::uint64_t cpu_ns)
    : engine_(engine), options_(options)
  {
    history_.push_back(look(cpu_ns));
    last_tick_ = history_.back().time_ns;
    watched_.assign(engine.options().workers, Watched{.since = last_tick_});
  }

  void tick(std::uint64_t cpu_ns)
  {
    Snapshot now = look(cpu_ns);
    now.looks_inside = looks_inside_ += now.blocked_inside;
    now.looks_beyond = looks_beyond_ += now.blocked_beyond;
    history_.push_back(std::move(now));
    if (history_.size() > judged_ticks)
      history_.pop_front();
    watch_workers(history_.back().time_ns);
    last_tick_ = history_.back().time_ns;
  }

  std::string report(const ParallelizeElementDescription &element, std::uint64_t cpu_ns) const;

private:
  Snapshot look(std::uint64_t cpu_ns) const;
  HotKeys::Report busy_keys(const HotKeys::Report &by_messages) const;
  Circumstances circumstances(const HotKeys::Report &by_messages, const HotKeys::Report &by_time) const;
  void find_stuck(Circumstances &circumstances) const;

  void watch_workers(std::uint64_t time);
  void follow(Watched &watched, unsigned index, std::uint64_t time) const;
  bool is_stuck(const Watched &watched, std::uint64_t time) const;
  void begin_stuck(Watched &watched, unsigned index, std::uint64_t time, unsigned stuck_workers);
  void end_stuck(Watched &watched);

  void write_counters(JsonWriter &json) const;
  void write_workers(JsonWriter &json) const;
  void write_distribution(JsonWriter &json, const Histogram &histogram) const;
  void write_hot_keys(JsonWriter &json, const HotKeys::Report &hot_keys) const;
  void write_verdict(JsonWriter &json, const Verdict &verdict) const;

  const parallelize_engine &engine_;
  const ParallelizeMonitorOptions options_;
  std::deque<Snapshot> history_;        // never empty, the oldest first
  std::vector<Watched> watched_;
  std::uint64_t last_tick_;             // when
  std::uint64_t looks_inside_ = 0;      // that found a window used up by what is inside
  std::uint64_t looks_beyond_ = 0;      // by what is beyond
  std::uint64_t stuck_reported_ = 0;    // when; 0: never
};

/* ------------------------------------------------------------------------
 * Looking
 * ------------------------------------------------------------------------ */

Snapshot
parallelize_monitor::look(std::uint64_t cpu_ns) const
{
  const ParallelizeEngineCounters counters = engine_.counters();
  const SourceWindows &windows = engine_.windows();
  Snapshot result;

  for (unsigned i = 0; i < engine_.options().workers; i++)
    result.busy_ns.push_back(engine_.worker_counters(i).busy_ns);
  result.time_ns = engine_.now();
  result.entered = counters.entered;
  result.processed = counters.processed;
  result.waiting = counters.waiting;
  result.in_flight = counters.in_flight;
  result.parked = counters.parked;
  result.released = counters.released;
  result.ordered = counters.ordered;
  result.too_cheap = counters.inlined[PARALLELIZE_INLINE_TOO_CHEAP];
  result.outrun = counters.outrun;
  result.waited_ns = engine_.waiting_times().sum();
  result.sources_busy_ns = counters.sources_busy_ns;
  result.came = windows.came.load(std::memory_order_relaxed);
  result.came_to_the_end = windows.came_to_the_end.load(std::memory_order_relaxed);
  result.looks_inside = looks_inside_;
  result.looks_beyond = looks_beyond_;
  // Where messages were when they used the window up is not where they are now.
  const SourceWindows::State last = windows.last.load(std::memory_order_relaxed);
  const bool blocked = last == SourceWindows::used_up_inside || last == SourceWindows::used_up_beyond;
  result.blocked_beyond = blocked && windows.last_size.load(std::memory_order_relaxed) > 2 * engine_.inside();
  result.blocked_inside = blocked && !result.blocked_beyond;
  result.cpu_ns = cpu_ns;
  return result;
}

// By the time that they take.  There is more room for a key's text where messages are counted.
HotKeys::Report
parallelize_monitor::busy_keys(const HotKeys::Report &by_messages) const
{
  HotKeys::Report result = engine_.busy_keys().report();

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

Circumstances
parallelize_monitor::circumstances(const HotKeys::Report &by_messages, const HotKeys::Report &by_time) const
{
  Circumstances result;

  result.cores = options_.cores;
  result.keyed = engine_.options().keyed;
  result.window = engine_.windows().last_size.load(std::memory_order_relaxed);
  result.key_advice = options_.key_advice;
  result.distinct_keys = by_messages.keys.size();
  result.distinct_keys_known = by_messages.complete;
  const HotKeys::Report &judged = by_time.samples >= least_samples ? by_time : by_messages;
  if (!judged.keys.empty())
    {
      const HotKey &hottest = judged.keys.front();
      result.hottest_key = text_of(hottest.key, hottest.cut);
      result.hottest_share = share(hottest.count - hottest.error, judged.total);
    }
  find_stuck(result);
  return result;
}

// The worker that has been stuck for longest.
void
parallelize_monitor::find_stuck(Circumstances &circumstances) const
{
  const std::uint64_t time = last_tick_;
  const auto first = std::min_element(watched_.begin(), watched_.end(),
                                      [](const Watched &a, const Watched &b) { return a.since < b.since; });
  if (first == watched_.end() || !is_stuck(*first, time))
    return;
  RunningMessage::Identity identity;
  circumstances.stuck_ns = time - first->since;
  circumstances.waiting_since_stuck = engine_.counters().waiting;
  for (const Snapshot &look : history_)
    if (look.time_ns > first->since)
      circumstances.waiting_since_stuck = std::min(circumstances.waiting_since_stuck, look.waiting);
  if (!engine_.running_message(first - watched_.begin(), identity))
    return;
  circumstances.stuck_key = text_of(identity.key.view(), identity.key.cut);
  circumstances.stuck_behind_outlet = identity.behind_outlet;
}

/* ------------------------------------------------------------------------
 * Workers that are stuck
 * ------------------------------------------------------------------------ */

// Since when the worker has been with the message that it is processing.
void
parallelize_monitor::follow(Watched &watched, unsigned index, std::uint64_t time) const
{
  const std::uint64_t messages = engine_.messages_run(index);
  const std::uint64_t busy_since = engine_.busy_since(index);

  if (!busy_since)
    watched.since = time;
  else if (messages != watched.messages || busy_since > watched.since)
    watched.since = std::max(busy_since, last_tick_);
  watched.messages = messages;
}

bool
parallelize_monitor::is_stuck(const Watched &watched, std::uint64_t time) const
{
  return time > watched.since && time - watched.since >= options_.stuck_ns;
}

void
parallelize_monitor::begin_stuck(Watched &watched, unsigned index, std::uint64_t time, unsigned stuck_workers)
{
  RunningMessage::Identity identity;
  const bool identified = engine_.running_message(index, identity) && identity.sequence == watched.messages;

  watched.key = identified ? identity.key.view() : "";
  watched.report = {
    .worker = index,
    .nanoseconds = time - watched.since,
    .stuck_workers = stuck_workers,
    .waiting = engine_.counters().waiting,
    .identified = identified,
    .behind_outlet = identified && identity.behind_outlet,
    .key = watched.key.data(),
    .key_length = watched.key.size(),
    .key_cut = identified && identity.key.cut,
    .message_id = identified ? identity.id : 0,
  };
  watched.reported = true;
  stuck_reported_ = time;
  options_.stuck(options_.user_data, &watched.report);
}

void
parallelize_monitor::end_stuck(Watched &watched)
{
  watched.reported = false;
  options_.stuck_no_more(options_.user_data, &watched.report);
}

void
parallelize_monitor::watch_workers(std::uint64_t time)
{
  unsigned stuck = 0;
  for (unsigned i = 0; i < watched_.size(); i++)
    {
      Watched &watched = watched_[i];
      const std::uint64_t since = watched.since;
      follow(watched, i, time);
      if (watched.reported && watched.since != since)
        {
          watched.report.nanoseconds = watched.since - since;
          end_stuck(watched);
        }
      stuck += is_stuck(watched, time);
    }
  if (!stuck || (stuck_reported_ && time - stuck_reported_ < stuck_report_every_ns))
    return;
  const auto first = std::find_if(watched_.begin(), watched_.end(), [&](const Watched &watched)
  {
    return is_stuck(watched, time) && !watched.reported;
  });
  if (first != watched_.end())
    begin_stuck(*first, first - watched_.begin(), time, stuck);
}

/* ------------------------------------------------------------------------
 * The report
 * ------------------------------------------------------------------------ */

void
parallelize_monitor::write_counters(JsonWriter &json) const
{
  const ParallelizeEngineCounters counters = engine_.counters();
  const SourceWindows &windows = engine_.windows();
  const auto field = [&](const char *name, std::uint64_t value)
  {
    json.name(name);
    json.integer(value);
  };

  json.begin_object();
  field("entered", counters.entered);
  field("processed", counters.processed);
  field("in_flight", counters.in_flight);
  field("waiting", counters.waiting);
  field("parked", counters.parked);
  field("batches", counters.batches);
  field("ordered", counters.ordered);
  field("steals", counters.stolen);
  field("wakeups", counters.wakeups);
  field("outrun", counters.outrun);
  json.name("inline");
  json.begin_object();
  for (unsigned reason = 0; reason < PARALLELIZE_INLINE_REASONS; reason++)
    field(inline_reasons[reason], counters.inlined[reason]);
  json.end_object();
  json.name("windows");
  json.begin_object();
  field("seen", windows.looks.load(std::memory_order_relaxed));
  field("used_up_inside", windows.seen_used_up_inside.load(std::memory_order_relaxed));
  field("used_up_beyond", windows.seen_used_up_beyond.load(std::memory_order_relaxed));
  field("last_size", windows.last_size.load(std::memory_order_relaxed));
  json.end_object();
  json.name("sources_busy_seconds");
  json.seconds(counters.sources_busy_ns);
  json.end_object();
}

void
parallelize_monitor::write_workers(JsonWriter &json) const
{
  const auto field = [&](const char *name, std::uint64_t value)
  {
    json.name(name);
    json.integer(value);
  };

  json.begin_array();
  for (unsigned i = 0; i < engine_.options().workers; i++)
    {
      const ParallelizeWorkerCounters counters = engine_.worker_counters(i);
      json.begin_object();
      field("assigned", counters.assigned);
      field("processed", counters.processed);
      field("waiting", counters.waiting);
      field("steals", counters.stolen);
      field("wakeups", counters.wakeups);
      json.name("busy_seconds");
      json.seconds(counters.busy_ns);
      json.name("idle_seconds");
      json.seconds(counters.idle_ns);
      json.end_object();
    }
  json.end_array();
}

void
parallelize_monitor::write_distribution(JsonWriter &json, const Histogram &histogram) const
{
  const Distribution distribution = histogram.read();

  json.begin_object();
  json.name("count");
  json.integer(distribution.count());
  json.name("sum");
  json.seconds(distribution.sum());
  for (std::size_t i = 0; i < std::size(quantiles); i++)
    {
      json.name(quantile_names[i]);
      json.seconds(distribution.quantile(quantiles[i]));
    }
  json.name("max");
  json.seconds(distribution.max());
  json.name("buckets");
  json.begin_array();
  for (const auto &[upper_bound, count] : distribution.buckets())
    {
      json.begin_array();
      json.seconds(upper_bound);
      json.integer(count);
      json.end_array();
    }
  json.end_array();
  json.end_object();
}

void
parallelize_monitor::write_hot_keys(JsonWriter &json, const HotKeys::Report &hot_keys) const
{
  json.begin_array();
  for (std::size_t i = 0; i < std::min(hot_keys.keys.size(), reported_keys); i++)
    {
      const HotKey &hot = hot_keys.keys[i];
      json.begin_object();
      json.name("key");
      json.string(text_of(hot.key, hot.cut));
      json.name("share");
      json.number(share(hot.count, hot_keys.total));
      json.name("error");
      json.number(share(hot.error, hot_keys.total));
      json.end_object();
    }
  json.end_array();
}

void
parallelize_monitor::write_verdict(JsonWriter &json, const Verdict &verdict) const
{
  const auto field = [&](const char *name, double value)
  {
    json.name(name);
    json.number(value);
  };

  json.begin_object();
  json.name("class");
  json.string(name_of(verdict.bottleneck));
  json.name("explanation");
  json.string(verdict.explanation);
  json.name("advice");
  json.string(verdict.advice);
  json.name("key");
  if (verdict.bottleneck == Bottleneck::key)
    json.string(verdict.key);
  else
    json.null();
  field("key_share", verdict.key_share);
  field("seconds", verdict.seconds);
  field("rate", verdict.rate);
  field("maximum_rate", verdict.maximum_rate);
  field("seconds_per_message", verdict.seconds_per_message);
  field("effective_parallelism", verdict.effective_parallelism);
  field("parallel_efficiency", verdict.efficiency);
  field("utilization", verdict.utilization);
  field("utilization_variance", verdict.utilization_variance);
  field("ordering_constraint_ratio", verdict.ordering_constraint_ratio);
  field("average_waiting", verdict.waiting);
  field("cores_busy", verdict.cores_busy);
  json.end_object();
}

std::string
parallelize_monitor::report(const ParallelizeElementDescription &element, std::uint64_t cpu_ns) const
{
  const HotKeys::Report by_messages = engine_.hot_keys().report();
  const HotKeys::Report by_time = busy_keys(by_messages);
  JsonWriter json;

  json.begin_object();
  json.name("id");
  json.string(element.id);
  json.name("location");
  json.string(element.location);
  json.name("key");
  if (element.key)
    json.string(element.key);
  else
    json.null();
  json.name("workers");
  json.integer(engine_.options().workers);
  json.name("prefetch");
  json.integer(engine_.options().prefetch);
  json.name("counters");
  write_counters(json);
  json.name("per_worker");
  write_workers(json);
  json.name("distributions");
  json.begin_object();
  json.name("waiting");
  write_distribution(json, engine_.waiting_times());
  json.name("processing");
  write_distribution(json, engine_.processing_times());
  json.name("latency");
  write_distribution(json, engine_.latencies());
  if (engine_.options().outlets)
    {
      json.name("resequencing");
      write_distribution(json, engine_.resequencing_times());
    }
  json.end_object();
  json.name("hot_keys");
  json.begin_object();
  json.name("by_messages");
  write_hot_keys(json, by_messages);
  json.name("by_time");
  write_hot_keys(json, by_time);
  json.end_object();
  json.name("verdict");
  write_verdict(json, judge(history_.front(), look(cpu_ns), circumstances(by_messages, by_time)));
  json.end_object();
  return json.text();
}

/* ------------------------------------------------------------------------
 * C ABI
 * ------------------------------------------------------------------------ */

extern "C" {

ParallelizeMonitor *
parallelize_monitor_new(ParallelizeEngine *engine, const ParallelizeMonitorOptions *options, uint64_t cpu_ns)
{
  return new parallelize_monitor(*engine, *options, cpu_ns);
}

void
parallelize_monitor_free(ParallelizeMonitor *self)
{
  delete self;
}

void
parallelize_monitor_tick(ParallelizeMonitor *self, uint64_t cpu_ns)
{
  self->tick(cpu_ns);
}

void
parallelize_monitor_report(ParallelizeMonitor *self, const ParallelizeElementDescription *element, uint64_t cpu_ns,
                           void (*append)(void *data, const char *text, size_t length), void *data)
{
  const std::string text = self->report(*element, cpu_ns);
  append(data, text.data(), text.size());
}

}
