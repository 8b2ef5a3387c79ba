/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/when-running.h"
#include "apphook.h"

typedef struct _WhenRunning
{
  GFunc func;
  gpointer data;
} WhenRunning;

static GQueue when_running = G_QUEUE_INIT;

static void
_daemon_runs(gint type, gpointer user_data)
{
  WhenRunning *item;

  while ((item = g_queue_pop_head(&when_running)))
    {
      item->func(item->data, NULL);
      g_free(item);
    }
}

void
host_when_running(GFunc func, gpointer data)
{
  WhenRunning item = { func, data };

  /* syslog-ng calls the last hook first, so the first call of a hook of ours handles the whole queue. */
  g_queue_push_tail(&when_running, g_memdup2(&item, sizeof(item)));
  register_application_hook(AH_RUNNING, _daemon_runs, NULL, AHM_RUN_ONCE);
}
