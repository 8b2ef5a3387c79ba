/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipes/worker-threads.h"
#include "host/internal-source.h"
#include "host/worker-thread.h"
#include "mainloop-worker.h"
#include "mainloop.h"

#include <errno.h>
#include <iv.h>
#include <iv_event.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct _ParallelizeWorker
{
  ParallelizeWorkers *workers;
  guint index;
  GThread *thread;              /* NULL: never started, or joined */
  gboolean ready;               /* under ParallelizeWorkers::lock */
  gboolean has_id;

  /* the worker's thread */
  struct iv_event woken;        /* posted by any thread */
  struct iv_task run_again;

  /* the main thread */
  struct iv_event ended;        /* posted by the worker's thread at its very end */
} ParallelizeWorker;

/* What the host's exit request finds.  The host offers no way to take the
 * callback back, so it may come after the threads are gone. */
typedef struct _ExitRequest
{
  ParallelizeWorkers *workers;  /* NULL: gone */
} ExitRequest;

struct _ParallelizeWorkers
{
  ParallelizeEngine *engine;
  ExitRequest *exit_request;    /* NULL: has come */
  GMutex lock;
  GCond became_ready;
  gboolean started;             /* main thread: and so all of them are jobs of the host */
  guint count;
  ParallelizeWorker items[];
};

/************************************************************************
 * The worker's thread
 ************************************************************************/

static void
_run(gpointer user_data)
{
  ParallelizeWorker *self = user_data;

  switch (parallelize_engine_run(self->workers->engine, self->index))
    {
    case PARALLELIZE_RUN_AGAIN:
      if (!iv_task_registered(&self->run_again))
        iv_task_register(&self->run_again);
      break;
    case PARALLELIZE_RUN_SLEEPING:
      break;
    case PARALLELIZE_RUN_ENDED:
      iv_quit();
      break;
    default:
      g_assert_not_reached();
    }
  main_loop_worker_run_gc();
}

static void
_init_watches(ParallelizeWorker *self)
{
  IV_EVENT_INIT(&self->woken);
  self->woken.cookie = self;
  self->woken.handler = _run;
  iv_event_register(&self->woken);

  IV_TASK_INIT(&self->run_again);
  self->run_again.cookie = self;
  self->run_again.handler = _run;
}

static void
_report_ready(ParallelizeWorker *self)
{
  g_mutex_lock(&self->workers->lock);
  self->ready = TRUE;
  g_cond_signal(&self->workers->became_ready);
  g_mutex_unlock(&self->workers->lock);
}

static gpointer
_thread(gpointer user_data)
{
  ParallelizeWorker *self = user_data;

  iv_init();
  self->has_id = host_worker_thread_start();
  _init_watches(self);
  _report_ready(self);

  /* until the engine has ended this worker */
  iv_main();

  iv_event_unregister(&self->woken);
  host_worker_thread_stop();
  iv_event_post(&self->ended);
  iv_deinit();
  return NULL;
}

/************************************************************************
 * The main thread
 ************************************************************************/

static void
_join(ParallelizeWorker *self)
{
  if (!self->thread)
    return;
  g_thread_join(self->thread);
  self->thread = NULL;
  iv_event_unregister(&self->ended);
  if (self->workers->started)
    main_loop_worker_job_complete();
}

static void
_ended(gpointer user_data)
{
  _join(user_data);
}

static void
_exit_requested(gpointer user_data)
{
  ExitRequest *request = user_data;

  host_internal_source_disable_wakeup();
  if (request->workers)
    {
      request->workers->exit_request = NULL;
      parallelize_engine_stop(request->workers->engine);
    }
  g_free(request);
}

static void
_wait_until_ready(ParallelizeWorker *self)
{
  g_mutex_lock(&self->workers->lock);
  while (!self->ready)
    g_cond_wait(&self->workers->became_ready, &self->workers->lock);
  g_mutex_unlock(&self->workers->lock);
}

/* ivykis takes one for the loop of a thread, and aborts the process when there is none. */
static gboolean
_are_descriptors_left(guint spare, GError **error)
{
  gint descriptor = eventfd(0, EFD_CLOEXEC);
  gboolean result;

  if (descriptor < 0)
    {
      g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                  "no file descriptors left for the thread's event loop: %s", g_strerror(errno));
      return FALSE;
    }
  result = !spare || _are_descriptors_left(spare - 1, error);
  close(descriptor);
  return result;
}

static gboolean
_create(ParallelizeWorker *self, guint spare_descriptors, GError **error)
{
  gchar name[16];

  if (!_are_descriptors_left(spare_descriptors, error))
    return FALSE;
  g_snprintf(name, sizeof(name), "parallelize/%u", self->index);
  self->thread = g_thread_try_new(name, _thread, self, error);
  if (!self->thread)
    return FALSE;

  IV_EVENT_INIT(&self->ended);
  self->ended.cookie = self;
  self->ended.handler = _ended;
  iv_event_register(&self->ended);
  _wait_until_ready(self);
  return TRUE;
}

static void
_run_first_time(ParallelizeWorkers *self)
{
  parallelize_engine_start(self->engine);
  for (guint i = 0; i < self->count; i++)
    {
      if (self->items[i].thread)
        parallelize_workers_wake(self, i);
      else
        parallelize_engine_abandon_worker(self->engine);
    }
}

static void
_expect_exit_request(ParallelizeWorkers *self)
{
  self->exit_request = g_new0(ExitRequest, 1);
  self->exit_request->workers = self;
  main_loop_worker_register_exit_notification_callback(_exit_requested, self->exit_request);
}

ParallelizeWorkers *
parallelize_workers_new(ParallelizeEngine *engine, guint count)
{
  ParallelizeWorkers *self = g_malloc0(sizeof(ParallelizeWorkers) + count * sizeof(self->items[0]));

  self->engine = engine;
  self->count = count;
  g_mutex_init(&self->lock);
  g_cond_init(&self->became_ready);
  for (guint i = 0; i < count; i++)
    {
      self->items[i].workers = self;
      self->items[i].index = i;
    }
  return self;
}

gboolean
parallelize_workers_create(ParallelizeWorkers *self, guint spare_descriptors, GError **error)
{
  gboolean complete = TRUE;

  for (guint i = 0; i < self->count && complete; i++)
    complete = _create(&self->items[i], spare_descriptors, error);
  return complete;
}

void
parallelize_workers_start(ParallelizeWorkers *self)
{
  self->started = TRUE;
  /* Not before the configuration is up: when it is refused, the host is in the
   * middle of a reload, takes the end of the last job for the end of all that it
   * waits for, and lets the next reload in while threads run. */
  for (guint i = 0; i < self->count; i++)
    main_loop_worker_job_start();
  _expect_exit_request(self);
  _run_first_time(self);
}

void
parallelize_workers_free(ParallelizeWorkers *self)
{
  /* threads end by running a stopped engine */
  if (!self->started)
    _run_first_time(self);
  if (self->exit_request)
    self->exit_request->workers = NULL;
  parallelize_engine_stop(self->engine);
  for (guint i = 0; i < self->count; i++)
    _join(&self->items[i]);
  g_cond_clear(&self->became_ready);
  g_mutex_clear(&self->lock);
  g_free(self);
}

void
parallelize_workers_wake(ParallelizeWorkers *self, guint index)
{
  iv_event_post(&self->items[index].woken);
}

guint
parallelize_workers_count_without_id(ParallelizeWorkers *self)
{
  guint result = 0;

  for (guint i = 0; i < self->count; i++)
    result += !self->items[i].has_id;
  return result;
}
