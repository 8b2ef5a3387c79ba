/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an element counts, and what becomes of it: the host's stats, the
 * control command, warnings about workers that are stuck.
 */
#ifndef PARALLELIZE_PIPES_METRICS_H_INCLUDED
#define PARALLELIZE_PIPES_METRICS_H_INCLUDED 1

#include "engine/engine.h"
#include "syslog-ng.h"

G_BEGIN_DECLS

typedef struct _ParallelizeMetrics ParallelizeMetrics;

/* All functions: main thread. */

/* Make the control command known.  Any number of times. */
void parallelize_metrics_init(void);

/*
 * From here on the engine is looked at once a second.  It must outlive the
 * result.  `id` need not be unique, `key` (NULL: none) is the template.
 */
ParallelizeMetrics *parallelize_metrics_new(ParallelizeEngine *engine, guint workers, const gchar *id,
                                            const gchar *location, const gchar *key, const gchar *key_advice);

/* Counts what has come since the last look. */
void parallelize_metrics_free(ParallelizeMetrics *self);

G_END_DECLS

#endif
