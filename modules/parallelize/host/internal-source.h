/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source internal(), whose thread ends before its messages are acknowledged.
 *
 * syslog-ng tells this thread to end together with all others.  The source stays
 * until it is deinitialized, after all jobs.  In between, a thread that
 * acknowledges a message of a full window posts to an event of the thread that is
 * gone.
 */
#ifndef PARALLELIZE_HOST_INTERNAL_SOURCE_H_INCLUDED
#define PARALLELIZE_HOST_INTERNAL_SOURCE_H_INCLUDED 1

#include "logmsg/logmsg.h"

G_BEGIN_DECLS

/* Remember the source of `msg`, an unacknowledged message of internal().  The source's thread. */
void host_internal_source_note(LogMessage *msg);

/* Disable the wake-up of the source: threads were told to end.  Main thread. */
void host_internal_source_disable_wakeup(void);

/* Expect another source: a configuration is initialized, which has its own internal().  Main thread. */
void host_internal_source_expect(void);

G_END_DECLS

#endif
