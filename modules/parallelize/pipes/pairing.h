/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which parallelize() a resequence() belongs to.
 */
#ifndef PARALLELIZE_PIPES_PAIRING_H_INCLUDED
#define PARALLELIZE_PIPES_PAIRING_H_INCLUDED 1

#include "cfg.h"

/*
 * Binds every resequence() of a compiled configuration.  On each path they pair
 * with parallelize() like closing brackets with opening ones; one that finds no
 * partner, since all before it are closed, is not bound, and lets messages
 * through: they come in order.
 *
 * To be called by the init of both elements, whichever is first.  Main thread.
 */
void resequence_bind_all(GlobalConfig *cfg);

#endif
