/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tickets of the message that this thread is forwarding.
 *
 * A message that has entered several parallelize() has a ticket of each that
 * has a resequence() behind it, until that.  While it is forwarded its tickets
 * are on the stack of the thread; when it goes on to other threads they are
 * held for it on the heap.
 */
#ifndef PARALLELIZE_PIPES_TICKET_H_INCLUDED
#define PARALLELIZE_PIPES_TICKET_H_INCLUDED 1

#include "engine/engine.h"
#include "syslog-ng.h"

G_BEGIN_DECLS

typedef struct _ParallelizeTicket ParallelizeTicket;
struct _ParallelizeTicket
{
  gpointer pipe;                /* the parallelize() that has given it out */
  ParallelizeEngine *engine;
  guint32 number;
  ParallelizeTicket *outer;     /* of the parallelize() before it, or NULL */

  /* On the stack: who forwards the message, one of the two */
  ParallelizeRunner *runner;
  ParallelizeProducer *producer;
  ParallelizeTicket *held;      /* the same ticket on the heap, if the message has gone on elsewhere as well */

  /* On the heap */
  gint ref_cnt;                 /* atomic; 0: on the stack */
};

/* The innermost ticket of the message that this thread is forwarding, or NULL. */
ParallelizeTicket *parallelize_ticket_current(void);

/* Sets it; returns the one before, to be set again afterwards. */
ParallelizeTicket *parallelize_ticket_enter(ParallelizeTicket *ticket);

/* This one and those outside of it stay held until the result is released, by
 * any thread.  NULL is fine.  Only for tickets of the message that this thread
 * is forwarding. */
ParallelizeTicket *parallelize_ticket_hold(ParallelizeTicket *ticket);
void parallelize_ticket_release(ParallelizeTicket *held);

G_END_DECLS

#endif
