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
 * Learn what the sources are that have log-fetch-limit().  Main thread, before
 * the first message; once.
 */
void host_source_learn_readers(void);

/*
 * Sets `full` to TRUE if the source has just read as many messages as it may
 * read at a time, and returns that number.  0 if the source has no
 * log-fetch-limit() or it is unknown.  The source's thread, at the end of its
 * batch.
 */
gsize host_source_get_fetch_limit(HostSource *source, gboolean *full);

/* Returns the name of the driver in syslog-ng's stats, or "".  The source owns the result. */
const gchar *host_source_get_name(HostSource *source);

/*
 * Returns the flow-control window of the connection that `msg` came from: the
 * number of messages that may be unacknowledged at the same time.  With
 * dynamic-window-size() it is the upper limit.  0 if it is unknown.  Any thread,
 * before the message is acknowledged.
 */
gsize host_source_get_maximum_window(LogMessage *msg);

/*
 * The same as host_source_get_name() for the source of `msg`.  "" if that is
 * unknown.  Any thread, before the message is acknowledged.
 */
const gchar *host_source_get_name_of_message(LogMessage *msg);

G_END_DECLS

#endif
