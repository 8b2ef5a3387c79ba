// SPDX-License-Identifier: LGPL-2.1-or-later
#include "worker.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace parallelize {

Turn
Worker::turn()
{
  const std::uint64_t first = runner.counters.message.sequence();
  const auto take = [&](Task &task)
  {
    std::size_t stolen = 0;
    const bool found = core_.scheduler.take(index_, task, stolen);
    if (stolen)
      runner.counters.stolen.add(stolen);
    return found;
  };

  if (std::exchange(parked_, false))
    core_.scheduler.woken(index_);
  for (;;)
    {
      const auto used = static_cast<unsigned>(runner.counters.message.sequence() - first);
      if (used >= core_.options.quantum)
        {
          runner.publish();
          return Turn::again;
        }
      switch (runner.step(core_.options.quantum - used, take))
        {
        case Runner::Step::ran:
        case Runner::Step::published:
          break;
        case Runner::Step::slice_ended:
          return Turn::again;
        case Runner::Step::found_nothing:
          switch (core_.scheduler.try_park(index_, [this] { return is_at_end(); }))
            {
            case Scheduler::Park::has_work:
              break;
            case Scheduler::Park::sleeps:
              parked_ = true;
              return Turn::sleeping;
            case Scheduler::Park::naps:
              parked_ = true;
              return Turn::napping;
            case Scheduler::Park::ends:
              return Turn::ended;
            }
          break;
        }
    }
}

Turn
Worker::turn_after_nap()
{
  if (!core_.scheduler.end_nap(index_))
    return Turn::sleeping;
  parked_ = false;
  return turn();
}

// Sequentially consistent: a producer that this worker does not see open sees
// `stopping`, and asks under the scheduler's lock whether a worker is alive.
bool
Worker::is_at_end() const
{
  return core_.stopping.load() && core_.open.load() == 0 && core_.is_empty();
}

}
