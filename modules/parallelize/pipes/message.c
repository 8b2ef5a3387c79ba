/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipes/message.h"

/* ParallelizeMessage::flags; see PARALLELIZE_ENGINE_FLAGS for those that are not ours */
enum
{
  MESSAGE_ACK_NEEDED = 1 << 0,
  MESSAGE_FLOW_CONTROL_REQUESTED = 1 << 1,
  MESSAGE_WITH_TICKETS = 1 << 2,        /* the handle is a WithTickets */
};

typedef struct _WithTickets
{
  LogMessage *msg;
  ParallelizeTicket *held;
} WithTickets;

static gpointer
_with_tickets(LogMessage *msg, ParallelizeTicket *held)
{
  WithTickets *self = g_slice_new(WithTickets);

  self->msg = msg;
  self->held = held;
  return self;
}

void
parallelize_message_pack(ParallelizeMessage *self, LogMessage *msg, const LogPathOptions *path_options,
                         ParallelizeTicket *held)
{
  self->handle = held ? _with_tickets(msg, held) : msg;
  self->flags = (path_options->ack_needed ? MESSAGE_ACK_NEEDED : 0)
                | (path_options->flow_control_requested ? MESSAGE_FLOW_CONTROL_REQUESTED : 0)
                | (held ? MESSAGE_WITH_TICKETS : 0);
  self->ticket = 0;
}

LogMessage *
parallelize_message_peek(const ParallelizeMessage *self)
{
  return self->flags & MESSAGE_WITH_TICKETS ? ((WithTickets *) self->handle)->msg : self->handle;
}

LogMessage *
parallelize_message_unpack(const ParallelizeMessage *self, LogPathOptions *path_options, ParallelizeTicket **held)
{
  LogMessage *msg = self->handle;

  path_options->ack_needed = !!(self->flags & MESSAGE_ACK_NEEDED);
  path_options->flow_control_requested = !!(self->flags & MESSAGE_FLOW_CONTROL_REQUESTED);
  *held = NULL;
  if (self->flags & MESSAGE_WITH_TICKETS)
    {
      WithTickets *with_tickets = self->handle;

      msg = with_tickets->msg;
      *held = with_tickets->held;
      g_slice_free(WithTickets, with_tickets);
    }
  return msg;
}
