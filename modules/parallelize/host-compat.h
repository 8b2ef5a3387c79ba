/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything in which the supported hosts differ, and every use of the host
 * that leans on more than its documented interface.
 */
#ifndef PARALLELIZE_HOST_COMPAT_H_INCLUDED
#define PARALLELIZE_HOST_COMPAT_H_INCLUDED 1

#include "cfg-lexer.h"
#include "logmsg/logmsg.h"
#include "logpipe.h"
#include "mainloop-worker.h"
#include "stats/stats-counter.h"

/*
 * Whether the daemon is of the version that the module was built for; says so
 * if it is not, and then nothing else may be called: structures may differ.
 * Main thread.
 */
gboolean host_compat_check_version(void);

/* When the module is loaded.  Main thread. */
void host_compat_module_init(void);

/* The name of the file or the buffer that the lexer is reading. */
const gchar *host_compat_get_lexer_name(CfgLexer *lexer);

/* Messages leave their thread, or the path that they are in, at this pipe.  Main thread, as the last step of its
 * construction. */
void host_compat_mark_border(LogPipe *pipe);

typedef gboolean (*HostCompatPipeMethod)(LogPipe *self);

/*
 * Give a new pipe its methods around the initialization of a configuration.
 * `pre_config_init` may be called at once, and is the time to announce workers;
 * `post_config_init` may not fail.  Main thread, as the last step of the
 * pipe's construction.
 */
void host_compat_set_config_methods(LogPipe *pipe, HostCompatPipeMethod pre_config_init,
                                    HostCompatPipeMethod post_config_init);

/*
 * Before the daemon runs, what it says reaches its internal() sources only from
 * warnings on.  Calls `func` with `data` and NULL when it does, in the order of
 * these calls, or at once if it does already.  Main thread.
 */
void host_compat_when_running(GFunc func, gpointer data);

/* `count` worker threads will be started: the host sizes its memory queues after that. */
void host_compat_announce_workers(gint count);

/*
 * Enter and leave the host's worker state on a thread of our own.  In between
 * the thread may forward messages and must invoke the batch callbacks.
 * Returns TRUE if the thread has got a place in the memory queues, FALSE if its
 * messages take their locked path.
 */
gboolean host_compat_worker_thread_start(void);
void host_compat_worker_thread_stop(void);

/* So many threads may come too late for a place, be they ours or the host's own; 0: none, or the host's have theirs in
 * any case.  Main thread, of an initialized configuration. */
gint host_compat_count_missing_ids(void);

/* Why a thread of ours may have got no such place. */
const gchar *host_compat_explain_missing_place(void);

/* The host asks for the time once until the thread is back in its event loop: from here on it asks again. */
void host_compat_forget_time(void);

/* Whether somebody invokes this thread's batch callbacks after each batch. */
gboolean host_compat_thread_has_batches(void);

/*
 * Like main_loop_worker_register_batch_callback(), but the callback is invoked
 * after all that other parts of the host register.  Only on a thread that has
 * batches, and not from within a batch callback.
 */
void host_compat_register_last_batch_callback(WorkerBatchCallback *callback);

/*
 * Like log_pipe_forward_msg(), but the path behind does not see what the path
 * in front has on the stack, nor the other way round.  Of `path_options` only
 * the acknowledgement and flow control are passed on.
 */
void host_compat_forward_detached(LogPipe *pipe, LogMessage *msg, const LogPathOptions *path_options);

/*
 * Make the message one that another thread may have: nobody else holds it, or
 * what is in it.  `is_kept`: somebody does in any case.  Consumes the reference
 * and gives one.  Any thread.
 */
void host_compat_take_message(LogMessage **msg, const LogPathOptions *path_options, gboolean is_kept);

/*
 * Whether messages get to the pipe from a grouping-by(), which from 4.2 on keeps
 * them without saying so, and looks at them when others come.  Main thread, of
 * an initialized configuration.
 */
gboolean host_compat_is_behind_keeper(LogPipe *pipe);

/*
 * Whether messages get to the pipe from the host's own parallelize(), or from
 * the pipe to that.  It keeps counts of the message that it forwards on its
 * thread for so long: nobody else may get that message before.  And what it is
 * given when its threads have been told to end may stay behind.  Main thread,
 * of a compiled configuration that has not been initialized before.
 */
gboolean host_compat_shares_path_with_builtin(LogPipe *pipe);

/*
 * The flow-control window of the connection that `msg` came from: messages
 * that may be unacknowledged at the same time, with dynamic-window-size() at
 * the very most.  0: unknown.  Only before the message is acknowledged.
 */
gsize host_compat_get_source_window(LogMessage *msg);

/* The driver that `msg` came from, as the host's stats call it; "": unknown.  As long as the function above. */
const gchar *host_compat_get_source_name(LogMessage *msg);

/* What a number in the host's stats is called; see host-stats.h. */
typedef struct _HostCompatStatsKey
{
  gchar *name;
  gchar *type;
  gchar *id;
  gchar *worker;                /* NULL: none */
  gchar *reason;                /* NULL: none */
  gboolean is_nanoseconds;
} HostCompatStatsKey;

/* Under the same key.  Main thread. */
void host_compat_register_counter(gint level, const HostCompatStatsKey *key, StatsCounterItem **counter);
void host_compat_unregister_counter(const HostCompatStatsKey *key, StatsCounterItem **counter);

/* A source whose thread is handing a batch over. */
typedef struct _LogSource HostCompatSource;

/* The source of `msg`, if this is the source's thread and has batches; else NULL.  Alive until the batch ends. */
HostCompatSource *host_compat_get_batch_source(LogMessage *msg);

/* An unacknowledged message of internal(), on that source's thread. */
void host_compat_note_internal(LogMessage *msg);

/* Threads have been told to end, so that source is not to be woken any more.  Main thread. */
void host_compat_let_internal_sleep(void);

/* A configuration is initialized, whose internal() is another source.  Main thread. */
void host_compat_expect_internal(void);

/* Of how many messages it may have unacknowledged now, how many more could come.  FALSE: unknown. */
gboolean host_compat_get_window(HostCompatSource *source, gsize *window, gsize *left);

#endif
