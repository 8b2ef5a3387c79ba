/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/destination-workers.h"
#include "host/features.h"
#include "logthrdest/logthrdestdrv.h"

typedef void (*QueueMethod)(LogPipe *self, LogMessage *msg, const LogPathOptions *path_options);

/* The queue() of all drivers with workers.  syslog-ng does not export it, so it is read from a new driver. */
static QueueMethod
_get_queue_method(GlobalConfig *cfg)
{
  static QueueMethod method;

  if (!method)
    {
      LogThreadedDestDriver *driver = g_new0(LogThreadedDestDriver, 1);

      log_threaded_dest_driver_init_instance(driver, cfg);
      method = driver->super.super.super.queue;
      log_pipe_unref(&driver->super.super.super);
    }
  return method;
}

const gchar *
host_destination_get_key(LogPipe *pipe)
{
#if HOST_HAS_DESTINATION_KEY
  LogTemplate *key = ((LogThreadedDestDriver *) pipe)->worker_partition_key;

  return key ? key->template_str : NULL;
#else
  return NULL;
#endif
}

gboolean
host_destination_has_workers(LogPipe *pipe)
{
  return pipe->queue == _get_queue_method(log_pipe_get_config(pipe)) && ((LogThreadedDestDriver *) pipe)->num_workers > 1;
}

gint
host_destination_get_workers(LogPipe *pipe)
{
  return ((LogThreadedDestDriver *) pipe)->num_workers;
}

const gchar *
host_destination_get_id(LogPipe *pipe)
{
  return ((LogThreadedDestDriver *) pipe)->super.super.id;
}

gboolean
host_destination_has_key_option(void)
{
  return HOST_HAS_DESTINATION_KEY;
}
