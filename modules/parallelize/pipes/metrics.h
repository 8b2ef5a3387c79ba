/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The part of pipes/metrics.hpp that C files need.
 */
#ifndef PARALLELIZE_PIPES_METRICS_H_INCLUDED
#define PARALLELIZE_PIPES_METRICS_H_INCLUDED 1

#include "syslog-ng.h"

G_BEGIN_DECLS

/* Make the control command known.  Any number of times.  Main thread. */
void parallelize_metrics_init(void);

G_END_DECLS

#endif
