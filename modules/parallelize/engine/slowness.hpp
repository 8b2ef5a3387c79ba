// SPDX-License-Identifier: LGPL-2.1-or-later
// Why a message took long.
#pragma once

#include "callbacks.hpp"
#include "path-cost.hpp"

#include <atomic>
#include <cstdint>

namespace parallelize {

enum class Slowness
{
  none,                 // the message did not take long: its thread was ready and had no processor, or that is not known
  computed,
  blocked,              // the thread waited for something
};

// Until when to expect another long message.  Any thread, relaxed.
struct SlownessWatch
{
  std::atomic<std::uint64_t> until{0};
};

// Tells a message that blocks its thread, or computes for long, from a thread
// that has lost its processor for a while.
//
// Asking for a thread's usage is a system call.  So the first long message only
// starts a watch of 100 seconds, in which each slice begins with that call.  If
// that message was very long, it has blocked: no thread is without a processor for
// that long.
//
// One thread.
class SlownessJudge
{
public:
  explicit SlownessJudge(Callbacks &callbacks) : callbacks_(callbacks) {}
  SlownessJudge(const SlownessJudge &) = delete;

  // From here on share this watch, instead of having one of its own.
  void share(SlownessWatch &watch) { watch_ = &watch; }

  // The thread starts to run messages.
  void begin(std::uint64_t now)
  {
    known_ = now < watch_->until.load(std::memory_order_relaxed);
    if (known_)
      note(now, callbacks_.thread_usage());
  }

  // A message, or a few of them, have taken `took`, which is longer than harmful_ns.
  Slowness judge(std::uint64_t now, std::uint64_t took)
  {
    const ThreadUsage usage = callbacks_.thread_usage();
    Slowness result = took >= surely_blocked_ns ? Slowness::blocked : Slowness::none;
    if (known_)
      {
        const std::uint64_t cpu_ns = usage.cpu_ns - usage_.cpu_ns;
        const std::uint64_t before = now - at_ > took ? now - at_ - took : 0;
        // Hardly any message computes for long without a short wait for some lock, and
        // on a busy machine a thread loses its processor meanwhile.
        const bool idle = 4 * (cpu_ns > before ? cpu_ns - before : 0) < took;
        if (usage.voluntary_switches != usage_.voluntary_switches && idle)
          result = Slowness::blocked;
        else if (cpu_ns > before + harmful_ns)
          result = Slowness::computed;
        else
          result = Slowness::none;
      }
    note(now, usage);
    watch_->until.store(now + watch_ns, std::memory_order_relaxed);
    return result;
  }

  // Begin the watch without a judgement.
  void expect(std::uint64_t now)
  {
    note(now, callbacks_.thread_usage());
    watch_->until.store(now + watch_ns, std::memory_order_relaxed);
  }

private:
  static constexpr std::uint64_t watch_ns = 100'000'000'000;
  static constexpr std::uint64_t surely_blocked_ns = 100'000'000;

  void note(std::uint64_t now, const ThreadUsage &usage)
  {
    at_ = now;
    usage_ = usage;
    known_ = true;
  }

  Callbacks &callbacks_;
  ThreadUsage usage_;                   // when it was noted last
  std::uint64_t at_ = 0;                // then
  bool known_ = false;                  // usage_ is of this slice
  SlownessWatch own_watch_;
  SlownessWatch *watch_ = &own_watch_;
};

}
