// SPDX-License-Identifier: LGPL-2.1-or-later
// What a message costs behind parallelize(), and what follows from it.
#pragma once

#include <atomic>
#include <cstdint>

namespace parallelize {

// A moving average of nanoseconds per message.  Any thread; a lost update
// between two threads only delays the average, so all accesses are relaxed.
class CostEstimate
{
public:
  // Waking a sleeping thread is worth it from so much work on.
  static constexpr std::uint32_t wake_up_ns = 400'000;

  void sample(std::uint64_t nanoseconds)
  {
    const std::uint32_t value = nanoseconds < max_ns ? static_cast<std::uint32_t>(nanoseconds) : max_ns;
    const std::uint32_t old = average_.load(std::memory_order_relaxed);
    if (value > suspicious_ns && cheap() && !is_second_suspicious())
      return;
    const std::uint32_t average = old ? old + (static_cast<std::int64_t>(value) - old) / weight : value;
    average_.store(average ? average : 1, std::memory_order_relaxed);
    if (unsure())
      samples_.store(samples_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (const std::uint32_t seen = suspicious_.load(std::memory_order_relaxed))
      suspicious_.store(seen - 1, std::memory_order_relaxed);

    const bool was_cheap = cheap_.load(std::memory_order_relaxed);
    const bool is_cheap = average < (was_cheap ? leave_cheap_ns : enter_cheap_ns);
    if (was_cheap != is_cheap)
      cheap_.store(is_cheap, std::memory_order_relaxed);
  }

  // A hand-over would cost more than the message does.  False until known.
  bool cheap() const { return cheap_.load(std::memory_order_relaxed); }

  // Too few samples so far: take some more soon.
  bool unsure() const { return samples_.load(std::memory_order_relaxed) < first_samples; }

  // So slow that looking at the clock after each message is not felt.
  bool slow() const { return may_exceed(20'000); }

  // So slow that watching each message is not felt, which takes half a microsecond.
  bool very_slow() const { return may_exceed(100'000); }

  // Of one message; 0: unknown.
  std::uint32_t nanoseconds() const { return average_.load(std::memory_order_relaxed); }

  // How many messages are worth waking one thread for.
  unsigned per_wake_up() const { return messages_in(wake_up_ns); }

  // How many messages take about so long.  At least 1; 1 if the cost is unknown.
  unsigned messages_in(std::uint32_t span_ns) const
  {
    const std::uint32_t ns = nanoseconds();
    return ns == 0 || ns >= span_ns ? 1 : span_ns / ns;
  }

private:
  // A single long one among cheap messages is most likely the scheduler's doing.
  bool is_second_suspicious()
  {
    const std::uint32_t seen = suspicious_.load(std::memory_order_relaxed);
    suspicious_.store(seen ? 0 : suspicion_lasts, std::memory_order_relaxed);
    return seen != 0;
  }

  static constexpr std::uint32_t max_ns = 2'000'000'000;
  static constexpr std::int64_t weight = 8;
  static constexpr std::uint32_t enter_cheap_ns = 1'500;
  static constexpr std::uint32_t leave_cheap_ns = 2'500;
  static constexpr std::uint32_t first_samples = 16;
  static constexpr std::uint32_t suspicious_ns = 10'000;
  static constexpr std::uint32_t suspicion_lasts = 64;    // samples

  // True as long as it is not known.
  bool may_exceed(std::uint32_t limit_ns) const
  {
    const std::uint32_t ns = nanoseconds();
    return ns == 0 || ns > limit_ns;
  }

  std::atomic<std::uint32_t> average_{0};   // 0: unknown
  std::atomic<bool> cheap_{false};
  std::atomic<std::uint32_t> samples_{0};
  std::atomic<std::uint32_t> suspicious_{0};  // samples for which the last suspicious one is remembered
};

}
