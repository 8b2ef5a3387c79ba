// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>

namespace parallelize {

// Picks one in `mean` events, at random distances: what is sampled must not
// depend on a rhythm of the events.  One thread at a time.
class Sampler
{
public:
  explicit Sampler(std::uint32_t mean) : mask_(2 * mean - 1), state_(0x9e3779b9) {}   // mean: a power of two

  bool pick()
  {
    if (countdown_--)
      return false;
    // xorshift32 (Marsaglia)
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    countdown_ = (state_ >> 8) & mask_;
    return true;
  }

private:
  const std::uint32_t mask_;
  std::uint32_t state_;
  std::uint32_t countdown_ = 0;
};

}
