// SPDX-License-Identifier: LGPL-2.1-or-later
// The log path element parallelize().
#pragma once

#include "host/daemon-headers.hpp"

#include "pipes/options.h"
#include "engine/engine.hpp"
#include "pipes/batch.hpp"
#include "pipes/metrics.hpp"
#include "pipes/pairing.h"
#include "pipes/worker-threads.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace parallelize {

// Expands the key of a message.  Any thread.
class PartitionKey
{
public:
  // The options have a key.
  PartitionKey(const ParallelizeOptions *options, GlobalConfig *cfg);
  ~PartitionKey();
  PartitionKey(const PartitionKey &) = delete;

  bool is_literal() const;
  // True if the key is part of the message, and expanding it needs no buffer.
  bool is_trivial() const;
  // The key; valid as long as the message and `buffer`, which is not used if the key is trivial.
  std::string_view expand(LogMessage *msg, GString *buffer) const;

private:
  LogTemplate *const template_key_;
  GlobalConfig *const cfg_;
};

class Parallelize final : private Callbacks
{
public:
  // Takes over `options`.  The pipe owns this object.
  Parallelize(PairedPipe *pipe, ParallelizeOptions *options, const char *location);
  ~Parallelize();
  Parallelize(const Parallelize &) = delete;

  // The pipe's methods.  [main]
  bool init();
  void deinit();
  void pre_config_init();
  void post_config_init();
  const ParallelizeOptions *options() const { return options_; }
  const std::string &location() const { return location_; }

  // The pipe's queue(); takes over the reference.  Any thread.
  void queue(LogMessage *msg, const LogPathOptions *path_options);

private:
  // A message that queue() hands to the engine.
  struct Arrival
  {
    LogMessage *msg;
    const LogPathOptions *path_options;
    ScratchBuffersMarker mark;  // before the key was expanded
    bool is_marked;
  };

  // Callbacks
  std::string_view key(void *arrival) noexcept override;
  Message pack(void *arrival) noexcept override;
  void forward_inline(Runner &runner, void *arrival, std::uint32_t ticket) noexcept override;
  void forward(Runner &runner, const Message &message) noexcept override;
  void forward_from_outlet(unsigned outlet, const Message &copy) noexcept override;
  void publish(OnThread on) noexcept override;
  void wake(unsigned worker) noexcept override;
  std::uint64_t now() noexcept override;
  std::uint64_t coarse_now() noexcept override;
  ThreadUsage thread_usage() noexcept override;
  std::uint64_t message_id(const Message &message) noexcept override;
  std::uint64_t age(const Message &message) noexcept override;
  std::uint64_t age_of_arrival(void *arrival) noexcept override;
  void hot_key(std::string_view key, unsigned percent) noexcept override;

  // Messages
  bool has_outlets() const { return pipe_->outlets->len > 0; }
  Batch::Origin origin_of(LogMessage *msg, const LogPathOptions *path_options) const;
  void check_source_window(LogMessage *msg);

  // Life cycle
  bool create_engine();
  bool create_workers();
  void free_engine();
  void report_off();
  void warn_about_path() const;
  void report_start();
  void log_totals();
  const char *key_advice() const;
  EVTTAG *tag_key() const;
  EVTTAG *tag_id() const;
  EVTTAG *tag_location() const;

  // Set once
  PairedPipe *const pipe_;
  ParallelizeOptions *const options_;
  const std::string location_;          // FILE:LINE:COLUMN
  const std::string id_;
  std::optional<PartitionKey> key_;     // none: round-robin

  // Main thread
  unsigned worker_count_;               // 0: off
  std::unique_ptr<Engine> engine_;      // between init and deinit
  std::unique_ptr<WorkerThreads> threads_;      // the same; started when the configuration is up
  std::unique_ptr<Metrics> metrics_;    // the same; of an engine that was started
  bool has_run_ = false;                // the daemon may come back to this configuration
  bool upstream_retains_messages_ = true;       // see host/path-search.h; true until the configuration is up

  std::atomic<bool> window_warned_{false};
};

}
