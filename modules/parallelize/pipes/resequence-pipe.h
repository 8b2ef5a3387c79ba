/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PARALLELIZE_PIPES_RESEQUENCE_PIPE_H_INCLUDED
#define PARALLELIZE_PIPES_RESEQUENCE_PIPE_H_INCLUDED 1

#include "logpipe.h"

G_BEGIN_DECLS

/* The log path element resequence().  Takes over `location` ("file:line:column"). */
LogPipe *resequence_pipe_new(gchar *location, GlobalConfig *cfg);

/*
 * A GFunc for such pipes: looks whether an element before the pipe retains
 * messages, and warns of destinations after it that undo its order.  Main thread,
 * after the configuration was initialized and before the workers start.
 */
void resequence_pipe_check_path(gpointer s, gpointer user_data);

G_END_DECLS

#endif
