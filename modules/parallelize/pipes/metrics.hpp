// SPDX-License-Identifier: LGPL-2.1-or-later
// Shows what an element counts: in syslog-ng's stats, by a control command, and
// by warnings about threads that are stuck.
#pragma once

#include "host/daemon-headers.hpp"

#include "engine/engine.hpp"
#include "monitor/monitor.hpp"
#include "pipes/element-stats.hpp"

#include <string>

namespace parallelize {

// All functions: main thread.
class Metrics final : private MonitorListener
{
public:
  // Make the control command known.  Any number of times.  C files: parallelize_metrics_init().
  static void init() noexcept;

  // Looks at the engine once a second.  The engine must outlive the metrics.
  // `id` need not be unique.  `key`: the template, or nullptr.
  Metrics(Engine &engine, unsigned workers, const char *id, const char *location, const char *key,
          const char *key_advice);
  // Counts what has come since the last second.
  ~Metrics();
  Metrics(const Metrics &) = delete;

private:
  void tick();

  void stuck(const StuckThread &thread) override;
  void stuck_no_more(const StuckThread &thread) override;
  void keys_are_empty(std::uint64_t messages) override;
  void reads_few(const LimitedSource::Report &source, double utilization) override;
  void warn_of_worker(const StuckThread &thread, const char *text) const;
  void warn_of_source(const StuckThread &thread, const char *text) const;

  static void second_is_over(void *user_data) noexcept;
  static void report_all(ControlConnection *connection, GString *command, gpointer user_data,
                         gboolean *cancelled) noexcept;
  static bool is_id_taken(const std::string &id);
  static std::string make_unique_id(const char *id);

  Engine &engine_;
  const unsigned workers_;
  const std::string id_;                // unique
  const std::string location_;
  const bool has_key_;
  const std::string key_;
  Monitor monitor_;
  ElementStats stats_;
};

}
