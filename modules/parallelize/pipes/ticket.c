/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipes/ticket.h"

static __thread ParallelizeTicket *current;

ParallelizeTicket *
parallelize_ticket_current(void)
{
  return current;
}

ParallelizeTicket *
parallelize_ticket_enter(ParallelizeTicket *ticket)
{
  ParallelizeTicket *before = current;

  current = ticket;
  return before;
}

static ParallelizeTicket *
_ref(ParallelizeTicket *held)
{
  g_atomic_int_inc(&held->ref_cnt);
  return held;
}

/* The reference is that of the ticket on the stack. */
static ParallelizeTicket *
_move_to_heap(const ParallelizeTicket *ticket)
{
  ParallelizeTicket *held = g_slice_new0(ParallelizeTicket);

  if (ticket->runner)
    parallelize_runner_hold_ticket(ticket->runner, ticket->number);
  else
    parallelize_producer_hold_ticket(ticket->producer, ticket->number);

  held->pipe = ticket->pipe;
  held->engine = ticket->engine;
  held->number = ticket->number;
  held->outer = parallelize_ticket_hold(ticket->outer);
  held->ref_cnt = 1;
  return held;
}

ParallelizeTicket *
parallelize_ticket_hold(ParallelizeTicket *ticket)
{
  if (!ticket)
    return NULL;
  if (g_atomic_int_get(&ticket->ref_cnt))
    return _ref(ticket);
  if (!ticket->held)
    ticket->held = _move_to_heap(ticket);
  return _ref(ticket->held);
}

void
parallelize_ticket_release(ParallelizeTicket *held)
{
  while (held && g_atomic_int_dec_and_test(&held->ref_cnt))
    {
      ParallelizeTicket *outer = held->outer;

      parallelize_engine_release_ticket(held->engine, held->number);
      g_slice_free(ParallelizeTicket, held);
      held = outer;
    }
}
