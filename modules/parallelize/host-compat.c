/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-compat.h"
#include "ack-tracker/ack_tracker.h"
#include "apphook.h"
#include "cfg-walker.h"
#include "logqueue.h"
#include "logsource.h"
#include "messages.h"
#include "plugin.h"
#include "stats/stats-cluster-single.h"
#include "stats/stats-registry.h"
#include "timeutils/cache.h"
#include "versioning.h"

#include <iv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_IS_4 (VERSION_VALUE_CURRENT >= 0x0400)

/* 4.8 has filterx blocks, 3.38 not yet and 4.12 no longer */
#ifdef PIF_SYNC_FILTERX
#define HOST_HAS_FILTERX 1
#endif

/* This thread is one of ours: it invokes its batch callbacks. */
static __thread gboolean is_own_worker;

/************************************************************************
 * The version
 *
 * The dynamic linker compares two numbers of it, which are in the name of the
 * host's library; structures have changed with the third.  The host tells its
 * version nowhere but in the list of its modules, where each has its own: the
 * parser of the syslog format comes with every core.
 ************************************************************************/

#define MODULE_OF_CORE "\nModule: syslogformat\n"
#define MODULE_VERSION "\nVersion: "

/* Takes part of `text`, which is changed. */
static const gchar *
_find_version(gchar *text)
{
  gchar *version = strstr(text, MODULE_OF_CORE);

  if (version)
    version = strstr(version, MODULE_VERSION);
  if (!version)
    return NULL;
  version += strlen(MODULE_VERSION);
  version[strcspn(version, "\n")] = 0;
  return version;
}

static gboolean
_is_version(const gchar *running)
{
  if (!running || strcmp(running, SYSLOG_NG_VERSION) == 0)
    return TRUE;
  msg_error("The parallelize module was built for another version of the host, it is not loaded",
            evt_tag_str("built_for", SYSLOG_NG_VERSION),
            evt_tag_str("host", running));
  return FALSE;
}

gboolean
host_compat_check_version(void)
{
  static gboolean matches;
  gchar *list = NULL;
  size_t length;
  FILE *stream;

  if (matches)
    return TRUE;
  stream = open_memstream(&list, &length);
  fputc('\n', stream);
  plugin_list_modules(stream, TRUE);
  fclose(stream);
  matches = _is_version(_find_version(list));
  free(list);
  return matches;
}

/************************************************************************
 * The configuration
 ************************************************************************/

const gchar *
host_compat_get_lexer_name(CfgLexer *lexer)
{
  const CfgIncludeLevel *level = &lexer->include_stack[lexer->include_depth];

#if HOST_IS_4
  return level->lloc.name;
#else
  return level->name;
#endif
}

/************************************************************************
 * Thread ids
 *
 * LogQueueFifo keeps an array of input lists, one for each thread id below a
 * maximum that holds when the queue is created; queues live on across a reload.
 * A thread without an id takes a locked path, which is slower and always safe.
 ************************************************************************/

#if HOST_IS_4

/*
 * The host numbers all threads that enter its worker state, whatever their
 * type, if they have been announced before the configuration is initialized.
 * There are MAIN_LOOP_MAX_WORKER_THREADS ids for the whole daemon; queues check
 * theirs against the size of their array.
 *
 * A thread gets the lowest free id and keeps it: I/O threads that have started
 * after ours live on with high ids when ours are gone.  So what has been
 * announced once is announced for each later configuration, ours or not.  Else
 * the I/O threads would have to take the locked path, and under the host's own
 * parallelize() that is not safe: it would free messages that are in use.
 */
static struct
{
  gint now;                     /* for the configuration that is about to be initialized */
  gint most;                    /* that any configuration has wanted */
} announced;

static void
_announce_again(gint type, gpointer user_data)
{
  announced.now = 0;
  main_loop_worker_allocate_thread_space(announced.most);
}

void
host_compat_module_init(void)
{
  static gboolean initialized;

  /* the module stays in memory, and is initialized again by each reload */
  if (initialized)
    return;
  initialized = TRUE;
  register_application_hook(AH_CONFIG_PRE_PRE_INIT, _announce_again, NULL, AHM_RUN_REPEAT);
}

void
host_compat_announce_workers(gint count)
{
  announced.now += count;
  if (announced.now <= announced.most)
    return;
  main_loop_worker_allocate_thread_space(announced.now - announced.most);
  announced.most = announced.now;
}

static gint
_take_thread_id(void)
{
  return main_loop_worker_get_thread_index();
}

static void
_give_thread_id_back(void)
{
}

const gchar *
host_compat_explain_missing_place(void)
{
  return "The daemon has more threads than it can number";
}

#else

/*
 * An id at or above log_queue_max_threads fails an assertion; an id below it
 * that the queue has no room for would be an out-of-bounds write.  The host
 * gives the ids 0 .. maximum-1 to its I/O threads, all of which may exist at
 * the same time, so none of these can be ours.  Nothing else in the host looks
 * at thread ids.
 *
 * While the daemon starts no queue exists yet, and the maximum can be raised:
 * our threads then get ids of their own above the host's.  When the module is
 * loaded by a reload, queues with the old size may live on; then, and when a
 * later configuration wants more threads than there is room for, our threads
 * have no id.
 */
#define SPARE_THREAD_IDS 64

static struct
{
  GMutex lock;
  gint first;                   /* the first of our ids */
  gint announced;               /* how many threads the first configuration wants */
  GArray *taken;                /* of gboolean: the ids from `first` on */
} thread_ids;

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
  return own_id;
}

static void
_give_thread_id_back(void)
{
  if (own_id < 0)
    return;
  /* not the host's to release */
  main_loop_worker_set_thread_id(-1);

  g_mutex_lock(&thread_ids.lock);
  g_array_index(thread_ids.taken, gboolean, own_id - thread_ids.first) = FALSE;
  g_mutex_unlock(&thread_ids.lock);
  own_id = -1;
}

const gchar *
host_compat_explain_missing_place(void)
{
  return "The daemon was started without parallelize() or with fewer workers; a restart would make them faster";
}

#endif

gint
host_compat_count_missing_ids(void)
{
#if HOST_IS_4
  return MAX(0, main_loop_worker_get_max_number_of_threads() - MAIN_LOOP_MAX_WORKER_THREADS);
#else
  return 0;
#endif
}

gboolean
host_compat_worker_thread_start(void)
{
  /* 3.38: of all types of threads this is the one that gets no id from the host */
  main_loop_worker_thread_start(MLW_THREADED_INPUT_WORKER);
  is_own_worker = TRUE;
  return _take_thread_id() >= 0;
}

void
host_compat_worker_thread_stop(void)
{
  /* 4.8: what a thread has counted with labels of its own making is added to everybody's, partly without a lock.  That
   * the host's own threads do the same remains. */
  static GMutex one_at_a_time;

  main_loop_worker_assert_batch_callbacks_were_processed();
  _give_thread_id_back();
  is_own_worker = FALSE;
  g_mutex_lock(&one_at_a_time);
  main_loop_worker_thread_stop();
  g_mutex_unlock(&one_at_a_time);
}

/************************************************************************
 * Batches
 ************************************************************************/

gboolean
host_compat_thread_has_batches(void)
{
#if HOST_IS_4
  /* all worker threads do; the main thread has no list of callbacks */
  return main_loop_worker_is_worker_thread();
#else
  /* I/O threads, which have an id, invoke their batch callbacks after each job.
   * The main thread has no list of them, and threaded sources, which have no id
   * either, never invoke them. */
  return is_own_worker || main_loop_worker_get_thread_id() >= 0;
#endif
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

void
host_compat_forget_time(void)
{
#if VERSION_VALUE_CURRENT >= 0x0406
  invalidate_cached_realtime();
#else
  invalidate_cached_time();
#endif
  /* what rate-limit() lives on, and the timers of suppress() */
  if (iv_inited())
    iv_invalidate_now();
}

/************************************************************************
 * Pipes and messages
 ************************************************************************/

void
host_compat_mark_border(LogPipe *pipe)
{
#ifdef HOST_HAS_FILTERX
  /* what a filterx block in front has changed must be in the message before it leaves its thread */
  pipe->flags |= PIF_SYNC_FILTERX;
#endif
}

void
host_compat_set_config_methods(LogPipe *pipe, HostCompatPipeMethod pre_config_init, HostCompatPipeMethod post_config_init)
{
#if HOST_IS_4
  pipe->pre_config_init = pre_config_init;
  pipe->post_config_init = post_config_init;
#else
  /* nothing is called between the compilation of the configuration and the first queue */
  pre_config_init(pipe);
  pipe->on_config_inited = post_config_init;
#endif
}

void
host_compat_forward_detached(LogPipe *pipe, LogMessage *msg, const LogPathOptions *path_options)
{
  LogPathOptions detached = LOG_PATH_OPTIONS_INIT;

  detached.ack_needed = path_options->ack_needed;
  detached.flow_control_requested = path_options->flow_control_requested;
#ifdef HOST_HAS_FILTERX
  /* the scope of a filterx block in front, which is on this very stack */
  FilterXEvalContext *context = filterx_eval_get_context();

  filterx_eval_set_context(NULL);
#endif
  log_pipe_forward_msg(pipe, msg, &detached);
#ifdef HOST_HAS_FILTERX
  filterx_eval_set_context(context);
#endif
}

static gboolean
_is_builtin(LogPipe *pipe)
{
  return g_list_find_custom(pipe->info, "scheduler", (GCompareFunc) strcmp) != NULL;
}

void
host_compat_take_message(LogMessage **msg, const LogPathOptions *path_options, gboolean is_kept)
{
  /* A parser that is still on this stack has the table of values: group-lines() hands on what it was given. */
  if (is_kept || (*msg)->payload->ref_cnt > 1)
    log_msg_write_protect(*msg);
  log_msg_make_writable(msg, path_options);
  if ((*msg)->flags & LF_STATE_OWN_PAYLOAD)
    return;

  /* A clone shares the values until one is set, also with what the other branches have.  That is not for several
   * threads: many filters and parsers count themselves in the table of values, without a lock. */
  (*msg)->payload = nv_table_clone((*msg)->payload, 0);
  (*msg)->flags |= LF_STATE_OWN_PAYLOAD;
}

#if HOST_IS_4
/* From 4.2 on it does not protect what it keeps. */
static gboolean
_is_keeper(LogPipe *pipe)
{
  const gchar *name = log_pipe_get_persist_name(pipe);

  return name && g_str_has_prefix(name, "grouping-by");
}
#endif

/* All pipes of the configuration for which `matches` holds. */
static GPtrArray *
_find_pipes(GlobalConfig *cfg, gboolean (*matches)(LogPipe *))
{
  GPtrArray *pipes = cfg->tree.initialized_pipes;
  GPtrArray *result = g_ptr_array_new();

  for (guint i = 0; i < pipes->len; i++)
    {
      if (matches(g_ptr_array_index(pipes, i)))
        g_ptr_array_add(result, g_ptr_array_index(pipes, i));
    }
  return result;
}

/* Whether messages get from any pipe of `from` to any of `to`. */
static gboolean
_reach(GPtrArray *from, GPtrArray *to)
{
  GHashTable *reached, *arcs;
  gboolean result = FALSE;

  cfg_walker_get_graph(from, &reached, &arcs);
  for (guint i = 0; i < to->len && !result; i++)
    result = g_hash_table_contains(reached, g_ptr_array_index(to, i));
  g_hash_table_unref(arcs);
  g_hash_table_unref(reached);
  return result;
}

/* Whether messages get to the pipe from one for which `matches` holds, or, `either_way`, from the pipe to such a one. */
static gboolean
_shares_path_with(LogPipe *pipe, gboolean (*matches)(LogPipe *), gboolean either_way)
{
  GPtrArray *itself = g_ptr_array_new();
  GPtrArray *others = _find_pipes(log_pipe_get_config(pipe), matches);
  gboolean result;

  g_ptr_array_add(itself, pipe);
  result = _reach(others, itself) || (either_way && _reach(itself, others));
  g_ptr_array_free(others, TRUE);
  g_ptr_array_free(itself, TRUE);
  return result;
}

gboolean
host_compat_shares_path_with_builtin(LogPipe *pipe)
{
  return _shares_path_with(pipe, _is_builtin, TRUE);
}

gboolean
host_compat_is_behind_keeper(LogPipe *pipe)
{
#if HOST_IS_4
  return _shares_path_with(pipe, _is_keeper, FALSE);
#else
  return FALSE;
#endif
}

static LogSource *
_get_source(LogMessage *msg)
{
  return msg->ack_record && msg->ack_record->tracker ? msg->ack_record->tracker->source : NULL;
}

/*
 * internal() has a thread of its own, which ends when threads are told to; until
 * the source is deinitialized, after all jobs, whoever acknowledges a message of
 * a full window posts to an event of that thread.
 */
static struct
{
  GMutex lock;
  LogSource *source;            /* the last one seen, a reference; NULL: none */
  gboolean ends;                /* its thread has been told to */
} internal;

static void
_stay_asleep(LogSource *source)
{
}

static void
_put_to_sleep(LogSource *source)
{
  g_atomic_pointer_set(&source->wakeup, _stay_asleep);
}

void
host_compat_note_internal(LogMessage *msg)
{
  LogSource *source = _get_source(msg);

  if (!source)
    return;
  g_mutex_lock(&internal.lock);
  if (internal.ends)
    _put_to_sleep(source);
  else if (source != internal.source)
    {
      if (internal.source)
        log_pipe_unref(&internal.source->super);
      internal.source = (LogSource *) log_pipe_ref(&source->super);
    }
  g_mutex_unlock(&internal.lock);
}

void
host_compat_let_internal_sleep(void)
{
  g_mutex_lock(&internal.lock);
  if (internal.source)
    {
      _put_to_sleep(internal.source);
      log_pipe_unref(&internal.source->super);
      internal.source = NULL;
    }
  internal.ends = TRUE;
  g_mutex_unlock(&internal.lock);
}

void
host_compat_expect_internal(void)
{
  g_mutex_lock(&internal.lock);
  internal.ends = FALSE;
  g_mutex_unlock(&internal.lock);
}

HostCompatSource *
host_compat_get_batch_source(LogMessage *msg)
{
  /* what a worker carries came from a thread that does not wait for it, and so may the source be gone */
  return is_own_worker || !host_compat_thread_has_batches() ? NULL : _get_source(msg);
}

gboolean
host_compat_get_window(HostCompatSource *source, gsize *window, gsize *left)
{
  *window = source->full_window_size;
  *left = MIN(window_size_counter_get(&source->window_size, NULL), *window);
  return *window > 0;
}

const gchar *
host_compat_get_source_name(LogMessage *msg)
{
  LogSource *source = _get_source(msg);

  return source && source->stats_id ? source->stats_id : "";
}

gsize
host_compat_get_source_window(LogMessage *msg)
{
  LogSource *source = _get_source(msg);

  if (!source)
    return 0;
  if (log_source_is_dynamic_window_enabled(source))
    return source->initial_window_size + source->dynamic_window.pool->pool_size;
  return source->full_window_size;
}

/************************************************************************
 * What the daemon says
 ************************************************************************/

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
host_compat_when_running(GFunc func, gpointer data)
{
  WhenRunning item = { func, data };

  /* the host calls the last hook first: whichever comes first calls all of ours */
  g_queue_push_tail(&when_running, g_memdup2(&item, sizeof(item)));
  register_application_hook(AH_RUNNING, _daemon_runs, NULL, AHM_RUN_ONCE);
}

/************************************************************************
 * Stats
 ************************************************************************/

#define MAX_LABELS 3

/* What a key refers to while it is used. */
typedef struct _KeyParts
{
#if HOST_IS_4
  StatsClusterLabel labels[MAX_LABELS];
#endif
} KeyParts;

static void
_set_stats_key(const HostCompatStatsKey *self, StatsClusterKey *key, KeyParts *parts)
{
  guint16 component = stats_register_type("parallelize");
  const gchar *instance = self->worker ? : "";

#if HOST_IS_4
  gsize count = 0;

  parts->labels[count++] = stats_cluster_label("id", self->id);
  if (self->reason)
    parts->labels[count++] = stats_cluster_label("reason", self->reason);
  if (self->worker)
    parts->labels[count++] = stats_cluster_label("worker", self->worker);
  stats_cluster_single_key_set(key, self->name, parts->labels, count);
  if (self->is_nanoseconds)
    stats_cluster_single_key_add_unit(key, SCU_NANOSECONDS);
  stats_cluster_single_key_add_legacy_alias_with_name(key, component, self->id, instance, self->type);
#else
  stats_cluster_single_key_set_with_name(key, component, self->id, instance, self->type);
#endif
}

void
host_compat_register_counter(gint level, const HostCompatStatsKey *self, StatsCounterItem **counter)
{
  KeyParts parts;
  StatsClusterKey key;

  _set_stats_key(self, &key, &parts);
  stats_lock();
  stats_register_counter(level, &key, SC_TYPE_SINGLE_VALUE, counter);
  stats_unlock();
}

void
host_compat_unregister_counter(const HostCompatStatsKey *self, StatsCounterItem **counter)
{
  KeyParts parts;
  StatsClusterKey key;

  _set_stats_key(self, &key, &parts);
  stats_lock();
  stats_unregister_counter(&key, SC_TYPE_SINGLE_VALUE, counter);
  stats_unlock();
}
