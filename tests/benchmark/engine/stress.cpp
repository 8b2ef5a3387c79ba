// SPDX-License-Identifier: LGPL-2.1-or-later
#include "stress.hpp"

#include <time.h>

namespace stress {

namespace {

constexpr std::uint64_t most_inside = 20'000;   // messages: as a source's window
constexpr std::uint64_t coarse_tick = 4'000'000;

thread_local parallelize::Producer *producer_of_this_thread = nullptr;

std::uint64_t
clock_ns(clockid_t clock)
{
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

}

Stress::Stress(const Settings &settings)
  : settings_(settings), items_(settings.messages), asleep_(settings.workers), engine_(options_of(settings), *this)
{
  for (unsigned i = 0; i < settings.keys; i++)
    keys_.push_back("host-" + std::to_string(10000 + i));
  for (unsigned i = 0; i < settings.workers; i++)
    wakeups_.push_back(std::make_unique<std::counting_semaphore<>>(1));
  for (std::uint64_t i = 0; i < settings.messages; i++)
    items_[i] = i;
}

parallelize::EngineOptions
Stress::options_of(const Settings &settings)
{
  parallelize::EngineOptions options = {};
  options.workers = settings.workers;
  options.keyed = settings.keys > 0;
  options.batch_size = 128;
  options.quantum = 1000;
  options.prefetch = std::max(1536u, 128 * settings.workers);
  options.outlets = settings.resequence ? 1 : 0;
  options.seed[0] = 1;
  options.seed[1] = 2;
  return options;
}

std::uint64_t
Stress::run()
{
  const std::uint64_t started = clock_ns(CLOCK_MONOTONIC);
  if (settings_.steps)
    run_steps();
  else
    run_threads();
  return clock_ns(CLOCK_MONOTONIC) - started;
}

// Without the flags, the engine hands everything over.
void
Stress::bring_batch(std::uint64_t source, std::uint64_t first, std::uint64_t count)
{
  const unsigned flags = settings_.inlined ? unsigned{parallelize::Producer::publishes} : 0;
  parallelize::Producer &producer = engine_.open(flags, source);
  producer_of_this_thread = &producer;
  for (std::uint64_t i = first; i < first + count; i++)
    producer.submit(&items_[i]);
  producer_of_this_thread = nullptr;
  engine_.close(producer);
}

/* -- Steps -- */

void
Stress::run_steps()
{
  engine_.start();
  run_workers_in_turn();
  for (std::uint64_t first = 0; first < settings_.messages; first += settings_.batch)
    {
      bring_batch(1, first, std::min<std::uint64_t>(settings_.batch, settings_.messages - first));
      run_workers_in_turn();
    }
  engine_.stop();
  run_workers_in_turn();
}

void
Stress::run_workers_in_turn()
{
  for (bool any = true; any;)
    {
      any = false;
      for (unsigned i = 0; i < settings_.workers; i++)
        if (!asleep_[i])
          {
            any = true;
            asleep_[i] = engine_.run(i) != parallelize::Turn::again;
          }
    }
}

/* -- Threads -- */

void
Stress::run_threads()
{
  std::vector<std::thread> threads;

  engine_.start();
  for (unsigned i = 0; i < settings_.workers; i++)
    threads.emplace_back([this, i] { worker_main(i); });
  std::vector<std::thread> producers;
  for (unsigned i = 0; i < settings_.producers; i++)
    producers.emplace_back([this, i]
    {
      const std::uint64_t share = settings_.messages / settings_.producers;
      for (std::uint64_t done = 0; done < share; done += settings_.batch)
        {
          while (engine_.messages_inside() > most_inside)
            std::this_thread::yield();
          bring_batch(i + 1, i * share + done, std::min<std::uint64_t>(settings_.batch, share - done));
        }
    });
  for (std::thread &producer : producers)
    producer.join();
  engine_.stop();
  for (std::thread &worker : threads)
    worker.join();
}

void
Stress::worker_main(unsigned index)
{
  for (;;)
    {
      wakeups_[index]->acquire();
      parallelize::Turn turn;
      do
        turn = engine_.run(index);
      while (turn == parallelize::Turn::again);
      if (turn == parallelize::Turn::ended)
        return;
    }
}

void
Stress::wake(unsigned worker) noexcept
{
  asleep_[worker] = asleep_[worker] && !settings_.steps;
  if (!settings_.steps)
    wakeups_[worker]->release();
}

/* -- Messages -- */

void
Stress::work()
{
  if (settings_.steps)
    clock_ += settings_.work;
  else if (settings_.work)
    for (const std::uint64_t until = clock_ns(CLOCK_MONOTONIC) + settings_.work; clock_ns(CLOCK_MONOTONIC) < until;)
      ;
}

// Scattered: neighbours have different keys.
std::string_view
Stress::key(void *arrival) noexcept
{
  return keys_[(*static_cast<std::uint64_t *>(arrival) * 0x9e3779b9u >> 7) % keys_.size()];
}

void
Stress::forward_inline(parallelize::Runner &runner, void *arrival, std::uint32_t ticket) noexcept
{
  work();
  if (settings_.resequence)
    runner.arrived(0, {arrival, 0, ticket, 0});
}

void
Stress::forward(parallelize::Runner &runner, const parallelize::Message &message) noexcept
{
  forward_inline(runner, message.handle, message.ticket);
}

void
Stress::publish(parallelize::OnThread on) noexcept
{
  if (on == parallelize::OnThread::producer && producer_of_this_thread)
    producer_of_this_thread->published();
}

std::uint64_t
Stress::now() noexcept
{
  constexpr std::uint64_t look_ns = 25;
  return settings_.steps ? clock_ += look_ns : clock_ns(CLOCK_MONOTONIC);
}

std::uint64_t
Stress::coarse_now() noexcept
{
  return settings_.steps ? clock_ / coarse_tick * coarse_tick : clock_ns(CLOCK_MONOTONIC_COARSE);
}

}
