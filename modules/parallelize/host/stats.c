/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/stats.h"
#include "host/features.h"
#include "stats/stats-cluster-single.h"
#include "stats/stats-counter.h"
#include "stats/stats-registry.h"

struct _HostStatsCounter
{
  HostStatsKey key;             /* a copy: syslog-ng needs the same key to register and to unregister a number */
  StatsCounterItem *item;
  guint64 last;                 /* of a counter: the sum that was added so far */
};

/* The memory that a StatsClusterKey refers to. */
typedef struct _KeyParts
{
#if HOST_IS_4
  StatsClusterLabel labels[HOST_STATS_MAX_LABELS];
#endif
} KeyParts;

static void
_set_stats_key(const HostStatsKey *self, StatsClusterKey *key, KeyParts *parts)
{
  guint16 component = stats_register_type("parallelize");

#if HOST_IS_4
  gsize count = 0;

  for (; count < HOST_STATS_MAX_LABELS && self->labels[count].name; count++)
    parts->labels[count] = stats_cluster_label(self->labels[count].name, self->labels[count].value);
  stats_cluster_single_key_set(key, self->name, parts->labels, count);
  if (self->is_nanoseconds)
    stats_cluster_single_key_add_unit(key, SCU_NANOSECONDS);
  if (self->type)
    stats_cluster_single_key_add_legacy_alias_with_name(key, component, self->id, self->instance, self->type);
#else
  stats_cluster_single_key_set_with_name(key, component, self->id, self->instance, self->type);
#endif
}

static void
_register(HostStatsCounter *self)
{
  KeyParts parts;
  StatsClusterKey key;

  _set_stats_key(&self->key, &key, &parts);
  stats_lock();
  stats_register_counter(self->key.level, &key, SC_TYPE_SINGLE_VALUE, &self->item);
  stats_unlock();
}

static void
_unregister(HostStatsCounter *self)
{
  KeyParts parts;
  StatsClusterKey key;

  _set_stats_key(&self->key, &key, &parts);
  stats_lock();
  stats_unregister_counter(&key, SC_TYPE_SINGLE_VALUE, &self->item);
  stats_unlock();
}

static gboolean
_is_listed(const HostStatsKey *key)
{
  return stats_check_level(key->level) && (HOST_IS_4 || key->type);
}

HostStatsCounter *
host_stats_counter_new(const HostStatsKey *key)
{
  HostStatsCounter *self;

  if (!_is_listed(key))
    return NULL;

  self = g_new0(HostStatsCounter, 1);
  self->key = *key;
  self->key.name = g_strdup(key->name);
  for (gsize i = 0; i < HOST_STATS_MAX_LABELS && key->labels[i].name; i++)
    {
      self->key.labels[i].name = g_strdup(key->labels[i].name);
      self->key.labels[i].value = g_strdup(key->labels[i].value);
    }
  self->key.id = g_strdup(key->id);
  self->key.instance = g_strdup(key->instance);
  self->key.type = g_strdup(key->type);
  _register(self);
  return self;
}

/* Adds to a counter instead of setting it.  So the counter continues after a reload, from the element of the same name,
 * and after a reset. */
void
host_stats_counter_set(HostStatsCounter *self, guint64 value)
{
  if (!self)
    return;
  if (self->key.is_gauge)
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
  g_free((gchar *) self->key.name);
  for (gsize i = 0; i < HOST_STATS_MAX_LABELS && self->key.labels[i].name; i++)
    {
      g_free((gchar *) self->key.labels[i].name);
      g_free((gchar *) self->key.labels[i].value);
    }
  g_free((gchar *) self->key.id);
  g_free((gchar *) self->key.instance);
  g_free((gchar *) self->key.type);
  g_free(self);
}
