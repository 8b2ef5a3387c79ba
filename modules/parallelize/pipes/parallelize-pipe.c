/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipes/parallelize-pipe.h"
#include "cfg.h"
#include "engine/engine.h"
#include "host/batch-callbacks.h"
#include "host/cached-time.h"
#include "host/forward.h"
#include "host/internal-source.h"
#include "host/message-ownership.h"
#include "host/path-search.h"
#include "host/pipe-methods.h"
#include "host/source-window.h"
#include "host/thread-ids.h"
#include "host/when-running.h"
#include "messages.h"
#include "pipes/message.h"
#include "pipes/metrics.h"
#include "pipes/pairing.h"
#include "pipes/resequence-pipe.h"
#include "pipes/ticket.h"
#include "pipes/worker-threads.h"
#include "scratch-buffers.h"
#include "template/templates.h"

#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A worker is kept busy by a window in which it has so many messages. */
#define WINDOW_PER_WORKER 32

/* File descriptors that must be left when workers are created: for the loops of the host's own threads, which abort as
 * well, and whatever else there is. */
#define SPARE_DESCRIPTORS 7

typedef struct _ParallelizePipe
{
  PairedPipe super;
  ParallelizeOptions *options;
  gchar *location;
  gchar *id;
  LogTemplate *key;             /* NULL: round-robin */
  guint worker_count;           /* 0: off */
  ParallelizeEngine *engine;    /* between init and deinit */
  ParallelizeWorkers *workers;  /* the same; started when the configuration is up */
  ParallelizeMetrics *metrics;  /* the same; of an engine that was started */
  gboolean upstream_retains_messages;   /* see host/path-search.h; TRUE until the configuration is up */
  gboolean has_run;             /* the host may come back to this configuration, and has no other if it is refused */
  gint window_warned;           /* atomic */
} ParallelizePipe;

/* An open batch of this thread: from its first message for an element until
 * the thread's batch callbacks. */
typedef struct _ParallelizeBatch ParallelizeBatch;
struct _ParallelizeBatch
{
  ParallelizePipe *pipe;
  ParallelizeProducer *producer;
  HostSource *source;           /* that this thread reads; NULL: none */
  gsize came;                   /* messages, also before it was published in between */
  gboolean goes_on;             /* it is published in between */
  WorkerBatchCallback finished;
  gboolean forwarding;          /* a message is on its way through the path behind, on this very stack */
  gboolean finished_meanwhile;
  ParallelizeBatch *next;
};

static __thread ParallelizeBatch *open_batches;

static gboolean
_has_outlets(ParallelizePipe *self)
{
  return self->super.outlets->len > 0;
}

/************************************************************************
 * Any runner: the engine's callbacks
 ************************************************************************/

static guint64
_now(gpointer user_data)
{
  struct timespec ts;

  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (guint64) ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static guint64
_message_id(gpointer user_data, const ParallelizeMessage *message)
{
  return parallelize_message_peek(message)->rcptid;
}

/* how many calls of _forward_from() are on this thread's stack */
static __thread guint running;

static void
_forward_from(LogPipe *pipe, LogMessage *msg, const LogPathOptions *path_options, ParallelizeTicket *ticket)
{
  /* This thread may be in the middle of another message, of which it knows nothing. */
  ParallelizeTicket *before = parallelize_ticket_enter(ticket);
  ScratchBuffersMarker mark;

  /* No reference cache: a producer's thread uses its own for the message that
   * it brings, and a consumer's is only right as long as no other thread can
   * drop a reference before it is stopped.  Behind us another parallelize(), a
   * disk-buffer or the locked path of a memory queue hand a message on at once. */
  msg_set_context(msg);
  scratch_buffers_mark(&mark);
  running++;
  host_forward_detached(pipe, msg, path_options);
  running--;
  scratch_buffers_reclaim_marked(mark);
  msg_set_context(NULL);
  parallelize_ticket_enter(before);
}

static void
_forward(gpointer s, ParallelizeRunner *runner, ParallelizeThread on, const ParallelizeMessage *message)
{
  ParallelizePipe *self = s;
  LogPathOptions path_options = LOG_PATH_OPTIONS_INIT;
  ParallelizeTicket *outer;
  LogMessage *msg = parallelize_message_unpack(message, &path_options, &outer);

  if (_has_outlets(self))
    {
      ParallelizeTicket ticket =
      {
        .pipe = self,
        .engine = self->engine,
        .number = message->ticket,
        .outer = outer,
        .runner = runner,
      };

      _forward_from(&self->super.super, msg, &path_options, &ticket);
      parallelize_ticket_release(ticket.held);
    }
  else
    _forward_from(&self->super.super, msg, &path_options, outer);
  parallelize_ticket_release(outer);
}

static void
_forward_from_outlet(gpointer s, guint outlet, const ParallelizeMessage *message)
{
  ParallelizePipe *self = s;
  LogPathOptions path_options = LOG_PATH_OPTIONS_INIT;
  ParallelizeTicket *outer;
  LogMessage *msg = parallelize_message_unpack(message, &path_options, &outer);

  _forward_from(g_ptr_array_index(self->super.outlets, outlet), msg, &path_options, outer);
  parallelize_ticket_release(outer);
}

static void
_publish(gpointer s, ParallelizeThread on)
{
  if (host_batch_callbacks_are_invoked())
    main_loop_worker_invoke_batch_callbacks();
  /* with slow messages, or as a helper, it will be long before this thread is back in its event loop */
  host_cached_time_forget();
}

static void
_wake(gpointer s, guint index)
{
  ParallelizePipe *self = s;

  parallelize_workers_wake(self->workers, index);
}

/************************************************************************
 * The thread that brings messages
 ************************************************************************/

static EVTTAG *
_tag_key(ParallelizePipe *self)
{
  return evt_tag_str("worker-partition-key", self->options->partition_key ? : "");
}

static EVTTAG *
_tag_id(ParallelizePipe *self)
{
  return evt_tag_str("id", self->id);
}

static EVTTAG *
_tag_location(ParallelizePipe *self)
{
  return evt_tag_str("location", self->location);
}

static const gchar *
_hot_key_hint(ParallelizePipe *self)
{
  const gchar *key = self->options->partition_key;

  if (!key)
    return "";
  if (strcmp(key, "$HOST") == 0 || strcmp(key, "${HOST}") == 0)
    return "with keep-hostname(no) all messages of a relay or a file have the same HOST, "
           "consider keep-hostname(yes) or another worker-partition-key()";
  return "consider another worker-partition-key(), or round-robin where order does not matter";
}

static void
_hot_key(gpointer s, const gchar *key, gsize key_length, guint percent)
{
  ParallelizePipe *self = s;
  gchar *unescaped = g_strndup(key, key_length);
  gchar *printable = g_strescape(unescaped, NULL);

  msg_warning("WARNING: one key holds nearly all traffic of parallelize() while other workers are idle",
              evt_tag_str("key", printable),
              evt_tag_int("percent", percent),
              _tag_key(self),
              evt_tag_str("hint", _hot_key_hint(self)),
              _tag_id(self),
              _tag_location(self));
  g_free(printable);
  g_free(unescaped);
}

static void
_check_source_window(ParallelizePipe *self, LogMessage *msg)
{
  gsize window = host_source_get_maximum_window(msg);
  gsize wanted = (gsize) self->worker_count * WINDOW_PER_WORKER;

  if (window == 0 || window >= wanted || !g_atomic_int_compare_and_exchange(&self->window_warned, FALSE, TRUE))
    return;
  msg_warning("WARNING: window too small for parallelize(), one connection cannot keep the workers busy; "
              "increase log-iw-size() of the source, which is divided by its max-connections()",
              evt_tag_str("source", host_source_get_name(msg)),
              evt_tag_long("window_per_connection", window),
              evt_tag_long("wanted_per_connection", wanted),
              evt_tag_int("workers", self->worker_count),
              _tag_id(self),
              _tag_location(self));
}

static void
_report_window(ParallelizeBatch *batch)
{
  gsize window, left;

  if (batch->source && !batch->goes_on && host_source_get_window(batch->source, &window, &left))
    parallelize_producer_report_window(batch->producer, window, left, batch->came);
}

static void
_close_batch(ParallelizeBatch *batch)
{
  ParallelizeBatch **link = &open_batches;

  while (*link != batch)
    link = &(*link)->next;
  *link = batch->next;

  _report_window(batch);
  parallelize_producer_close(batch->producer);
  g_slice_free(ParallelizeBatch, batch);
}

/*
 * The thread's batch callbacks: all queues behind us have been published.
 *
 * Unless they were invoked by another parallelize() behind us, while we forward
 * a message to it: what that message will still queue has not been published,
 * so its key must remain ours.
 */
static gpointer
_batch_finished(gpointer user_data)
{
  ParallelizeBatch *batch = user_data;

  /* What we have forwarded to another parallelize() has to be in its strands
   * before our keys may go elsewhere, whichever callback comes first. */
  for (ParallelizeBatch *other = open_batches; other; other = other->next)
    parallelize_producer_flush(other->producer);

  if (batch->forwarding)
    batch->finished_meanwhile = TRUE;
  else
    _close_batch(batch);
  return NULL;
}

static ParallelizeBatch *
_open_batch(ParallelizePipe *self, LogMessage *msg, const LogPathOptions *path_options)
{
  gboolean batches = host_batch_callbacks_are_invoked();
  /* Whoever runs strands of another parallelize() may be busy for long with messages that have not come to us, and
   * would keep the outlets of one that has. */
  gboolean forwards = batches && !(_has_outlets(self) && running);
  /* an internal message must not lend its context to others */
  gboolean helps = !main_loop_is_main_thread() && !(msg->flags & LF_INTERNAL);
  ParallelizeBatch *batch = g_slice_new0(ParallelizeBatch);

  /* Only an unacknowledged message keeps its source alive: what a stateful parser makes of one may come when the
   * connection is long gone. */
  if (path_options->ack_needed && G_UNLIKELY(!g_atomic_int_get(&self->window_warned)))
    _check_source_window(self, msg);

  batch->pipe = self;
  /* A message that this thread runs for others was read by another one, whose source may be gone before the batch. */
  if (path_options->ack_needed && !running)
    {
      batch->source = host_source_of_batch(msg);
      if (msg->flags & LF_INTERNAL)
        host_internal_source_note(msg);
    }
  batch->producer = parallelize_producer_open(self->engine,
                                              (forwards ? PARALLELIZE_PRODUCER_BATCHES : 0)
                                              | (helps ? PARALLELIZE_PRODUCER_HELPS : 0));
  worker_batch_callback_init(&batch->finished);
  batch->finished.func = _batch_finished;
  batch->finished.user_data = batch;
  batch->next = open_batches;
  open_batches = batch;
  if (batches)
    host_batch_callbacks_register_last(&batch->finished);
  return batch;
}

/* What this thread has forwarded so far is published, in the middle of what it reads. */
static ParallelizeBatch *
_publish_batch(ParallelizePipe *self, ParallelizeBatch *batch, LogMessage *msg, const LogPathOptions *path_options)
{
  gsize came = batch->came;

  batch->goes_on = TRUE;
  main_loop_worker_invoke_batch_callbacks();
  batch = _open_batch(self, msg, path_options);
  batch->came = came;
  return batch;
}

static ParallelizeBatch *
_find_batch(ParallelizePipe *self)
{
  ParallelizeBatch *batch = open_batches;

  while (batch && batch->pipe != self)
    batch = batch->next;
  return batch;
}

static const gchar *
_expand_key(ParallelizePipe *self, LogMessage *msg, gsize *length)
{
  if (!self->key)
    {
      *length = 0;
      return "";
    }

  if (log_template_is_trivial(self->key))
    {
      gssize trivial_length;
      const gchar *value = log_template_get_trivial_value(self->key, msg, &trivial_length);

      *length = trivial_length;
      return value;
    }

  GString *buffer = scratch_buffers_alloc();
  LogTemplateEvalOptions options = DEFAULT_TEMPLATE_EVAL_OPTIONS;

  options.opts = &log_pipe_get_config(&self->super.super)->template_options;
  log_template_format(self->key, msg, &options, buffer);
  *length = buffer->len;
  return buffer->str;
}

static void
_forward_with_ticket(ParallelizePipe *self, ParallelizeProducer *producer, LogMessage *msg,
                     const LogPathOptions *path_options)
{
  ParallelizeTicket ticket =
  {
    .pipe = self,
    .engine = self->engine,
    .number = parallelize_producer_take_ticket(producer),
    .outer = parallelize_ticket_current(),
    .producer = producer,
  };

  parallelize_ticket_enter(&ticket);
  host_forward_detached(&self->super.super, msg, path_options);
  parallelize_ticket_enter(ticket.outer);
  parallelize_ticket_release(ticket.held);
  /* may run what has come to outlets */
  parallelize_producer_return_ticket(producer, ticket.number);
}

static void
_forward_directly(ParallelizePipe *self, ParallelizeBatch *batch, LogMessage *msg,
                  const LogPathOptions *path_options)
{
  /* A message that has entered has matched, whatever becomes of it later. */
  batch->forwarding = TRUE;
  if (_has_outlets(self))
    _forward_with_ticket(self, batch->producer, msg, path_options);
  else
    host_forward_detached(&self->super.super, msg, path_options);
  batch->forwarding = FALSE;

  if (G_UNLIKELY(batch->finished_meanwhile))
    {
      batch->finished_meanwhile = FALSE;
      host_batch_callbacks_register_last(&batch->finished);
    }
}

static LogMessage *
_take_back(const ParallelizeMessage *message)
{
  LogPathOptions path_options;
  ParallelizeTicket *held;
  LogMessage *msg = parallelize_message_unpack(message, &path_options, &held);

  parallelize_ticket_release(held);
  return msg;
}

static void
_forward_timed(ParallelizePipe *self, ParallelizeBatch *batch, LogMessage *msg,
               const LogPathOptions *path_options)
{
  guint64 started = _now(self);

  _forward_directly(self, batch, msg, path_options);
  parallelize_producer_timed(batch->producer, _now(self) - started);
}

static void
_enqueue(ParallelizePipe *self, ParallelizeBatch *batch, LogMessage *msg, const LogPathOptions *path_options)
{
  gboolean batches = host_batch_callbacks_are_invoked();
  ParallelizeProducer *producer = batch->producer;
  ParallelizeMessage message;
  ScratchBuffersMarker mark;
  gsize key_length;
  const gchar *key;
  ParallelizeEnqueue result;

  /* Another branch holds it as well: the queue nodes in a message are not
   * locked, two threads may not queue the same one. */
  host_message_take_ownership(&msg, path_options, self->upstream_retains_messages);

  parallelize_message_pack(&message, msg, path_options, parallelize_ticket_hold(parallelize_ticket_current()));

  /* what the host logs on behalf of its own messages must not go round for ever: it looks at the context */
  LogMessage *context = msg->flags & LF_INTERNAL ? log_msg_ref(msg) : NULL;

  scratch_buffers_mark(&mark);
  key = _expand_key(self, msg, &key_length);
  /* may run other messages, and with that this thread's batch callbacks, which free the batch */
  result = parallelize_producer_enqueue(producer, &message, key, key_length);
  scratch_buffers_reclaim_marked(mark);
  if (context)
    {
      msg_set_context(context);
      log_msg_unref(context);
    }

  if (result == PARALLELIZE_ENQUEUE_FORWARD)
    _forward_directly(self, batch, _take_back(&message), path_options);
  else if (result == PARALLELIZE_ENQUEUE_FORWARD_TIMED)
    _forward_timed(self, batch, _take_back(&message), path_options);
  else if (result == PARALLELIZE_ENQUEUED_OUTRUN)
    sched_yield();

  if (!batches)
    _close_batch(batch);
}

static void
_queue(LogPipe *s, LogMessage *msg, const LogPathOptions *path_options)
{
  ParallelizePipe *self = (ParallelizePipe *) s;
  ParallelizeBatch *batch = _find_batch(self);
  ParallelizeAccept accept;

  if (!batch)
    batch = _open_batch(self, msg, path_options);
  accept = parallelize_producer_accept(batch->producer);
  if (G_UNLIKELY(accept == PARALLELIZE_ACCEPT_PUBLISH))
    {
      batch = _publish_batch(self, batch, msg, path_options);
      accept = parallelize_producer_accept(batch->producer);
    }
  batch->came++;

  switch (accept)
    {
    case PARALLELIZE_ACCEPT_FORWARD:
      _forward_directly(self, batch, msg, path_options);
      break;
    case PARALLELIZE_ACCEPT_FORWARD_TIMED:
      _forward_timed(self, batch, msg, path_options);
      break;
    default:
      _enqueue(self, batch, msg, path_options);
      break;
    }
}

/************************************************************************
 * The main thread: life cycle
 ************************************************************************/

/* A seed that can be guessed is as good as none, and so would g_random_int() be:
 * the daemon shows other numbers that it draws from it. */
static gboolean
_draw_seed(ParallelizePipe *self, uint64_t seed[2])
{
  if (getentropy(seed, 2 * sizeof(seed[0])) == 0)
    return TRUE;
  msg_error("Error drawing the random seed of parallelize()", evt_tag_error("error"), _tag_id(self), _tag_location(self));
  return FALSE;
}

static ParallelizeEngine *
_new_engine(ParallelizePipe *self)
{
  ParallelizeCallbacks callbacks =
  {
    .forward = _forward,
    .forward_from_outlet = _forward_from_outlet,
    .publish = _publish,
    .wake = _wake,
    .now = _now,
    /* without use-rcptid(yes) all are 0 */
    .message_id = log_pipe_get_config(&self->super.super)->use_uniqid ? _message_id : NULL,
    .hot_key = _hot_key,
  };
  ParallelizeEngineOptions options =
  {
    .workers = self->worker_count,
    .keyed = self->key != NULL,
    .empty_key_round_robin = self->options->empty_key_round_robin,
    .batch_size = parallelize_options_get_batch_size(self->options),
    .quantum = parallelize_options_get_log_fetch_limit(self->options),
    .prefetch = parallelize_options_get_prefetch(self->options),
    .outlets = self->super.outlets->len,
  };

  return _draw_seed(self, options.seed) ? parallelize_engine_new(&options, &callbacks, self) : NULL;
}

static void
_stop(ParallelizePipe *self)
{
  if (self->workers)
    parallelize_workers_free(self->workers);
  self->workers = NULL;
  if (self->metrics)
    parallelize_metrics_free(self->metrics);
  self->metrics = NULL;
  if (self->engine)
    parallelize_engine_free(self->engine);
  self->engine = NULL;
}

static gboolean
_create_workers(ParallelizePipe *self)
{
  GError *error = NULL;

  self->workers = parallelize_workers_new(self->engine, self->worker_count);
  if (parallelize_workers_create(self->workers, self->has_run ? 0 : SPARE_DESCRIPTORS, &error))
    return TRUE;

  msg_error("Error creating the worker threads of parallelize()",
            evt_tag_int("workers", self->worker_count),
            evt_tag_str("error", error->message),
            _tag_id(self),
            _tag_location(self));
  g_clear_error(&error);
  _stop(self);
  return FALSE;
}

static gboolean
_init(LogPipe *s)
{
  ParallelizePipe *self = (ParallelizePipe *) s;

  if (self->key && log_template_is_literal_string(self->key))
    msg_warning("WARNING: the worker-partition-key() of parallelize() contains no macro, "
                "all messages have the same key and will be processed one at a time",
                _tag_key(self), _tag_id(self), _tag_location(self));
  self->window_warned = FALSE;
  if (!self->worker_count)
    return TRUE;
  host_internal_source_expect();
  /* The answer is known when the configuration is up, but sources may start before. */
  self->upstream_retains_messages = TRUE;

  pairing_run(log_pipe_get_config(s));
  self->engine = _new_engine(self);
  if (!self->engine)
    return FALSE;
  s->queue = _queue;
  return _create_workers(self);
}

static gboolean
_pre_config_init(LogPipe *s)
{
  ParallelizePipe *self = (ParallelizePipe *) s;

  /* Once: when the host comes back to this configuration, drivers have pointers to what they have freed, until they are
   * initialized again. */
  if (!self->has_run && self->worker_count && host_path_shares_with_builtin(s))
    {
      msg_warning("WARNING: parallelize() is off, since it is in one path with builtin-parallelize(); remove one of the two",
                  _tag_id(self), _tag_location(self));
      self->worker_count = 0;
    }
  self->super.is_off = !self->worker_count;
  host_thread_ids_announce_workers(self->worker_count);
  return TRUE;
}

static void
_report_start(gpointer s, gpointer user_data)
{
  ParallelizePipe *self = s;

  msg_notice("parallelize() started",
             evt_tag_int("workers", self->worker_count),
             _tag_key(self),
             _tag_id(self),
             _tag_location(self));
  if (parallelize_workers_count_without_id(self->workers))
    msg_notice("Workers of parallelize() have no place in the daemon's memory queues and use their locked path",
               evt_tag_int("workers", parallelize_workers_count_without_id(self->workers)),
               evt_tag_str("reason", host_thread_ids_explain_missing()),
               _tag_id(self),
               _tag_location(self));
  else if (host_thread_ids_count_missing())
    msg_warning("WARNING: with the workers of parallelize() the daemon may have more threads than it can number; "
                "those that start last have no place in its memory queues and use their locked path",
                evt_tag_int("workers", self->worker_count),
                evt_tag_int("too_many", host_thread_ids_count_missing()),
                _tag_id(self),
                _tag_location(self));
}

static gboolean
_post_config_init(LogPipe *s)
{
  ParallelizePipe *self = (ParallelizePipe *) s;

  if (!self->worker_count)
    return TRUE;
  self->upstream_retains_messages = host_path_upstream_retains_messages(s);
  g_ptr_array_foreach(self->super.outlets, resequence_pipe_check_upstream, NULL);
  parallelize_workers_start(self->workers);
  self->has_run = TRUE;
  self->metrics = parallelize_metrics_new(self->engine, self->worker_count, self->id, self->location,
                                          self->options->partition_key, _hot_key_hint(self));
  host_when_running(_report_start, self);
  return TRUE;
}

static void
_log_totals(ParallelizePipe *self)
{
  GString *per_worker = g_string_new(NULL);
  ParallelizeEngineCounters counters;

  for (guint i = 0; i < self->worker_count; i++)
    g_string_append_printf(per_worker, "%s%" G_GUINT64_FORMAT, i ? " " : "",
                           parallelize_engine_processed_by(self->engine, i));
  parallelize_engine_get_counters(self->engine, &counters);
  msg_notice("parallelize() stopped",
             evt_tag_str("processed_by_workers", per_worker->str),
             evt_tag_printf("processed_by_helping_sources", "%" G_GUINT64_FORMAT, counters.helped),
             evt_tag_printf("too_cheap_to_hand_over", "%" G_GUINT64_FORMAT, counters.forwarded_directly),
             evt_tag_printf("wakeups", "%" G_GUINT64_FORMAT, counters.wakeups),
             evt_tag_printf("stolen", "%" G_GUINT64_FORMAT, counters.stolen),
             _tag_id(self),
             _tag_location(self));
  g_string_free(per_worker, TRUE);
}

static gboolean
_deinit(LogPipe *s)
{
  ParallelizePipe *self = (ParallelizePipe *) s;

  if (self->engine)
    _log_totals(self);
  _stop(self);
  return TRUE;
}

static LogPipe *
_clone(LogPipe *s)
{
  ParallelizePipe *self = (ParallelizePipe *) s;

  return parallelize_pipe_new(parallelize_options_clone(self->options), g_strdup(self->location), s->cfg);
}

static void
_destroy(PairedPipe *s)
{
  ParallelizePipe *self = (ParallelizePipe *) s;

  log_template_unref(self->key);
  parallelize_options_free(self->options);
  g_free(self->location);
  g_free(self->id);
}

static LogTemplate *
_compile_key(const gchar *text, GlobalConfig *cfg)
{
  LogTemplate *key = log_template_new(cfg, NULL);

  /* it was compiled before, when the options were parsed */
  gboolean compiles = log_template_compile(key, text, NULL);
  g_assert(compiles);
  return key;
}

LogPipe *
parallelize_pipe_new(ParallelizeOptions *options, gchar *location, GlobalConfig *cfg)
{
  ParallelizePipe *self = g_new0(ParallelizePipe, 1);

  paired_pipe_init_instance(&self->super, PAIRING_OPENS, _destroy, cfg);
  self->super.super.init = _init;
  self->super.super.deinit = _deinit;
  self->super.super.clone = _clone;

  self->options = options;
  self->location = location;
  self->id = options->id ? g_strdup(options->id) : g_path_get_basename(location);
  if (options->partition_key)
    self->key = _compile_key(options->partition_key, cfg);
  self->worker_count = parallelize_options_get_workers(options);
  host_pipe_mark_thread_boundary(&self->super.super);
  host_pipe_set_config_methods(&self->super.super, _pre_config_init, _post_config_init);
  return &self->super.super;
}
