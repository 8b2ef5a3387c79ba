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

static gboolean
_has_key(LogThreadedDestDriver *driver)
{
#if HOST_HAS_DESTINATION_KEY
  return driver->worker_partition_key != NULL;
#else
  return FALSE;
#endif
}

gboolean
host_destination_reorders(LogPipe *pipe)
{
  LogThreadedDestDriver *driver = (LogThreadedDestDriver *) pipe;

  return pipe->queue == _get_queue_method(log_pipe_get_config(pipe)) && driver->num_workers > 1 && !_has_key(driver);
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
