// SPDX-License-Identifier: LGPL-2.1-or-later
// What a message costs after parallelize(), and what follows from it.
#pragma once

#include "part-of-time.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace parallelize {

// A path is cheap if a message costs less than handing it over.  Two limits, so
// that a path between them does not change back and forth.
constexpr std::uint32_t enter_cheap_ns = 1'500;
constexpr std::uint32_t leave_cheap_ns = 2'500;

// A message that takes longer than this harms its neighbours if a thread that
// brings messages runs it.
constexpr std::uint64_t harmful_ns = 1'000'000;

// The mean cost of the last messages: their time, as it passes, by their number.
// No message counts as an outlier.  Time and number are one word, so that a
// reader never sees one without the other.  Any thread; if two threads add at
// once, one addition is lost.
class MeanCost
{
public:
  // Returns the mean in nanoseconds, at least 1.
  std::uint32_t add(std::uint64_t nanoseconds, std::uint64_t count)
  {
    const std::uint64_t old = sums_.load(std::memory_order_relaxed);
    std::uint64_t time = (old >> count_bits) + std::min(nanoseconds, longest_ns);
    std::uint64_t messages = (old & count_mask) + count;
    while (messages > memory || time > longest_ns)
      {
        time -= time / 2;
        messages = std::max<std::uint64_t>(messages / 2, 1);
      }
    sums_.store(time << count_bits | messages, std::memory_order_relaxed);
    return of(time, messages);
  }

  void clear() { sums_.store(0, std::memory_order_relaxed); }

  std::uint64_t messages() const { return sums_.load(std::memory_order_relaxed) & count_mask; }

private:
  static constexpr unsigned count_bits = 16;
  static constexpr std::uint64_t count_mask = (1 << count_bits) - 1;
  static constexpr std::uint64_t memory = 1024;         // messages
  static constexpr std::uint64_t longest_ns = std::uint64_t{1} << 42;

  static std::uint32_t of(std::uint64_t time, std::uint64_t messages)
  {
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(time / messages, 1, UINT32_MAX));
  }

  std::atomic<std::uint64_t> sums_{0};
};

// What a message costs that was handed over, up to its end: the same for all
// threads that run such messages.  Any thread, relaxed: an old value does no harm.
//
// Every task reads the second cache line, which changes seldom; publishing
// writes the first.
class PathCost
{
public:
  // Waking a sleeping thread is worth it for this much work.
  static constexpr std::uint32_t wake_up_ns = 400'000;

  // `count` messages took this long.  Of these, `blocked` messages blocked their
  // thread, and took `blocked_ns`.
  void add(std::uint64_t nanoseconds, std::uint64_t count, std::uint64_t blocked_ns = 0, std::uint64_t blocked = 0)
  {
    blocked_.add(nanoseconds, 0);
    if (count > blocked)
      {
        const std::uint32_t usual = usual_.add(nanoseconds - std::min(blocked_ns, nanoseconds), count - blocked);
        const bool low = usual < usually_cheap_ns;
        if (low != usually_cheap())
          usually_cheap_.store(low, std::memory_order_relaxed);
      }
    const std::uint32_t mean = mean_.add(nanoseconds, count);
    const std::uint32_t known = known_.load(std::memory_order_relaxed);
    if (mean > known + known / 16 || mean < known - known / 16)
      known_.store(mean, std::memory_order_relaxed);
    if (unsure())
      samples_.store(samples_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    const bool was_cheap = cheap();
    const bool is_cheap = mean < (was_cheap ? leave_cheap_ns : enter_cheap_ns);
    if (was_cheap != is_cheap)
      cheap_.store(is_cheap, std::memory_order_relaxed);
  }

  // A message has blocked its thread for `took`, longer than harmful_ns; `now` is the time.
  void note_blocking(std::uint64_t now, std::uint64_t took)
  {
    // A thread also blocks for a lock whose holder has lost its processor.  Seldom
    // that is much of the time.
    blocked_.add(took, took);
    if (!blocked_.is_at_least(8))
      return;
    // Nothing is noted while a message blocks: after long ones the memory is longer.
    const std::uint64_t memory = std::clamp(4 * took, blocking_memory_ns, longest_blocking_memory_ns);
    if (blocks_until_.load(std::memory_order_relaxed) < now + memory / 2)
      blocks_until_.store(now + memory, std::memory_order_relaxed);
  }

  // Inline messages took this long.
  void add_inline(std::uint64_t nanoseconds) { blocked_.add(nanoseconds, 0); }

  // True if `source` may try its messages inline now.  One source at a time: a trial
  // may block one of the few threads that read sources.
  bool may_try(const void *source, std::uint64_t now)
  {
    std::uint64_t until = trial_until_.load(std::memory_order_relaxed);
    if (now < until)
      return trial_of_.load(std::memory_order_relaxed) == source;
    if (!trial_until_.compare_exchange_strong(until, now + longest_trial_ns, std::memory_order_relaxed))
      return false;
    // Until here the source before may go on, too.
    trial_of_.store(source, std::memory_order_relaxed);
    return true;
  }

  // The trial of `source`, if there is one, is over: another one may begin.  Called
  // once a batch: stores nothing that has not changed, since every task reads this line.
  void end_trial(const void *source)
  {
    if (trial_of_.load(std::memory_order_relaxed) == source && trial_until_.load(std::memory_order_relaxed) != 0)
      trial_until_.store(0, std::memory_order_relaxed);
  }

  // True if messages that do not block take less than 20 microseconds, by the last ones that came.
  bool usually_cheap() const { return usually_cheap_.load(std::memory_order_relaxed); }

  // True if messages block their threads, and have done so in the last seconds.
  bool blocks(std::uint64_t now) const { return now < blocks_until_.load(std::memory_order_relaxed); }

  // A hand-over costs more than a message does.  False until that is known.
  bool cheap() const { return cheap_.load(std::memory_order_relaxed); }

  // A message may well be cheaper on the thread that brings it: handed over, it
  // comes from another core's cache.
  bool may_be_cheap() const
  {
    const std::uint32_t ns = nanoseconds();
    return ns != 0 && ns < 4'000;
  }

  // Few samples so far: take some more soon.
  bool unsure() const { return samples_.load(std::memory_order_relaxed) < first_samples; }

  // So slow that a look at the clock after each message does not matter.
  bool slow() const { return may_exceed(20'000); }

  // So slow that sampling each message does not matter, which takes half a microsecond.
  bool very_slow() const { return may_exceed(100'000); }

  // Of one message; 0: unknown.
  std::uint32_t nanoseconds() const { return known_.load(std::memory_order_relaxed); }

  // How many messages are worth waking one thread for.  At least 1; 1 if the cost is unknown.
  unsigned per_wake_up() const
  {
    const std::uint32_t ns = nanoseconds();
    return ns == 0 || ns >= wake_up_ns ? 1 : wake_up_ns / ns;
  }

private:
  static constexpr std::uint32_t first_samples = 16;
  static constexpr std::uint64_t blocking_memory_ns = 2'000'000'000;
  static constexpr std::uint64_t longest_blocking_memory_ns = 64'000'000'000;
  static constexpr std::uint64_t longest_trial_ns = 1'000'000'000;
  static constexpr std::uint32_t usually_cheap_ns = 20'000;

  // True as long as it is not known.
  bool may_exceed(std::uint32_t limit_ns) const
  {
    const std::uint32_t ns = nanoseconds();
    return ns == 0 || ns > limit_ns;
  }

  alignas(64) MeanCost mean_;
  MeanCost usual_;                      // of messages that did not block
  PartOfTime blocked_{1'000'000'000};   // of the time that messages take

  alignas(64) std::atomic<std::uint32_t> known_{0};     // the mean, give or take a sixteenth
  std::atomic<bool> cheap_{false};
  std::atomic<bool> usually_cheap_{false};
  std::atomic<std::uint64_t> trial_until_{0};       // when the next source may begin a trial
  std::atomic<const void *> trial_of_{nullptr};     // the source that may until then
  std::atomic<std::uint32_t> samples_{0};
  std::atomic<std::uint64_t> blocks_until_{0};      // when; 0: never
};

}
