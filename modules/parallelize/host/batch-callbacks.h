/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread's batch callbacks, in which memory queues publish what the thread has queued.
 */
#ifndef PARALLELIZE_HOST_BATCH_CALLBACKS_H_INCLUDED
#define PARALLELIZE_HOST_BATCH_CALLBACKS_H_INCLUDED 1

#include "mainloop-worker.h"

G_BEGIN_DECLS

/* True if this thread's batch callbacks are invoked after each batch.  Any thread. */
gboolean host_batch_callbacks_are_invoked(void);

/*
 * Like main_loop_worker_register_batch_callback(), but the callback runs after
 * all that other parts of syslog-ng register.  The caller owns `callback` and
 * keeps it until it has run.  Only on a thread whose batch callbacks are
 * invoked, and not within a batch callback.
 */
void host_batch_callbacks_register_last(WorkerBatchCallback *callback);

G_END_DECLS

#endif
