/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which elements are before or after a pipe in the log paths of a configuration.
 */
#ifndef PARALLELIZE_HOST_PATH_SEARCH_H_INCLUDED
#define PARALLELIZE_HOST_PATH_SEARCH_H_INCLUDED 1

#include "logpipe.h"

G_BEGIN_DECLS

typedef gboolean (*HostPipePredicate)(LogPipe *pipe);

/*
 * Returns the pipes after `pipe` for which `matches` is true.  The search does
 * not go on after pipes for which `is_end` is true; NULL: there are none.
 * Main thread, after a configuration was compiled.  The caller owns the array.
 */
GPtrArray *host_path_find_after(LogPipe *pipe, HostPipePredicate matches, HostPipePredicate is_end);

/* Returns the pipes before `pipe` for which `matches` is true.  The same. */
GPtrArray *host_path_find_before(LogPipe *pipe, HostPipePredicate matches);

/*
 * True if messages reach the pipe from a grouping-by().  From 4.2 on,
 * grouping-by() retains messages without marking them, and reads them when
 * other messages arrive.  Main thread, after the configuration was initialized.
 */
gboolean host_path_upstream_retains_messages(LogPipe *pipe);

/*
 * True if messages reach the pipe from syslog-ng's own parallelize(), or reach
 * syslog-ng's own parallelize() from the pipe.
 *
 * syslog-ng's own parallelize() counts references of the message that it
 * forwards on its own thread; no other thread may get the message before that
 * ends.  Messages that it gets after its threads were told to end may be lost.
 *
 * Main thread, after a configuration was compiled and before it is initialized
 * for the first time.
 */
gboolean host_path_shares_with_builtin(LogPipe *pipe);

G_END_DECLS

#endif
