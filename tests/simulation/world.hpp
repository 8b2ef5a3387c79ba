// SPDX-License-Identifier: LGPL-2.1-or-later
// Virtual threads on virtual cores, in virtual time: one real thread runs them all.
#pragma once

#include "costs.hpp"
#include "fiber.hpp"

namespace simulation {

// What a thread spends its time on.
enum class Spent
{
  message,              // the messages themselves
  daemon,               // reading, keys, packing, publishing, writing
  engine,               // the engine's instructions, and its atomics on lines that its core has
  lines,                // waiting for cache lines of other cores
  locks,                // the kernel's part of a lock that is taken
  clock,
  wakeups,
  switches,             // from thread to thread on one core
};
constexpr std::size_t kinds_of_spent = 8;
constexpr const char *spent_names[kinds_of_spent] = {"message", "daemon", "engine", "lines",
                                                     "locks", "clock", "wakeups", "switches"};

constexpr unsigned no_core = ~0u;

class Thread
{
public:
  Thread(std::string name, unsigned core, std::function<void()> body)
    : name(std::move(name)), core_(core), fiber_(std::move(body))
  {
  }
  Thread(const Thread &) = delete;

  Time cpu() const { return cpu_; }
  std::uint64_t switches() const { return switches_; }
  unsigned core() const { return core_; }
  Time spent(Spent on) const { return spent_[static_cast<std::size_t>(on)]; }

  const std::string name;

private:
  friend class World;

  enum class State
  {
    active,             // has a core, or waits for one
    parked,
    waking,             // an event will make it active
  };

  unsigned core_;       // the one that it has, or had last
  Fiber fiber_;
  State state_ = State::waking;
  Time time_ = 0;       // its own clock: as far as it has run
  Time slice_started_ = 0;
  bool wake_pending_ = false;
  Time cpu_ = 0;
  std::uint64_t switches_ = 0;  // times that it gave up its core by itself
  std::array<Time, kinds_of_spent> spent_ = {};
};

// Discrete events.  A thread runs ahead of the others until it calls sync(): then all
// that is due before its own time happens first.
class World
{
public:
  // `cores`: 0: one for each thread.
  World(const Costs &costs, unsigned cores) : costs(costs), limited_(cores > 0)
  {
    if (limited_)
      free_cores_.assign(cores, true);
  }
  World(const World &) = delete;

  // A thread that starts at the beginning.
  Thread &spawn(const std::string &name, std::function<void()> body);
  // Until no thread has anything to do.  False if some wait for ever.
  bool run();

  // The rest is for the thread that runs.

  Thread &current() { return *current_; }
  bool any_current() const { return current_; }
  Time now() const { return current_->time_; }
  unsigned core() const { return current_->core_; }

  // Use the core.
  void spend(Time nanoseconds, Spent on);
  // Let everything happen that is due before this thread's time.
  void sync();
  // Give the core up until unpark(), or until that time; may return early.
  void park();
  void sleep(Time nanoseconds);
  // The other thread goes on after `delay`.  If it is not parked, its next park() returns at once.
  void unpark(Thread &other, Time delay);
  // Let threads that wait for a core go first.
  void yield();

  std::size_t cores() const { return limited_ ? free_cores_.size() : threads_.size(); }
  const std::vector<std::unique_ptr<Thread>> &threads() const { return threads_; }

  const Costs costs;

private:
  struct Event
  {
    Time time;
    std::uint64_t order;        // of those at the same time
    Thread *thread;
    bool wakes;                 // it is waking; else it has a core and goes on

    bool operator>(const Event &other) const
    {
      return time != other.time ? time > other.time : order > other.order;
    }
  };

  void at(Time time, Thread &thread, bool wakes) { events_.push({time, order_++, &thread, wakes}); }
  void next();
  void activate(Thread &thread);
  void dispatch(Thread &thread, unsigned core, Time time);
  void leave_core();
  void end();

  const bool limited_;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events_;
  std::uint64_t order_ = 0;
  Time now_ = 0;                        // of the last event
  std::vector<bool> free_cores_;
  std::deque<Thread *> ready_;          // without a core
  Thread *current_ = nullptr;
  std::size_t alive_ = 0;
  Fiber outside_;
};

}
