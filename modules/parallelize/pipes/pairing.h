/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which parallelize() a resequence() belongs to.
 *
 * On each path they pair like opening and closing brackets.  A resequence()
 * gets no partner if all parallelize() before it are closed already.  It then
 * lets messages pass, which arrive in order.
 *
 * Both kinds of pipes derive from PairedPipe, and this file knows no more of
 * them.  Partners do not own each other: the configuration owns both.  All
 * functions: main thread, except where another thread is named.
 */
#ifndef PARALLELIZE_PIPES_PAIRING_H_INCLUDED
#define PARALLELIZE_PIPES_PAIRING_H_INCLUDED 1

#include "logpipe.h"

G_BEGIN_DECLS

typedef enum
{
  PAIRING_OPENS,                /* a parallelize() */
  PAIRING_CLOSES,               /* a resequence() */
} PairingRole;

/* The base of both pipes.  After the pairing, only is_off of a new pipe may change. */
typedef struct _PairedPipe PairedPipe;
struct _PairedPipe
{
  LogPipe super;
  PairingRole role;
  void (*destroy)(PairedPipe *self);    /* frees what the derived pipe owns */

  /* PAIRING_OPENS */
  gboolean is_off;              /* it gets no outlets; to be set before the pairing */
  GPtrArray *outlets;           /* its partners, each at the number of its outlet; NULL: not paired yet */

  /* PAIRING_CLOSES */
  gboolean is_reached;          /* a parallelize() is before it on some path */
  GArray *inlets;               /* of PairingInlet: its partners */
};

typedef struct _PairingInlet
{
  PairedPipe *opening;
  guint outlet;                 /* messages that entered `opening` leave by its outlet with this number */
} PairingInlet;

/*
 * For the constructor of a derived pipe, which sets all other methods of the
 * pipe itself.  `destroy` takes the place of the pipe's free_fn.
 */
void paired_pipe_init_instance(PairedPipe *self, PairingRole role, void (*destroy)(PairedPipe *self),
                               GlobalConfig *cfg);

/*
 * Pair all pipes of the compiled configuration that are not paired yet.  The
 * init of both kinds of pipes calls it, as either may be the first.
 */
void pairing_run(GlobalConfig *cfg);

/* True if the pipe is of one of both kinds, and does something.  After the configuration was initialized. */
gboolean pairing_is_active(LogPipe *pipe);

/* Returns the entry of `opening` in the inlets of `self`, or NULL.  Any thread, after the pairing. */
const PairingInlet *pairing_find_inlet(const PairedPipe *self, gconstpointer opening);

G_END_DECLS

#endif
