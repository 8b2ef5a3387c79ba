/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The time that syslog-ng caches on each thread.
 */
#ifndef PARALLELIZE_HOST_CACHED_TIME_H_INCLUDED
#define PARALLELIZE_HOST_CACHED_TIME_H_INCLUDED 1

#include "syslog-ng.h"

G_BEGIN_DECLS

/*
 * Let this thread ask for the time again when the time is next needed.
 * Otherwise syslog-ng asks once until the thread is back in its event loop.
 * Any thread.
 */
void host_cached_time_forget(void);

G_END_DECLS

#endif
