// SPDX-License-Identifier: LGPL-2.1-or-later
// Finds sources that have more to read than they may read at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

namespace parallelize {

// What a source has read in one go.
struct Fetch
{
  std::size_t came = 0;         // messages that came to the element
  std::size_t limit = 0;        // messages that the source may read at a time; 0: unknown
  bool full = false;            // it has read that many
  const char *source = "";      // its name
};

// True for limits below which the rounds of the main loop, some 100 us each, can take longer than the messages.
constexpr bool
is_small_limit(std::size_t limit)
{
  return limit > 0 && limit <= 100;
}

// Whether one source reads one full batch after the other.  Its thread; sources
// may share one, and then an update may get lost.
//
// A leaky bucket: each full batch fills in the longest time that a round of the
// main loop takes, and the time that passes runs out.  So a source that waits for
// messages empties it, also one whose messages come in bursts.
class FetchPressure
{
public:
  enum State
  {
    low,
    rises,                      // it has just become high
    high,
  };

  // A batch has ended at `now`.
  State add(std::uint64_t now, bool full)
  {
    const std::uint64_t last = last_.exchange(now, std::memory_order_relaxed);
    const std::uint64_t before = level_.load(std::memory_order_relaxed);
    const std::uint64_t leak = (now > last ? now - last : 0) + (full ? 0 : 2 * longest_round_ns);
    const std::uint64_t filled = before + (full ? longest_round_ns : 0);
    const std::uint64_t level = filled > leak ? std::min(filled - leak, capacity_ns) : 0;
    level_.store(level, std::memory_order_relaxed);
    return level < high_ns ? low : before < high_ns ? rises : high;
  }

private:
  static constexpr std::uint64_t longest_round_ns = 500'000;
  static constexpr std::uint64_t high_ns = 64 * longest_round_ns;
  static constexpr std::uint64_t capacity_ns = 2 * high_ns;

  std::atomic<std::uint64_t> last_{0};          // when
  std::atomic<std::uint64_t> level_{0};
};

// A source whose pressure is high: the one that was noted last.
class LimitedSource
{
public:
  struct Report
  {
    std::string source;
    std::size_t limit = 0;      // messages; 0: there was none
  };

  // Any thread; left out rather than waited for.
  void note(const Fetch &fetch)
  {
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (lock.owns_lock())
      last_ = {fetch.source, fetch.limit};
  }

  // Any thread.
  Report report() const
  {
    std::lock_guard lock(mutex_);
    return last_;
  }

private:
  mutable std::mutex mutex_;
  Report last_;
};

}
