// SPDX-License-Identifier: LGPL-2.1-or-later
// What the engine asks of the code around it.
#pragma once

#include "message.hpp"

#include <cstdint>
#include <string_view>

namespace parallelize {

class Runner;

// What the calling thread has used since it was created.
struct ThreadUsage
{
  std::uint64_t cpu_ns = 0;             // processor time
  std::uint64_t voluntary_switches = 0; // times that the thread blocked: it slept, or waited for a lock or for data
};

// On which kind of thread a runner works.
enum class OnThread
{
  worker,               // one of the engine's workers: nothing else is on its stack
  producer,             // a thread that brings messages, inside Producer::submit()
};

// The engine calls these without holding a lock.  No exception may leave them.
//
// An _arrival_ is the argument of Producer::submit(): a message that has not been
// packed.  It stays on the thread that brought it.
class Callbacks
{
public:
  virtual ~Callbacks() = default;

  // The key of an arrival; valid until it is packed or forwarded.
  // Only for an engine with a key.  [producer]
  virtual std::string_view key(void *arrival) noexcept = 0;

  // Make the arrival a message that any thread may run.  The engine owns the
  // result.  [producer]
  virtual Message pack(void *arrival) noexcept = 0;

  // Process an arrival to its end.  Until it returns, `runner` takes what happens
  // to the ticket.  [producer]
  virtual void forward_inline(Runner &runner, void *arrival, std::uint32_t ticket) noexcept = 0;

  // Process a packed message to its end; takes over the handle.  Until it
  // returns, `runner` takes what happens to the ticket.  [runner]
  virtual void forward(Runner &runner, const Message &message) noexcept = 0;

  // Process a copy that has come to an outlet, one at a time in the order of
  // tickets; takes over the handle.  [runner]
  virtual void forward_from_outlet(unsigned outlet, const Message &copy) noexcept = 0;

  // Make visible, in order, everything that this thread has forwarded so far.
  // A strand or an outlet may go to another thread only after this.  [runner]
  virtual void publish(OnThread on) noexcept = 0;

  // Call Engine::run(worker) soon, on the thread of that worker.  [any]
  virtual void wake(unsigned worker) noexcept = 0;

  // Monotonic nanoseconds.  [any]
  virtual std::uint64_t now() noexcept = 0;

  // The same clock as of its last tick, a few milliseconds ago at most: costs
  // next to nothing.  [any]
  virtual std::uint64_t coarse_now() noexcept = 0;

  // [any], about the calling thread
  virtual ThreadUsage thread_usage() noexcept = 0;

  // A number by which a human finds the message, or 0.  [runner]
  virtual std::uint64_t message_id(const Message &message) noexcept = 0;

  // Nanoseconds since the daemon received the message, by the clock of the day: 0
  // if that was set back, or if it is not known.  Only of sampled messages.  [runner]
  virtual std::uint64_t age(const Message &message) noexcept = 0;
  // The same of an arrival.  [producer]
  virtual std::uint64_t age_of_arrival(void *arrival) noexcept = 0;

  // One key holds nearly all traffic while workers sleep; called seldom.  [producer]
  virtual void hot_key(std::string_view key, unsigned percent) noexcept = 0;
};

}
