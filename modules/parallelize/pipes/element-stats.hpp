// SPDX-License-Identifier: LGPL-2.1-or-later
// What an element counts, in syslog-ng's stats.
#pragma once

#include "host/daemon-headers.hpp"

#include "engine/engine.hpp"
#include "host/stats.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace parallelize {

// All functions: main thread.
class ElementStats
{
public:
  // `id` is unique.  Both must outlive this object.
  ElementStats(const Engine &engine, const std::string &id);
  ElementStats(const ElementStats &) = delete;

  // Copy the engine's counters.
  void update();

private:
  struct CounterDeleter
  {
    void operator()(HostStatsCounter *counter) const { host_stats_counter_free(counter); }
  };
  using StatsCounter = std::unique_ptr<HostStatsCounter, CounterDeleter>;

  // A histogram of Prometheus: syslog-ng 4 lists it as numbers.
  struct HistogramCounters
  {
    std::vector<StatsCounter> up_to;    // the bounds, the last one is none
    StatsCounter sum;
    StatsCounter count;
  };

  HistogramCounters new_histogram(const char *name, const char *point, int level, bool is_nanoseconds) const;
  void register_counters();
  void register_worker(unsigned worker);
  WorkerCounters counters_of(unsigned worker, const EngineCounters &all) const;

  const Engine &engine_;
  const std::string &id_;
  const unsigned workers_;
  std::vector<StatsCounter> of_element_;
  std::vector<StatsCounter> of_reason_;
  std::vector<std::vector<StatsCounter>> of_worker_;    // the last are of the threads that bring messages
  StatsCounter failed_;
  HistogramCounters from_receipt_;
  HistogramCounters batches_;
  HistogramCounters hand_over_sizes_;
};

}
