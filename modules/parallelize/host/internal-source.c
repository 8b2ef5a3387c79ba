/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/internal-source.h"
#include "host/source-window.h"
#include "logsource.h"

static struct
{
  GMutex lock;
  LogSource *source;            /* the last one that was noted, a reference; NULL: none */
  gboolean ends;                /* its thread was told to end */
} internal;

static void
_do_not_wake(LogSource *source)
{
}

static void
_disable_wakeup(LogSource *source)
{
  g_atomic_pointer_set(&source->wakeup, _do_not_wake);
}

void
host_internal_source_note(LogMessage *msg)
{
  LogSource *source = host_source_of_message(msg);

  if (!source)
    return;
  g_mutex_lock(&internal.lock);
  if (internal.ends)
    _disable_wakeup(source);
  else if (source != internal.source)
    {
      if (internal.source)
        log_pipe_unref(&internal.source->super);
      internal.source = (LogSource *) log_pipe_ref(&source->super);
    }
  g_mutex_unlock(&internal.lock);
}

void
host_internal_source_disable_wakeup(void)
{
  g_mutex_lock(&internal.lock);
  if (internal.source)
    {
      _disable_wakeup(internal.source);
      log_pipe_unref(&internal.source->super);
      internal.source = NULL;
    }
  internal.ends = TRUE;
  g_mutex_unlock(&internal.lock);
}

void
host_internal_source_expect(void)
{
  g_mutex_lock(&internal.lock);
  internal.ends = FALSE;
  g_mutex_unlock(&internal.lock);
}
