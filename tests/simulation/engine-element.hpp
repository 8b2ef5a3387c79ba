// SPDX-License-Identifier: LGPL-2.1-or-later
// parallelize(): the engine itself, with virtual threads around it.
#pragma once

#include "daemon.hpp"

#include "engine/engine.hpp"

namespace simulation {

class EngineElement : public Element, private parallelize::Callbacks
{
public:
  EngineElement(Daemon &daemon, World &world);

  void batch_begins(Source &source) override;
  void submit(Source &source, SimulatedMessage &message) override;
  void batch_ends(Source &source) override;
  void spawn_workers() override;
  void stop() override { engine_.stop(); }
  void look() override { engine_.rescan_sleepers(); }

  const parallelize::Engine &engine() const { return engine_; }

private:
  struct Worker : Forwarder
  {
    Thread *thread = nullptr;
    bool woken = false;
  };

  static parallelize::EngineOptions options_of(const Settings &settings);
  void worker_main(unsigned index);
  Forwarder &forwarder();
  void finish(parallelize::Runner &runner, SimulatedMessage &message, std::uint32_t ticket);

  std::string_view key(void *arrival) noexcept override;
  parallelize::Message pack(void *arrival) noexcept override;
  void forward_inline(parallelize::Runner &runner, void *arrival, std::uint32_t ticket) noexcept override;
  void forward(parallelize::Runner &runner, const parallelize::Message &message) noexcept override;
  void forward_from_outlet(unsigned outlet, const parallelize::Message &copy) noexcept override;
  void publish(parallelize::OnThread on) noexcept override;
  void wake(unsigned worker) noexcept override;
  std::uint64_t now() noexcept override;
  std::uint64_t coarse_now() noexcept override;
  parallelize::ThreadUsage thread_usage() noexcept override;
  std::uint64_t message_id(const parallelize::Message &) noexcept override { return 0; }
  std::uint64_t age(const parallelize::Message &) noexcept override { return 0; }
  std::uint64_t age_of_arrival(void *) noexcept override { return 0; }
  void hot_key(std::string_view, unsigned) noexcept override {}

  Daemon &daemon_;
  World &world_;
  const Costs &costs_;
  std::vector<Worker> workers_;
  std::unordered_map<const Thread *, Forwarder *> forwarders_;
  std::unordered_map<const Forwarder *, parallelize::Producer *> producers_;    // of open batches
  parallelize::Engine engine_;  // last: it calls back from its beginning on
};

}
