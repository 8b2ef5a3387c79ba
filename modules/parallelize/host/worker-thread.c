/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/worker-thread.h"
#include "host/thread-ids.h"
#include "mainloop-worker.h"

static __thread gboolean is_current;

gboolean
host_worker_thread_start(void)
{
  /* In 3.38 this is the only type of thread that gets no id from syslog-ng. */
  main_loop_worker_thread_start(MLW_THREADED_INPUT_WORKER);
  is_current = TRUE;
  return host_thread_ids_take();
}

void
host_worker_thread_stop(void)
{
  /* In 4.8 a thread that ends adds its metrics with dynamic labels to the common ones, partly without a lock.
   * syslog-ng's own threads do the same, which this lock does not prevent. */
  static GMutex one_at_a_time;

  main_loop_worker_assert_batch_callbacks_were_processed();
  host_thread_ids_give_back();
  is_current = FALSE;
  g_mutex_lock(&one_at_a_time);
  main_loop_worker_thread_stop();
  g_mutex_unlock(&one_at_a_time);
}

gboolean
host_worker_thread_is_current(void)
{
  return is_current;
}
