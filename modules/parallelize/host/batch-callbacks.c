/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/batch-callbacks.h"
#include "host/features.h"
#include "host/worker-thread.h"

gboolean
host_batch_callbacks_are_invoked(void)
{
#if HOST_IS_4
  /* That is true for all worker threads.  The main thread has no list of callbacks. */
  return main_loop_worker_is_worker_thread();
#else
  /* I/O threads, which have an id, invoke their batch callbacks after each job.  The main thread has no list of
   * callbacks.  Threaded sources have no id and never invoke their callbacks. */
  return host_worker_thread_is_current() || main_loop_worker_get_thread_id() >= 0;
#endif
}

void
host_batch_callbacks_register_last(WorkerBatchCallback *callback)
{
  struct iv_list_head *list;

  /* syslog-ng adds to the front of this thread's list and walks it from there.  The predecessor of the new first entry
   * is the head of the list. */
  main_loop_worker_register_batch_callback(callback);
  list = callback->list.prev;
  iv_list_del(&callback->list);
  iv_list_add_tail(&callback->list, list);
}
