/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/stats.h"
#include "host/features.h"
#include "stats/stats-cluster-single.h"
#include "stats/stats-counter.h"
#include "stats/stats-registry.h"

#define STATS_LEVEL STATS_LEVEL1
#define MAX_LABELS 3

/* The parts of a key: syslog-ng needs the same key to register and to unregister a number. */
typedef struct _OwnedKey
{
  gchar *name;
  gchar *type;
  gchar *id;
  gchar *worker;                /* NULL: none */
  gchar *reason;                /* NULL: none */
  gboolean is_nanoseconds;
} OwnedKey;

struct _HostStatsCounter
{
  OwnedKey key;
  gboolean is_gauge;
  StatsCounterItem *item;
  guint64 last;                 /* of a counter: the sum that was added so far */
};

/* The memory that a StatsClusterKey refers to. */
typedef struct _KeyParts
{
#if HOST_IS_4
  StatsClusterLabel labels[MAX_LABELS];
#endif
} KeyParts;

static void
_set_stats_key(const OwnedKey *self, StatsClusterKey *key, KeyParts *parts)
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

static void
_register(HostStatsCounter *self)
{
  KeyParts parts;
  StatsClusterKey key;

  _set_stats_key(&self->key, &key, &parts);
  stats_lock();
  stats_register_counter(STATS_LEVEL, &key, SC_TYPE_SINGLE_VALUE, &self->item);
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
  g_free(self->key.name);
  g_free(self->key.type);
  g_free(self->key.id);
  g_free(self->key.worker);
  g_free(self->key.reason);
  g_free(self);
}
