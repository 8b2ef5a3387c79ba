/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/main-loop-call.h"
#include "mainloop-call.h"

/*
 * A thread can have one call pending: main_loop_call() first waits for the last one. suppress() and the mark modes
 * host-idle and dst-idle of a destination leave such a call, since they set their timers without waiting.
 *
 * In 3.38.1 the call is in thread-local storage. If the thread ends meanwhile, syslog-ng destroys a mutex that the main
 * thread may hold, and aborts. In 4.8.1 and 4.12.0 the main thread frees the call of a thread that has ended. The
 * daemon's own worker threads make a waiting call before they end, in all three versions.
 */

static gpointer
_do_nothing(gpointer user_data)
{
  return NULL;
}

void
host_wait_for_main_loop_calls(void)
{
  main_loop_call(_do_nothing, NULL, TRUE);
}
