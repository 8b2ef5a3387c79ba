/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PARALLELIZE_PIPES_PARALLELIZE_PIPE_H_INCLUDED
#define PARALLELIZE_PIPES_PARALLELIZE_PIPE_H_INCLUDED 1

#include "pipes/options.h"
#include "logpipe.h"

G_BEGIN_DECLS

/*
 * The log path element.  Takes over `options` and `location` ("file:line:column").
 * Each clone has an engine and workers of its own.
 */
LogPipe *parallelize_pipe_new(ParallelizeOptions *options, gchar *location, GlobalConfig *cfg);

G_END_DECLS

#endif
