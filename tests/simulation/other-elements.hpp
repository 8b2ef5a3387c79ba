// SPDX-License-Identifier: LGPL-2.1-or-later
// What parallelize() is compared with.
#pragma once

#include "daemon.hpp"

namespace simulation {

// None: the source's thread does everything.
class NoElement : public Element
{
public:
  explicit NoElement(Daemon &daemon) : daemon_(daemon) {}

  void batch_begins(Source &) override {}
  void submit(Source &source, SimulatedMessage &message) override
  {
    daemon_.process(message, true);
    daemon_.forward(message, source);
  }
  void batch_ends(Source &source) override { daemon_.publish(source); }
  void spawn_workers() override {}
  void stop() override {}

private:
  Daemon &daemon_;
};

// As syslog-ng 4 does it: each key has its worker, by its hash; messages without a key
// go to one worker after the other.  What a batch has for a worker is handed over at
// the end of the batch.
class StaticHash : public Element
{
public:
  StaticHash(Daemon &daemon, World &world, Caches &caches)
    : daemon_(daemon), world_(world), caches_(caches), workers_(daemon.settings().workers)
  {
  }

  void batch_begins(Source &source) override;
  void submit(Source &source, SimulatedMessage &message) override;
  void batch_ends(Source &source) override;
  void spawn_workers() override;
  void stop() override;

private:
  struct alignas(64) Worker : Forwarder
  {
    Thread *thread = nullptr;
    std::vector<SimulatedMessage *> inbox;      // under the lock at its own address
    bool waits = false;
  };

  void worker_main(Worker &worker);

  Daemon &daemon_;
  World &world_;
  Caches &caches_;
  std::vector<Worker> workers_;
  std::unordered_map<const Source *, std::vector<std::vector<SimulatedMessage *>>> batches_;
  std::size_t turn_ = 0;
  bool stopped_ = false;
};

}
