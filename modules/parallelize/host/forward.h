/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forwarding that separates the path after a pipe from the path before it.
 */
#ifndef PARALLELIZE_HOST_FORWARD_H_INCLUDED
#define PARALLELIZE_HOST_FORWARD_H_INCLUDED 1

#include "logpipe.h"

G_BEGIN_DECLS

/*
 * Like log_pipe_forward_msg(), but the paths before and after the pipe do not
 * see each other's state on the stack.  Of `path_options`, only the
 * acknowledgement and flow control are passed on.  Consumes the reference to
 * `msg`.  Any thread.
 */
void host_forward_detached(LogPipe *pipe, LogMessage *msg, const LogPathOptions *path_options);

G_END_DECLS

#endif
