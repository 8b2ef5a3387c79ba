// SPDX-License-Identifier: LGPL-2.1-or-later
// A number that one thread writes and any thread reads.
#pragma once

#include <atomic>
#include <cstdint>

namespace parallelize {

// Relaxed, and no read-modify-write: as cheap as an ordinary variable.
class Counter
{
public:
  // The one thread that writes it.
  void add(std::uint64_t amount) { set(get() + amount); }
  void set(std::uint64_t value) { value_.store(value, std::memory_order_relaxed); }

  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

private:
  std::atomic<std::uint64_t> value_{0};
};

// How long a thread has been busy.  A single word: whoever reads it while the
// thread becomes busy or idle neither misses time nor counts it twice.
class BusyTime
{
public:
  // The one thread whose time it is, in turn.
  void start(std::uint64_t now) { state_.store(running | (now - total()), std::memory_order_release); }
  void stop(std::uint64_t now)
  {
    state_.store(at(state_.load(std::memory_order_relaxed), now), std::memory_order_release);
  }

  // The same thread, while it is idle.
  std::uint64_t total() const { return state_.load(std::memory_order_relaxed); }

  // Any thread.  Tried again if the thread becomes busy or idle while the clock is read.
  template <typename Clock>
  std::uint64_t read(const Clock &now) const
  {
    std::uint64_t state = state_.load(std::memory_order_acquire);
    for (;;)
      {
        const std::uint64_t time = now();
        const std::uint64_t again = state_.load(std::memory_order_acquire);
        if (again == state)
          return at(state, time);
        state = again;
      }
  }

private:
  static constexpr std::uint64_t running = std::uint64_t{1} << 63;

  // While busy it is `running` and what is to be subtracted from the clock.
  static std::uint64_t at(std::uint64_t state, std::uint64_t now)
  {
    if (!(state & running))
      return state;
    const std::uint64_t offset = state & ~running;
    return now > offset ? now - offset : 0;
  }

  std::atomic<std::uint64_t> state_{0};
};

}
