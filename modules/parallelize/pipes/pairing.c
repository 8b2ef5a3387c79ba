/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pipes/pairing.h"
#include "cfg-tree.h"
#include "cfg-walker.h"
#include "cfg.h"

#define CLOSED (-1)

/* A place on a path from a parallelize(). */
typedef struct _Step
{
  LogPipe *pipe;
  gint open;                    /* number of later parallelize() that are open here; CLOSED: the first one is closed */
} Step;

typedef struct _Walk
{
  PairedPipe *opening;          /* where the walk begins */
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
_free(LogPipe *s)
{
  PairedPipe *self = (PairedPipe *) s;

  self->destroy(self);
  if (self->outlets)
    g_ptr_array_free(self->outlets, TRUE);
  if (self->inlets)
    g_array_free(self->inlets, TRUE);
  log_pipe_free_method(s);
}

static gboolean
_has_role(const LogPipe *pipe, PairingRole role)
{
  return pipe->free_fn == _free && ((const PairedPipe *) pipe)->role == role;
}

/* Several paths may lead from one pipe to the other; the second one changes nothing. */
static void
_pair(PairedPipe *opening, PairedPipe *closing)
{
  PairingInlet inlet = { opening, opening->outlets->len };

  if (opening->is_off || g_ptr_array_find(opening->outlets, closing, NULL))
    return;
  g_array_append_val(closing->inlets, inlet);
  g_ptr_array_add(opening->outlets, closing);
}

static void
_take_step(Walk *self, Step step)
{
  if (_has_role(step.pipe, PAIRING_OPENS) && step.open != CLOSED)
    step.open++;
  else if (_has_role(step.pipe, PAIRING_CLOSES))
    {
      PairedPipe *closing = (PairedPipe *) step.pipe;

      closing->is_reached = TRUE;
      if (step.open == 0)
        _pair(self->opening, closing);
      if (step.open != CLOSED)
        step.open--;
    }
  _go_on(self, &step);
}

static void
_walk_from(PairedPipe *opening)
{
  Walk walk =
  {
    .opening = opening,
    .to_do = g_array_new(FALSE, FALSE, sizeof(Step)),
    .done = g_hash_table_new_full(_hash, _equal, g_free, NULL),
  };
  Step first = { &opening->super, 0 };

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
pairing_run(GlobalConfig *cfg)
{
  GPtrArray *pipes = cfg->tree.initialized_pipes;

  for (guint i = 0; i < pipes->len; i++)
    {
      LogPipe *pipe = g_ptr_array_index(pipes, i);
      PairedPipe *opening = (PairedPipe *) pipe;

      if (_has_role(pipe, PAIRING_OPENS) && !opening->outlets)
        {
          opening->outlets = g_ptr_array_new();
          _walk_from(opening);
        }
    }
}

gboolean
pairing_is_active(LogPipe *pipe)
{
  const PairedPipe *self = (const PairedPipe *) pipe;

  return (_has_role(pipe, PAIRING_OPENS) && !self->is_off) || (_has_role(pipe, PAIRING_CLOSES) && self->inlets->len > 0);
}

const PairingInlet *
pairing_find_inlet(const PairedPipe *self, gconstpointer opening)
{
  for (guint i = 0; i < self->inlets->len; i++)
    {
      const PairingInlet *inlet = &g_array_index(self->inlets, PairingInlet, i);

      if (inlet->opening == opening)
        return inlet;
    }
  return NULL;
}

void
paired_pipe_init_instance(PairedPipe *self, PairingRole role, void (*destroy)(PairedPipe *self), GlobalConfig *cfg)
{
  log_pipe_init_instance(&self->super, cfg);
  self->super.free_fn = _free;
  self->role = role;
  self->destroy = destroy;
  if (role == PAIRING_CLOSES)
    self->inlets = g_array_new(FALSE, FALSE, sizeof(PairingInlet));
}
