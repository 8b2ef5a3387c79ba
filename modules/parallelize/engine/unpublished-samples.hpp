// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "histogram.hpp"

#include <cstdint>
#include <vector>

namespace parallelize {

// Sampled messages that a thread has processed and not published: when the daemon
// received them.  Its thread.
class UnpublishedSamples
{
public:
  // `received`: by the engine's clock; it may be before that clock began.
  // `weight`: how many messages this one stands for.
  void add(std::uint64_t received, unsigned weight) { samples_.push_back({received, weight}); }

  bool empty() const { return samples_.empty(); }

  // Everything is published.
  void record(std::uint64_t now, Histogram &histogram)
  {
    for (const Sample &sample : samples_)
      histogram.record(now - sample.received, sample.weight);
    samples_.clear();
  }

private:
  struct Sample
  {
    std::uint64_t received;
    unsigned weight;
  };

  std::vector<Sample> samples_;
};

}
