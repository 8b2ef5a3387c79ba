// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace parallelize {

// A part of the last moments, such as the time in which a thread was busy.  Old
// time fades.  Any thread, relaxed: if two threads add at once, one addition is
// lost.
class PartOfTime
{
public:
  // Times fade when they add up to this many nanoseconds.
  explicit PartOfTime(std::uint64_t memory) : memory_(memory) {}

  // `part` of `all` nanoseconds.
  void add(std::uint64_t all, std::uint64_t part)
  {
    all += all_.load(relaxed);
    part += part_.load(relaxed);
    while (all > memory_)
      {
        all /= 2;
        part /= 2;
      }
    all_.store(all, relaxed);
    part_.store(part, relaxed);
  }

  // `part` of the time from the last call until `now`.
  void add_until(std::uint64_t now, std::uint64_t part)
  {
    // Another thread may have been here with a later time.
    const std::uint64_t last = last_.load(relaxed);
    const std::uint64_t all = now > last ? now - last : 0;
    last_.store(now, relaxed);
    add(std::clamp(all, std::min(part, memory_), memory_), part);
  }

  // Forget everything before `now`.
  void restart(std::uint64_t now)
  {
    last_.store(now, relaxed);
    all_.store(0, relaxed);
    part_.store(0, relaxed);
  }

  // True if it is one `times`-th of the time, or more.
  bool is_at_least(unsigned times) const { return part_.load(relaxed) * times >= all_.load(relaxed); }

private:
  static constexpr auto relaxed = std::memory_order_relaxed;

  const std::uint64_t memory_;
  std::atomic<std::uint64_t> last_{0};          // when
  std::atomic<std::uint64_t> all_{0};
  std::atomic<std::uint64_t> part_{0};
};

}
