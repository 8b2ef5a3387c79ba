/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipes/options.h"
#include "host/template-type.h"

#include <sched.h>
#include <string.h>

#define DEFAULT_BATCH_SIZE 128
#define DEFAULT_LOG_FETCH_LIMIT 1000
#define DEFAULT_PREFETCH 1536
#define DEFAULT_PREFETCH_PER_WORKER 128

ParallelizeOptions *
parallelize_options_new(void)
{
  ParallelizeOptions *self = g_new0(ParallelizeOptions, 1);

  self->workers = -1;
  self->batch_size = -1;
  self->log_fetch_limit = -1;
  return self;
}

ParallelizeOptions *
parallelize_options_clone(const ParallelizeOptions *self)
{
  ParallelizeOptions *cloned = g_new(ParallelizeOptions, 1);

  *cloned = *self;
  cloned->partition_key = g_strdup(self->partition_key);
  cloned->partition_key_type = g_strdup(self->partition_key_type);
  cloned->id = g_strdup(self->id);
  return cloned;
}

void
parallelize_options_free(ParallelizeOptions *self)
{
  g_free(self->partition_key);
  g_free(self->partition_key_type);
  g_free(self->id);
  g_free(self);
}

gboolean
parallelize_options_mark_given(ParallelizeOptions *self, ParallelizeOption option)
{
  if (self->given & option)
    return FALSE;
  self->given |= option;
  return TRUE;
}

gboolean
parallelize_options_set_empty_key(ParallelizeOptions *self, const gchar *value)
{
  self->empty_key_round_robin = strcmp(value, "round-robin") == 0 || strcmp(value, "round_robin") == 0;
  return self->empty_key_round_robin || strcmp(value, "ordered") == 0;
}

void
parallelize_options_set_partition_key(ParallelizeOptions *self, const gchar *type, const gchar *text)
{
  g_free(self->partition_key);
  self->partition_key = g_strdup(text);
  g_free(self->partition_key_type);
  self->partition_key_type = g_strdup(type);
}

gboolean
parallelize_options_check_partition_key(const ParallelizeOptions *self, GlobalConfig *cfg, GError **error)
{
  LogTemplate *key = log_template_new(cfg, NULL);
  gboolean compiles = log_template_compile(key, self->partition_key, error);

  log_template_unref(key);
  return compiles;
}

gboolean
parallelize_options_check_partition_key_type(const ParallelizeOptions *self, GlobalConfig *cfg, GError **error)
{
  LogTemplate *key = log_template_new(cfg, NULL);
  gboolean is_taken = log_template_compile(key, self->partition_key, error)
                      && host_template_set_type(key, self->partition_key_type, error);

  log_template_unref(key);
  return is_taken;
}

LogTemplate *
parallelize_options_create_partition_key(const ParallelizeOptions *self, GlobalConfig *cfg)
{
  LogTemplate *key;
  gboolean is_valid;

  if (!self->partition_key)
    return NULL;
  key = log_template_new(cfg, NULL);
  /* it was when the options were parsed */
  is_valid = log_template_compile(key, self->partition_key, NULL)
             && (!self->partition_key_type || host_template_set_type(key, self->partition_key_type, NULL));
  g_assert(is_valid);
  return key;
}

static void
_format_string(GString *result, const gchar *value)
{
  g_string_append_c(result, '"');
  for (; *value; value++)
    {
      if (*value == '\n')
        g_string_append(result, "\\n");
      else
        {
          if (*value == '"' || *value == '\\')
            g_string_append_c(result, '\\');
          g_string_append_c(result, *value);
        }
    }
  g_string_append_c(result, '"');
}

void
parallelize_options_format(const ParallelizeOptions *self, GString *result)
{
  if (self->given & PARALLELIZE_OPTION_WORKERS)
    g_string_append_printf(result, "workers(%d) ", self->workers);
  if (self->partition_key)
    {
      const gchar *type = self->partition_key_type;

      g_string_append_printf(result, "worker-partition-key(%s%s", type ? : "", type ? "(" : "");
      _format_string(result, self->partition_key);
      g_string_append_printf(result, "%s) ", type ? ")" : "");
    }
  if (self->given & PARALLELIZE_OPTION_EMPTY_KEY)
    g_string_append_printf(result, "empty-key(%s) ", self->empty_key_round_robin ? "round-robin" : "ordered");
  if (self->batch_size >= 0)
    g_string_append_printf(result, "batch-size(%d) ", self->batch_size);
  if (self->log_fetch_limit >= 0)
    g_string_append_printf(result, "log-fetch-limit(%d) ", self->log_fetch_limit);
  if (self->prefetch)
    g_string_append_printf(result, "prefetch(%d) ", self->prefetch);
  if (self->id)
    {
      g_string_append(result, "id(");
      _format_string(result, self->id);
      g_string_append(result, ") ");
    }
}

guint
parallelize_count_cores(void)
{
  cpu_set_t cores;

  /* it fails where there are more than such a set has room for */
  return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? (guint) CPU_COUNT(&cores) : g_get_num_processors();
}

gint
parallelize_options_get_workers(const ParallelizeOptions *self)
{
  return self->workers >= 0 ? self->workers : (gint) MIN(parallelize_count_cores(), PARALLELIZE_MAX_WORKERS);
}

static gint
_get_limit(gint value, gint default_value)
{
  if (value < 0)
    return default_value;
  return value > 0 ? value : G_MAXINT;
}

gint
parallelize_options_get_batch_size(const ParallelizeOptions *self)
{
  return _get_limit(self->batch_size, DEFAULT_BATCH_SIZE);
}

gint
parallelize_options_get_log_fetch_limit(const ParallelizeOptions *self)
{
  return _get_limit(self->log_fetch_limit, DEFAULT_LOG_FETCH_LIMIT);
}

gint
parallelize_options_get_prefetch(const ParallelizeOptions *self)
{
  if (self->prefetch)
    return self->prefetch;
  return MAX(DEFAULT_PREFETCH, DEFAULT_PREFETCH_PER_WORKER * parallelize_options_get_workers(self));
}
