// SPDX-License-Identifier: LGPL-2.1-or-later
// Watches for threads that are stuck on one message.
#pragma once

#include "engine/engine.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace parallelize {

// A thread that has been processing one message for too long.
struct StuckThread
{
  enum Kind
  {
    worker,
    source,                             // a thread that brings messages
  };

  Kind kind = worker;
  unsigned index = 0;                   // of the worker
  std::uint64_t nanoseconds = 0;        // so far, or altogether
  unsigned stuck_threads = 0;           // of this kind at the same time, this one included
  std::uint64_t waiting = 0;            // pending messages, for any thread
  bool identified = false;              // the following is known
  bool after_outlet = false;            // the key is not known
  std::string key;                      // its beginning
  bool key_cut = false;                 // the key is longer
  std::uint64_t message_id = 0;         // 0: the message has none
};

// Called inside StuckWatch::tick().
class StuckListener
{
public:
  // A thread is stuck.
  virtual void stuck(const StuckThread &thread) = 0;
  // The thread has come to the end of its message.
  virtual void stuck_no_more(const StuckThread &thread) = 0;

protected:
  ~StuckListener() = default;
};

// Looks once a second at which message each thread is.  All functions: one
// thread, which need not be one that the engine knows.
class StuckWatch
{
public:
  // A thread is stuck after `stuck_ns` with one message.
  StuckWatch(const Engine &engine, std::uint64_t stuck_ns, StuckListener &listener);

  // `time`: now.  Tells the listener of at most one stuck thread a minute, and of its end.
  void tick(std::uint64_t time);

  struct Longest
  {
    std::size_t runner;                 // its place among Engine::runners()
    std::uint64_t since;                // it has been with its message
  };
  // The thread of this kind that has been stuck for longest, as of the last tick.
  std::optional<Longest> longest(StuckThread::Kind kind) const;

private:
  // A thread, as of the last tick.
  struct Watched
  {
    std::uint64_t since;                // it has been with its message, as far as known
    std::uint64_t messages = 0;         // that it has started
    bool reported = false;              // the listener knows of it
    StuckThread report = {};
  };

  void follow(Watched &watched, const Engine::Runners &runner, std::uint64_t time) const;
  StuckThread::Kind kind_of(std::size_t runner) const;
  bool is_stuck(const Watched &watched) const;
  void begin_stuck(std::size_t runner);
  void end_stuck(Watched &watched, std::uint64_t nanoseconds);

  const Engine &engine_;
  const std::uint64_t stuck_ns_;
  StuckListener &listener_;
  std::vector<Watched> watched_;        // in the order of Engine::runners()
  std::uint64_t last_tick_;             // when
  std::uint64_t last_report_ = 0;       // when; 0: never
};

}
