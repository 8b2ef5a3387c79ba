/*
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Template functions for tests: work that takes time, with or without a processor, and a trace of who did it.
 *
 *   $(test-burn MICROSECONDS)  computes; expands to nothing
 *   $(test-burn-up-to MICROSECONDS)  the same for a random time, equally likely from zero up to that
 *   $(test-work MICROSECONDS)  sleeps; expands to "THREAD BEGIN END", times in nanoseconds
 *   $(test-thread)             expands to the name of the thread; the module's workers are called "parallelize/N"
 *   $(test-now)                expands to the time, CLOCK_MONOTONIC in nanoseconds
 *   $(test-hold FILE)          adds a line to FILE and blocks while FILE exists; goes on at once if it does not
 *   $(test-meet COUNT)         blocks until COUNT threads are inside at the same time; expands to how many were
 *   $(test-slow-publish MICROSECONDS)
 *       the next time that this thread, one of the daemon's I/O threads, publishes what it has collected, it sleeps in
 *       between: after what has been announced to the thread later than this, before what has been announced earlier
 *   $(test-slow-publish-last MICROSECONDS)
 *       the same, after all that has been announced so far
 *
 * The module's threads take no notice of the last two.
 */

#include "template/simple-function.h"
#include "mainloop-worker.h"
#include "plugin.h"
#include "plugin-types.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HOLD_POLL_MICROSECONDS 2000
#define MEET_DEADLINE_SECONDS 10
#define THREAD_NAME_SIZE 16     /* with the zero at its end, as prctl(2) has it */

static gint
_thread_id(void)
{
  return (gint) syscall(SYS_gettid);
}

static gint64
_nanoseconds(void)
{
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * G_GINT64_CONSTANT(1000000000) + now.tv_nsec;
}

static void
_burn(gint64 nanoseconds)
{
  gint64 end = _nanoseconds() + nanoseconds;

  while (_nanoseconds() < end)
    ;
}

static void
tf_test_burn(LogMessage *msg, gint argc, GString *argv[], GString *result, LogMessageValueType *type)
{
  *type = LM_VT_STRING;
  if (argc > 0)
    _burn(strtoul(argv[0]->str, NULL, 10) * 1000);
}

TEMPLATE_FUNCTION_SIMPLE(tf_test_burn);

static void
tf_test_burn_up_to(LogMessage *msg, gint argc, GString *argv[], GString *result, LogMessageValueType *type)
{
  static __thread guint seed;

  *type = LM_VT_STRING;
  if (!seed)
    seed = _thread_id();
  if (argc > 0)
    _burn(strtoul(argv[0]->str, NULL, 10) * 1000 * rand_r(&seed) / RAND_MAX);
}

TEMPLATE_FUNCTION_SIMPLE(tf_test_burn_up_to);

static void
tf_test_work(LogMessage *msg, gint argc, GString *argv[], GString *result, LogMessageValueType *type)
{
  *type = LM_VT_STRING;
  gint64 begin = _nanoseconds();
  if (argc > 0)
    g_usleep(strtoul(argv[0]->str, NULL, 10));
  g_string_append_printf(result, "%d %" G_GINT64_FORMAT " %" G_GINT64_FORMAT,
                         _thread_id(), begin, _nanoseconds());
}

TEMPLATE_FUNCTION_SIMPLE(tf_test_work);

/* size: THREAD_NAME_SIZE */
static void
_get_thread_name(gchar *name)
{
  name[0] = '\0';
  prctl(PR_GET_NAME, name);
}

static void
tf_test_thread(LogMessage *msg, gint argc, GString *argv[], GString *result, LogMessageValueType *type)
{
  gchar name[THREAD_NAME_SIZE];

  *type = LM_VT_STRING;
  _get_thread_name(name);
  g_string_append(result, name);
}

TEMPLATE_FUNCTION_SIMPLE(tf_test_thread);

static void
tf_test_now(LogMessage *msg, gint argc, GString *argv[], GString *result, LogMessageValueType *type)
{
  *type = LM_VT_STRING;
  g_string_append_printf(result, "%" G_GINT64_FORMAT, _nanoseconds());
}

TEMPLATE_FUNCTION_SIMPLE(tf_test_now);

static void
tf_test_hold(LogMessage *msg, gint argc, GString *argv[], GString *result, LogMessageValueType *type)
{
  *type = LM_VT_STRING;
  if (argc == 0)
    return;

  gint fd = open(argv[0]->str, O_WRONLY | O_APPEND);
  if (fd < 0)
    return;
  dprintf(fd, "%d\n", _thread_id());
  close(fd);

  while (access(argv[0]->str, F_OK) == 0)
    g_usleep(HOLD_POLL_MICROSECONDS);
}

TEMPLATE_FUNCTION_SIMPLE(tf_test_hold);

/* meet_failed: a meeting that did not come about would not with the next message either, and the
 * test is to end */
static GMutex meet_lock;
static GCond meet_changed;
static gint meet_inside;
static guint meet_round;
static gboolean meet_failed;

static gint
_meet(gint count)
{
  gint64 deadline = g_get_monotonic_time() + MEET_DEADLINE_SECONDS * G_TIME_SPAN_SECOND;

  g_mutex_lock(&meet_lock);
  guint round = meet_round;
  if (++meet_inside == count && !meet_failed)
    {
      meet_inside = 0;
      meet_round++;
      g_cond_broadcast(&meet_changed);
    }
  while (round == meet_round && !meet_failed)
    {
      if (!g_cond_wait_until(&meet_changed, &meet_lock, deadline))
        {
          meet_failed = TRUE;
          g_cond_broadcast(&meet_changed);
        }
    }
  gint met = round == meet_round ? meet_inside : count;
  g_mutex_unlock(&meet_lock);
  return met;
}

static void
tf_test_meet(LogMessage *msg, gint argc, GString *argv[], GString *result, LogMessageValueType *type)
{
  *type = LM_VT_STRING;
  if (argc > 0)
    g_string_append_printf(result, "%d", _meet(atoi(argv[0]->str)));
}

TEMPLATE_FUNCTION_SIMPLE(tf_test_meet);

static __thread struct
{
  WorkerBatchCallback callback;
  gulong microseconds;
  gboolean registered;
} slow_publish;

static gpointer
_publish_slowly(gpointer user_data)
{
  slow_publish.registered = FALSE;
  g_usleep(slow_publish.microseconds);
  return NULL;
}

static void
_move_to_the_end(WorkerBatchCallback *callback)
{
  struct iv_list_head *list = callback->list.prev;  /* new ones come first */

  iv_list_del(&callback->list);
  iv_list_add_tail(&callback->list, list);
}

static gboolean
_is_the_modules_thread(void)
{
  gchar name[THREAD_NAME_SIZE];

  _get_thread_name(name);
  return strncmp(name, "parallelize/", strlen("parallelize/")) == 0;
}

static void
_slow_publish(const gchar *microseconds, gboolean last)
{
  if (slow_publish.registered || _is_the_modules_thread())
    return;
  slow_publish.registered = TRUE;
  slow_publish.microseconds = strtoul(microseconds, NULL, 10);
  worker_batch_callback_init(&slow_publish.callback);
  slow_publish.callback.func = _publish_slowly;
  main_loop_worker_register_batch_callback(&slow_publish.callback);
  if (last)
    _move_to_the_end(&slow_publish.callback);
}

static void
tf_test_slow_publish(LogMessage *msg, gint argc, GString *argv[], GString *result, LogMessageValueType *type)
{
  *type = LM_VT_STRING;
  if (argc > 0)
    _slow_publish(argv[0]->str, FALSE);
}

TEMPLATE_FUNCTION_SIMPLE(tf_test_slow_publish);

static void
tf_test_slow_publish_last(LogMessage *msg, gint argc, GString *argv[], GString *result, LogMessageValueType *type)
{
  *type = LM_VT_STRING;
  if (argc > 0)
    _slow_publish(argv[0]->str, TRUE);
}

TEMPLATE_FUNCTION_SIMPLE(tf_test_slow_publish_last);

static Plugin testblock_plugins[] =
{
  TEMPLATE_FUNCTION_PLUGIN(tf_test_burn, "test-burn"),
  TEMPLATE_FUNCTION_PLUGIN(tf_test_burn_up_to, "test-burn-up-to"),
  TEMPLATE_FUNCTION_PLUGIN(tf_test_work, "test-work"),
  TEMPLATE_FUNCTION_PLUGIN(tf_test_thread, "test-thread"),
  TEMPLATE_FUNCTION_PLUGIN(tf_test_now, "test-now"),
  TEMPLATE_FUNCTION_PLUGIN(tf_test_hold, "test-hold"),
  TEMPLATE_FUNCTION_PLUGIN(tf_test_meet, "test-meet"),
  TEMPLATE_FUNCTION_PLUGIN(tf_test_slow_publish, "test-slow-publish"),
  TEMPLATE_FUNCTION_PLUGIN(tf_test_slow_publish_last, "test-slow-publish-last"),
};

gboolean
testblock_module_init(PluginContext *context, CfgArgs *args)
{
  plugin_register(context, testblock_plugins, G_N_ELEMENTS(testblock_plugins));
  return TRUE;
}

const ModuleInfo module_info =
{
  .canonical_name = "testblock",
  .version = SYSLOG_NG_VERSION,
  .description = "Template functions that block, for tests of parallel processing",
  .core_revision = SYSLOG_NG_SOURCE_REVISION,
  .plugins = testblock_plugins,
  .plugins_len = G_N_ELEMENTS(testblock_plugins),
};
