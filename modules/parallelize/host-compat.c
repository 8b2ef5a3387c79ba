/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-compat.h"
#include "ack-tracker/ack_tracker.h"
#include "apphook.h"
#include "logqueue.h"
#include "logsource.h"
#include "messages.h"

/*
 * Thread ids
 *
 * LogQueueFifo keeps an array of input lists, one for each thread id below
 * log_queue_max_threads, sized when the queue is created.  An id at or above
 * the maximum fails an assertion; an id below it that the queue has no room for
 * would be an out-of-bounds write.  The host gives the ids 0 .. maximum-1 to
 * its I/O threads, all of which may exist at the same time, so none of these
 * can be ours.  Nothing else in the host looks at thread ids.
 *
 * While the daemon starts no queue exists yet, and the maximum can be raised:
 * our threads then get ids of their own above the host's.  When the module is
 * loaded by a reload, queues with the old size may live on; then, and when a
 * later configuration wants more threads than there is room for, our threads
 * have no id: the queue's locked path, always safe.
 */
#define SPARE_THREAD_IDS 64

static struct
{
  GMutex lock;
  gint first;                   /* the first of our ids */
  gint announced;               /* how many threads the first configuration wants */
  GArray *taken;                /* of gboolean: the ids from `first` on */
} thread_ids;

/* This thread is one of ours: it invokes its batch callbacks. */
static __thread gboolean is_own_worker;
static __thread gint own_id = -1;

void
host_compat_module_init(void)
{
  /* the module stays in memory, and is initialized again by each reload */
  if (thread_ids.taken)
    return;
  thread_ids.taken = g_array_new(FALSE, TRUE, sizeof(gboolean));
  thread_ids.first = log_queue_max_threads;
}

void
host_compat_announce_workers(gint count)
{
  if (!app_is_starting_up())
    return;
  thread_ids.announced += count;
  g_array_set_size(thread_ids.taken, thread_ids.announced + SPARE_THREAD_IDS);
  log_queue_set_max_threads(thread_ids.first + thread_ids.taken->len);
}

static gint
_take_thread_id(void)
{
  gint result = -1;

  g_mutex_lock(&thread_ids.lock);
  for (guint i = 0; i < thread_ids.taken->len; i++)
    {
      gboolean *taken = &g_array_index(thread_ids.taken, gboolean, i);

      if (!*taken)
        {
          *taken = TRUE;
          result = thread_ids.first + i;
          break;
        }
    }
  g_mutex_unlock(&thread_ids.lock);
  return result;
}

static void
_give_thread_id_back(gint id)
{
  g_mutex_lock(&thread_ids.lock);
  g_array_index(thread_ids.taken, gboolean, id - thread_ids.first) = FALSE;
  g_mutex_unlock(&thread_ids.lock);
}

gboolean
host_compat_worker_thread_start(void)
{
  /* of all types of threads this is the one that gets no id from the host */
  main_loop_worker_thread_start(MLW_THREADED_INPUT_WORKER);
  is_own_worker = TRUE;
  own_id = _take_thread_id();
  if (own_id >= 0)
    main_loop_worker_set_thread_id(own_id);
  return own_id >= 0;
}

void
host_compat_worker_thread_stop(void)
{
  main_loop_worker_assert_batch_callbacks_were_processed();
  if (own_id >= 0)
    {
      /* not the host's to release */
      main_loop_worker_set_thread_id(-1);
      _give_thread_id_back(own_id);
      own_id = -1;
    }
  is_own_worker = FALSE;
  main_loop_worker_thread_stop();
}

/*
 * Batches
 *
 * I/O threads, which have an id, invoke their batch callbacks after each job.
 * The main thread has no list of them, and threaded sources, which have no id
 * either, never invoke them.
 */
gboolean
host_compat_thread_has_batches(void)
{
  return is_own_worker || main_loop_worker_get_thread_id() >= 0;
}

void
host_compat_register_last_batch_callback(WorkerBatchCallback *callback)
{
  struct iv_list_head *list;

  /* The host adds to the front of this thread's list, and walks it from there:
   * what stands before the new first entry is the list itself. */
  main_loop_worker_register_batch_callback(callback);
  list = callback->list.prev;
  iv_list_del(&callback->list);
  iv_list_add_tail(&callback->list, list);
}

gsize
host_compat_get_source_window(LogMessage *msg)
{
  LogSource *source;

  if (!msg->ack_record || !msg->ack_record->tracker || !msg->ack_record->tracker->source)
    return 0;
  source = msg->ack_record->tracker->source;
  if (log_source_is_dynamic_window_enabled(source))
    return source->initial_window_size + source->dynamic_window.pool->pool_size;
  return source->full_window_size;
}
