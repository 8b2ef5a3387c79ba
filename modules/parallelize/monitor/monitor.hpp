// SPDX-License-Identifier: LGPL-2.1-or-later
// Watches an engine: what limits its throughput, and which thread is stuck.
#pragma once

#include "engine/engine.hpp"
#include "monitor/report.hpp"
#include "monitor/stuck-watch.hpp"
#include "monitor/verdict.hpp"

#include <cstdint>
#include <deque>
#include <string>

namespace parallelize {

// Called inside Monitor::tick().
class MonitorListener : public StuckListener
{
public:
  // The keys of all messages so far are empty: `messages` of them.  Once.
  virtual void keys_are_empty(std::uint64_t messages) = 0;
  // A source reads so few messages at a time that workers are idle.  Once.
  virtual void reads_few(const LimitedSource::Report &source, double utilization) = 0;

protected:
  ~MonitorListener() = default;
};

struct MonitorOptions
{
  unsigned cores;               // that the process may use
  std::string key;              // the template; empty: none
  std::string key_advice;       // how to get a better key
  std::uint64_t stuck_ns;       // a thread is stuck after this time with one message
  MonitorListener &listener;
};

// All functions: one thread, which need not be one that the engine knows.
// `cpu_ns`: processor time of the process so far.
class Monitor
{
public:
  // `engine` and the listener must outlive the monitor.
  Monitor(const Engine &engine, const MonitorOptions &options, std::uint64_t cpu_ns);

  // Once a second.
  void tick(std::uint64_t cpu_ns);

  // Everything that is known, as a JSON object on one line.  The verdict is about the last ten seconds.
  std::string report(const ElementDescription &element, std::uint64_t cpu_ns) const;

private:
  Snapshot take_snapshot(std::uint64_t cpu_ns) const;
  VerdictContext context(const HotKeys::Report &by_messages, const HotKeys::Report &by_time) const;
  void add_stuck(VerdictContext &context) const;
  void look_for_empty_keys();
  void look_for_small_fetches();

  const Engine &engine_;
  const MonitorOptions options_;
  StuckWatch stuck_watch_;
  std::deque<Snapshot> history_;        // one a tick, the oldest first; never empty
  bool told_empty_keys_ = false;
  bool told_small_fetches_ = false;
};

}
