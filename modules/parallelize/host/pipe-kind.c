/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/pipe-kind.h"
#include "cfg-tree.h"
#include "host/features.h"

#if HOST_HAS_FILTERX
#include "filterx/filterx-pipe.h"
#endif

#include <string.h>

/* A pipe that stands for a rule in a second place is a clone without a name of its own, with the same expression. */
const gchar *
host_pipe_get_plugin_name(LogPipe *pipe)
{
  const LogExprNode *expression = pipe->expr_node;

  if (pipe->plugin_name)
    return pipe->plugin_name;
  if (expression && expression->content == ENC_PIPE && expression->object)
    return ((const LogPipe *) expression->object)->plugin_name;
  return NULL;
}

const gchar *
host_pipe_format_location(LogPipe *pipe, gchar *buffer, gsize size)
{
  return log_expr_node_format_location(pipe->expr_node, buffer, size);
}

/* Sources and destinations may have plugins of the same name. */
static gboolean
_is_in_parser(LogPipe *pipe)
{
  const LogExprNode *expression = pipe->expr_node;

  while (expression && (expression->content < ENC_SOURCE || expression->content >= ENC_MAX))
    expression = expression->parent;
  return expression && expression->content == ENC_PARSER;
}

static gboolean
_is_parser_of_plugin(LogPipe *pipe, const gchar *name)
{
  const gchar *plugin_name = host_pipe_get_plugin_name(pipe);

  return plugin_name && strcmp(plugin_name, name) == 0 && _is_in_parser(pipe);
}

gboolean
host_pipe_is_python_parser(LogPipe *pipe)
{
  return _is_parser_of_plugin(pipe, "python");
}

gboolean
host_pipe_adds_names(LogPipe *pipe)
{
  static const gchar *const add_none[] =
  {
    "add-contextual-data", "date-parser", "metrics-probe", "tags-parser",
    "parallelize-element", "resequence-element", "python",
  };

  if (!host_pipe_get_plugin_name(pipe) || !_is_in_parser(pipe))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS(add_none); i++)
    {
      if (_is_parser_of_plugin(pipe, add_none[i]))
        return FALSE;
    }
  return TRUE;
}

#if HOST_HAS_FILTERX

/* The queue() of all blocks.  syslog-ng does not export it, so it is read from a new block. */
static gpointer
_get_filterx_queue_method(GlobalConfig *cfg)
{
  static gpointer method;

  if (!method)
    {
      LogPipe *block = log_filterx_pipe_new(NULL, cfg);

      method = block->queue;
      log_pipe_unref(block);
    }
  return method;
}

gboolean
host_pipe_is_unprotected_filterx(LogPipe *pipe)
{
  return pipe->queue == _get_filterx_queue_method(log_pipe_get_config(pipe));
}

#else

gboolean
host_pipe_is_unprotected_filterx(LogPipe *pipe)
{
  return FALSE;
}

#endif
