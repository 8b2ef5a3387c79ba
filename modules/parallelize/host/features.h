/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the syslog-ng that the module is built for has, and others have not.
 *
 * Only files of this folder include this header.  Only this header looks at
 * the version of syslog-ng; all others look at the features.
 */
#ifndef PARALLELIZE_HOST_FEATURES_H_INCLUDED
#define PARALLELIZE_HOST_FEATURES_H_INCLUDED 1

#include "logpipe.h"
#include "versioning.h"

/* syslog-ng 4: it numbers all its threads, labels its metrics, and has a parallelize() of its own. */
#define HOST_IS_4 (VERSION_VALUE_CURRENT >= 0x0400)

/* Threaded sources that close the batch of their thread: in 3.38 their batch callbacks are never invoked. */
#define HOST_HAS_CLOSED_BATCHES HOST_IS_4

/* get_cached_realtime() in place of cached_g_current_time() */
#define HOST_HAS_CACHED_REALTIME (VERSION_VALUE_CURRENT >= 0x0406)

/* worker-partition-key() in destinations with workers() */
#define HOST_HAS_DESTINATION_KEY (VERSION_VALUE_CURRENT >= 0x0404)

/* A reader that has read as many messages as it may keeps NC_AGAIN, in place of immediate_check. */
#ifdef NC_AGAIN
#define HOST_READER_TELLS_AGAIN 1
#else
#define HOST_READER_TELLS_AGAIN 0
#endif

/* filterx blocks that keep changes to themselves: 4.8 has them, 3.38 and 4.12 do not. */
#ifdef PIF_SYNC_FILTERX
#define HOST_HAS_FILTERX 1
#else
#define HOST_HAS_FILTERX 0
#endif

#endif
