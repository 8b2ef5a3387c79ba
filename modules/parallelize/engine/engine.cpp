// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine.hpp"

#include <algorithm>

namespace parallelize {

namespace {

constexpr std::uint64_t stuck_ns = 1'000'000'000;       // between two calls of rescan_sleepers()

}

Engine::Engine(const EngineOptions &options, Callbacks &callbacks)
  : core_(options, callbacks), source_costs_(std::make_unique<SourceCost[]>(1u << source_cost_bits))
{
  for (unsigned i = 0; i < options.workers; i++)
    workers_.push_back(std::make_unique<Worker>(i, core_));
  messages_before_.resize(options.workers);
}

Engine::~Engine() = default;

/* -- Life cycle -- */

void
Engine::start()
{
  core_.scheduler.start();
  core_.stopping.store(false);
}

void
Engine::stop()
{
  core_.stopping.store(true);
  core_.scheduler.wake_all();
}

void
Engine::rescan_sleepers()
{
  core_.scheduler.rescan_sleepers();
  for (std::size_t i = 0; i < workers_.size(); i++)
    {
      // A runner notes a message that blocks when it ends, which may be long from now.
      const RunnerCounters &worker = workers_[i]->runner.counters;
      const std::uint64_t messages = worker.message.sequence();
      const std::uint64_t since = worker.busy_since.get();
      const std::uint64_t now = this->now();
      if (since && messages == messages_before_[i] && now > since + harmful_ns)
        core_.cost.note_blocking(now, std::min(now - since, stuck_ns));
      messages_before_[i] = messages;
    }
}

/* -- Producers -- */

SourceCost &
Engine::cost_of(std::uint64_t source)
{
  // Fibonacci hashing (Knuth): numbers of sources are addresses
  return source_costs_[(source * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - source_cost_bits)];
}

Producer &
Engine::open(unsigned flags, std::uint64_t source)
{
  Producer *producer;
  {
    std::lock_guard lock(producers_mutex_);
    producer = free_producers_;
    if (producer)
      free_producers_ = producer->next_free_;
    else
      producer = producers_.emplace_back(std::make_unique<Producer>(core_)).get();
  }

  // The last worker ends when it finds, under the lock, that stop() was called
  // and no producer is open.  Both sides are sequentially consistent: either it
  // sees this increment and stays for our batch, or we see `stopping` and ask,
  // under the lock, whether it has gone.
  core_.open.fetch_add(1);
  producer->open(flags, cost_of(source), core_.stopping.load() && !core_.scheduler.any_worker_alive());
  return *producer;
}

void
Engine::close(Producer &producer)
{
  producer.close();
  {
    std::lock_guard lock(producers_mutex_);
    producer.next_free_ = free_producers_;
    free_producers_ = &producer;
  }
  if (core_.open.fetch_sub(1) == 1 && core_.stopping.load())
    core_.scheduler.wake_all();
}

/* -- Tickets of messages that went on to other threads -- */

void
Engine::release_ticket(std::uint32_t ticket)
{
  StrandList due = core_.sequencer->done(ticket);
  if (!due.empty() && !core_.scheduler.schedule_outlets(due))
    Runner(OnThread::producer, core_).drain_outlets();
  // Sequentially consistent: either this thread sees `stopping`, or the worker
  // that stop() wakes sees that the ticket is done.
  if (core_.stopping.load() && core_.sequencer->idle())
    core_.scheduler.wake_all();
}

/* -- Metrics -- */

std::vector<const Producer *>
Engine::producers() const
{
  std::vector<const Producer *> result;
  std::lock_guard lock(producers_mutex_);
  for (const auto &producer : producers_)
    result.push_back(producer.get());
  return result;
}

EngineCounters
Engine::counters() const
{
  EngineCounters result;
  std::uint64_t published = 0;
  std::uint64_t started = 0;
  std::uint64_t handed_over = 0;
  std::uint64_t inlined = 0;

  for (unsigned i = 0; i < core_.options.workers; i++)
    {
      const RunnerCounters &worker = workers_[i]->runner.counters;
      published += worker.processed.get();
      started += worker.message.started();
      result.stolen += worker.stolen.get();
      result.wakeups += core_.scheduler.wakeups(i);
    }
  for (const Producer *producer : producers())
      {
        const RunnerCounters &runner = producer->runner.counters;
        const ProducerCounters &counters = producer->counters;
        published += runner.processed.get();
        started += runner.message.started();
        result.stolen += runner.stolen.get();
        for (std::size_t i = 0; i < inline_reasons; i++)
          result.inlined[i] += counters.inlined[i].get();
        // Read once: these were handed over, and are not counted again as inline.
        const std::uint64_t assisted = counters.assisted.get();
        result.inlined[static_cast<std::size_t>(InlineReason::crowded)] += assisted;
        inlined -= assisted;
        handed_over += counters.handed_over.get();
        result.hand_overs += counters.hand_overs.get();
        result.ordered += counters.ordered.get();
        result.empty_keys += counters.empty_keys.get();
        result.saw_key = result.saw_key || counters.saw_key.get();
        result.sources_busy_ns += counters.inline_busy_ns.get() + runner.busy.read([this] { return now(); });
        result.fetch_limited += counters.fetch_limited.get();
        result.source_yields += counters.yields.get();
      }
  for (const std::uint64_t count : result.inlined)
    inlined += count;
  result.too_cheap = result.inlined[static_cast<std::size_t>(InlineReason::too_cheap)];
  for (const std::uint64_t count : result.inlined)
    result.worth_a_hand_over += count;
  result.worth_a_hand_over -= result.too_cheap;

  result.entered = handed_over + inlined;
  result.processed = published + inlined;
  result.in_flight = excess(handed_over, published);
  result.waiting = excess(handed_over, started);
  if (core_.sequencer)
    {
      result.parked = core_.sequencer->parked();
      result.released = core_.sequencer->released();
    }
  return result;
}

BatchSizes
Engine::batch_sizes() const
{
  SizeTotals came;
  SizeTotals handed_over;

  for (const Producer *producer : producers())
    {
      came.add(producer->counters.batches);
      handed_over.add(producer->counters.hand_over_sizes);
    }
  return {came.read(), handed_over.read()};
}

WorkerCounters
Engine::worker_counters(unsigned index) const
{
  const RunnerCounters &worker = workers_[index]->runner.counters;
  WorkerCounters result;

  result.processed = worker.processed.get();
  result.assigned = worker.message.started();
  result.waiting = worker.waiting.get() + core_.scheduler.local_tasks(index);
  result.stolen = worker.stolen.get();
  result.wakeups = core_.scheduler.wakeups(index);

  std::uint64_t time = 0;
  result.busy_ns = worker.busy.read([&] { return time = now(); });
  result.idle_ns = excess(time - core_.created, result.busy_ns);
  return result;
}

std::vector<Engine::Runners>
Engine::runners() const
{
  std::vector<Runners> result;
  for (const auto &worker : workers_)
    result.push_back({worker->runner.counters.message.sequence(), worker->runner.counters.busy_since.get()});
  for (const Producer *producer : producers())
    result.push_back({producer->runner.counters.message.sequence(), producer->counters.inside_since.get()});
  return result;
}

bool
Engine::running_message(std::size_t runner, RunningMessage::Identity &identity) const
{
  if (runner < workers_.size())
    return workers_[runner]->runner.counters.message.read(identity);
  return producers()[runner - workers_.size()]->runner.counters.message.read(identity);
}

}
