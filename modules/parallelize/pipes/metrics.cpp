// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pipes/metrics.hpp"

#include "host/source-window.h"
#include "pipes/options.h"
#include "pipes/metrics.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace parallelize {

namespace {

constexpr const char *control_command = "PARALLELIZE";
constexpr const char *report_version = "1";
constexpr std::uint64_t stuck_ns = 5'000'000'000;

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
             processor_time()),
    stats_(engine, id_)
{
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
  stats_.update();
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
