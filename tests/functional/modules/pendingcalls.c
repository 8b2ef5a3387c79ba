/*
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Preloaded into the daemon: tells whether a worker of parallelize() ends while the main thread still has to run a
 * function for it, which the worker passed to main_loop_call() without waiting.
 *
 * Each worker that ends writes one line to standard error:
 *
 *   TEST: parallelize/INDEX ends; calls='N' waited='N' pending='N'
 *
 *   calls    functions that the worker passed without waiting
 *   waited   1 if the worker's last call to the main thread waited, and found an earlier one pending
 *   pending  functions that the main thread has not run
 *
 * Once the daemon has asked its threads to exit, the main thread stays in a function that a thread passed without
 * waiting. It goes on when this thread enters its next call or ends, or when any thread enters a call while an earlier
 * one of its own is pending. So the last function of all is always pending when the worker that passed it goes on. If
 * nothing of this happens for STRETCH_SECONDS, the main thread goes on: the race is then not tried.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WORKER_NAME "parallelize/"
#define STRETCH_SECONDS 5

typedef void *(*MainLoopTaskFunc)(void *);
typedef void (*WorkerExitNotificationFunc)(void *);

/* Any but the main thread. Stays in memory when the thread has ended. */
typedef struct _Thread
{
  char name[16];
  unsigned entered;             /* calls, with and without waiting */
  unsigned passed;              /* calls without waiting */
  unsigned done;                /* functions of these that the main thread has run */
  bool blocked;                 /* in a call, until the main thread has run the function of an earlier one */
  bool waited;
  bool ends;
} Thread;

/* One without waiting. */
typedef struct _Call
{
  MainLoopTaskFunc func;
  void *user_data;
  Thread *thread;
  unsigned number;              /* Thread::entered, in this call */
} Call;

typedef struct _ExitNotification
{
  WorkerExitNotificationFunc func;
  void *user_data;
} ExitNotification;

/* Guards everything but `own`. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool exit_requested;
static unsigned blocked;        /* threads that are */

static __thread Thread *own;

static void *
_next(const char *name)
{
  void *result = dlsym(RTLD_NEXT, name);

  if (!result)
    abort();
  return result;
}

static void *
_allocate(size_t size)
{
  void *result = calloc(1, size);

  if (!result)
    abort();
  return result;
}

static bool
_is_main_thread(void)
{
  return syscall(SYS_gettid) == getpid();
}

static Thread *
_own_thread(void)
{
  if (!own)
    {
      own = _allocate(sizeof(*own));
      prctl(PR_GET_NAME, own->name);
    }
  return own;
}

/* The main thread. */
static void
_stay_until_somebody_goes_on(const Call *call)
{
  struct timespec deadline;

  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += STRETCH_SECONDS;
  while (exit_requested && !blocked && call->thread->entered == call->number && !call->thread->ends)
    {
      if (pthread_cond_timedwait(&changed, &lock, &deadline) != 0)
        break;
    }
}

/* The main thread. */
static void *
_run(void *user_data)
{
  Call *call = user_data;
  void *result = call->func(call->user_data);

  pthread_mutex_lock(&lock);
  _stay_until_somebody_goes_on(call);
  call->thread->done++;
  blocked -= call->thread->blocked;
  call->thread->blocked = false;
  pthread_mutex_unlock(&lock);
  free(call);
  return result;
}

void *
main_loop_call(MainLoopTaskFunc func, void *user_data, int wait)
{
  void *(*real)(MainLoopTaskFunc, void *, int) = _next("main_loop_call");

  if (_is_main_thread())
    return real(func, user_data, wait);

  Thread *thread = _own_thread();
  Call *call = NULL;

  pthread_mutex_lock(&lock);
  bool is_pending = thread->passed != thread->done;

  thread->entered++;
  thread->waited = wait && is_pending;
  if (!wait)
    {
      thread->passed++;
      call = _allocate(sizeof(*call));
      *call = (Call) { func, user_data, thread, thread->entered };
    }
  thread->blocked = is_pending;
  blocked += is_pending;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);

  return call ? real(_run, call, wait) : real(func, user_data, wait);
}

void
main_loop_worker_thread_stop(void)
{
  void (*real)(void) = _next("main_loop_worker_thread_stop");
  Thread *thread = _own_thread();

  pthread_mutex_lock(&lock);
  thread->ends = true;
  if (strncmp(thread->name, WORKER_NAME, strlen(WORKER_NAME)) == 0)
    dprintf(STDERR_FILENO, "TEST: %s ends; calls='%u' waited='%d' pending='%u'\n",
            thread->name, thread->passed, thread->waited, thread->passed - thread->done);
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  real();
}

static void
_set_exit_requested(bool value)
{
  pthread_mutex_lock(&lock);
  exit_requested = value;
  pthread_mutex_unlock(&lock);
}

static void
_notify(void *user_data)
{
  ExitNotification *notification = user_data;

  _set_exit_requested(true);
  notification->func(notification->user_data);
  free(notification);
}

/* Threads register themselves when a configuration starts: until then those of the last one have ended. */
void
main_loop_worker_register_exit_notification_callback(WorkerExitNotificationFunc func, void *user_data)
{
  void (*real)(WorkerExitNotificationFunc, void *) = _next("main_loop_worker_register_exit_notification_callback");
  ExitNotification *notification = _allocate(sizeof(*notification));

  *notification = (ExitNotification) { func, user_data };
  _set_exit_requested(false);
  real(_notify, notification);
}
