// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pipes/metrics.hpp"

#include "host/source-window.h"
#include "pipes/options.h"
#include "pipes/metrics.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace parallelize {

namespace {

constexpr const char *control_command = "PARALLELIZE";
constexpr const char *report_version = "1";
constexpr const char *sources = "source";       // in place of a worker's number: the threads that bring messages
constexpr std::uint64_t stuck_ns = 5'000'000'000;

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
  const char *short_name;
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
  {"parallelized_source_yields_total", "source_yields", &EngineCounters::source_yields},
};

constexpr Metric<WorkerCounters> worker_metrics[] = {
  {"parallelized_assigned_events_total", "assigned", &WorkerCounters::assigned},
  {"parallelized_processed_events_total", "processed", &WorkerCounters::processed},
  {"parallelized_busy_seconds_total", "busy", &WorkerCounters::busy_ns, Kind::nanoseconds},
  // The rest is not counted for the threads that bring messages.
  {"parallelized_idle_seconds_total", "idle", &WorkerCounters::idle_ns, Kind::nanoseconds},
  {"parallelized_worker_waiting_events", "waiting", &WorkerCounters::waiting, Kind::gauge},
  {"parallelized_steals_total", "steals", &WorkerCounters::stolen},
  {"parallelized_wakeups_total", "wakeups", &WorkerCounters::wakeups},
};
constexpr std::size_t source_metrics = 3;       // the first of worker_metrics


// In the order in which they were created.
std::vector<Metrics *> all_metrics;
iv_timer timer;

std::uint64_t
processor_time()
{
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::uint64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

void
start_timer()
{
  iv_validate_now();
  timer.expires = iv_now;
  timer.expires.tv_sec++;
  iv_timer_register(&timer);
}

template <typename Counters>
HostStatsKey
stats_key(const Metric<Counters> &metric, const std::string &id, const char *worker)
{
  return {
    .name = metric.name,
    .short_name = metric.short_name,
    .id = id.c_str(),
    .worker = worker,
    .reason = nullptr,
    .is_gauge = metric.kind == Kind::gauge,
    .is_nanoseconds = metric.kind == Kind::nanoseconds,
  };
}

// No byte of a key may look like the end of a line in a log.
std::string
printable_key(const StuckThread &thread)
{
  gchar *escaped = g_strescape(thread.key.c_str(), nullptr);
  std::string result = escaped;
  g_free(escaped);
  return result + (thread.key_cut ? "..." : "");
}

}

/* -- Life cycle -- */

bool
Metrics::is_id_taken(const std::string &id)
{
  return std::any_of(all_metrics.begin(), all_metrics.end(), [&](const Metrics *metrics) { return metrics->id_ == id; });
}

// A named parser that is used twice is two elements in one place.
std::string
Metrics::make_unique_id(const char *id)
{
  std::string result = id;
  for (unsigned number = 2; is_id_taken(result); number++)
    result = std::string(id) + "#" + std::to_string(number);
  return result;
}

void
Metrics::init() noexcept
{
  if (!control_find_command(control_command))
    control_register_command(control_command, report_all, nullptr, FALSE);
  host_source_learn_readers();
}

Metrics::Metrics(Engine &engine, unsigned workers, const char *id, const char *location, const char *key,
                 const char *key_advice)
  : engine_(engine), workers_(workers), id_(make_unique_id(id)), location_(location), has_key_(key),
    key_(key ? key : ""),
    monitor_(engine,
             {.cores = parallelize_count_cores(), .key = key_, .key_advice = key_advice, .stuck_ns = stuck_ns,
              .listener = *this},
             processor_time())
{
  register_counters();
  if (all_metrics.empty())
    {
      IV_TIMER_INIT(&timer);
      timer.handler = second_is_over;
      start_timer();
    }
  all_metrics.push_back(this);
}

Metrics::~Metrics()
{
  tick();
  std::erase(all_metrics, this);
  if (all_metrics.empty())
    iv_timer_unregister(&timer);
}

/* -- syslog-ng's stats -- */

void
Metrics::register_counters()
{
  const auto add = [](std::vector<StatsCounter> &counters, const HostStatsKey &key)
  { counters.emplace_back(host_stats_counter_new(&key)); };

  for (const auto &metric : element_metrics)
    add(of_element_, stats_key(metric, id_, nullptr));
  for (const char *reason : inline_reason_names)
    add(of_reason_, {.name = "parallelized_inline_events_total", .short_name = "inline", .id = id_.c_str(),
                     .worker = nullptr, .reason = reason, .is_gauge = FALSE, .is_nanoseconds = FALSE});
  for (unsigned worker = 0; worker <= workers_; worker++)
    {
      const bool is_worker = worker < workers_;
      const std::string name = is_worker ? std::to_string(worker) : sources;
      std::vector<StatsCounter> &counters = of_worker_.emplace_back();
      for (std::size_t i = 0; i < (is_worker ? std::size(worker_metrics) : source_metrics); i++)
        add(counters, stats_key(worker_metrics[i], id_, name.c_str()));
    }
}

WorkerCounters
Metrics::counters_of(unsigned worker, const EngineCounters &all) const
{
  if (worker < workers_)
    return engine_.worker_counters(worker);
  WorkerCounters result;
  result.assigned = result.processed = all.worth_a_hand_over + all.too_cheap;
  result.busy_ns = all.sources_busy_ns;
  return result;
}

void
Metrics::update_counters()
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
}

/* -- Warnings -- */

void
Metrics::stuck(const StuckThread &thread)
{
  if (thread.kind == StuckThread::source)
    warn_of_source(thread, thread.after_outlet
                             ? "WARNING: a source's thread is stuck on one message after resequence()"
                             : "WARNING: a source's thread is stuck on one message in parallelize()");
  else
    warn_of_worker(thread, thread.after_outlet
                             ? "WARNING: a worker of parallelize() is stuck on one message after resequence()"
                             : "WARNING: a worker of parallelize() is stuck on one message");
}

void
Metrics::stuck_no_more(const StuckThread &thread)
{
  if (thread.kind == StuckThread::source)
    warn_of_source(thread, "A source's thread has come to the end of the message that it was stuck on in parallelize()");
  else
    warn_of_worker(thread, "A worker of parallelize() has come to the end of the message that it was stuck on");
}

void
Metrics::warn_of_worker(const StuckThread &thread, const char *text) const
{
  const bool knows_key = thread.identified && !thread.after_outlet;

  msg_warning(text,
              evt_tag_int("worker", thread.index),
              evt_tag_printf("seconds", "%.1f", thread.nanoseconds / 1e9),
              evt_tag_str("key", knows_key ? printable_key(thread).c_str() : "unknown"),
              evt_tag_printf("rcptid", "%" G_GUINT64_FORMAT, thread.message_id),
              evt_tag_printf("waiting", "%" G_GUINT64_FORMAT, thread.waiting),
              evt_tag_int("stuck_workers", thread.stuck_threads),
              evt_tag_str("id", id_.c_str()),
              evt_tag_str("location", location_.c_str()));
}

// A source's thread knows its message only if the message was handed over.
void
Metrics::warn_of_source(const StuckThread &thread, const char *text) const
{
  const bool knows_key = thread.identified && !thread.after_outlet;

  msg_warning(text,
              evt_tag_printf("seconds", "%.1f", thread.nanoseconds / 1e9),
              evt_tag_str("key", knows_key ? printable_key(thread).c_str() : "unknown"),
              evt_tag_printf("rcptid", "%" G_GUINT64_FORMAT, thread.message_id),
              evt_tag_printf("waiting", "%" G_GUINT64_FORMAT, thread.waiting),
              evt_tag_int("stuck_sources", thread.stuck_threads),
              evt_tag_str("id", id_.c_str()),
              evt_tag_str("location", location_.c_str()));
}

void
Metrics::keys_are_empty(std::uint64_t messages)
{
  msg_warning(engine_.options().empty_key_round_robin
                ? "WARNING: the worker-partition-key() of parallelize() is empty for all messages so far, so no order is "
                  "kept; check the names of its macros, or leave worker-partition-key() out"
                : "WARNING: the worker-partition-key() of parallelize() is empty for all messages so far, so they are "
                  "processed one at a time; check the names of its macros, or use empty-key(round-robin) if order does "
                  "not matter",
              evt_tag_str("worker-partition-key", key_.c_str()),
              evt_tag_printf("messages", "%" G_GUINT64_FORMAT, messages),
              evt_tag_str("id", id_.c_str()),
              evt_tag_str("location", location_.c_str()));
}

void
Metrics::reads_few(const LimitedSource::Report &source, double utilization)
{
  msg_warning("WARNING: a source reads few messages at a time while workers of parallelize() are idle; increase its "
              "log-fetch-limit(), and its log-iw-size() if the window of a connection is smaller than that",
              evt_tag_str("source", source.source.c_str()),
              evt_tag_long("messages_at_a_time", source.limit),
              evt_tag_long("window_per_connection", engine_.windows().last_size.load(std::memory_order_relaxed)),
              evt_tag_int("workers", workers_),
              evt_tag_printf("busy", "%.0f%%", utilization * 100),
              evt_tag_str("id", id_.c_str()),
              evt_tag_str("location", location_.c_str()));
}

/* -- Once a second -- */

void
Metrics::tick()
{
  monitor_.tick(processor_time());
  update_counters();
}

/* -- C wrappers -- */

void
Metrics::second_is_over(void *) noexcept
{
  for (Metrics *metrics : all_metrics)
    {
      metrics->engine_.rescan_sleepers();
      metrics->tick();
    }
  start_timer();
}

void
Metrics::report_all(ControlConnection *connection, GString *, gpointer, gboolean *) noexcept
{
  GString *reply = g_string_new(nullptr);

  g_string_append_printf(reply, "{\"version\":%s,\"cores\":%u,\"time\":%.3f,\"elements\":[", report_version,
                         parallelize_count_cores(), g_get_real_time() / 1e6);
  for (const Metrics *metrics : all_metrics)
    {
      if (metrics != all_metrics.front())
        g_string_append_c(reply, ',');
      const ElementDescription element = {.id = metrics->id_, .location = metrics->location_,
                                          .key = metrics->has_key_ ? metrics->key_.c_str() : nullptr};
      const std::string report = metrics->monitor_.report(element, processor_time());
      g_string_append_len(reply, report.data(), static_cast<gssize>(report.size()));
    }
  g_string_append(reply, "]}");
  control_connection_send_reply(connection, reply);
}

}

void
parallelize_metrics_init(void)
{
  parallelize::Metrics::init();
}
