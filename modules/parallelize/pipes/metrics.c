/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipes/metrics.h"
#include "config/options.h"
#include "control/control-commands.h"
#include "control/control-connection.h"
#include "host/stats.h"
#include "messages.h"
#include "monitor/monitor.h"

#include <iv.h>
#include <string.h>
#include <time.h>

#define CONTROL_COMMAND "PARALLELIZE"
#define REPORT_VERSION 1
#define SOURCES "source"        /* in place of a worker's number: the threads that bring messages */
#define STUCK_SECONDS 5

/* -- Which numbers there are, and where the engine has them -- */

typedef struct _Metric
{
  const gchar *name;
  const gchar *short_name;
  gsize offset;
  gboolean is_gauge;
  gboolean is_nanoseconds;
} Metric;

#define OF_ELEMENT(member) offsetof(ParallelizeEngineCounters, member)
#define OF_WORKER(member) offsetof(ParallelizeWorkerCounters, member)

static const Metric element_metrics[] =
{
  { "parallelized_entered_events_total", "entered", OF_ELEMENT(entered) },
  { "parallelized_waiting_events", "waiting", OF_ELEMENT(waiting), .is_gauge = TRUE },
  { "parallelized_in_flight_events", "in_flight", OF_ELEMENT(in_flight), .is_gauge = TRUE },
  { "parallelized_parked_events", "parked", OF_ELEMENT(parked), .is_gauge = TRUE },
  { "parallelized_handed_over_batches_total", "batches", OF_ELEMENT(batches) },
  { "parallelized_ordered_events_total", "ordered", OF_ELEMENT(ordered) },
  { "parallelized_source_yields_total", "source_yields", OF_ELEMENT(outrun) },
};

static const Metric worker_metrics[] =
{
  { "parallelized_assigned_events_total", "assigned", OF_WORKER(assigned) },
  { "parallelized_processed_events_total", "processed", OF_WORKER(processed) },
  { "parallelized_busy_seconds_total", "busy", OF_WORKER(busy_ns), .is_nanoseconds = TRUE },
  /* what follows is not counted of the threads that bring messages */
  { "parallelized_idle_seconds_total", "idle", OF_WORKER(idle_ns), .is_nanoseconds = TRUE },
  { "parallelized_worker_waiting_events", "waiting", OF_WORKER(waiting), .is_gauge = TRUE },
  { "parallelized_steals_total", "steals", OF_WORKER(stolen) },
  { "parallelized_wakeups_total", "wakeups", OF_WORKER(wakeups) },
};

#define SOURCES_METRICS 3       /* the first of worker_metrics */

static const gchar *const inline_reasons[PARALLELIZE_INLINE_REASONS] =
{
  [PARALLELIZE_INLINE_TOO_CHEAP] = "too_cheap",
  [PARALLELIZE_INLINE_CROWDED] = "crowded",
  [PARALLELIZE_INLINE_NO_WORKER] = "no_worker",
};

struct _ParallelizeMetrics
{
  ParallelizeEngine *engine;
  ParallelizeMonitor *monitor;
  guint workers;
  gchar *id;                    /* unique */
  gchar *location;
  gchar *key;
  gchar *key_advice;
  HostStatsCounter *of_element[G_N_ELEMENTS(element_metrics)];
  HostStatsCounter *of_reason[PARALLELIZE_INLINE_REASONS];
  /* [workers + 1], the last for the threads that bring messages */
  HostStatsCounter *(*of_worker)[G_N_ELEMENTS(worker_metrics)];
};

/* All there are, in the order in which they came. */
static GList *all_metrics;
static struct iv_timer timer;

/* -- The host's stats -- */

static guint64
_value(const Metric *metric, gconstpointer counters)
{
  return *(const uint64_t *) ((const gchar *) counters + metric->offset);
}

static HostStatsCounter *
_new_counter(ParallelizeMetrics *self, const Metric *metric, const gchar *worker)
{
  HostStatsKey key =
  {
    .name = metric->name,
    .short_name = metric->short_name,
    .id = self->id,
    .worker = worker,
    .is_gauge = metric->is_gauge,
    .is_nanoseconds = metric->is_nanoseconds,
  };

  return host_stats_counter_new(&key);
}

static HostStatsCounter *
_new_reason_counter(ParallelizeMetrics *self, const gchar *reason)
{
  HostStatsKey key =
  {
    .name = "parallelized_inline_events_total",
    .short_name = "inline",
    .id = self->id,
    .reason = reason,
  };

  return host_stats_counter_new(&key);
}

static guint
_metrics_of_worker(ParallelizeMetrics *self, guint worker)
{
  return worker < self->workers ? G_N_ELEMENTS(worker_metrics) : SOURCES_METRICS;
}

static void
_register_counters(ParallelizeMetrics *self)
{
  for (guint i = 0; i < G_N_ELEMENTS(element_metrics); i++)
    self->of_element[i] = _new_counter(self, &element_metrics[i], NULL);
  for (guint i = 0; i < PARALLELIZE_INLINE_REASONS; i++)
    self->of_reason[i] = _new_reason_counter(self, inline_reasons[i]);

  self->of_worker = g_malloc0_n(self->workers + 1, sizeof(self->of_worker[0]));
  for (guint worker = 0; worker <= self->workers; worker++)
    {
      gchar number[16];

      g_snprintf(number, sizeof(number), "%u", worker);
      for (guint i = 0; i < _metrics_of_worker(self, worker); i++)
        self->of_worker[worker][i] = _new_counter(self, &worker_metrics[i], worker < self->workers ? number : SOURCES);
    }
}

static void
_unregister_counters(ParallelizeMetrics *self)
{
  for (guint i = 0; i < G_N_ELEMENTS(element_metrics); i++)
    host_stats_counter_free(self->of_element[i]);
  for (guint i = 0; i < PARALLELIZE_INLINE_REASONS; i++)
    host_stats_counter_free(self->of_reason[i]);
  for (guint worker = 0; worker <= self->workers; worker++)
    {
      for (guint i = 0; i < _metrics_of_worker(self, worker); i++)
        host_stats_counter_free(self->of_worker[worker][i]);
    }
  g_free(self->of_worker);
}

static void
_get_counters_of(ParallelizeMetrics *self, guint worker, const ParallelizeEngineCounters *all,
                 ParallelizeWorkerCounters *counters)
{
  if (worker < self->workers)
    {
      parallelize_engine_get_worker_counters(self->engine, worker, counters);
      return;
    }
  memset(counters, 0, sizeof(*counters));
  counters->assigned = counters->processed = all->helped + all->forwarded_directly;
  counters->busy_ns = all->sources_busy_ns;
}

static void
_update_counters(ParallelizeMetrics *self)
{
  ParallelizeEngineCounters all;

  parallelize_engine_get_counters(self->engine, &all);
  for (guint i = 0; i < G_N_ELEMENTS(element_metrics); i++)
    host_stats_counter_set(self->of_element[i], _value(&element_metrics[i], &all));
  for (guint i = 0; i < PARALLELIZE_INLINE_REASONS; i++)
    host_stats_counter_set(self->of_reason[i], all.inlined[i]);
  for (guint worker = 0; worker <= self->workers; worker++)
    {
      ParallelizeWorkerCounters counters;

      _get_counters_of(self, worker, &all, &counters);
      for (guint i = 0; i < _metrics_of_worker(self, worker); i++)
        host_stats_counter_set(self->of_worker[worker][i], _value(&worker_metrics[i], &counters));
    }
}

/* -- Warnings -- */

static gchar *
_format_stuck_key(const ParallelizeStuckWorker *stuck)
{
  gchar *bytes = g_strndup(stuck->key, stuck->key_length);
  gchar *printable = g_strescape(bytes, NULL);
  gchar *result = g_strconcat(printable, stuck->key_cut ? "..." : "", NULL);

  g_free(printable);
  g_free(bytes);
  return result;
}

static void
_log_stuck(ParallelizeMetrics *self, const ParallelizeStuckWorker *stuck, const gchar *text)
{
  gchar *key = _format_stuck_key(stuck);

  msg_warning(text,
              evt_tag_int("worker", stuck->worker),
              evt_tag_printf("seconds", "%.1f", stuck->nanoseconds / 1e9),
              evt_tag_str("key", stuck->identified && !stuck->behind_outlet ? key : "unknown"),
              evt_tag_printf("rcptid", "%" G_GUINT64_FORMAT, stuck->message_id),
              evt_tag_printf("waiting", "%" G_GUINT64_FORMAT, stuck->waiting),
              evt_tag_int("stuck_workers", stuck->stuck_workers),
              evt_tag_str("id", self->id),
              evt_tag_str("location", self->location));
  g_free(key);
}

static void
_stuck(gpointer user_data, const ParallelizeStuckWorker *stuck)
{
  _log_stuck(user_data, stuck,
             stuck->behind_outlet ? "WARNING: a worker of parallelize() is stuck on one message behind resequence()"
             : "WARNING: a worker of parallelize() is stuck on one message");
}

static void
_stuck_no_more(gpointer user_data, const ParallelizeStuckWorker *stuck)
{
  _log_stuck(user_data, stuck, "A worker of parallelize() has come to the end of the message that it was stuck on");
}

/* -- Once a second -- */

static guint64
_processor_time(void)
{
  struct timespec ts;

  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  return (guint64) ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
_look(ParallelizeMetrics *self)
{
  parallelize_monitor_tick(self->monitor, _processor_time());
  _update_counters(self);
}

static void
_start_timer(void)
{
  iv_validate_now();
  timer.expires = iv_now;
  timer.expires.tv_sec++;
  iv_timer_register(&timer);
}

static void
_second_is_over(gpointer user_data)
{
  for (GList *item = all_metrics; item; item = item->next)
    {
      ParallelizeMetrics *self = item->data;

      parallelize_engine_wake_for_what_waits(self->engine);
      _look(self);
    }
  _start_timer();
}

/* -- The control command -- */

static void
_append(gpointer result, const gchar *text, gsize length)
{
  g_string_append_len(result, text, length);
}

static void
_append_report(ParallelizeMetrics *self, GString *result)
{
  ParallelizeElementDescription element =
  {
    .id = self->id,
    .location = self->location,
    .key = self->key,
  };

  parallelize_monitor_report(self->monitor, &element, _processor_time(), _append, result);
}

static void
_report(ControlConnection *connection, GString *command, gpointer user_data, gboolean *cancelled)
{
  GString *reply = g_string_new(NULL);

  g_string_append_printf(reply, "{\"version\":%d,\"cores\":%u,\"time\":%.3f,\"elements\":[", REPORT_VERSION,
                         parallelize_count_cores(), g_get_real_time() / 1e6);
  for (GList *item = all_metrics; item; item = item->next)
    {
      if (item != all_metrics)
        g_string_append_c(reply, ',');
      _append_report(item->data, reply);
    }
  g_string_append(reply, "]}");
  control_connection_send_reply(connection, reply);
}

/* -- Life cycle -- */

static gboolean
_is_id_taken(const gchar *id)
{
  for (GList *item = all_metrics; item; item = item->next)
    {
      if (strcmp(((ParallelizeMetrics *) item->data)->id, id) == 0)
        return TRUE;
    }
  return FALSE;
}

/* A named parser that is used twice is two elements in one place. */
static gchar *
_make_unique(const gchar *id)
{
  gchar *result = g_strdup(id);

  for (guint number = 2; _is_id_taken(result); number++)
    {
      g_free(result);
      result = g_strdup_printf("%s#%u", id, number);
    }
  return result;
}

static ParallelizeMonitor *
_new_monitor(ParallelizeMetrics *self)
{
  ParallelizeMonitorOptions options =
  {
    .cores = parallelize_count_cores(),
    .key_advice = self->key_advice,
    .stuck_ns = STUCK_SECONDS * G_GUINT64_CONSTANT(1000000000),
    .stuck = _stuck,
    .stuck_no_more = _stuck_no_more,
    .user_data = self,
  };

  return parallelize_monitor_new(self->engine, &options, _processor_time());
}

void
parallelize_metrics_init(void)
{
  if (!control_find_command(CONTROL_COMMAND))
    control_register_command(CONTROL_COMMAND, _report, NULL, FALSE);
}

ParallelizeMetrics *
parallelize_metrics_new(ParallelizeEngine *engine, guint workers, const gchar *id, const gchar *location,
                        const gchar *key, const gchar *key_advice)
{
  ParallelizeMetrics *self = g_new0(ParallelizeMetrics, 1);

  self->engine = engine;
  self->workers = workers;
  self->id = _make_unique(id);
  self->location = g_strdup(location);
  self->key = g_strdup(key);
  self->key_advice = g_strdup(key_advice);
  self->monitor = _new_monitor(self);
  _register_counters(self);

  if (!all_metrics)
    {
      IV_TIMER_INIT(&timer);
      timer.handler = _second_is_over;
      _start_timer();
    }
  all_metrics = g_list_append(all_metrics, self);
  return self;
}

void
parallelize_metrics_free(ParallelizeMetrics *self)
{
  _look(self);
  all_metrics = g_list_remove(all_metrics, self);
  if (!all_metrics)
    iv_timer_unregister(&timer);

  _unregister_counters(self);
  parallelize_monitor_free(self->monitor);
  g_free(self->id);
  g_free(self->location);
  g_free(self->key);
  g_free(self->key_advice);
  g_free(self);
}
