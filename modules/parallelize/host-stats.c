/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-stats.h"
#include "host-compat.h"
#include "stats/stats-registry.h"

#define STATS_LEVEL STATS_LEVEL1

struct _HostStatsCounter
{
  HostCompatStatsKey key;
  gboolean is_gauge;
  StatsCounterItem *item;
  guint64 last;                 /* of a counter: what has been added so far */
};

static gchar *
_format_type(const HostStatsKey *key)
{
  return g_strconcat(key->short_name, key->is_nanoseconds ? "_ns" : "", key->reason ? "_" : "", key->reason, NULL);
}

HostStatsCounter *
host_stats_counter_new(const HostStatsKey *key)
{
  HostStatsCounter *self;

  if (!stats_check_level(STATS_LEVEL))
    return NULL;

  self = g_new0(HostStatsCounter, 1);
  self->key.name = g_strdup(key->name);
  self->key.type = _format_type(key);
  self->key.id = g_strdup(key->id);
  self->key.worker = g_strdup(key->worker);
  self->key.reason = g_strdup(key->reason);
  self->key.is_nanoseconds = key->is_nanoseconds;
  self->is_gauge = key->is_gauge;
  host_compat_register_counter(STATS_LEVEL, &self->key, &self->item);
  return self;
}

/* A counter is added to: so it goes on from where an element of the same name
 * was before a reload, and after somebody has reset it. */
void
host_stats_counter_set(HostStatsCounter *self, guint64 value)
{
  if (!self)
    return;
  if (self->is_gauge)
    stats_counter_set(self->item, value);
  else if (value > self->last)
    {
      stats_counter_add(self->item, value - self->last);
      self->last = value;
    }
}

void
host_stats_counter_free(HostStatsCounter *self)
{
  if (!self)
    return;
  host_compat_unregister_counter(&self->key, &self->item);
  g_free(self->key.name);
  g_free(self->key.type);
  g_free(self->key.id);
  g_free(self->key.worker);
  g_free(self->key.reason);
  g_free(self);
}
