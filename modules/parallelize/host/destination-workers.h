/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Destinations that send with several threads of their own: http(), kafka-c()
 * and others with workers().
 */
#ifndef PARALLELIZE_HOST_DESTINATION_WORKERS_H_INCLUDED
#define PARALLELIZE_HOST_DESTINATION_WORKERS_H_INCLUDED 1

#include "logpipe.h"

G_BEGIN_DECLS

/*
 * True if the pipe is a destination with several workers.  Without a key they take
 * messages in turn, so that these may arrive in any order.  Main thread, after the
 * configuration was read.
 */
gboolean host_destination_has_workers(LogPipe *pipe);

/* Returns the text of the destination's worker-partition-key(), or NULL.  Only for such a pipe. */
const gchar *host_destination_get_key(LogPipe *pipe);

/* Number of workers, and the name of the destination.  Only for pipes for which host_destination_has_workers() is true. */
gint host_destination_get_workers(LogPipe *pipe);
const gchar *host_destination_get_id(LogPipe *pipe);

/* True if destinations of this version of syslog-ng have worker-partition-key(). */
gboolean host_destination_has_key_option(void);

G_END_DECLS

#endif
