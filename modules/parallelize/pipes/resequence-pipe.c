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

typedef struct _ResequencePipe
{
  PairedPipe super;
  gchar *location;
  gboolean upstream_retains_messages;   /* see host/path-search.h; TRUE until the configuration is up */
} ResequencePipe;

/************************************************************************
 * Any thread that forwards messages
 ************************************************************************/

/* Behind us the ticket no longer matters. */
static void
_pass(ResequencePipe *self, const ParallelizeTicket *ticket, LogMessage *msg, const LogPathOptions *path_options)
{
  ParallelizeTicket *before = parallelize_ticket_enter(ticket->outer);

  host_forward_detached(&self->super.super, msg, path_options);
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
  const PairingInlet *inlet = NULL;

  while (ticket && !(inlet = pairing_find_inlet(&self->super, ticket->pipe)))
    ticket = ticket->outer;
  /* One that a parser has made waits for nobody: no window bounds how many of them there are. */
  if (!ticket || !path_options->ack_needed)
    {
      log_pipe_forward_msg(s, msg, path_options);
      return;
    }

  /* Whether it is parked is a matter of luck: in either case what happens behind
   * us does not decide about the path in front. */
  if (ticket->producer && parallelize_producer_may_pass(ticket->producer, inlet->outlet, ticket->number))
    _pass(self, ticket, msg, path_options);
  else
    _park(ticket, inlet->outlet, msg, path_options, self->upstream_retains_messages);
}

/************************************************************************
 * The main thread
 ************************************************************************/

static gboolean
_init(LogPipe *s)
{
  ResequencePipe *self = (ResequencePipe *) s;

  pairing_run(log_pipe_get_config(s));
  if (!self->super.is_reached)
    {
      msg_error("Error: resequence() without a parallelize() of this module before it",
                evt_tag_str("location", self->location));
      return FALSE;
    }
  self->upstream_retains_messages = TRUE;
  s->queue = self->super.inlets->len ? _queue : log_pipe_forward_msg;
  return TRUE;
}

static LogPipe *
_clone(LogPipe *s)
{
  ResequencePipe *self = (ResequencePipe *) s;

  return resequence_pipe_new(g_strdup(self->location), s->cfg);
}

static void
_destroy(PairedPipe *s)
{
  ResequencePipe *self = (ResequencePipe *) s;

  g_free(self->location);
}

void
resequence_pipe_check_upstream(gpointer s, gpointer user_data)
{
  ResequencePipe *self = s;

  self->upstream_retains_messages = host_path_upstream_retains_messages(&self->super.super);
}

LogPipe *
resequence_pipe_new(gchar *location, GlobalConfig *cfg)
{
  ResequencePipe *self = g_new0(ResequencePipe, 1);

  paired_pipe_init_instance(&self->super, PAIRING_CLOSES, _destroy, cfg);
  self->super.super.init = _init;
  self->super.super.clone = _clone;
  self->location = location;
  host_pipe_mark_thread_boundary(&self->super.super);
  return &self->super.super;
}
