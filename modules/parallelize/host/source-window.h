/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source of a message and its flow-control window.
 */
#ifndef PARALLELIZE_HOST_SOURCE_WINDOW_H_INCLUDED
#define PARALLELIZE_HOST_SOURCE_WINDOW_H_INCLUDED 1

#include "logmsg/logmsg.h"

G_BEGIN_DECLS

typedef struct _LogSource HostSource;

/* Returns the source of `msg`, or NULL.  The source is alive until the message is acknowledged.  Any thread. */
HostSource *host_source_of_message(LogMessage *msg);

/*
 * Returns the source of `msg` if this is the source's thread and its batch
 * callbacks are invoked, or NULL.  The source is alive until the batch ends.
 */
HostSource *host_source_of_batch(LogMessage *msg);

/* True if the source closes its thread's batch after each message.  `source` as of host_source_of_batch(). */
gboolean host_source_closes_each_batch(HostSource *source);

/*
 * Sets `window` to the number of messages that may be unacknowledged now, and
 * `left` to how many more the source may read.  FALSE if that is unknown.  The
 * source's thread.
 */
gboolean host_source_get_window(HostSource *source, gsize *window, gsize *left);

/*
 * Returns the flow-control window of the connection that `msg` came from: the
 * number of messages that may be unacknowledged at the same time.  With
 * dynamic-window-size() it is the upper limit.  0 if it is unknown.  Any thread,
 * before the message is acknowledged.
 */
gsize host_source_get_maximum_window(LogMessage *msg);

/*
 * Returns the name of the driver that `msg` came from in syslog-ng's stats, or
 * "" if it is unknown.  The source owns the result.  Any thread, before the
 * message is acknowledged.
 */
const gchar *host_source_get_name(LogMessage *msg);

G_END_DECLS

#endif
