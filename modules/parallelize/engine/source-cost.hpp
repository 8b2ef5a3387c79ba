// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether the thread of a source runs its messages inline.
#pragma once

#include "fetch-limit.hpp"
#include "part-of-time.hpp"
#include "path-cost.hpp"
#include "slowness.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace parallelize {

// Whether the thread of one source runs its messages inline because the path is
// cheap for them.  Each source has its own: a message that blocks in one
// connection says nothing about the messages of another.
//
// A source starts with handing over.  It goes inline as soon as handed over
// messages turn out cheap.  If they are nearly so, or if messages of the path
// block, it goes inline after a trial of a few messages.
//
// It goes back when its inline messages cost more than handing them over and keep
// its thread busy.  Inline messages that block the thread, or compute, for long send
// it back at once: then the next trial is seconds away, and twice as far each time
// that this happens again.
//
// The thread of the source; sources share one if there are many, and then an
// update may get lost.
class alignas(64) SourceCost
{
public:
  enum class Way
  {
    hand_over,
    inline_trial,               // for a few messages
    inline_cheap,
  };

  static constexpr unsigned trial_messages = 32;

  // What to do with the next messages; `path`: the cost of those handed over.
  Way decide(std::uint64_t now, PathCost &path)
  {
    if (inline_.load(relaxed))
      return Way::inline_cheap;
    if (first_seen_.load(relaxed) == 0)
      first_seen_.store(now, relaxed);
    if (now < not_before_.load(relaxed))
      return Way::hand_over;
    if (path.cheap())
      {
        go_inline();
        return Way::inline_cheap;
      }
    // If all messages have blocked so far, there is nothing to try.
    const bool blocks = path.blocks(now) && path.usually_cheap() && now - first_seen_.load(relaxed) >= first_trial_ns;
    if ((!path.may_be_cheap() && !blocks) || !path.may_try(this, now))
      return Way::hand_over;
    return Way::inline_trial;
  }

  // An inline message, in a trial or because they are cheap, took this long, and stands for `weight` of them.
  void add(std::uint64_t now, std::uint64_t nanoseconds, unsigned weight)
  {
    // Messages that were handed over before are not timed, and do not count.
    if (mean_.messages() == 0)
      busy_.restart(now - nanoseconds);
    const std::uint32_t mean = mean_.add(nanoseconds, 1);
    busy_.add_until(now, nanoseconds * weight);
    // The verdict comes early if the messages that are missing could not change it.
    const bool too_long = mean_.messages() * mean > trial_messages * idle_cheap_ns;
    if (mean_.messages() < trial_messages && !too_long)
      return;
    const bool cheap = mean < leave_cheap_ns || (mean < idle_cheap_ns && !busy_.is_at_least(8));
    if (cheap)
      {
        // Another source that shares this may have been harmed meanwhile.
        if (!inline_.load(relaxed) && now >= not_before_.load(relaxed))
          go_inline();
        return;
      }
    const std::uint64_t wait = inline_.load(relaxed) ? expensive_ns
                                                     : std::clamp(2 * failed_.load(relaxed), expensive_ns, longest_wait_ns);
    failed_.store(wait, relaxed);
    hand_over_until(now + wait);
  }

  // An inline message took `took`, longer than harmful_ns, and blocked or computed
  // meanwhile.  True if such messages take so much of the thread's time that they
  // harm it: one of 50 ms, or two of 20 ms a second.
  bool is_harmed_by(std::uint64_t now, std::uint64_t took)
  {
    long_.add_until(now, took);
    if (!long_.is_at_least(32))
      return false;
    if (harmed(now))
      return true;
    const std::uint64_t wait = wait_.load(relaxed);
    const bool long_ago = now > harmed_until_.load(relaxed) + forget_after * wait;
    const std::uint64_t next = std::clamp(long_ago ? 4 * took : 2 * wait, first_wait_ns, longest_wait_ns);
    wait_.store(next, relaxed);
    harmed_until_.store(now + next, relaxed);
    hand_over_until(now + next);
    return true;
  }

  // For the runner of the source's thread: the source goes from thread to thread.
  SlownessWatch watch;

  // Whether the source has more to read than it may read at a time.
  FetchPressure fetch_pressure;

  // True if enough inline messages were timed since the source went inline.
  bool is_sure() const { return mean_.messages() >= trial_messages; }

  // True if the thread of this source has been harmed lately.
  bool harmed(std::uint64_t now) const { return now < harmed_until_.load(relaxed); }

private:
  static constexpr auto relaxed = std::memory_order_relaxed;
  static constexpr std::uint64_t first_trial_ns = 150'000'000;
  // So long the workers measure what a message costs that was expensive inline.
  static constexpr std::uint64_t expensive_ns = 1'000'000'000;
  static constexpr std::uint64_t first_wait_ns = 2'000'000'000;
  static constexpr std::uint64_t longest_wait_ns = 64'000'000'000;
  static constexpr std::uint64_t forget_after = 8;      // times the last wait without harm
  // With a thread that is hardly busy: caches are cold, and each hand-over would wake a worker.
  static constexpr std::uint32_t idle_cheap_ns = 100'000;

  void go_inline()
  {
    mean_.clear();
    inline_.store(true, relaxed);
  }

  void hand_over_until(std::uint64_t time)
  {
    mean_.clear();
    inline_.store(false, relaxed);
    not_before_.store(std::max(time, not_before_.load(relaxed)), relaxed);
  }

  MeanCost mean_;                               // of inline messages
  PartOfTime busy_{200'000'000};                // the source's thread, by these
  PartOfTime long_{1'000'000'000};              // the same, by those longer than harmful_ns
  std::atomic<bool> inline_{false};
  std::atomic<std::uint64_t> first_seen_{0};    // when; 0: never
  std::atomic<std::uint64_t> not_before_{0};    // when the source may go inline again
  std::atomic<std::uint64_t> harmed_until_{0};
  std::atomic<std::uint64_t> wait_{0};          // the last one after harm
  std::atomic<std::uint64_t> failed_{0};        // the last one after a trial that found the path expensive
};

}
