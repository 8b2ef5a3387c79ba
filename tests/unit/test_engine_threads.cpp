// SPDX-License-Identifier: LGPL-2.1-or-later
// The engine with real threads: meant for ThreadSanitizer and AddressSanitizer.
//
// The tests themselves synchronise as little as they can, so that they hide no
// missing synchronisation of the engine: a thread touches its message without a
// lock, and so the counts of its key.
//
// A message takes no real time, but moves its thread's clock.  Between messages
// the clocks follow the real time, and run faster: trials and waits come often.
//
//   PARALLELIZE_SEED           of the first random engine; the next one's is one more
//   PARALLELIZE_THREAD_ROUNDS  how many random engines, in each of the two tests

#include "dice.hpp"
#include "engine/engine.hpp"
#include "order-check.hpp"

#include <criterion/criterion.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using parallelize::InlineReason;
using parallelize::Producer;
using parallelize::Runner;

constexpr unsigned ordinary = Producer::publishes | Producer::assists;
constexpr unsigned cycles = 5;                          // of start and stop
constexpr unsigned messages_per_source = 20'000;
constexpr unsigned messages_per_tick = 250;             // of progress
constexpr unsigned ticks_per_phase = 15;                // of all sources together
constexpr unsigned keys = 50;
constexpr unsigned times_faster = 1'000;
constexpr std::uint64_t blocking = 20'000'000;          // nanoseconds: messages that take so long block their thread

struct Message
{
  unsigned source = 0;
  unsigned key = 0;
  std::uint64_t number = 0;     // of its source and key
  std::uint64_t cost = 0;       // nanoseconds
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
  unsigned blocking_one_in = 0; // messages; 0: none
  bool pauses = false;          // all sources wait now and then until the engine is empty
  bool looks = false;           // another thread wakes workers all the time, and hides that a wake-up is missing
  std::vector<unsigned> sources = {ordinary, ordinary | Producer::single, 0};      // flags of each
  std::uint64_t seed = 0;
};

// A thread of the daemon.
struct ThisThread
{
  std::vector<Message *> unpublished;
  Producer *producer = nullptr;
  unsigned flags = 0;
  std::string key;              // of the arrival that was looked at last
  std::uint64_t clock = 0;
  parallelize::ThreadUsage usage = {};

  void
  look_at_real_time()
  {
    const auto time = std::chrono::steady_clock::now().time_since_epoch();
    const std::uint64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(time).count() * times_faster;
    clock = std::max(clock, now);
  }

  void
  spend(std::uint64_t nanoseconds)
  {
    clock += nanoseconds;
    if (nanoseconds >= blocking)
      usage.voluntary_switches++;
    else
      usage.cpu_ns += nanoseconds;
  }
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
  start(parallelize::Engine &engine, unsigned index)
  {
    thread_ = std::thread([&engine, index, this] { work(engine, index); });
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
  work(parallelize::Engine &engine, unsigned index)
  {
    bool nap_over = false;
    for (;;)
      {
        here.look_at_real_time();
        switch (std::exchange(nap_over, false) ? engine.run_after_nap(index) : engine.run(index))
          {
          case parallelize::Turn::again:
            break;
          case parallelize::Turn::sleeping:
            sleep();
            break;
          case parallelize::Turn::napping:
            nap_over = !nap();
            break;
          case parallelize::Turn::ended:
            return;
          }
      }
  }

  void
  sleep()
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return woken_; });
    woken_ = false;
  }

  // True if it was woken.
  bool
  nap()
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::nanoseconds(parallelize::nap_ns), [this] { return woken_; });
    return std::exchange(woken_, false);
  }

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
};

// Another element that follows, with a thread of its own: releases the tickets that it is given.
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

class Daemon : private parallelize::Callbacks
{
public:
  Daemon(const parallelize::EngineOptions &options, const Traffic &traffic)
    : options_(options), traffic_(traffic), workers_(options.workers), engine_(options, *this)
  {
    // One more for each cycle: threads that come after the stop.
    for (unsigned source = 0; source < traffic.sources.size() + cycles; source++)
      messages_.push_back(random_messages(source, source < traffic.sources.size() ? messages_per_source
                                                                                  : messages_per_tick));
    for (const auto &messages : messages_)
      total_ += messages.size();
    forwarded_.resize(messages_.size());
  }

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
    const parallelize::EngineCounters totals = counters();
    cr_assert_eq(totals.entered, total_);
    cr_assert_eq(totals.processed, total_);
    cr_assert_eq(totals.waiting, 0);
  }

  parallelize::EngineCounters counters() const { return engine_.counters(); }

  std::uint64_t
  inlined(InlineReason reason) const
  {
    return counters().inlined[static_cast<std::size_t>(reason)];
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
        if (traffic_.blocking_one_in && random() % traffic_.blocking_one_in == 0)
          message.cost = blocking;
      }
    return messages;
  }

  void
  start_workers()
  {
    engine_.start();
    for (unsigned i = 0; i < workers_.size(); i++)
      workers_[i].start(engine_, i);
  }

  void
  stop_workers()
  {
    engine_.stop();
    for (Worker &worker : workers_)
      worker.join();
  }

  // Metrics are read while all others run.
  void
  watch()
  {
    parallelize::EngineCounters last = counters();
    std::uint64_t seen = 0;
    do
      {
        here.look_at_real_time();
        seen += look_at_everything();
        const parallelize::EngineCounters counters = this->counters();
        cr_assert_leq(counters.in_flight, total_);
        cr_assert_leq(counters.waiting, total_);
        // What counts up never runs back.
        cr_assert_leq(counters.entered, total_);
        cr_assert_geq(counters.entered, last.entered);
        cr_assert_geq(counters.processed, last.processed);
        last = counters;
        if (traffic_.looks)
          engine_.rescan_sleepers();
        std::this_thread::yield();
      }
    while (!finished_);
    seen += look_at_everything();
    cr_assert_gt(seen, 0);
  }

  // What a monitor reads.
  std::uint64_t
  look_at_everything() const
  {
    std::uint64_t sum = engine_.messages_inside() + engine_.blocks();
    for (unsigned i = 0; i < options_.workers; i++)
      {
        const parallelize::WorkerCounters counters = engine_.worker_counters(i);
        sum += counters.assigned + counters.processed + counters.waiting + counters.busy_ns + counters.wakeups;
      }
    const auto runners = engine_.runners();
    for (std::size_t i = 0; i < runners.size(); i++)
      {
        parallelize::RunningMessage::Identity identity;
        if (engine_.running_message(i, identity))
          sum += identity.sequence + identity.id + identity.key.view().size();
      }
    sum += engine_.keys_by_messages().report().total;
    const parallelize::Samples &samples = engine_.samples();
    sum += samples.keys_by_time.report().total;
    for (const auto *histogram : {&samples.waiting, &samples.processing, &samples.latencies, &samples.resequencing})
      sum += histogram->sum();
    return sum + engine_.windows().came;
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
          here.producer->flush();
        if (here.producer && random() % 200 == 0)
          publish_own();
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
    if (!here.producer)
      {
        here.look_at_real_time();
        here.producer = &engine_.open(here.flags, message.source + 1);
      }
    here.producer->submit(&message);
    if (!(here.flags & Producer::publishes))
      end_batch();
  }

  // In the middle of a batch.
  void
  publish_own()
  {
    make_visible();
    here.producer->published();
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
    here.producer->report_window(100, 10, 90);
    engine_.close(*std::exchange(here.producer, nullptr));
  }

  /* --- any thread --- */

  std::string_view
  key(void *arrival) noexcept override
  {
    return here.key = std::to_string(static_cast<Message *>(arrival)->key);
  }

  parallelize::Message
  pack(void *arrival) noexcept override
  {
    here.key = "?";
    return {arrival, 0, 0, 0};
  }

  void
  forward_inline(Runner &runner, void *arrival, std::uint32_t ticket) noexcept override
  {
    process(runner, static_cast<Message *>(arrival), ticket);
  }

  void
  forward(Runner &runner, const parallelize::Message &handed_over) noexcept override
  {
    Message *message = static_cast<Message *>(handed_over.handle);
    if (options_.keyed)
      run_[message->key]++;
    process(runner, message, handed_over.ticket);
  }

  void
  process(Runner &runner, Message *message, std::uint32_t ticket)
  {
    const Route route(*message);
    here.spend(message->cost);
    here.unpublished.push_back(message);
    if (options_.keyed)
      forwarded_[message->source].of_key[message->key]++;
    if (message->number % 16 == 0)
      std::this_thread::yield();
    // A destination may publish for a reason of its own.
    if (here.producer && message->number % 64 == 5)
      here.producer->published();
    if (!options_.outlets)
      return;
    const parallelize::Message copy = {message, 0, ticket, 0};
    if (route.to_first)
      runner.arrived(0, copy);
    if (route.to_second)
      runner.arrived(1, copy);
    if (!route.elsewhere)
      return;
    runner.retain_ticket(ticket);
    elsewhere_->add(ticket, message);
  }

  // The thread of `elsewhere_`.
  void
  release(std::uint32_t ticket, Message *message)
  {
    here.look_at_real_time();
    engine_.arrived(1, {message, 0, ticket, 0});
    engine_.release_ticket(ticket);
  }

  // One thread at a time, and each sees what the one before it did.
  void
  forward_from_outlet(unsigned outlet, const parallelize::Message &copy) noexcept override
  {
    const Message *message = static_cast<Message *>(copy.handle);
    left_[outlet].push_back(message);
    here.spend(100);
    if (message->number % 16 == 1)
      std::this_thread::yield();
  }

  void
  publish(parallelize::OnThread) noexcept override
  {
    make_visible();
    if (here.producer)
      here.producer->published();
  }

  void wake(unsigned worker) noexcept override { workers_[worker].wake(); }

  std::uint64_t now() noexcept override { return here.clock; }

  std::uint64_t
  coarse_now() noexcept override
  {
    constexpr std::uint64_t tick = 4'000'000;
    return here.clock / tick * tick;
  }

  parallelize::ThreadUsage thread_usage() noexcept override { return here.usage; }

  std::uint64_t
  message_id(const parallelize::Message &message) noexcept override
  {
    return static_cast<Message *>(message.handle)->number;
  }

  std::uint64_t age(const parallelize::Message &) noexcept override { return 0; }
  std::uint64_t age_of_arrival(void *) noexcept override { return 0; }

  void hot_key(std::string_view, unsigned) noexcept override {}

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

  const parallelize::EngineOptions options_;
  const Traffic traffic_;
  std::vector<Worker> workers_;
  std::vector<std::vector<Message>> messages_;          // of each source
  std::atomic<bool> finished_{false};
  std::uint64_t total_ = 0;
  // On purpose neither atomic nor locked: how often messages were processed
  struct PerKey
  {
    unsigned of_key[keys] = {};
  };
  std::vector<PerKey> forwarded_;                       // of one source and key
  unsigned run_[keys] = {};                             // of one key, handed over
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
  parallelize::Engine engine_;                          // last: it calls back from its beginning on
};

parallelize::EngineOptions
keyed(unsigned workers)
{
  return {
    .workers = workers,
    .keyed = true,
    .empty_key_round_robin = false,
    .message_ids = true,
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
    .blocking_one_in = 0,
    .pauses = dice.one_in(2),
    .looks = dice.one_in(2),
    .sources = {},
    .seed = dice.any(),
  };
  for (unsigned i = dice.from_to(1, 10); i; i--)
    traffic.costs.push_back(dice.one_of({cheap, cheap, medium, slow}));
  if (dice.one_in(3))
    traffic.blocking_one_in = dice.one_of({20u, 500u});
  for (unsigned i = dice.from_to(2, 4); i; i--)
    traffic.sources.push_back(dice.one_of({0u, unsigned{Producer::single}, unsigned{Producer::publishes}, ordinary,
                                           ordinary | Producer::single}));
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
      parallelize::EngineOptions options = random_options(dice);
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
  cr_assert_gt(daemon.inlined(InlineReason::too_cheap), 0);
}

// Now and then the mean passes a limit between inline and handed over.
Test(threads, messages_that_are_cheap_at_times)
{
  const std::vector<std::uint64_t> costs = {200, 200, 200, 200, 200, 200, 200, 200, 6'000};
  Daemon daemon(keyed(2), {.hot_percent = 20, .costs = costs, .pauses = true});
  daemon.run();
}

// Trials and waits: sources go inline and come back.
Test(threads, cheap_messages_that_block_seldom)
{
  Daemon daemon(keyed(3), {.hot_percent = 20, .costs = {cheap}, .blocking_one_in = 500});
  daemon.run();
}

Test(threads, a_single_worker_with_assisting_sources)
{
  parallelize::EngineOptions options = keyed(1);
  options.batch_size = 10;
  options.prefetch = 20;
  Daemon daemon(options, {.hot_percent = 50, .costs = {medium, slow}});
  daemon.run();
}

Test(threads, short_quanta)
{
  parallelize::EngineOptions options = keyed(4);
  options.batch_size = 1;
  options.quantum = 1;
  options.prefetch = 20;
  Daemon daemon(options, {.hot_percent = 50, .costs = {medium}});
  daemon.run();
}

// A source that still assists when the workers end leaves nothing behind either.
Test(threads, assisting_sources_that_outlive_the_workers)
{
  parallelize::EngineOptions options = keyed(1);
  options.batch_size = 1;
  options.quantum = 2;
  options.prefetch = 1;
  Daemon daemon(options, {.hot_percent = 100, .costs = {medium}, .pauses = true});
  daemon.run();
}

Test(threads, without_keys)
{
  parallelize::EngineOptions options = keyed(3);
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

parallelize::EngineOptions
with_outlets(parallelize::EngineOptions options, bool has_key)
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

Test(resequence_threads, cheap_messages_that_block_seldom)
{
  Daemon daemon(with_outlets(keyed(3), true), {.hot_percent = 20, .costs = {cheap}, .blocking_one_in = 500});
  daemon.run();
}

Test(resequence_threads, a_single_worker_with_assisting_sources)
{
  parallelize::EngineOptions options = with_outlets(keyed(1), false);
  options.batch_size = 10;
  options.prefetch = 20;
  Daemon daemon(options, {.hot_percent = 50, .costs = {medium, slow}});
  daemon.run();
}

Test(resequence_threads, assisting_sources_that_outlive_the_workers)
{
  parallelize::EngineOptions options = with_outlets(keyed(1), true);
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
