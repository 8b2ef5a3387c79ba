/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A number in the host's stats.  All hosts list it as
 * parallelize;ID;WORKER;...;TYPE, newer ones also as Prometheus has it.
 */
#ifndef PARALLELIZE_HOST_STATS_H_INCLUDED
#define PARALLELIZE_HOST_STATS_H_INCLUDED 1

#include "syslog-ng.h"

typedef struct _HostStatsKey
{
  const gchar *name;            /* of the metric, without the host's prefix */
  const gchar *short_name;      /* of the type */
  const gchar *id;
  const gchar *worker;          /* NULL: of the whole element */
  const gchar *reason;          /* NULL: none */
  gboolean is_gauge;            /* goes up and down */
  gboolean is_nanoseconds;
} HostStatsKey;

typedef struct _HostStatsCounter HostStatsCounter;

/* Copies what it needs.  NULL if the configured stats level leaves it out.  Main thread. */
HostStatsCounter *host_stats_counter_new(const HostStatsKey *key);

/* Main thread; NULL is ignored. */
void host_stats_counter_set(HostStatsCounter *self, guint64 value);
void host_stats_counter_free(HostStatsCounter *self);

#endif
