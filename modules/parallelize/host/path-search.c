/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/path-search.h"
#include "cfg-tree.h"
#include "cfg-walker.h"
#include "cfg.h"
#include "host/features.h"

#include <string.h>

static gboolean
_is_builtin(LogPipe *pipe)
{
  return g_list_find_custom(pipe->info, "scheduler", (GCompareFunc) strcmp) != NULL;
}

#if HOST_IS_4
/* From 4.2 on, grouping-by() does not write-protect the messages that it retains. */
static gboolean
_retains_messages(LogPipe *pipe)
{
  const gchar *name = log_pipe_get_persist_name(pipe);

  return name && g_str_has_prefix(name, "grouping-by");
}
#endif

/* Returns all pipes of the configuration for which `matches` is true.  The caller owns the array. */
static GPtrArray *
_find_pipes(GlobalConfig *cfg, gboolean (*matches)(LogPipe *))
{
  GPtrArray *pipes = cfg->tree.initialized_pipes;
  GPtrArray *result = g_ptr_array_new();

  for (guint i = 0; i < pipes->len; i++)
    {
      if (matches(g_ptr_array_index(pipes, i)))
        g_ptr_array_add(result, g_ptr_array_index(pipes, i));
    }
  return result;
}

/* Add the pipes that directly follow `pipe`, and are not in `reached` yet, to `reached` and to `to_do`. */
static void
_reach_next(LogPipe *pipe, GHashTable *reached, GPtrArray *to_do)
{
  GList *arcs = log_pipe_get_arcs(pipe);

  for (GList *item = arcs; item; item = item->next)
    {
      LogPipe *next = ((const Arc *) item->data)->to;

      if (g_hash_table_add(reached, next))
        g_ptr_array_add(to_do, next);
    }
  g_list_free_full(arcs, (GDestroyNotify) arc_free);
}

GPtrArray *
host_path_find_after(LogPipe *pipe, HostPipePredicate matches, HostPipePredicate is_end)
{
  GPtrArray *result = g_ptr_array_new();
  GHashTable *reached = g_hash_table_new(NULL, NULL);
  GPtrArray *to_do = g_ptr_array_new();

  _reach_next(pipe, reached, to_do);
  for (guint i = 0; i < to_do->len; i++)
    {
      LogPipe *next = g_ptr_array_index(to_do, i);

      if (matches(next))
        g_ptr_array_add(result, next);
      if (!is_end || !is_end(next))
        _reach_next(next, reached, to_do);
    }
  g_ptr_array_free(to_do, TRUE);
  g_hash_table_unref(reached);
  return result;
}

/* True if messages get from a pipe of `from` to a pipe of `to`. */
static gboolean
_reach(GPtrArray *from, GPtrArray *to)
{
  GHashTable *reached, *arcs;
  gboolean result = FALSE;

  cfg_walker_get_graph(from, &reached, &arcs);
  for (guint i = 0; i < to->len && !result; i++)
    result = g_hash_table_contains(reached, g_ptr_array_index(to, i));
  g_hash_table_unref(arcs);
  g_hash_table_unref(reached);
  return result;
}

GPtrArray *
host_path_find_before(LogPipe *pipe, HostPipePredicate matches)
{
  GPtrArray *result = _find_pipes(log_pipe_get_config(pipe), matches);
  GPtrArray *itself = g_ptr_array_new();
  GPtrArray *other = g_ptr_array_new();

  g_ptr_array_add(itself, pipe);
  for (guint i = result->len; i > 0; i--)
    {
      g_ptr_array_set_size(other, 0);
      g_ptr_array_add(other, g_ptr_array_index(result, i - 1));
      if (!_reach(other, itself))
        g_ptr_array_remove_index(result, i - 1);
    }
  g_ptr_array_free(other, TRUE);
  g_ptr_array_free(itself, TRUE);
  return result;
}

/* True if messages get to `pipe` from a pipe for which `matches` is true, or, if `either_way`, from `pipe` to it. */
static gboolean
_shares_path_with(LogPipe *pipe, gboolean (*matches)(LogPipe *), gboolean either_way)
{
  GPtrArray *itself = g_ptr_array_new();
  GPtrArray *others = _find_pipes(log_pipe_get_config(pipe), matches);
  gboolean result;

  g_ptr_array_add(itself, pipe);
  result = _reach(others, itself) || (either_way && _reach(itself, others));
  g_ptr_array_free(others, TRUE);
  g_ptr_array_free(itself, TRUE);
  return result;
}

gboolean
host_path_shares_with_builtin(LogPipe *pipe)
{
  return _shares_path_with(pipe, _is_builtin, TRUE);
}

gboolean
host_path_upstream_retains_messages(LogPipe *pipe)
{
#if HOST_IS_4
  return _shares_path_with(pipe, _retains_messages, FALSE);
#else
  return FALSE;
#endif
}
