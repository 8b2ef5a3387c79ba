// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine-element.hpp"

namespace simulation {

namespace {

constexpr Time begin_of_time = 1'000'000'000;   // 0 means never to the engine
constexpr Time coarse_tick = 4'000'000;

}

EngineElement::EngineElement(Daemon &daemon, World &world)
  : daemon_(daemon), world_(world), costs_(world.costs), workers_(daemon.settings().workers),
    engine_(options_of(daemon.settings()), *this)
{
}

parallelize::EngineOptions
EngineElement::options_of(const Settings &settings)
{
  parallelize::EngineOptions options = {};
  options.workers = settings.workers;
  options.keyed = settings.keys != "none";
  options.batch_size = static_cast<unsigned>(settings.batch_size);
  options.quantum = static_cast<unsigned>(settings.quantum);
  options.prefetch = static_cast<unsigned>(settings.prefetch);
  options.outlets = settings.resequence ? 1 : 0;
  options.seed[0] = settings.seed;
  options.seed[1] = ~settings.seed;
  return options;
}

/* -- Threads -- */

void
EngineElement::spawn_workers()
{
  engine_.start();
  for (unsigned i = 0; i < workers_.size(); i++)
    {
      workers_[i].thread = &world_.spawn("worker " + std::to_string(i), [this, i] { worker_main(i); });
      forwarders_[workers_[i].thread] = &workers_[i];
    }
}

void
EngineElement::worker_main(unsigned index)
{
  Worker &self = workers_[index];
  for (;;)
    switch (engine_.run(index))
      {
      case parallelize::Turn::again:
        world_.spend(costs_.turn, Spent::daemon);
        break;
      case parallelize::Turn::napping:  // only after single messages, which these sources do not bring
      case parallelize::Turn::sleeping:
        while (!self.woken)
          world_.park();
        self.woken = false;
        world_.spend(costs_.turn, Spent::daemon);
        break;
      case parallelize::Turn::ended:
        return;
      }
}

void
EngineElement::wake(unsigned worker) noexcept
{
  world_.sync();
  workers_[worker].woken = true;
  world_.spend(costs_.wake, Spent::wakeups);
  world_.unpark(*workers_[worker].thread, costs_.wake_delay);
}

Forwarder &
EngineElement::forwarder()
{
  return *forwarders_.at(&world_.current());
}

/* -- A source's thread -- */

void
EngineElement::batch_begins(Source &source)
{
  forwarders_[source.thread] = &source;
  producers_[&source] = &engine_.open(parallelize::Producer::publishes | parallelize::Producer::assists, source.index + 1);
}

void
EngineElement::submit(Source &source, SimulatedMessage &message)
{
  if (producers_.at(&source)->submit(&message) == parallelize::Producer::Submitted::source_yields)
    {
      world_.spend(costs_.yield, Spent::wakeups);
      world_.sync();
      world_.yield();
    }
}

void
EngineElement::batch_ends(Source &source)
{
  daemon_.publish(source);
  engine_.close(*producers_.at(&source));
  producers_.erase(&source);
}

std::string_view
EngineElement::key(void *arrival) noexcept
{
  world_.spend(costs_.key, Spent::daemon);
  world_.spend(costs_.hash, Spent::engine);
  return daemon_.keys().name(static_cast<SimulatedMessage *>(arrival)->key);
}

parallelize::Message
EngineElement::pack(void *arrival) noexcept
{
  world_.spend(costs_.pack, Spent::daemon);
  world_.spend(costs_.submit, Spent::engine);
  return {arrival, 0, 0, 0};
}

void
EngineElement::forward_inline(parallelize::Runner &runner, void *arrival, std::uint32_t ticket) noexcept
{
  world_.spend(costs_.inlined, Spent::engine);
  SimulatedMessage &message = *static_cast<SimulatedMessage *>(arrival);
  daemon_.process(message, true);
  finish(runner, message, ticket);
}

/* -- Runners -- */

void
EngineElement::forward(parallelize::Runner &runner, const parallelize::Message &packed) noexcept
{
  world_.spend(costs_.run, Spent::engine);
  SimulatedMessage &message = *static_cast<SimulatedMessage *>(packed.handle);
  daemon_.process(message, false);
  finish(runner, message, packed.ticket);
}

void
EngineElement::finish(parallelize::Runner &runner, SimulatedMessage &message, std::uint32_t ticket)
{
  if (!daemon_.settings().resequence)
    {
      daemon_.forward(message, forwarder());
      return;
    }
  world_.spend(costs_.sequence, Spent::engine);
  runner.arrived(0, {&message, 0, ticket, 0});
}

void
EngineElement::forward_from_outlet(unsigned, const parallelize::Message &copy) noexcept
{
  world_.spend(costs_.run, Spent::engine);
  daemon_.forward(*static_cast<SimulatedMessage *>(copy.handle), forwarder());
}

void
EngineElement::publish(parallelize::OnThread on) noexcept
{
  Forwarder &self = forwarder();
  daemon_.publish(self);
  // The daemon's batch callbacks are a thread's, whoever asks for them.
  if (on == parallelize::OnThread::producer)
    if (const auto producer = producers_.find(&self); producer != producers_.end())
      producer->second->published();
}

/* -- The clock -- */

std::uint64_t
EngineElement::now() noexcept
{
  if (!world_.any_current())
    return begin_of_time;
  world_.spend(costs_.clock, Spent::clock);
  return begin_of_time + world_.now();
}

std::uint64_t
EngineElement::coarse_now() noexcept
{
  if (!world_.any_current())
    return begin_of_time;
  world_.spend(costs_.coarse_clock, Spent::clock);
  return (begin_of_time + world_.now()) / coarse_tick * coarse_tick;
}

parallelize::ThreadUsage
EngineElement::thread_usage() noexcept
{
  world_.spend(costs_.thread_usage, Spent::clock);
  return {world_.current().cpu(), world_.current().switches()};
}

}
