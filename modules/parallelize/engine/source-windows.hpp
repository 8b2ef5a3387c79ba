// SPDX-License-Identifier: LGPL-2.1-or-later
// What is known of the flow-control windows of the sources.
#pragma once

#include "counters.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace parallelize {

// Any thread, relaxed.
struct SourceWindows
{
  enum State
  {
    unknown,
    open,
    used_up_inside,             // by messages in flight here
    used_up_after,              // by messages that left the element and are not acknowledged
  };

  // A source read `came` messages; its window has room for `left` more of `window`.  `in_flight`: in the engine.
  void report(std::size_t window, std::size_t left, std::size_t came, std::uint64_t in_flight)
  {
    constexpr auto relaxed = std::memory_order_relaxed;
    const State state = state_of(window, left, came, in_flight);
    const std::uint64_t all = this->came.fetch_add(came, relaxed) + came;

    if (state != open)
      {
        const std::uint64_t since = excess(all, accounted.exchange(all, relaxed));
        window_limited.fetch_add(std::min<std::uint64_t>(since, window), relaxed);
        (state == used_up_after ? seen_used_up_after : seen_used_up_inside).fetch_add(1, relaxed);
      }
    looks.fetch_add(1, relaxed);
    last.store(state, relaxed);
    last_size.store(window, relaxed);
  }

  std::atomic<std::uint64_t> looks{0};
  std::atomic<std::uint64_t> seen_used_up_inside{0};
  std::atomic<std::uint64_t> seen_used_up_after{0};
  std::atomic<std::uint64_t> came{0};           // messages
  // Of these, messages that used up a window: all since one was last used up, but
  // no more than it holds.
  std::atomic<std::uint64_t> window_limited{0};
  std::atomic<std::uint64_t> accounted{0};      // `came`, when a window was last used up
  std::atomic<State> last{unknown};
  std::atomic<std::size_t> last_size{0};

private:
  static State state_of(std::size_t window, std::size_t left, std::size_t came, std::uint64_t in_flight)
  {
    const std::size_t used = window - left;
    if (left > window / 16)
      return open;

    // Messages that have just come do not tell where messages stay.
    if (used <= came)
      return 2 * in_flight >= used ? used_up_inside : open;
    // This source cannot have more messages here than the engine has.
    return used - came > 2 * in_flight ? used_up_after : used_up_inside;
  }
};

}
