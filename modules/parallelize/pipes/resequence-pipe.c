/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipes/resequence-pipe.h"
#include "host/forward.h"
#include "host/message-ownership.h"
#include "host/path-search.h"
#include "host/pipe-methods.h"
#include "messages.h"
#include "pipes/message.h"
#include "pipes/pairing.h"
#include "pipes/ticket.h"

typedef struct _Binding
{
  LogPipe *parallelize;
  guint outlet;
} Binding;

typedef struct _ResequencePipe
{
  LogPipe super;
  gchar *location;
  gboolean reached;
  gboolean upstream_retains_messages;   /* see host/path-search.h; TRUE until the configuration is up */
  GArray *bindings;             /* of Binding */
} ResequencePipe;

/************************************************************************
 * Any thread that forwards messages
 ************************************************************************/

static const Binding *
_find_binding(ResequencePipe *self, const ParallelizeTicket *ticket)
{
  for (guint i = 0; i < self->bindings->len; i++)
    {
      const Binding *binding = &g_array_index(self->bindings, Binding, i);

      if (binding->parallelize == ticket->pipe)
        return binding;
    }
  return NULL;
}

/* Behind us the ticket no longer matters. */
static void
_pass(ResequencePipe *self, const ParallelizeTicket *ticket, LogMessage *msg, const LogPathOptions *path_options)
{
  ParallelizeTicket *before = parallelize_ticket_enter(ticket->outer);

  host_forward_detached(&self->super, msg, path_options);
  parallelize_ticket_enter(before);
}

static void
_park(ParallelizeTicket *ticket, guint outlet, LogMessage *msg, const LogPathOptions *path_options, gboolean is_retained)
{
  ParallelizeMessage copy;

  /* Another branch holds it as well, and the thread that will forward this
   * copy may not queue the same message: see the enqueueing of parallelize(). */
  host_message_take_ownership(&msg, path_options, is_retained);
  parallelize_message_pack(&copy, msg, path_options, parallelize_ticket_hold(ticket->outer));
  copy.ticket = ticket->number;
  if (ticket->runner)
    parallelize_runner_arrived(ticket->runner, outlet, &copy);
  else
    parallelize_engine_arrived(ticket->engine, outlet, &copy);
}

static void
_queue(LogPipe *s, LogMessage *msg, const LogPathOptions *path_options)
{
  ResequencePipe *self = (ResequencePipe *) s;
  ParallelizeTicket *ticket = parallelize_ticket_current();
  const Binding *binding = NULL;

  while (ticket && !(binding = _find_binding(self, ticket)))
    ticket = ticket->outer;
  /* One that a parser has made waits for nobody: no window bounds how many of them there are. */
  if (!ticket || !path_options->ack_needed)
    {
      log_pipe_forward_msg(s, msg, path_options);
      return;
    }

  /* Whether it is parked is a matter of luck: in either case what happens behind
   * us does not decide about the path in front. */
  if (ticket->producer && parallelize_producer_may_pass(ticket->producer, binding->outlet, ticket->number))
    _pass(self, ticket, msg, path_options);
  else
    _park(ticket, binding->outlet, msg, path_options, self->upstream_retains_messages);
}

/************************************************************************
 * The main thread
 ************************************************************************/

static gboolean
_init(LogPipe *s)
{
  ResequencePipe *self = (ResequencePipe *) s;

  resequence_bind_all(log_pipe_get_config(s));
  if (!self->reached)
    {
      msg_error("Error: resequence() without a parallelize() of this module before it",
                evt_tag_str("location", self->location));
      return FALSE;
    }
  self->upstream_retains_messages = TRUE;
  s->queue = self->bindings->len ? _queue : log_pipe_forward_msg;
  return TRUE;
}

static LogPipe *
_clone(LogPipe *s)
{
  ResequencePipe *self = (ResequencePipe *) s;

  return resequence_pipe_new(g_strdup(self->location), s->cfg);
}

static void
_free(LogPipe *s)
{
  ResequencePipe *self = (ResequencePipe *) s;

  g_array_free(self->bindings, TRUE);
  g_free(self->location);
  log_pipe_free_method(s);
}

gboolean
resequence_pipe_is(const LogPipe *pipe)
{
  return pipe->free_fn == _free;
}

void
resequence_pipe_set_reached(LogPipe *s)
{
  ((ResequencePipe *) s)->reached = TRUE;
}

void
resequence_pipe_check_upstream(gpointer s, gpointer user_data)
{
  ResequencePipe *self = s;

  self->upstream_retains_messages = host_path_upstream_retains_messages(&self->super);
}

void
resequence_pipe_bind(LogPipe *s, LogPipe *parallelize, guint outlet)
{
  ResequencePipe *self = (ResequencePipe *) s;
  Binding binding = { parallelize, outlet };

  g_array_append_val(self->bindings, binding);
}

LogPipe *
resequence_pipe_new(gchar *location, GlobalConfig *cfg)
{
  ResequencePipe *self = g_new0(ResequencePipe, 1);

  log_pipe_init_instance(&self->super, cfg);
  self->super.init = _init;
  self->super.clone = _clone;
  self->super.free_fn = _free;
  self->location = location;
  self->bindings = g_array_new(FALSE, FALSE, sizeof(Binding));
  host_pipe_mark_thread_boundary(&self->super);
  return &self->super;
}
