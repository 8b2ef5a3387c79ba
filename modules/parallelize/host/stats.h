/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A number in syslog-ng's stats.
 *
 * All versions list it as parallelize;ID;INSTANCE;...;TYPE.  syslog-ng 4 also
 * lists it in the format of Prometheus, with labels.  All functions: main thread.
 */
#ifndef PARALLELIZE_HOST_STATS_H_INCLUDED
#define PARALLELIZE_HOST_STATS_H_INCLUDED 1

#include "syslog-ng.h"

G_BEGIN_DECLS

#define HOST_STATS_MAX_LABELS 4

typedef struct _HostStatsLabel
{
  const gchar *name;            /* NULL: none, and none after it */
  const gchar *value;
} HostStatsLabel;

typedef struct _HostStatsKey
{
  const gchar *name;            /* of the metric, without syslog-ng's prefix */
  HostStatsLabel labels[HOST_STATS_MAX_LABELS];
  const gchar *id;
  const gchar *instance;
  const gchar *type;            /* NULL: only syslog-ng 4 lists the number */
  gint level;                   /* the least stats-level() that lists it */
  gboolean is_gauge;            /* the number may decrease */
  gboolean is_nanoseconds;
} HostStatsKey;

typedef struct _HostStatsCounter HostStatsCounter;

/*
 * Copies the parts of `key`.  The caller owns the result.  NULL if the
 * configured stats level or this version of syslog-ng leaves the number out.
 */
HostStatsCounter *host_stats_counter_new(const HostStatsKey *key);

/* Both ignore NULL. */
void host_stats_counter_set(HostStatsCounter *self, guint64 value);
void host_stats_counter_free(HostStatsCounter *self);

G_END_DECLS

#endif
