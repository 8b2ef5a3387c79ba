/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/thread-ids.h"
#include "apphook.h"
#include "host/features.h"
#include "logqueue.h"
#include "mainloop-worker.h"

#if HOST_IS_4

/*
 * syslog-ng 4 numbers all threads that enter its worker state, whatever their
 * type.  They must be announced before the configuration is initialized.  There
 * are MAIN_LOOP_MAX_WORKER_THREADS ids for the whole daemon.  Queues compare an
 * id with the size of their array.
 *
 * A thread gets the lowest free id and keeps it.  I/O threads that started
 * after our workers keep their high ids when our workers have ended.  Therefore
 * each later configuration gets the same announcement, whether it uses this
 * module or not.  Otherwise the I/O threads would take the locked path.  After
 * syslog-ng's own parallelize() that path frees messages that are in use.
 */
static struct
{
  gint now;                     /* threads of the configuration that is about to be initialized */
  gint most;                    /* largest number of threads that any configuration had */
} announced;

static void
_announce_again(gint type, gpointer user_data)
{
  announced.now = 0;
  main_loop_worker_allocate_thread_space(announced.most);
}

void
host_thread_ids_init(void)
{
  static gboolean initialized;

  /* Each reload initializes the module again, which stays in memory. */
  if (initialized)
    return;
  initialized = TRUE;
  register_application_hook(AH_CONFIG_PRE_PRE_INIT, _announce_again, NULL, AHM_RUN_REPEAT);
}

void
host_thread_ids_announce_workers(gint count)
{
  announced.now += count;
  if (announced.now <= announced.most)
    return;
  main_loop_worker_allocate_thread_space(announced.now - announced.most);
  announced.most = announced.now;
}

gboolean
host_thread_ids_take(void)
{
  return main_loop_worker_get_thread_index() >= 0;
}

void
host_thread_ids_give_back(void)
{
}

const gchar *
host_thread_ids_explain_missing(void)
{
  return "The daemon has more threads than it can number";
}

#else

/*
 * An id at or above log_queue_max_threads fails an assertion.  A lower id that
 * the queue has no room for causes an out-of-bounds write.  syslog-ng gives the
 * ids 0 .. maximum-1 to its I/O threads.  All of them may exist at the same
 * time, so our threads cannot have any of these ids.  Nothing but memory queues
 * looks at thread ids.
 *
 * While syslog-ng starts, no queue exists yet, and the maximum can be raised.
 * Our threads then get ids above those of the I/O threads.  Our threads get no
 * id if a reload loads the module, since queues with the old size may exist.
 * They get none either if a later configuration has more threads than ids.
 */
#define SPARE_THREAD_IDS 64

static struct
{
  GMutex lock;
  gint first;                   /* the first of our ids */
  gint announced;               /* number of threads of the first configuration */
  GArray *taken;                /* of gboolean: the ids from `first` on */
} thread_ids;

static __thread gint own_id = -1;

void
host_thread_ids_init(void)
{
  /* Each reload initializes the module again, which stays in memory. */
  if (thread_ids.taken)
    return;
  thread_ids.taken = g_array_new(FALSE, TRUE, sizeof(gboolean));
  thread_ids.first = log_queue_max_threads;
}

void
host_thread_ids_announce_workers(gint count)
{
  if (!app_is_starting_up())
    return;
  thread_ids.announced += count;
  g_array_set_size(thread_ids.taken, thread_ids.announced + SPARE_THREAD_IDS);
  log_queue_set_max_threads(thread_ids.first + thread_ids.taken->len);
}

gboolean
host_thread_ids_take(void)
{
  g_mutex_lock(&thread_ids.lock);
  for (guint i = 0; i < thread_ids.taken->len; i++)
    {
      gboolean *taken = &g_array_index(thread_ids.taken, gboolean, i);

      if (!*taken)
        {
          *taken = TRUE;
          own_id = thread_ids.first + i;
          break;
        }
    }
  g_mutex_unlock(&thread_ids.lock);

  if (own_id >= 0)
    main_loop_worker_set_thread_id(own_id);
  return own_id >= 0;
}

void
host_thread_ids_give_back(void)
{
  if (own_id < 0)
    return;
  /* so that syslog-ng does not release the id, which is ours */
  main_loop_worker_set_thread_id(-1);

  g_mutex_lock(&thread_ids.lock);
  g_array_index(thread_ids.taken, gboolean, own_id - thread_ids.first) = FALSE;
  g_mutex_unlock(&thread_ids.lock);
  own_id = -1;
}

const gchar *
host_thread_ids_explain_missing(void)
{
  return "The daemon was started without parallelize() or with fewer workers; a restart would make them faster";
}

#endif

gint
host_thread_ids_count_missing(void)
{
#if HOST_IS_4
  return MAX(0, main_loop_worker_get_max_number_of_threads() - MAIN_LOOP_MAX_WORKER_THREADS);
#else
  return 0;
#endif
}
