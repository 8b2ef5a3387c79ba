/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Methods and flags of a LogPipe that differ between versions of syslog-ng.
 */
#ifndef PARALLELIZE_HOST_PIPE_METHODS_H_INCLUDED
#define PARALLELIZE_HOST_PIPE_METHODS_H_INCLUDED 1

#include "logpipe.h"

G_BEGIN_DECLS

typedef gboolean (*HostPipeMethod)(LogPipe *self);

/*
 * Set the methods of a new pipe for the time around the initialization of a
 * configuration.  syslog-ng may call `pre_config_init` at once; this is the time
 * to announce workers.  `post_config_init` must not fail.  Main thread, as the
 * last step of the pipe's construction.
 */
void host_pipe_set_config_methods(LogPipe *pipe, HostPipeMethod pre_config_init, HostPipeMethod post_config_init);

/*
 * Declare that messages leave their thread, or the path that they are in, at
 * this pipe.  Main thread, as the last step of the pipe's construction.
 */
void host_pipe_mark_thread_boundary(LogPipe *pipe);

G_END_DECLS

#endif
