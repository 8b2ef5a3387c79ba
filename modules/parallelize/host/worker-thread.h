/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * syslog-ng's worker state on a thread of our own.
 */
#ifndef PARALLELIZE_HOST_WORKER_THREAD_H_INCLUDED
#define PARALLELIZE_HOST_WORKER_THREAD_H_INCLUDED 1

#include "syslog-ng.h"

G_BEGIN_DECLS

/*
 * Enter and leave the worker state.  In between, the thread may forward
 * messages and must invoke its batch callbacks.  host_worker_thread_start()
 * returns FALSE if the thread has no thread id: memory queues then use their
 * locked path for its messages.  The thread itself.
 */
gboolean host_worker_thread_start(void);
void host_worker_thread_stop(void);

/* True if this thread is between host_worker_thread_start() and _stop().  Any thread. */
gboolean host_worker_thread_is_current(void);

G_END_DECLS

#endif
