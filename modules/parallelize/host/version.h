/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The version of the running syslog-ng.
 *
 * Structures differ between versions, so this is checked before anything else.
 */
#ifndef PARALLELIZE_HOST_VERSION_H_INCLUDED
#define PARALLELIZE_HOST_VERSION_H_INCLUDED 1

#include "syslog-ng.h"

G_BEGIN_DECLS

/*
 * True if the running syslog-ng has the version that the module was built for.
 * If it has not, logs an error; the caller must not use syslog-ng any further.
 * Main thread.
 */
gboolean host_version_check(void);

G_END_DECLS

#endif
