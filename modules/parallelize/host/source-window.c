/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/source-window.h"
#include "ack-tracker/ack_tracker.h"
#include "host/batch-callbacks.h"
#include "host/worker-thread.h"
#include "host/features.h"
#include "logreader.h"
#include "logsource.h"
#if HOST_HAS_CLOSED_BATCHES
#include "logthrsource/logthrsourcedrv.h"
#endif

/* The free function of LogReader.  No other kind of source has it. */
static void (*free_reader)(LogPipe *);

HostSource *
host_source_of_message(LogMessage *msg)
{
  return msg->ack_record && msg->ack_record->tracker ? msg->ack_record->tracker->source : NULL;
}

HostSource *
host_source_of_batch(LogMessage *msg)
{
  /* A worker's message came from a thread that does not wait for the worker, so the source may be gone. */
  if (host_worker_thread_is_current() || !host_batch_callbacks_are_invoked())
    return NULL;
  return host_source_of_message(msg);
}

#if HOST_HAS_CLOSED_BATCHES
/* syslog-ng exports this method of threaded sources, and has it in no header. */
extern gboolean log_threaded_source_driver_start_workers(LogPipe *driver) __attribute__((weak));

gboolean
host_source_closes_each_batch(HostSource *source)
{
  LogPipe *driver = source->super.pipe_next;

  return driver && driver->post_config_init
         && driver->post_config_init == log_threaded_source_driver_start_workers
         && ((LogThreadedSourceDriver *) driver)->auto_close_batches;
}
#else
gboolean
host_source_closes_each_batch(HostSource *source)
{
  return FALSE;
}
#endif

gboolean
host_source_get_window(HostSource *source, gsize *window, gsize *left)
{
  *window = source->full_window_size;
  *left = MIN(window_size_counter_get(&source->window_size, NULL), *window);
  return *window > 0;
}

gsize
host_source_get_maximum_window(LogMessage *msg)
{
  HostSource *source = host_source_of_message(msg);

  if (!source)
    return 0;
  if (log_source_is_dynamic_window_enabled(source))
    return source->initial_window_size + source->dynamic_window.pool->pool_size;
  return source->full_window_size;
}

void
host_source_learn_readers(void)
{
  LogPipe *reader;

  if (free_reader)
    return;
  reader = (LogPipe *) log_reader_new(NULL);
  free_reader = reader->free_fn;
  log_pipe_unref(reader);
}

gsize
host_source_get_fetch_limit(HostSource *source, gboolean *full)
{
  LogReader *reader = (LogReader *) source;

  if (source->super.free_fn != free_reader)
    return 0;
#if HOST_READER_TELLS_AGAIN
  *full = reader->notify_code == NC_AGAIN;
#else
  *full = reader->immediate_check;
#endif
  return MAX(reader->options->fetch_limit, 0);
}

const gchar *
host_source_get_name(HostSource *source)
{
  return source->stats_id ? : "";
}

const gchar *
host_source_get_name_of_message(LogMessage *msg)
{
  HostSource *source = host_source_of_message(msg);

  return source ? host_source_get_name(source) : "";
}
