// SPDX-License-Identifier: LGPL-2.1-or-later
// Compiled with -fno-access-control: names private members.
#include "names.hpp"

namespace simulation {

namespace {

bool
is_in(const void *address, const void *begin, std::size_t size)
{
  const auto a = reinterpret_cast<std::uintptr_t>(address);
  const auto b = reinterpret_cast<std::uintptr_t>(begin);
  return a >= b && a < b + size;
}

template <typename T>
bool
is_in(const void *address, const T &object)
{
  return is_in(address, &object, sizeof object);
}

// To the end of the object that it is a part of.
template <typename T, typename Whole>
bool
is_from(const void *address, const T &part, const Whole &whole)
{
  return is_in(address, &part, sizeof whole - (reinterpret_cast<const char *>(&part) - reinterpret_cast<const char *>(&whole)));
}

const char *
name_in(const parallelize::Scheduler &scheduler, const void *address)
{
  if (is_from(address, scheduler.mutex_, scheduler))
    return "scheduler: lock";
  if (is_in(address, scheduler.local_queues_in_use_))
    return "scheduler: local queues in use";
  if (is_in(address, scheduler.sleeping_) || is_in(address, scheduler.outlets_wait_))
    return "scheduler: sleepers";
  return "scheduler: other";
}

const char *
name_in(const parallelize::PathCost &cost, const void *address)
{
  return is_from(address, cost.known_, cost) ? "path cost: read by every task" : "path cost: written by publishing";
}

const char *
name_in(const parallelize::Sequencer &sequencer, const void *address)
{
  if (is_in(address, sequencer.issued_))
    return "sequencer: tickets issued";
  return is_in(address, sequencer.released_) ? "sequencer: released" : "sequencer: lock";
}

}

const char *
name_in(const parallelize::Engine &engine, const void *address)
{
  const parallelize::Core &core = engine.core_;

  if (is_in(address, core.strands.get(), (core.strand_mask + 1) * sizeof(parallelize::Strand)))
    return "strands";
  for (const auto &worker : engine.workers_)
    if (is_in(address, *worker))
      return "workers";
  if (is_in(address, core.scheduler.locals_.get(), core.options.workers * sizeof core.scheduler.locals_[0]))
    return "local queues";
  for (const auto &producer : engine.producers_)
    if (is_in(address, *producer))
      return "producers";
  if (is_in(address, core.in_flight))
    return "in flight";
  if (is_in(address, core.stopping))
    return "stopping";
  if (is_in(address, core.open))
    return "open producers";
  if (is_in(address, core.cost))
    return name_in(core.cost, address);
  if (is_in(address, core.scheduler))
    return name_in(core.scheduler, address);
  if (core.sequencer && is_in(address, *core.sequencer))
    return name_in(*core.sequencer, address);
  if (core.sequencer && is_in(address, core.sequencer->outlets_.get(), core.options.outlets * sizeof(parallelize::Outlet)))
    return "outlets";
  if (is_in(address, core.slabs))
    return "free slabs";
  if (is_in(address, core.keys_by_messages))
    return "sampled keys";
  if (is_in(address, core.samples))
    return "samples";
  if (is_in(address, core.windows))
    return "source windows";
  if (is_in(address, engine.source_costs_.get(), sizeof(parallelize::SourceCost) << engine.source_cost_bits))
    return "source costs";
  if (is_in(address, engine))
    return "list of producers";
  return "slabs";
}

}
