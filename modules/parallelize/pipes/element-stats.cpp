// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pipes/element-stats.hpp"

#include <cstddef>
#include <iterator>

namespace parallelize {

namespace {

constexpr const char *sources = "source";       // in place of a worker's number: the threads that bring messages

// The levels of syslog-ng's own numbers; AxoSyslog has the same for its histograms.
constexpr int level_of_counters = 1;
constexpr int level_of_latency = 2;
constexpr int level_of_sizes = 4;

// The bounds of a histogram are powers of two, in units of this, and one above all.
constexpr unsigned bounds = 13;
constexpr std::uint64_t millisecond_ns = 1'000'000;

enum class Kind
{
  counter,
  gauge,                                        // may decrease
  nanoseconds,                                  // a counter
};

template <typename Counters>
struct Metric
{
  const char *name;
  const char *type;
  std::uint64_t Counters::*value;
  Kind kind = Kind::counter;
};

constexpr Metric<EngineCounters> element_metrics[] = {
  {"parallelized_entered_events_total", "entered", &EngineCounters::entered},
  {"parallelized_waiting_events", "waiting", &EngineCounters::waiting, Kind::gauge},
  {"parallelized_in_flight_events", "in_flight", &EngineCounters::in_flight, Kind::gauge},
  {"parallelized_parked_events", "parked", &EngineCounters::parked, Kind::gauge},
  {"parallelized_handed_over_batches_total", "batches", &EngineCounters::hand_overs},
  {"parallelized_ordered_events_total", "ordered", &EngineCounters::ordered},
  {"parallelized_empty_key_events_total", "empty_keys", &EngineCounters::empty_keys},
  {"parallelized_fetch_limited_events_total", "fetch_limited", &EngineCounters::fetch_limited},
  {"parallelized_source_yields_total", "source_yields", &EngineCounters::source_yields},
};

// The first two are AxoSyslog's, too.
constexpr Metric<WorkerCounters> worker_metrics[] = {
  {"parallelized_assigned_events_total", "assigned", &WorkerCounters::assigned},
  {"parallelized_processed_events_total", "processed", &WorkerCounters::processed},
  {"parallelized_busy_seconds_total", "busy_ns", &WorkerCounters::busy_ns, Kind::nanoseconds},
  // The rest is not counted for the threads that bring messages.
  {"parallelized_idle_seconds_total", "idle_ns", &WorkerCounters::idle_ns, Kind::nanoseconds},
  {"parallelized_worker_waiting_events", "waiting", &WorkerCounters::waiting, Kind::gauge},
  {"parallelized_steals_total", "steals", &WorkerCounters::stolen},
  {"parallelized_wakeups_total", "wakeups", &WorkerCounters::wakeups},
};
constexpr std::size_t axosyslog_metrics = 2;    // the first of worker_metrics
constexpr std::size_t source_metrics = 3;       // the same

template <typename Counters>
HostStatsKey
key_of(const Metric<Counters> &metric, const std::string &id)
{
  return {
    .name = metric.name,
    .labels = {{"id", id.c_str()}},
    .id = id.c_str(),
    .instance = "",
    .type = metric.type,
    .level = level_of_counters,
    .is_gauge = metric.kind == Kind::gauge,
    .is_nanoseconds = metric.kind == Kind::nanoseconds,
  };
}

// As Prometheus has it.
std::string
format_bound(unsigned bound, bool is_nanoseconds)
{
  if (bound == bounds)
    return "+Inf";
  gchar buffer[G_ASCII_DTOSTR_BUF_SIZE];
  return g_ascii_formatd(buffer, sizeof buffer, "%g", (1u << bound) / (is_nanoseconds ? 1e3 : 1));
}

template <typename Histogram>
void
set(const Histogram &counters, const Distribution &distribution, std::uint64_t unit)
{
  for (unsigned i = 0; i < bounds; i++)
    host_stats_counter_set(counters.up_to[i].get(), distribution.count_up_to(unit << i));
  host_stats_counter_set(counters.up_to[bounds].get(), distribution.count());
  host_stats_counter_set(counters.sum.get(), distribution.sum());
  host_stats_counter_set(counters.count.get(), distribution.count());
}

}

ElementStats::ElementStats(const Engine &engine, const std::string &id)
  : engine_(engine), id_(id), workers_(engine.options().workers)
{
  register_counters();
}

/* -- Registration -- */

// `point`: of the measurement, or nullptr.  AxoSyslog's label for the id is "parallelize".
ElementStats::HistogramCounters
ElementStats::new_histogram(const char *name, const char *point, int level, bool is_nanoseconds) const
{
  HistogramCounters result;
  const auto counter = [&](const char *suffix, const char *bound, bool is_time)
  {
    const std::string full_name = std::string(name) + suffix;
    HostStatsKey key = {};
    std::size_t labels = 0;

    key.name = full_name.c_str();
    key.labels[labels++] = {"id", id_.c_str()};
    key.labels[labels++] = {"parallelize", id_.c_str()};
    if (point)
      key.labels[labels++] = {"measurement_point", point};
    if (bound)
      key.labels[labels] = {"le", bound};
    key.level = level;
    key.is_nanoseconds = is_time;
    return StatsCounter(host_stats_counter_new(&key));
  };

  for (unsigned bound = 0; bound <= bounds; bound++)
    result.up_to.push_back(counter("_bucket", format_bound(bound, is_nanoseconds).c_str(), false));
  result.sum = counter("_sum", nullptr, is_nanoseconds);
  result.count = counter("_count", nullptr, false);
  return result;
}

void
ElementStats::register_counters()
{
  for (const auto &metric : element_metrics)
    {
      const HostStatsKey key = key_of(metric, id_);
      of_element_.emplace_back(host_stats_counter_new(&key));
    }
  for (const char *reason : inline_reason_names)
    {
      const std::string type = std::string("inline_") + reason;
      const HostStatsKey key = {
        .name = "parallelized_inline_events_total",
        .labels = {{"id", id_.c_str()}, {"reason", reason}},
        .id = id_.c_str(),
        .instance = "",
        .type = type.c_str(),
        .level = level_of_counters,
        .is_gauge = FALSE,
        .is_nanoseconds = FALSE,
      };
      of_reason_.emplace_back(host_stats_counter_new(&key));
    }
  for (unsigned worker = 0; worker <= workers_; worker++)
    register_worker(worker);

  // AxoSyslog registers this counter without labels.
  HostStatsKey failed = {};
  failed.name = "parallelize_failed_events_total";
  failed.level = level_of_latency;
  failed_.reset(host_stats_counter_new(&failed));
  from_receipt_ = new_histogram("event_processing_latency_seconds", "input", level_of_latency, true);
  batches_ = new_histogram("parallelized_input_batch_size", nullptr, level_of_sizes, false);
  hand_over_sizes_ = new_histogram("parallelized_batch_size", nullptr, level_of_sizes, false);
}

void
ElementStats::register_worker(unsigned worker)
{
  const bool is_worker = worker < workers_;
  const std::string name = is_worker ? std::to_string(worker) : sources;
  std::vector<StatsCounter> &counters = of_worker_.emplace_back();

  for (std::size_t i = 0; i < (is_worker ? std::size(worker_metrics) : source_metrics); i++)
    {
      HostStatsKey key = key_of(worker_metrics[i], id_);
      key.instance = name.c_str();
      std::size_t labels = 1;
      if (is_worker && i < axosyslog_metrics)
        key.labels[labels++] = {"partition_index", name.c_str()};
      key.labels[labels] = {"worker", name.c_str()};
      counters.emplace_back(host_stats_counter_new(&key));
    }
}

/* -- Once a second -- */

WorkerCounters
ElementStats::counters_of(unsigned worker, const EngineCounters &all) const
{
  if (worker < workers_)
    return engine_.worker_counters(worker);
  WorkerCounters result;
  result.assigned = result.processed = all.worth_a_hand_over + all.too_cheap;
  result.busy_ns = all.sources_busy_ns;
  return result;
}

void
ElementStats::update()
{
  const EngineCounters all = engine_.counters();

  for (std::size_t i = 0; i < of_element_.size(); i++)
    host_stats_counter_set(of_element_[i].get(), all.*element_metrics[i].value);
  for (std::size_t i = 0; i < of_reason_.size(); i++)
    host_stats_counter_set(of_reason_[i].get(), all.inlined[i]);
  for (unsigned worker = 0; worker <= workers_; worker++)
    {
      const WorkerCounters counters = counters_of(worker, all);
      const std::vector<StatsCounter> &of_worker = of_worker_[worker];
      for (std::size_t i = 0; i < of_worker.size(); i++)
        host_stats_counter_set(of_worker[i].get(), counters.*worker_metrics[i].value);
    }
  host_stats_counter_set(failed_.get(), all.inlined[static_cast<std::size_t>(InlineReason::no_worker)]);
  if (from_receipt_.count)
    set(from_receipt_, engine_.samples().from_receipt.read(), millisecond_ns);
  if (batches_.count)
    {
      const BatchSizes sizes = engine_.batch_sizes();
      set(batches_, sizes.came, 1);
      set(hand_over_sizes_, sizes.handed_over, 1);
    }
}

}
