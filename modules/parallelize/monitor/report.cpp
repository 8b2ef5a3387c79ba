// SPDX-License-Identifier: LGPL-2.1-or-later
#include "monitor/report.hpp"

#include "monitor/json.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <iterator>

namespace parallelize {

namespace {

constexpr std::size_t reported_keys = 10;
constexpr double quantiles[] = {0.5, 0.9, 0.99, 0.999};
constexpr const char *quantile_names[] = {"p50", "p90", "p99", "p999"};

class ReportWriter
{
public:
  explicit ReportWriter(const Engine &engine) : engine_(engine) {}

  std::string write(const ElementDescription &element, const HotKeys::Report &by_messages,
                    const HotKeys::Report &by_time, const Verdict &verdict)
  {
    json_.begin_object();
    string("id", element.id);
    string("location", element.location);
    if (element.key)
      string("key", element.key);
    else
      null("key");
    integer("workers", engine_.options().workers);
    integer("prefetch", engine_.options().prefetch);
    json_.name("counters");
    counters();
    json_.name("per_worker");
    workers();
    json_.name("distributions");
    distributions();
    json_.name("batch_sizes");
    batch_sizes();
    json_.name("hot_keys");
    json_.begin_object();
    json_.name("by_messages");
    hot_keys(by_messages);
    json_.name("by_time");
    hot_keys(by_time);
    json_.end_object();
    json_.name("verdict");
    this->verdict(verdict);
    json_.end_object();
    return json_.text();
  }

private:
  void integer(const char *name, std::uint64_t value)
  {
    json_.name(name);
    json_.integer(value);
  }

  void number(const char *name, double value)
  {
    json_.name(name);
    json_.number(value);
  }

  void seconds(const char *name, std::uint64_t nanoseconds)
  {
    json_.name(name);
    json_.seconds(nanoseconds);
  }

  void string(const char *name, std::string_view value)
  {
    json_.name(name);
    json_.string(value);
  }

  void null(const char *name)
  {
    json_.name(name);
    json_.null();
  }

  void counters()
  {
    const EngineCounters counters = engine_.counters();

    json_.begin_object();
    integer("entered", counters.entered);
    integer("processed", counters.processed);
    integer("in_flight", counters.in_flight);
    integer("waiting", counters.waiting);
    integer("parked", counters.parked);
    integer("batches", counters.hand_overs);
    integer("ordered", counters.ordered);
    integer("empty_keys", counters.empty_keys);
    integer("steals", counters.stolen);
    integer("wakeups", counters.wakeups);
    integer("outrun", counters.source_yields);
    json_.name("inline");
    json_.begin_object();
    for (std::size_t reason = 0; reason < inline_reasons; reason++)
      integer(inline_reason_names[reason], counters.inlined[reason]);
    json_.end_object();
    integer("fetch_limited", counters.fetch_limited);
    json_.name("windows");
    windows();
    seconds("sources_busy_seconds", counters.sources_busy_ns);
    json_.end_object();
  }

  void windows()
  {
    constexpr auto relaxed = std::memory_order_relaxed;
    const SourceWindows &windows = engine_.windows();

    json_.begin_object();
    integer("seen", windows.looks.load(relaxed));
    integer("used_up_inside", windows.seen_used_up_inside.load(relaxed));
    integer("used_up_beyond", windows.seen_used_up_after.load(relaxed));
    integer("last_size", windows.last_size.load(relaxed));
    json_.end_object();
  }

  void workers()
  {
    json_.begin_array();
    for (unsigned i = 0; i < engine_.options().workers; i++)
      {
        const WorkerCounters counters = engine_.worker_counters(i);
        json_.begin_object();
        integer("assigned", counters.assigned);
        integer("processed", counters.processed);
        integer("waiting", counters.waiting);
        integer("steals", counters.stolen);
        integer("wakeups", counters.wakeups);
        seconds("busy_seconds", counters.busy_ns);
        seconds("idle_seconds", counters.idle_ns);
        json_.end_object();
      }
    json_.end_array();
  }

  void distributions()
  {
    const Samples &samples = engine_.samples();

    json_.begin_object();
    times("waiting", samples.waiting);
    times("processing", samples.processing);
    times("latency", samples.latencies);
    times("from_receipt", samples.from_receipt);
    if (engine_.options().outlets)
      times("resequencing", samples.resequencing);
    json_.end_object();
  }

  // Numbers of messages.
  void batch_sizes()
  {
    const BatchSizes sizes = engine_.batch_sizes();

    json_.begin_object();
    distribution("came", sizes.came, &JsonWriter::integer);
    distribution("handed_over", sizes.handed_over, &JsonWriter::integer);
    json_.end_object();
  }

  void times(const char *name, const Histogram &histogram)
  {
    distribution(name, histogram.read(), &JsonWriter::seconds);
  }

  void distribution(const char *name, const Distribution &distribution, void (JsonWriter::*write)(std::uint64_t))
  {
    const auto value = [&](const char *of, std::uint64_t number)
    {
      json_.name(of);
      (json_.*write)(number);
    };

    json_.name(name);
    json_.begin_object();
    integer("count", distribution.count());
    value("sum", distribution.sum());
    for (std::size_t i = 0; i < std::size(quantiles); i++)
      value(quantile_names[i], distribution.quantile(quantiles[i]));
    value("max", distribution.max());
    json_.name("buckets");
    json_.begin_array();
    for (const auto &[upper_bound, count] : distribution.buckets())
      {
        json_.begin_array();
        (json_.*write)(upper_bound);
        json_.integer(count);
        json_.end_array();
      }
    json_.end_array();
    json_.end_object();
  }

  void hot_keys(const HotKeys::Report &report)
  {
    json_.begin_array();
    for (std::size_t i = 0; i < std::min(report.keys.size(), reported_keys); i++)
      {
        const HotKey &hot = report.keys[i];
        json_.begin_object();
        string("key", shown_key(hot.key, hot.cut));
        number("share", share(hot.count, report.total));
        number("error", share(hot.error, report.total));
        json_.end_object();
      }
    json_.end_array();
  }

  void verdict(const Verdict &verdict)
  {
    json_.begin_object();
    string("class", name_of(verdict.bottleneck));
    string("explanation", verdict.explanation);
    string("advice", verdict.advice);
    if (verdict.bottleneck == Bottleneck::key)
      string("key", verdict.key);
    else
      null("key");
    number("key_share", verdict.key_share);
    number("seconds", verdict.seconds);
    number("rate", verdict.rate);
    number("maximum_rate", verdict.maximum_rate);
    number("seconds_per_message", verdict.seconds_per_message);
    number("effective_parallelism", verdict.effective_parallelism);
    number("parallel_efficiency", verdict.efficiency);
    number("utilization", verdict.utilization);
    number("utilization_variance", verdict.utilization_variance);
    number("ordering_constraint_ratio", verdict.ordering_constraint_ratio);
    number("average_waiting", verdict.pending);
    number("cores_busy", verdict.cores_busy);
    json_.end_object();
  }

  const Engine &engine_;
  JsonWriter json_;
};

}

std::string
format_report(const Engine &engine, const ElementDescription &element, const HotKeys::Report &by_messages,
              const HotKeys::Report &by_time, const Verdict &verdict)
{
  return ReportWriter(engine).write(element, by_messages, by_time, verdict);
}

std::string
shown_key(std::string_view key, bool cut)
{
  return std::string(key) + (cut ? "..." : "");
}

double
share(std::uint64_t part, std::uint64_t all)
{
  return all ? static_cast<double>(part) / static_cast<double>(all) : 0;
}

}
