/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Functions that a thread has passed to the main thread.
 */
#ifndef PARALLELIZE_HOST_MAIN_LOOP_CALL_H_INCLUDED
#define PARALLELIZE_HOST_MAIN_LOOP_CALL_H_INCLUDED 1

#include "syslog-ng.h"

G_BEGIN_DECLS

/*
 * Wait until the main thread has run what this thread has passed to main_loop_call() without waiting.
 *
 * Deadlock: the main thread must be in its event loop, or on its way back there. If the main thread waits for this
 * thread, do not call this function.
 *
 * Any thread between host_worker_thread_start() and host_worker_thread_stop().
 */
void host_wait_for_main_loop_calls(void);

G_END_DECLS

#endif
