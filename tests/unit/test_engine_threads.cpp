// SPDX-License-Identifier: LGPL-2.1-or-later
// The engine with real threads: meant for ThreadSanitizer and AddressSanitizer.
//
// The tests themselves synchronise as little as they can, so that they hide no
// missing synchronisation of the engine: a message is touched without a lock,
// by whoever has it, and so is the count of its key.
//
//   PARALLELIZE_SEED           of the first random engine; the next one's is one more
//   PARALLELIZE_THREAD_ROUNDS  how many random engines, in each of the two tests

#include "dice.hpp"
#include "engine/engine.h"
#include "monitor/monitor.h"
#include "order-check.hpp"

#include <criterion/criterion.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr unsigned ordinary = PARALLELIZE_PRODUCER_BATCHES | PARALLELIZE_PRODUCER_HELPS;
constexpr unsigned cycles = 5;                          // of start and stop
constexpr unsigned messages_per_source = 20'000;
constexpr unsigned messages_per_tick = 250;             // of progress
constexpr unsigned ticks_per_phase = 15;                // of all sources together
constexpr unsigned keys = 50;

struct Message
{
  unsigned source = 0;
  unsigned key = 0;
  std::uint64_t number = 0;     // of its source and key
  std::uint64_t cost = 0;       // nanoseconds, of a clock that only messages advance
  unsigned published = 0;       // how often
  std::uint64_t ticket = 0;     // when
};

// With outlets: which copies of a message come to which, and whether it goes on elsewhere.
struct Route
{
  explicit Route(const Message &message)
    : to_first((message.number + message.key) % 3 != 0), to_second(message.number % 10 == 0),
      elsewhere(message.number % 50 == 7)
  {
  }

  const bool to_first;
  const bool to_second;
  const bool elsewhere;         // and a copy comes to the second from there
};
constexpr unsigned outlets = 2;

struct Traffic
{
  unsigned hot_percent = 0;     // share of one key
  std::vector<std::uint64_t> costs;
  bool pauses = false;          // all sources wait now and then until the engine is empty
  bool looks = false;           // another thread wakes workers for what waits, all the time: what nobody woke stays unseen
  std::vector<unsigned> sources = {ordinary, ordinary, 0};      // flags of each
  std::uint64_t seed = 0;
};

// What a thread of the daemon has of its own.
struct ThisThread
{
  std::vector<Message *> unpublished;
  ParallelizeProducer *producer = nullptr;
  unsigned flags = 0;
  std::uint64_t clock = 0;
};

thread_local ThisThread here;

// Counts events, and waits for them.
class Events
{
public:
  void
  happened()
  {
    std::lock_guard lock(mutex_);
    count_++;
    changed_.notify_all();
  }

  // False: there still are not `count` of them after a minute.
  bool
  wait_for(unsigned count)
  {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1), [=, this] { return count_ >= count; });
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned count_ = 0;
};

class Worker
{
public:
  void
  start(ParallelizeEngine *engine, unsigned index)
  {
    thread_ = std::thread([=, this] { work(engine, index); });
  }

  void join() { thread_.join(); }

  void
  wake()
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
    changed_.notify_one();
  }

private:
  void
  work(ParallelizeEngine *engine, unsigned index)
  {
    for (;;)
      switch (parallelize_engine_run(engine, index))
        {
        case PARALLELIZE_RUN_AGAIN:
          break;
        case PARALLELIZE_RUN_SLEEPING:
          sleep();
          break;
        case PARALLELIZE_RUN_ENDED:
          return;
        }
  }

  void
  sleep()
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return woken_; });
    woken_ = false;
  }

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
};

// Another element behind, with a thread of its own: releases the tickets that it is given.
class Elsewhere
{
public:
  explicit Elsewhere(std::function<void(std::uint32_t, Message *)> release)
    : release_(std::move(release)), thread_([this] { work(); })
  {
  }

  ~Elsewhere()
  {
    add(0, nullptr);
    thread_.join();
  }

  // nullptr: the last one.
  void
  add(std::uint32_t ticket, Message *message)
  {
    std::lock_guard lock(mutex_);
    waiting_.emplace_back(ticket, message);
    changed_.notify_one();
  }

private:
  void
  work()
  {
    for (;;)
      {
        std::vector<std::pair<std::uint32_t, Message *>> taken;
        {
          std::unique_lock lock(mutex_);
          changed_.wait(lock, [this] { return !waiting_.empty(); });
          taken.swap(waiting_);
        }
        for (const auto &[ticket, message] : taken)
          if (message)
            release_(ticket, message);
          else
            return;
      }
  }

  const std::function<void(std::uint32_t, Message *)> release_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<std::uint32_t, Message *>> waiting_;
  std::thread thread_;
};

class Daemon
{
public:
  Daemon(const ParallelizeEngineOptions &options, const Traffic &traffic)
    : options_(options), traffic_(traffic), workers_(options.workers)
  {
    static constexpr ParallelizeCallbacks callbacks = {
      .forward = [](void *self, ParallelizeRunner *runner, ParallelizeThread, const ParallelizeMessage *message)
      { static_cast<Daemon *>(self)->forward(*message, runner); },
      .forward_from_outlet = [](void *self, unsigned outlet, const ParallelizeMessage *message)
      { static_cast<Daemon *>(self)->forward_from_outlet(outlet, static_cast<Message *>(message->handle)); },
      .publish = [](void *self, ParallelizeThread) { static_cast<Daemon *>(self)->publish(); },
      .wake = [](void *self, unsigned worker) { static_cast<Daemon *>(self)->workers_[worker].wake(); },
      .now = [](void *) { return here.clock; },
      .message_id = nullptr,
      .hot_key = [](void *, const char *, size_t, unsigned) {},
    };
    engine_ = parallelize_engine_new(&options, &callbacks, this);
    // One more for each cycle: threads that come after the stop.
    for (unsigned source = 0; source < traffic.sources.size() + cycles; source++)
      messages_.push_back(random_messages(source, source < traffic.sources.size() ? messages_per_source
                                                                                  : messages_per_tick));
    for (const auto &messages : messages_)
      total_ += messages.size();
  }

  ~Daemon() { parallelize_engine_free(engine_); }

  void
  run()
  {
    elsewhere_ = std::make_unique<Elsewhere>([this](auto ticket, auto *message) { release(ticket, message); });
    std::thread watcher([this] { watch(); });
    std::vector<std::thread> sources;
    for (unsigned i = 0; i < traffic_.sources.size(); i++)
      sources.emplace_back([this, i] { bring(i, traffic_.sources[i]); });

    for (unsigned cycle = 0; cycle < cycles; cycle++)
      {
        start_workers();
        wait_for_progress();
        stop_workers();
        wait_for_progress();
        std::thread([this, cycle] { bring(traffic_.sources.size() + cycle, cycle % 2 ? ordinary : 0); }).join();
      }

    start_workers();
    for (std::thread &source : sources)
      source.join();
    cr_assert(all_published_.wait_for(1), "%llu of %llu messages are published",
              static_cast<unsigned long long>(published_.load()), static_cast<unsigned long long>(total_));
    elsewhere_.reset();
    stop_workers();
    finished_ = true;
    watcher.join();
    check();
    const ParallelizeEngineCounters totals = counters();
    cr_assert_eq(totals.entered, total_);
    cr_assert_eq(totals.processed, total_);
    cr_assert_eq(totals.waiting, 0);
  }

  ParallelizeEngineCounters
  counters() const
  {
    ParallelizeEngineCounters counters;
    parallelize_engine_get_counters(engine_, &counters);
    return counters;
  }

private:
  std::vector<Message>
  random_messages(unsigned source, unsigned count)
  {
    std::mt19937 random(traffic_.seed + source);
    std::vector<std::uint64_t> sent(keys);
    std::vector<Message> messages(count);
    for (Message &message : messages)
      {
        message.source = source;
        message.key = random() % 100 < traffic_.hot_percent ? 0 : random() % keys;
        message.number = sent[message.key]++;
        message.cost = traffic_.costs[random() % traffic_.costs.size()];
      }
    return messages;
  }

  void
  start_workers()
  {
    parallelize_engine_start(engine_);
    for (unsigned i = 0; i < workers_.size(); i++)
      workers_[i].start(engine_, i);
  }

  void
  stop_workers()
  {
    parallelize_engine_stop(engine_);
    for (Worker &worker : workers_)
      worker.join();
  }

  // Metrics are read while all others run.
  void
  watch()
  {
    static constexpr ParallelizeElementDescription element = {.id = "id", .location = "location", .key = "key"};
    static constexpr ParallelizeMonitorOptions options = {
      .cores = 1,
      .key_advice = "",
      .stuck_ns = UINT64_MAX,
      .stuck = nullptr,
      .stuck_no_more = nullptr,
      .user_data = nullptr,
    };
    ParallelizeMonitor *monitor = parallelize_monitor_new(engine_, &options, 0);
    std::size_t length = 0;
    ParallelizeEngineCounters last = counters();
    do
      {
        parallelize_monitor_tick(monitor, 0);
        parallelize_monitor_report(monitor, &element, 0, [](void *sum, const char *, size_t part)
        { *static_cast<std::size_t *>(sum) += part; }, &length);
        const ParallelizeEngineCounters counters = this->counters();
        cr_assert_leq(counters.in_flight, total_);
        cr_assert_leq(counters.waiting, total_);
        // What counts up never runs back.
        cr_assert_leq(counters.entered, total_);
        cr_assert_geq(counters.entered, last.entered);
        cr_assert_geq(counters.processed, last.processed);
        last = counters;
        if (traffic_.looks)
          parallelize_engine_wake_for_what_waits(engine_);
        std::this_thread::yield();
      }
    while (!finished_);
    cr_assert_gt(length, 0);
    parallelize_monitor_free(monitor);
  }

  void
  wait_for_progress()
  {
    ticks_seen_ += ticks_per_phase;
    cr_assert(progress_.wait_for(ticks_seen_), "the sources are stuck");
  }

  /* --- threads that bring messages --- */

  void
  bring(unsigned source, unsigned flags)
  {
    here.flags = flags;
    std::mt19937 random(traffic_.seed + source + 1000);
    unsigned until_end_of_batch = 0;
    unsigned done = 0;
    for (Message &message : messages_[source])
      {
        if (!until_end_of_batch--)
          {
            end_batch();
            until_end_of_batch = random() % 200;
          }
        send(message);
        if (here.producer && random() % 200 == 0)
          parallelize_producer_flush(here.producer);
        if (++done % messages_per_tick)
          continue;
        progress_.happened();
        if (traffic_.pauses && source < traffic_.sources.size())
          pause(done / messages_per_tick);
      }
    end_batch();
  }

  // The `number`th, from 1: all sources wait for each other with closed batches, then for the engine to be empty.
  void
  pause(unsigned number)
  {
    const unsigned sources = traffic_.sources.size();
    end_batch();
    pauses_begun_.happened();
    pauses_begun_.wait_for(number * sources);

    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (counters().in_flight + counters().released && !left_behind_)
      {
        std::this_thread::yield();
        if (std::chrono::steady_clock::now() > deadline)
          left_behind_ = true;
      }
    pauses_ended_.happened();
    pauses_ended_.wait_for(number * sources);
  }

  void
  send(Message &message)
  {
    for (;;)
      {
        if (!here.producer)
          here.producer = parallelize_producer_open(engine_, here.flags);
        switch (parallelize_producer_accept(here.producer))
          {
          case PARALLELIZE_ACCEPT_ENQUEUE:
            return enqueue(message);
          case PARALLELIZE_ACCEPT_FORWARD:
            return forward_directly(message);
          case PARALLELIZE_ACCEPT_FORWARD_TIMED:
            forward_directly(message);
            return parallelize_producer_timed(here.producer, message.cost);
          case PARALLELIZE_ACCEPT_PUBLISH:
            end_batch();
          }
      }
  }

  void
  enqueue(Message &message)
  {
    const std::string key = std::to_string(message.key);
    const ParallelizeMessage handed_over = {&message, 0, 0};
    switch (parallelize_producer_enqueue(here.producer, &handed_over, key.data(), key.size()))
      {
      case PARALLELIZE_ENQUEUE_FORWARD:
        return forward_directly(message);
      case PARALLELIZE_ENQUEUE_FORWARD_TIMED:
        forward_directly(message);
        return parallelize_producer_timed(here.producer, message.cost);
      case PARALLELIZE_ENQUEUED:
      case PARALLELIZE_ENQUEUED_OUTRUN:
        break;
      }
    if (!(here.flags & PARALLELIZE_PRODUCER_BATCHES))
      close();
  }

  void
  forward_directly(Message &message)
  {
    if (!options_.outlets)
      return process(&message);

    const std::uint32_t ticket = parallelize_producer_take_ticket(here.producer);
    const Route route(message);
    process(&message);
    const auto arrived = [&](unsigned outlet)
    {
      const ParallelizeMessage copy = {&message, 0, ticket};
      if (parallelize_producer_may_pass(here.producer, outlet, ticket))
        forward_from_outlet(outlet, &message);
      else
        parallelize_engine_arrived(engine_, outlet, &copy);
    };
    if (route.to_first)
      arrived(0);
    if (route.to_second)
      arrived(1);
    if (route.elsewhere)
      {
        parallelize_producer_hold_ticket(here.producer, ticket);
        elsewhere_->add(ticket, &message);
      }
    parallelize_producer_return_ticket(here.producer, ticket);
  }

  void
  end_batch()
  {
    make_visible();
    close();
  }

  void
  close()
  {
    if (!here.producer)
      return;
    parallelize_producer_report_window(here.producer, 100, 10, 90);
    parallelize_producer_close(std::exchange(here.producer, nullptr));
  }

  /* --- any thread --- */

  void
  forward(const ParallelizeMessage &handed_over, ParallelizeRunner *runner)
  {
    Message *message = static_cast<Message *>(handed_over.handle);
    const Route route(*message);
    process(message);
    if (!options_.outlets)
      return;
    if (route.to_first)
      parallelize_runner_arrived(runner, 0, &handed_over);
    if (route.to_second)
      parallelize_runner_arrived(runner, 1, &handed_over);
    if (!route.elsewhere)
      return;
    parallelize_runner_hold_ticket(runner, handed_over.ticket);
    elsewhere_->add(handed_over.ticket, message);
  }

  // The thread of `elsewhere_`.
  void
  release(std::uint32_t ticket, Message *message)
  {
    const ParallelizeMessage copy = {message, 0, ticket};
    parallelize_engine_arrived(engine_, 1, &copy);
    parallelize_engine_release_ticket(engine_, ticket);
  }

  // One thread at a time, and each sees what the one before it did.
  void
  forward_from_outlet(unsigned outlet, Message *message)
  {
    left_[outlet].push_back(message);
    here.clock += 100;
    if (message->number % 16 == 1)
      std::this_thread::yield();
  }

  void
  process(Message *message)
  {
    here.clock += message->cost;
    here.unpublished.push_back(message);
    if (options_.keyed)
      forwarded_[message->key]++;
    if (message->number % 16 == 0)
      std::this_thread::yield();
  }

  void
  publish()
  {
    make_visible();
    if (here.flags & PARALLELIZE_PRODUCER_BATCHES)
      close();
  }

  void
  make_visible()
  {
    for (Message *message : here.unpublished)
      {
        message->published++;
        message->ticket = tickets_.fetch_add(1, std::memory_order_relaxed);
      }
    const std::uint64_t count = here.unpublished.size();
    here.unpublished.clear();
    if (count && published_.fetch_add(count, std::memory_order_acq_rel) + count == total_)
      all_published_.happened();
  }

  /* --- when all threads have ended --- */

  void
  check() const
  {
    cr_assert_not(left_behind_, "messages waited inside, and nobody came for them");
    std::vector<const Message *> by_time;
    OrderCheck order;
    for (const auto &messages : messages_)
      for (const Message &message : messages)
        {
          cr_assert_eq(message.published, 1, "a message is published %u times", message.published);
          order.sent(message.source, std::to_string(message.key));
          by_time.push_back(&message);
        }
    std::sort(by_time.begin(), by_time.end(), [](auto *a, auto *b) { return a->ticket < b->ticket; });

    for (const Message *message : by_time)
      check_empty(order.published(message->source, std::to_string(message->key), message->number,
                                  options_.keyed ? OrderCheck::kept : OrderCheck::free_choice));
    check_empty(order.finished());
    cr_assert_eq(counters().in_flight, 0);
    cr_assert_eq(counters().parked, 0);
    if (options_.outlets)
      check_outlets();
  }

  // Of each source: what it sent, in that order, all keys together.
  void
  check_outlets() const
  {
    for (const auto &messages : messages_)
      {
        std::vector<const Message *> expected[outlets], left[outlets];
        for (const Message &message : messages)
          {
            const Route route(message);
            if (route.to_first)
              expected[0].push_back(&message);
            for (int copies = route.to_second + route.elsewhere; copies; copies--)
              expected[1].push_back(&message);
          }
        for (unsigned outlet = 0; outlet < outlets; outlet++)
          {
            std::copy_if(left_[outlet].begin(), left_[outlet].end(), std::back_inserter(left[outlet]),
                         [&](const Message *message) { return message->source == messages.front().source; });
            cr_assert(left[outlet] == expected[outlet], "outlet %u is out of order", outlet);
          }
      }
  }

  static void check_empty(const std::string &complaint) { cr_assert(complaint.empty(), "%s", complaint.c_str()); }

  const ParallelizeEngineOptions options_;
  const Traffic traffic_;
  ParallelizeEngine *engine_;
  std::vector<Worker> workers_;
  std::vector<std::vector<Message>> messages_;          // of each source
  std::atomic<bool> finished_{false};
  std::uint64_t total_ = 0;
  unsigned forwarded_[keys] = {};                       // on purpose neither atomic nor locked
  Events progress_;
  unsigned ticks_seen_ = 0;
  Events pauses_begun_;
  Events pauses_ended_;
  std::atomic<bool> left_behind_{false};                // in a pause
  std::atomic<std::uint64_t> tickets_{0};
  std::atomic<std::uint64_t> published_{0};
  Events all_published_;
  std::vector<const Message *> left_[outlets];          // on purpose not locked
  std::unique_ptr<Elsewhere> elsewhere_;
};

ParallelizeEngineOptions
keyed(unsigned workers)
{
  return {
    .workers = workers,
    .keyed = true,
    .empty_key_round_robin = false,
    .batch_size = 100,
    .quantum = 100,
    .prefetch = 2'000,
    .outlets = 0,
    .seed = {1, 2},
  };
}

constexpr std::uint64_t cheap = 300;
constexpr std::uint64_t medium = 8'000;
constexpr std::uint64_t slow = 100'000;

// At least two sources: one alone would end before all cycles are over.
Traffic
random_traffic(Dice &dice)
{
  Traffic traffic = {
    .hot_percent = dice.one_of({0u, 20u, 50u, 90u, 100u}),
    .costs = {},
    .pauses = dice.one_in(2),
    .looks = dice.one_in(2),
    .sources = {},
    .seed = dice.any(),
  };
  for (unsigned i = dice.from_to(1, 10); i; i--)
    traffic.costs.push_back(dice.one_of({cheap, cheap, medium, slow}));
  for (unsigned i = dice.from_to(2, 4); i; i--)
    traffic.sources.push_back(dice.one_of({0u, unsigned{PARALLELIZE_PRODUCER_BATCHES}, ordinary, ordinary}));
  return traffic;
}

void
run_random_engines(bool has_outlets)
{
  const std::uint64_t seed = environment("PARALLELIZE_SEED", std::random_device()());
  const std::uint64_t rounds = environment("PARALLELIZE_THREAD_ROUNDS", 2);
  for (std::uint64_t round = 0; round < rounds; round++)
    {
      // Before it runs: a failure ends the process.
      std::fprintf(stderr, "with%s outlets: PARALLELIZE_SEED=%" PRIu64 " PARALLELIZE_THREAD_ROUNDS=1\n",
                   has_outlets ? "" : "out", seed + round);
      SeededDice dice(seed + round);
      ParallelizeEngineOptions options = random_options(dice);
      options.outlets = has_outlets ? outlets : 0;
      Daemon daemon(options, random_traffic(dice));
      daemon.run();
    }
}

}

TestSuite(threads, .timeout = 240);

Test(threads, many_keys)
{
  Daemon daemon(keyed(3), {.hot_percent = 0, .costs = {medium}});
  daemon.run();
}

Test(threads, a_hot_key)
{
  Daemon daemon(keyed(3), {.hot_percent = 50, .costs = {medium}});
  daemon.run();
}

Test(threads, one_key_only)
{
  Daemon daemon(keyed(2), {.hot_percent = 100, .costs = {medium}});
  daemon.run();
}

Test(threads, slow_messages)
{
  Daemon daemon(keyed(3), {.hot_percent = 20, .costs = {slow}});
  daemon.run();
}

Test(threads, cheap_messages)
{
  Daemon daemon(keyed(2), {.hot_percent = 20, .costs = {cheap}, .pauses = true});
  daemon.run();
  cr_assert_gt(daemon.counters().forwarded_directly, 0);
}

// Now and then the average passes the threshold to forward directly.
Test(threads, messages_that_are_cheap_at_times)
{
  const std::vector<std::uint64_t> costs = {200, 200, 200, 200, 200, 200, 200, 200, 6'000};
  Daemon daemon(keyed(2), {.hot_percent = 20, .costs = costs, .pauses = true});
  daemon.run();
}

Test(threads, a_single_worker_with_helpers)
{
  ParallelizeEngineOptions options = keyed(1);
  options.batch_size = 10;
  options.prefetch = 50;
  Daemon daemon(options, {.hot_percent = 50, .costs = {medium, slow}});
  daemon.run();
  cr_assert_gt(daemon.counters().helped, 0);
}

Test(threads, short_quanta)
{
  ParallelizeEngineOptions options = keyed(4);
  options.batch_size = 1;
  options.quantum = 1;
  options.prefetch = 20;
  Daemon daemon(options, {.hot_percent = 50, .costs = {medium}});
  daemon.run();
}

// Whoever still helps when the workers end leaves nothing behind either.
Test(threads, helpers_that_outlive_the_workers)
{
  ParallelizeEngineOptions options = keyed(1);
  options.batch_size = 1;
  options.quantum = 2;
  options.prefetch = 1;
  Daemon daemon(options, {.hot_percent = 100, .costs = {medium}, .pauses = true});
  daemon.run();
}

Test(threads, without_keys)
{
  ParallelizeEngineOptions options = keyed(3);
  options.keyed = false;
  Daemon daemon(options, {.hot_percent = 0, .costs = {cheap, medium}});
  daemon.run();
}

Test(threads, random_engines_and_traffic)
{
  run_random_engines(false);
}

/* ------------------------------------------------------------------------
 * With outlets
 * ------------------------------------------------------------------------ */

TestSuite(resequence_threads, .timeout = 240);

namespace {

ParallelizeEngineOptions
with_outlets(ParallelizeEngineOptions options, bool has_key)
{
  options.keyed = has_key;
  options.outlets = outlets;
  return options;
}

}

Test(resequence_threads, without_keys)
{
  Daemon daemon(with_outlets(keyed(3), false), {.hot_percent = 0, .costs = {medium}, .pauses = true});
  daemon.run();
}

Test(resequence_threads, many_keys)
{
  Daemon daemon(with_outlets(keyed(3), true), {.hot_percent = 20, .costs = {medium, slow}});
  daemon.run();
}

Test(resequence_threads, cheap_messages)
{
  Daemon daemon(with_outlets(keyed(2), false), {.hot_percent = 0, .costs = {cheap}, .pauses = true});
  daemon.run();
}

Test(resequence_threads, cheap_messages_with_keys)
{
  Daemon daemon(with_outlets(keyed(2), true), {.hot_percent = 20, .costs = {cheap}, .pauses = true});
  daemon.run();
}

Test(resequence_threads, messages_that_are_cheap_at_times)
{
  const std::vector<std::uint64_t> costs = {200, 200, 200, 200, 200, 200, 200, 200, 6'000};
  Daemon daemon(with_outlets(keyed(2), true), {.hot_percent = 20, .costs = costs});
  daemon.run();
}

Test(resequence_threads, a_single_worker_with_helpers)
{
  ParallelizeEngineOptions options = with_outlets(keyed(1), false);
  options.batch_size = 10;
  options.prefetch = 50;
  Daemon daemon(options, {.hot_percent = 50, .costs = {medium, slow}});
  daemon.run();
  cr_assert_gt(daemon.counters().helped, 0);
}

Test(resequence_threads, helpers_that_outlive_the_workers)
{
  ParallelizeEngineOptions options = with_outlets(keyed(1), true);
  options.batch_size = 1;
  options.quantum = 2;
  options.prefetch = 1;
  Daemon daemon(options, {.hot_percent = 100, .costs = {medium}, .pauses = true});
  daemon.run();
}

Test(resequence_threads, random_engines_and_traffic)
{
  run_random_engines(true);
}
