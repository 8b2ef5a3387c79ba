/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Thread ids of the workers.
 *
 * LogQueueFifo, the memory queue, keeps an array of input lists.  There is one
 * list for each thread id below a maximum that is fixed when the queue is created.
 * Queues stay alive across a reload.  A thread without an id takes a locked path,
 * which is slower and safe.
 */
#ifndef PARALLELIZE_HOST_THREAD_IDS_H_INCLUDED
#define PARALLELIZE_HOST_THREAD_IDS_H_INCLUDED 1

#include "syslog-ng.h"

G_BEGIN_DECLS

/* Call it when the module is loaded, any number of times.  Main thread. */
void host_thread_ids_init(void);

/*
 * Announce that the configuration will start `count` more worker threads, so
 * that memory queues get room for them.  Main thread, before the configuration
 * is initialized.
 */
void host_thread_ids_announce_workers(gint count);

/* True if this thread, a worker in syslog-ng's worker state, now has an id. */
gboolean host_thread_ids_take(void);

/* Give back the id of this thread, if it has one.  The thread must have published. */
void host_thread_ids_give_back(void);

/*
 * Returns the number of threads that may start too late to get an id, whether
 * they are ours or syslog-ng's own.  0 if there are none, or if syslog-ng's own
 * threads always have ids.  Main thread, after the configuration was initialized.
 */
gint host_thread_ids_count_missing(void);

/* Returns the reason why a worker may have no id, a static text.  Any thread. */
const gchar *host_thread_ids_explain_missing(void);

G_END_DECLS

#endif
