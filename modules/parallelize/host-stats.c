/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-stats.h"
#include "stats/stats-cluster-single.h"
#include "stats/stats-registry.h"
#include "versioning.h"

#define HOST_IS_4 (VERSION_VALUE_CURRENT >= 0x0400)

#define STATS_LEVEL STATS_LEVEL1
#define MAX_LABELS 3

struct _HostStatsCounter
{
  gchar *name;
  gchar *type;
  gchar *id;
  gchar *worker;
  gchar *reason;
  gboolean is_gauge;
  gboolean is_nanoseconds;
  StatsCounterItem *item;
  guint64 last;                 /* of a counter: what has been added so far */
};

/* What a key refers to while it is used. */
typedef struct _KeyParts
{
#if HOST_IS_4
  StatsClusterLabel labels[MAX_LABELS];
#endif
} KeyParts;

static void
_set_key(HostStatsCounter *self, StatsClusterKey *key, KeyParts *parts)
{
  guint16 component = stats_register_type("parallelize");
  const gchar *instance = self->worker ? : "";

#if HOST_IS_4
  gsize count = 0;

  parts->labels[count++] = stats_cluster_label("id", self->id);
  if (self->reason)
    parts->labels[count++] = stats_cluster_label("reason", self->reason);
  if (self->worker)
    parts->labels[count++] = stats_cluster_label("worker", self->worker);
  stats_cluster_single_key_set(key, self->name, parts->labels, count);
  if (self->is_nanoseconds)
    stats_cluster_single_key_add_unit(key, SCU_NANOSECONDS);
  stats_cluster_single_key_add_legacy_alias_with_name(key, component, self->id, instance, self->type);
#else
  stats_cluster_single_key_set_with_name(key, component, self->id, instance, self->type);
#endif
}

static gchar *
_format_type(const HostStatsKey *key)
{
  return g_strconcat(key->short_name, key->is_nanoseconds ? "_ns" : "", key->reason ? "_" : "", key->reason, NULL);
}

static void
_unregister(HostStatsCounter *self)
{
  KeyParts parts;
  StatsClusterKey key;

  _set_key(self, &key, &parts);
  stats_lock();
  stats_unregister_counter(&key, SC_TYPE_SINGLE_VALUE, &self->item);
  stats_unlock();
}

static void
_register(HostStatsCounter *self)
{
  KeyParts parts;
  StatsClusterKey key;

  _set_key(self, &key, &parts);
  stats_lock();
  stats_register_counter(STATS_LEVEL, &key, SC_TYPE_SINGLE_VALUE, &self->item);
  stats_unlock();
}

HostStatsCounter *
host_stats_counter_new(const HostStatsKey *key)
{
  HostStatsCounter *self;

  if (!stats_check_level(STATS_LEVEL))
    return NULL;

  self = g_new0(HostStatsCounter, 1);
  self->name = g_strdup(key->name);
  self->type = _format_type(key);
  self->id = g_strdup(key->id);
  self->worker = g_strdup(key->worker);
  self->reason = g_strdup(key->reason);
  self->is_gauge = key->is_gauge;
  self->is_nanoseconds = key->is_nanoseconds;
  _register(self);
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
  _unregister(self);
  g_free(self->name);
  g_free(self->type);
  g_free(self->id);
  g_free(self->worker);
  g_free(self->reason);
  g_free(self);
}
