/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipes/pairing.h"
#include "cfg-tree.h"
#include "cfg-walker.h"
#include "logpipe.h"
#include "pipes/parallelize-pipe.h"
#include "pipes/resequence-pipe.h"

#define CLOSED (-1)

/* A place on a path from a parallelize(). */
typedef struct _Step
{
  LogPipe *pipe;
  gint open;                    /* how many later parallelize() are open here; CLOSED: the first one is not */
} Step;

typedef struct _Walk
{
  LogPipe *parallelize;
  GArray *to_do;                /* of Step */
  GHashTable *done;             /* of Step */
} Walk;

static guint
_hash(gconstpointer s)
{
  const Step *step = s;

  return g_direct_hash(step->pipe) + step->open;
}

static gboolean
_equal(gconstpointer a, gconstpointer b)
{
  return ((const Step *) a)->pipe == ((const Step *) b)->pipe && ((const Step *) a)->open == ((const Step *) b)->open;
}

static void
_go_on(Walk *self, const Step *step)
{
  GList *arcs = log_pipe_get_arcs(step->pipe);

  for (GList *item = arcs; item; item = item->next)
    {
      const Arc *arc = item->data;
      Step next = { arc->to, step->open };

      if (!g_hash_table_contains(self->done, &next))
        {
          g_hash_table_add(self->done, g_memdup2(&next, sizeof(next)));
          g_array_append_val(self->to_do, next);
        }
    }
  g_list_free_full(arcs, (GDestroyNotify) arc_free);
}

static void
_take_step(Walk *self, Step step)
{
  if (parallelize_pipe_is(step.pipe) && step.open != CLOSED)
    step.open++;
  else if (resequence_pipe_is(step.pipe))
    {
      resequence_pipe_set_reached(step.pipe);
      if (step.open == 0)
        parallelize_pipe_add_outlet(self->parallelize, step.pipe);
      if (step.open != CLOSED)
        step.open--;
    }
  _go_on(self, &step);
}

static void
_walk_from(LogPipe *parallelize)
{
  Walk walk =
  {
    .parallelize = parallelize,
    .to_do = g_array_new(FALSE, FALSE, sizeof(Step)),
    .done = g_hash_table_new_full(_hash, _equal, g_free, NULL),
  };
  Step first = { parallelize, 0 };

  _go_on(&walk, &first);
  while (walk.to_do->len)
    {
      Step step = g_array_index(walk.to_do, Step, walk.to_do->len - 1);

      g_array_set_size(walk.to_do, walk.to_do->len - 1);
      _take_step(&walk, step);
    }
  g_array_free(walk.to_do, TRUE);
  g_hash_table_unref(walk.done);
}

void
resequence_bind_all(GlobalConfig *cfg)
{
  GPtrArray *pipes = cfg->tree.initialized_pipes;

  for (guint i = 0; i < pipes->len; i++)
    {
      LogPipe *pipe = g_ptr_array_index(pipes, i);

      if (parallelize_pipe_is(pipe) && parallelize_pipe_start_binding(pipe))
        _walk_from(pipe);
    }
}
