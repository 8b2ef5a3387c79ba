// SPDX-License-Identifier: LGPL-2.1-or-later
// The engine alone: messages that do nothing, or compute for a given time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.hpp"

namespace stress {

struct Settings
{
  bool steps = false;           // one thread runs all in turn, by a clock of its own; else real threads
  unsigned workers = 4;
  unsigned producers = 1;
  std::uint64_t messages = 1'000'000;   // of all producers together
  unsigned batch = 1000;
  unsigned keys = 0;            // 0: no key
  bool inlined = false;         // the path is cheap: producers run their messages
  bool resequence = false;
  std::uint64_t work = 2'000;   // nanoseconds a message
};

class Stress : private parallelize::Callbacks
{
public:
  explicit Stress(const Settings &settings);

  // To the end.  Returns nanoseconds.
  std::uint64_t run();

  const parallelize::Engine &engine() const { return engine_; }

private:
  static parallelize::EngineOptions options_of(const Settings &settings);
  void bring_batch(std::uint64_t source, std::uint64_t first, std::uint64_t count);
  void run_steps();
  void run_workers_in_turn();
  void run_threads();
  void worker_main(unsigned index);
  void work();

  std::string_view key(void *arrival) noexcept override;
  parallelize::Message pack(void *arrival) noexcept override { return {arrival, 0, 0, 0}; }
  void forward_inline(parallelize::Runner &runner, void *arrival, std::uint32_t ticket) noexcept override;
  void forward(parallelize::Runner &runner, const parallelize::Message &message) noexcept override;
  void forward_from_outlet(unsigned, const parallelize::Message &) noexcept override {}
  void publish(parallelize::OnThread on) noexcept override;
  void wake(unsigned worker) noexcept override;
  std::uint64_t now() noexcept override;
  std::uint64_t coarse_now() noexcept override;
  parallelize::ThreadUsage thread_usage() noexcept override { return {}; }
  std::uint64_t message_id(const parallelize::Message &) noexcept override { return 0; }
  std::uint64_t age(const parallelize::Message &) noexcept override { return 0; }
  std::uint64_t age_of_arrival(void *) noexcept override { return 0; }
  void hot_key(std::string_view, unsigned) noexcept override {}

  const Settings settings_;
  std::vector<std::string> keys_;
  std::vector<std::uint64_t> items_;    // the messages: their numbers
  std::uint64_t clock_ = 1'000'000'000; // with steps
  std::vector<bool> asleep_;                    // with steps
  std::vector<std::unique_ptr<std::counting_semaphore<>>> wakeups_;     // with threads
  parallelize::Engine engine_;          // last: it calls back from its beginning on
};

}
