// SPDX-License-Identifier: LGPL-2.1-or-later
// One of the engine's workers.
#pragma once

#include "core.hpp"
#include "runner.hpp"

#include <cstdint>

namespace parallelize {

// How long a worker naps.  A single message waits at most this long for its worker.
constexpr std::uint64_t nap_ns = 1'000'000;

// What a worker's thread does after a turn.
enum class Turn
{
  again,                // call again after the thread's other work
  sleeping,             // nothing to do: call again after wake()
  napping,              // the same; if no wake() comes within nap_ns, call turn_after_nap()
  ended,                // stopped, and nothing can come any more: do not call again
};

// Its own thread only, except for `runner.counters`.
class alignas(64) Worker
{
public:
  Worker(unsigned index, Core &core) : runner(OnThread::worker, core), core_(core), index_(index) {}

  // Run tasks for a slice, or up to the quantum, or until there is nothing to do.
  // After wake(), or after Turn::again.
  Turn turn();
  // The same at the end of a nap.
  Turn turn_after_nap();

  Runner runner;

private:
  bool is_at_end() const;

  Core &core_;
  const unsigned index_;
  bool parked_ = false;         // since the last turn
};

}
