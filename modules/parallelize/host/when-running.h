/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that wait until syslog-ng runs.
 *
 * Before that, internal() sources get only warnings and errors of syslog-ng's own
 * messages.
 */
#ifndef PARALLELIZE_HOST_WHEN_RUNNING_H_INCLUDED
#define PARALLELIZE_HOST_WHEN_RUNNING_H_INCLUDED 1

#include "syslog-ng.h"

G_BEGIN_DECLS

/*
 * Call `func` with `data` and NULL as soon as syslog-ng runs, or at once if it
 * runs already.  The order of these calls is kept.  `data` must live until
 * then.  Main thread.
 */
void host_when_running(GFunc func, gpointer data);

G_END_DECLS

#endif
