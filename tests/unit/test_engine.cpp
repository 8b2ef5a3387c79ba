// SPDX-License-Identifier: LGPL-2.1-or-later
// The engine's promises, one by one, stepped in one thread.

#include "engine/siphash.hpp"
#include "fake-host.hpp"

#include <criterion/criterion.h>

#include <random>
#include <set>
#include <string>

namespace {

// With this seed each of these keys, and the empty one, has a strand of its own.
constexpr std::uint64_t seed[2] = {62, 0};
const std::string keys = "abcdefghijklmnopqrstuvwxyz0123456789";

constexpr std::uint64_t microsecond = 1'000;
constexpr std::uint64_t millisecond = 1'000'000;
constexpr std::uint64_t second = 1'000'000'000;

// No limit is reached by accident.
ParallelizeEngineOptions
keyed(unsigned workers)
{
  return {
    .workers = workers,
    .keyed = true,
    .empty_key_round_robin = false,
    .batch_size = 1'000,
    .quantum = 100'000,
    .prefetch = 100'000,
    .outlets = 0,
    .seed = {seed[0], seed[1]},
  };
}

ParallelizeEngineOptions
round_robin(unsigned workers)
{
  ParallelizeEngineOptions options = keyed(workers);
  options.keyed = false;
  return options;
}

// One message for each of the first `count` keys.
void
send_one_each(FakeSource &source, unsigned count)
{
  for (unsigned i = 0; i < count; i++)
    source.send(keys.substr(i, 1));
}

// From here on the engine expects messages to take `cost`.  Workers sleep.
void
learn_cost(FakeHost &host, std::uint64_t cost)
{
  const std::uint64_t before = std::exchange(host.cost, cost);
  FakeSource &source = host.source();
  source.send("a");
  source.end_batch();
  host.run_until_quiet();
  host.cost = before;
}

// `action` runs once, while the first message of `key` is being forwarded.
void
while_forwarding(FakeHost &host, const std::string &key, std::function<void()> action)
{
  host.on_forward = [key, action, done = false](const FakeMessage &message) mutable
  {
    if (done || message.key != key)
      return;
    done = true;
    action();
  };
}

// `action` runs once, while `thread` is about to make something visible.
void
while_publishing(FakeHost &host, const FakeThread &thread, std::function<void()> action)
{
  host.on_publish = [&thread, action, done = false](FakeThread &publisher) mutable
  {
    if (done || &publisher != &thread || publisher.unpublished.empty())
      return;
    done = true;
    action();
  };
}

// Every message takes so long that all workers that are awake get to run beside it.
void
let_all_workers_run_at_once(FakeHost &host)
{
  host.on_forward = [&host](const FakeMessage &)
  {
    for (unsigned i = 0; i < host.options.workers; i++)
      if (host.can_run(i))
        return static_cast<void>(host.run(i));
  };
}

}

Test(fixture, keys_have_strands_of_their_own)
{
  const parallelize::SipHash hash(seed[0], seed[1]);
  std::set<std::uint64_t> strands = {hash("", 0) & 127};
  for (const char &key : keys)
    strands.insert(hash(&key, 1) & 127);
  cr_assert_eq(strands.size(), keys.size() + 1);
}

/* ------------------------------------------------------------------------
 * Order
 * ------------------------------------------------------------------------ */

Test(order, is_kept_per_key_over_batches_and_workers)
{
  ParallelizeEngineOptions options = keyed(3);
  options.batch_size = 7;
  options.quantum = 5;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  let_all_workers_run_at_once(host);

  for (unsigned i = 0; i < 1000; i++)
    {
      source.send(keys.substr(i * i % 11, 1));
      if (i % 50 == 0)
        host.run_until_quiet();
    }
  source.end_batch();
  host.run_until_quiet();

  cr_assert_eq(host.published_count(), 1000);
  host.check_all_published();
}

Test(order, one_key_is_never_on_two_workers)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start_asleep();
  while_forwarding(host, "a", [&]
  {
    source.send("a", 3);
    source.send("b", 2);
    source.end_batch();
    host.run(host.can_run(0) ? 0 : 1);
    cr_assert_eq(host.published(), "bb");
  });

  source.send("a");
  host.run_until_quiet();

  cr_assert_eq(host.published(), "bbaaaa");
  host.check_all_published();
}

Test(order, a_strand_moves_on_only_after_its_runner_has_published)
{
  ParallelizeEngineOptions options = keyed(2);
  options.quantum = 2;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  source.send("a", 4);
  source.end_batch();
  while_publishing(host, host.worker(0), [&]
  {
    cr_assert_eq(host.run(1), PARALLELIZE_RUN_SLEEPING);
    cr_assert_eq(host.worker(1).forwarded, "");
  });

  cr_assert_eq(host.run(0), PARALLELIZE_RUN_AGAIN);
  source.send("b");
  source.end_batch();
  host.run(1);

  cr_assert(host.worker(1).forwarded.starts_with("aa"), "the strand is free after the publish");
  host.run_until_quiet();
  host.check_all_published();
}

Test(order, messages_that_come_while_their_strand_is_published_are_not_forgotten)
{
  FakeHost host(keyed(1));
  FakeSource &source = host.source();
  host.start_asleep();
  while_publishing(host, host.worker(0), [&]
  {
    source.send("a", 2);
    source.end_batch();
  });

  source.send("a");
  source.end_batch();
  host.run_until_quiet();

  cr_assert_eq(host.published(), "aaa");
  host.check_all_published();
}

Test(order, is_kept_on_a_thread_that_closes_after_each_message)
{
  FakeHost host(keyed(2));
  FakeSource &main_thread = host.source(0);
  host.start();
  let_all_workers_run_at_once(host);

  for (unsigned i = 0; i < 20; i++)
    {
      main_thread.send(keys.substr(i % 3, 1));
      cr_assert_not(main_thread.open());
    }
  cr_assert_eq(host.counters().in_flight, 20);
  host.run_until_quiet();

  host.check_all_published();
}

Test(order, an_empty_key_is_a_key_like_any_other)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start();
  source.send("", 10);
  source.end_batch();
  let_all_workers_run_at_once(host);
  host.run_until_quiet();

  cr_assert_eq(host.processed_by(0), 10);
  cr_assert_eq(host.processed_by(1), 0);
  host.check_all_published();
}

Test(order, empty_keys_need_none_with_round_robin)
{
  ParallelizeEngineOptions options = keyed(2);
  options.empty_key_round_robin = true;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  source.send("", 10);
  source.send("a", 10);
  source.end_batch();
  while_forwarding(host, "", [&]
  {
    host.run(1);
    cr_assert_eq(host.worker(1).forwarded, "aaaaaaaaaa");
    cr_assert_eq(host.published_count(), 19);
  });
  host.run_until_quiet();

  host.check_all_published();
}

/* ------------------------------------------------------------------------
 * Batching
 * ------------------------------------------------------------------------ */

Test(batching, hands_over_when_the_batch_is_full)
{
  ParallelizeEngineOptions options = keyed(2);
  options.batch_size = 3;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();

  source.send("a", 2);
  cr_assert_eq(host.counters().in_flight, 0);
  source.send("b");
  cr_assert_eq(host.counters().in_flight, 3);
  source.send("b");
  cr_assert_eq(host.counters().in_flight, 3);

  host.come_to_rest();
}

Test(batching, a_batch_is_not_larger_than_prefetch)
{
  ParallelizeEngineOptions options = keyed(2);
  options.prefetch = 4;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();

  source.send("a", 3);
  cr_assert_eq(host.counters().in_flight, 0);
  source.send("a");
  cr_assert_eq(host.counters().in_flight, 4);

  host.come_to_rest();
}

Test(batching, hands_over_the_rest_at_the_end_of_the_batch)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start();

  source.send("a", 2);
  cr_assert_eq(host.counters().in_flight, 0);
  source.end_batch();
  cr_assert_eq(host.counters().in_flight, 2);

  host.come_to_rest();
}

Test(batching, hands_over_at_once_when_a_worker_sleeps)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start_asleep();

  source.send("a");
  cr_assert_eq(host.counters().in_flight, 1);
  cr_assert_eq(host.count(FakeWorker::awake), 1);

  host.come_to_rest();
}

Test(batching, waits_for_enough_cheap_messages_to_be_worth_a_wake_up)
{
  FakeHost host(keyed(2));
  host.start_asleep();
  learn_cost(host, 5 * microsecond);
  FakeSource &source = host.source();

  source.send("a");
  cr_assert_eq(host.counters().in_flight, 0);
  unsigned sent = 1;
  for (; host.counters().in_flight == 0; sent++)
    source.send("a");
  cr_assert_lt(sent, host.options.batch_size);
  cr_assert_eq(host.counters().in_flight, sent);
  cr_assert_eq(host.count(FakeWorker::awake), 1);

  host.come_to_rest();
}

/* ------------------------------------------------------------------------
 * Wake-ups
 * ------------------------------------------------------------------------ */

Test(wake_up, one_message_wakes_one_worker)
{
  FakeHost host(keyed(4));
  FakeSource &source = host.source();
  host.start_asleep();

  source.send("a");
  cr_assert_eq(host.counters().wakeups, 1);
  cr_assert_eq(host.count(FakeWorker::awake), 1);

  host.come_to_rest();
}

Test(wake_up, not_more_workers_than_strands)
{
  FakeHost host(keyed(4));
  FakeSource &source = host.source();
  host.start();
  source.send("a", 10);
  source.send("b", 10);
  host.run_until_quiet();

  source.end_batch();
  cr_assert_eq(host.counters().wakeups, 2);
  cr_assert_eq(host.count(FakeWorker::awake), 2);

  host.come_to_rest();
}

Test(wake_up, not_more_workers_than_cheap_messages_are_worth)
{
  FakeHost host(keyed(4));
  host.start_asleep();
  learn_cost(host, 5 * microsecond);
  const std::uint64_t before = host.counters().wakeups;

  FakeSource &source = host.source();
  send_one_each(source, 3);
  source.end_batch();
  cr_assert_eq(host.counters().wakeups - before, 1);

  host.come_to_rest();
}

Test(wake_up, nobody_who_is_awake)
{
  FakeHost host(keyed(4));
  FakeSource &source = host.source();
  host.start();

  send_one_each(source, 30);
  source.end_batch();
  cr_assert_eq(host.counters().wakeups, 0);
  host.run_until_quiet();
  host.check_all_published();
}

Test(wake_up, for_strands_that_a_worker_puts_back)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start();
  send_one_each(source, 36);
  source.end_batch();
  // Worker 0 holds the first strands while worker 1 finishes the rest and sleeps; then two of the first get more.
  while_publishing(host, host.worker(0), [&]
  {
    host.run(1);
    cr_assert(host.asleep(1));
    cr_assert(host.worker(0).forwarded.starts_with("ab"));
    send_one_each(source, 2);
    source.end_batch();
    cr_assert(host.asleep(1), "there is nothing that it could run yet");
  });

  host.run(0);
  cr_assert_eq(host.count(FakeWorker::awake), 1);
  host.run_until_quiet();
  host.check_all_published();
}

// What the sleepers could do was not worth a wake-up when it was handed over.
Test(wake_up, when_messages_turn_out_to_be_slow)
{
  FakeHost host(keyed(4));
  host.start_asleep();
  learn_cost(host, 5 * microsecond);
  host.cost = 10 * millisecond;
  FakeSource &source = host.source();
  let_all_workers_run_at_once(host);

  send_one_each(source, 4);
  source.end_batch();
  cr_assert_eq(host.count(FakeWorker::awake), 1);
  host.run_until_quiet();

  unsigned busy = 0;
  for (unsigned i = 0; i < 4; i++)
    busy += !host.worker(i).forwarded.empty();
  cr_assert_geq(busy, 3, "the one that was woken does nearly all of the slow messages alone");
  host.check_all_published();
}

// Nothing else comes, and the first message takes very long: the others are not
// to wait for it, though at their usual cost one worker was enough for all.
Test(wake_up, for_what_waits_beside_a_message_that_takes_long)
{
  FakeHost host(keyed(4));
  host.start_asleep();
  learn_cost(host, 3 * microsecond);
  FakeSource &source = host.source();
  while_forwarding(host, "a", [&]
  {
    cr_assert_eq(host.count(FakeWorker::awake), 1);
    parallelize_engine_wake_for_what_waits(host.engine());
    host.run_until_quiet();
    cr_assert_eq(host.counters().waiting, 0, "messages wait for one that has nothing to do with them");
    cr_assert_eq(host.counters().in_flight, 1);
  });

  send_one_each(source, 21);
  source.end_batch();
  host.run_until_quiet();
  host.come_to_rest();
}

Test(wake_up, nobody_when_nothing_waits)
{
  FakeHost host(keyed(4));
  host.start_asleep();
  while_forwarding(host, "a", [&]
  {
    parallelize_engine_wake_for_what_waits(host.engine());
    cr_assert_eq(host.count(FakeWorker::awake), 1);
  });
  host.source().send("a");
  host.come_to_rest();
  parallelize_engine_wake_for_what_waits(host.engine());
  cr_assert_eq(host.count(FakeWorker::awake), 0);
}

/* ------------------------------------------------------------------------
 * Splitting and stealing
 * ------------------------------------------------------------------------ */

static void
ten_slow_messages_take_the_time_of_one(const ParallelizeEngineOptions &options)
{
  FakeHost host(options);
  FakeSource &source = host.source();
  host.cost = 10 * millisecond;
  host.start();
  send_one_each(source, 10);
  host.run_until_quiet();
  let_all_workers_run_at_once(host);

  source.end_batch();
  host.run_until_quiet();

  for (unsigned i = 0; i < 10; i++)
    cr_assert_eq(host.processed_by(i), 1, "worker %u", i);
  host.check_all_published();
}

Test(splitting, a_batch_of_keys_is_spread_over_all_workers)
{
  ten_slow_messages_take_the_time_of_one(keyed(10));
}

Test(splitting, a_batch_without_keys_is_spread_over_all_workers)
{
  ten_slow_messages_take_the_time_of_one(round_robin(10));
}

Test(splitting, is_even_without_keys)
{
  ParallelizeEngineOptions options = round_robin(4);
  options.quantum = 10;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  source.send("", 1000);
  source.end_batch();
  host.run_until_quiet();

  for (unsigned i = 0; i < 4; i++)
    {
      cr_assert_geq(host.processed_by(i), 200, "worker %u", i);
      cr_assert_leq(host.processed_by(i), 300, "worker %u", i);
    }
  host.check_all_published();
}

// The one that it runs is one of them.
Test(splitting, a_worker_takes_half_of_a_fair_share)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start();
  send_one_each(source, 36);
  source.end_batch();
  while_forwarding(host, "a", [&] { cr_assert_eq(host.worker_counters(0).waiting, 36 / 4 - 1); });
  host.run_until_quiet();
  host.check_all_published();
}

Test(stealing, from_a_worker_that_is_inside_a_slow_message)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start();
  send_one_each(source, 36);
  source.end_batch();
  while_forwarding(host, "a", [&]
  {
    host.run(1);
    cr_assert_eq(host.published_count(), 35, "all but the slow one");
  });
  host.run_until_quiet();

  cr_assert_eq(host.processed_by(0), 1);
  cr_assert_gt(host.counters().stolen, 0);
  host.check_all_published();
}

Test(stealing, from_a_thief)
{
  FakeHost host(keyed(3));
  FakeSource &source = host.source();
  host.start();
  send_one_each(source, 36);
  source.end_batch();
  // Worker 1 empties the run queue and gets stuck in the first message that it steals; worker 2 does the rest.
  std::string stolen_first;
  host.on_forward = [&](const FakeMessage &message)
  {
    if (message.key == "a")
      host.run(1);
    else if (stolen_first.empty() && host.counters().stolen)
      {
        stolen_first = message.key;
        host.run(2);
        cr_assert_geq(host.published_count(), 36 - 1 - host.worker(1).unpublished.size());
      }
  };
  host.run_until_quiet();

  cr_assert_eq(host.processed_by(0), 1);
  cr_assert_gt(host.processed_by(2), 0);
  host.check_all_published();
}

Test(stealing, by_a_producer_that_helps)
{
  ParallelizeEngineOptions options = keyed(2);
  options.batch_size = 1;
  options.prefetch = 35;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  send_one_each(source, 35);
  while_forwarding(host, "a", [&]
  {
    source.send("9");
    cr_assert_gt(host.counters().helped, 0);
    cr_assert_gt(host.counters().stolen, 0);
  });
  host.run(0);

  host.come_to_rest();
}

Test(stealing, a_sleeper_is_woken_for_the_group_of_a_busy_worker)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start_asleep();
  learn_cost(host, 2 * microsecond);
  // One of the workers is enough, until it has published its first group.
  host.cost = 10 * millisecond;
  send_one_each(source, 16);
  source.end_batch();
  cr_assert_eq(host.count(FakeWorker::awake), 1);
  let_all_workers_run_at_once(host);
  host.run_until_quiet();

  cr_assert_gt(host.processed_by(0), 1);
  cr_assert_gt(host.processed_by(1), 1);
  host.check_all_published();
}

/* ------------------------------------------------------------------------
 * Fairness
 * ------------------------------------------------------------------------ */

Test(fairness, a_run_ends_after_its_quantum)
{
  ParallelizeEngineOptions options = keyed(1);
  options.quantum = 10;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  source.send("a", 25);
  source.end_batch();

  cr_assert_eq(host.run(0), PARALLELIZE_RUN_AGAIN);
  cr_assert_eq(host.published_count(), 10);
  cr_assert_eq(host.run(0), PARALLELIZE_RUN_AGAIN);
  cr_assert_eq(host.published_count(), 20);
  cr_assert_eq(host.run(0), PARALLELIZE_RUN_SLEEPING);
  cr_assert_eq(host.published_count(), 25);
}

Test(fairness, the_quantum_counts_the_messages_of_all_strands)
{
  ParallelizeEngineOptions options = keyed(1);
  options.quantum = 10;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  source.send("a", 9);
  source.send("b", 10);
  source.end_batch();

  cr_assert_eq(host.run(0), PARALLELIZE_RUN_AGAIN);
  cr_assert_leq(host.worker(0).longest_run, 10);
  host.run_until_quiet();
  host.check_all_published();
}

Test(fairness, a_hot_key_waits_for_its_turn)
{
  ParallelizeEngineOptions options = keyed(1);
  options.quantum = 10;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  for (const char *key : {"a", "b", "c"})
    source.send(key, 100);
  source.end_batch();

  for (unsigned i = 0; i < 6; i++)
    host.run(0);
  for (const char key : {'a', 'b', 'c'})
    cr_assert_eq(std::count(host.published().begin(), host.published().end(), key), 20, "key %c", key);
  host.run_until_quiet();
  host.check_all_published();
}

Test(fairness, a_hot_key_does_not_starve_the_others_when_all_other_workers_are_busy)
{
  ParallelizeEngineOptions options = keyed(2);
  options.quantum = 10;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  source.send("s");
  source.end_batch();
  while_forwarding(host, "s", [&]
  {
    source.send("h", 100);
    source.send("b");
    for (unsigned i = 0; i < 100; i++)
      {
        source.send("h", 10);
        source.end_batch();
        host.run(1);
      }
    cr_assert_neq(host.published().find("b"), std::string::npos);
  });
  host.run(0);
  host.run_until_quiet();
  host.check_all_published();
}

Test(fairness, a_slow_message_holds_up_its_own_key_only)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start_asleep();
  while_forwarding(host, "s", [&]
  {
    for (unsigned i = 0; i < 100; i++)
      {
        source.send("s");
        send_one_each(source, 10);
      }
    source.end_batch();
    host.run_until_quiet();
    cr_assert_eq(host.published_count(), 1000);
  });

  source.send("s");
  host.run_until_quiet();
  host.check_all_published();
}

static void
what_is_done_soon_becomes_visible(unsigned different_keys)
{
  FakeHost host(keyed(1));
  FakeSource &source = host.source();
  host.cost = millisecond;
  host.start();
  for (unsigned i = 0; i < 100; i++)
    source.send(keys.substr(i % different_keys, 1));
  source.end_batch();
  host.on_forward = [&](const FakeMessage &) { cr_assert_leq(host.worker(0).unpublished.size(), 10); };

  cr_assert_eq(host.run(0), PARALLELIZE_RUN_SLEEPING);
  host.check_all_published();
}

Test(fairness, slow_messages_of_many_keys_become_visible_soon)
{
  what_is_done_soon_becomes_visible(36);
}

Test(fairness, slow_messages_of_one_key_become_visible_soon)
{
  what_is_done_soon_becomes_visible(1);
}

/* ------------------------------------------------------------------------
 * Backpressure
 * ------------------------------------------------------------------------ */

static ParallelizeEngineOptions
prefetching(unsigned prefetch)
{
  ParallelizeEngineOptions options = keyed(1);
  options.batch_size = 1;
  options.prefetch = prefetch;
  return options;
}

Test(prefetch, a_producer_helps_beyond_it_and_stops_below_it)
{
  FakeHost host(prefetching(100));
  FakeSource &source = host.source();
  host.start();
  unsigned sent = 0;
  for (; sent < 100; sent++)
    source.send("key " + std::to_string(sent));
  cr_assert_eq(host.counters().helped, 0);

  source.send("one more");
  const std::uint64_t inside = host.counters().in_flight;
  cr_assert_lt(inside, 100);
  cr_assert_gt(inside, 0, "it does not do everything");
  cr_assert_eq(host.counters().helped, 101 - inside);
  cr_assert_eq(host.published_count(), 101 - inside);

  host.run_until_quiet();
  host.check_all_published();
}

Test(prefetch, bounds_what_waits_inside)
{
  FakeHost host(prefetching(50));
  FakeSource &source = host.source();
  host.start();
  for (unsigned i = 0; i < 5000; i++)
    {
      source.send(keys.substr(i % 36, 1));
      cr_assert_leq(host.counters().in_flight, 50);
    }
  host.come_to_rest();
}

Test(prefetch, bounds_what_waits_for_few_keys)
{
  ParallelizeEngineOptions options = keyed(1);
  options.batch_size = 10;
  options.prefetch = 200;
  FakeHost host(options);
  host.start_asleep();
  learn_cost(host, 5 * microsecond);
  host.cost = 5 * microsecond;
  FakeSource &source = host.source();
  // The worker is busy: only the source itself can keep the bound.
  while_forwarding(host, "s", [&]
  {
    for (unsigned i = 0; i < 5000; i++)
      {
        source.send(keys.substr(i % 10, 1));
        cr_assert_leq(host.counters().in_flight, 300);
      }
    source.end_batch();
  });
  source.send("s");
  host.come_to_rest();
}

Test(prefetch, a_producer_does_not_help_for_long)
{
  FakeHost host(prefetching(30));
  FakeSource &source = host.source();
  host.cost = 8000 * microsecond;
  host.start();
  send_one_each(source, 30);
  source.send("one more");
  cr_assert_eq(host.counters().helped, 3, "twenty milliseconds, and the message that is under way then");
  host.come_to_rest();
}

Test(prefetch, helping_closes_the_batch)
{
  FakeHost host(prefetching(10));
  FakeSource &source = host.source();
  host.start();
  send_one_each(source, 10);
  cr_assert(source.open());
  source.send("z");
  cr_assert_not(source.open());
  source.send("z");
  cr_assert(source.open());

  host.come_to_rest();
}

Test(prefetch, a_thread_that_may_not_help_goes_on)
{
  FakeHost host(prefetching(10));
  FakeSource &main_thread = host.source(0);
  FakeSource &other = host.source(PARALLELIZE_PRODUCER_BATCHES);
  host.start();
  for (unsigned i = 0; i < 100; i++)
    {
      main_thread.send("a");
      other.send("b");
    }
  other.end_batch();
  cr_assert_eq(host.counters().in_flight, 200);
  cr_assert_eq(host.counters().helped, 0);
  host.run_until_quiet();
  host.check_all_published();
}

Test(prefetch, a_thread_that_finds_nothing_it_may_run_goes_on)
{
  FakeHost host(prefetching(10));
  FakeSource &source = host.source();
  host.start_asleep();
  while_forwarding(host, "a", [&]
  {
    source.send("a", 100);
    cr_assert_eq(host.counters().helped, 0);
    cr_assert_eq(host.counters().in_flight, 101);
  });

  source.send("a");
  host.run_until_quiet();
  host.come_to_rest();
}

// The helper holds the only strand, so that the worker finds nothing and sleeps;
// then the helper stops with messages left.
static void
a_helper_wakes_a_worker_for_what_it_leaves(unsigned prefetch, unsigned quantum)
{
  ParallelizeEngineOptions options = prefetching(prefetch);
  options.quantum = quantum;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  source.send("a", prefetch);
  while_forwarding(host, "a", [&] { cr_assert_eq(host.run(0), PARALLELIZE_RUN_SLEEPING); });

  source.send("a");
  cr_assert_gt(host.counters().helped, 0);
  cr_assert_gt(host.counters().in_flight, 0);
  cr_assert_eq(host.count(FakeWorker::awake), 1, "messages wait and nobody comes for them");
  host.come_to_rest();
}

Test(prefetch, a_helper_that_has_done_enough_wakes_a_worker_for_the_rest)
{
  a_helper_wakes_a_worker_for_what_it_leaves(40, 35);
}

Test(prefetch, a_helper_that_finds_no_more_wakes_a_worker_for_the_rest)
{
  a_helper_wakes_a_worker_for_what_it_leaves(40, 5);
}

/* ------------------------------------------------------------------------
 * More waits than should: a thread processes messages of idle keys itself
 * ------------------------------------------------------------------------ */

// One worker, busy for the time being, and more messages of key "s" than prefetch().
static ParallelizeEngineOptions
crowded()
{
  ParallelizeEngineOptions options = keyed(1);
  options.batch_size = 5;
  options.prefetch = 5;
  return options;
}

static void
crowd(FakeHost &host)
{
  host.start();
  host.source(0).send("s", 6);
  cr_assert_eq(host.counters().in_flight, 6);
}

Test(crowded, a_message_of_an_idle_key_is_processed_right_away)
{
  FakeHost host(crowded());
  FakeSource &source = host.source();
  crowd(host);
  source.send("a");
  cr_assert_eq(source.forwarded, "a");

  source.end_batch();
  cr_assert_eq(host.published(), "a");
  cr_assert_eq(host.counters().in_flight, 6);
  cr_assert_eq(host.counters().helped, 1);
  host.run_until_quiet();
  host.check_all_published();
}

Test(crowded, what_others_bring_of_its_key_waits_for_the_end_of_the_batch)
{
  FakeHost host(crowded());
  FakeSource &source = host.source();
  FakeSource &main_thread = host.source(0);
  crowd(host);
  source.send("a");
  main_thread.send("a");
  host.run_until_quiet();
  cr_assert_eq(host.published(), "ssssss");
  cr_assert(host.asleep(0));

  source.end_batch();
  cr_assert(host.can_run(0), "it is woken for what waits");
  host.run_until_quiet();
  cr_assert_eq(host.published(), "ssssssaa");
  host.check_all_published();
}

Test(crowded, what_the_source_brings_queues_up_behind_others)
{
  FakeHost host(crowded());
  FakeSource &source = host.source();
  FakeSource &main_thread = host.source(0);
  crowd(host);
  source.send("a");
  main_thread.send("a");
  for (unsigned i = 0; i < 20; i++)
    source.send("a");
  main_thread.send("a");
  source.end_batch();
  host.run_until_quiet();

  cr_assert_eq(host.published_count(), 6 + 1 + 1 + 20 + 1);
  host.check_all_published();
}

Test(crowded, what_the_batch_has_collected_comes_first)
{
  FakeHost host(crowded());
  FakeSource &source = host.source();
  host.start();
  source.send("a", 2);
  host.source(0).send("s", 6);
  source.send("a");
  source.end_batch();
  host.run_until_quiet();

  cr_assert_eq(host.published_count(), 9);
  host.check_all_published();
}

Test(crowded, not_on_a_thread_that_may_not_help)
{
  FakeHost host(crowded());
  FakeSource &main_thread = host.source(0);
  FakeSource &other = host.source(PARALLELIZE_PRODUCER_BATCHES);
  crowd(host);
  main_thread.send("a");
  other.send("b");
  cr_assert_eq(main_thread.forwarded, "");
  cr_assert_eq(other.forwarded, "");

  other.end_batch();
  host.run_until_quiet();
  host.check_all_published();
}

Test(crowded, a_long_batch_keeps_nothing_back)
{
  FakeHost host(crowded());
  host.start_asleep();
  host.cost = 100 * microsecond;
  learn_cost(host, host.cost);
  FakeSource &source = host.source();
  while_forwarding(host, "s", [&]
  {
    for (unsigned i = 0; i < 1000; i++)
      {
        source.send(keys.substr(i % 5, 1));
        cr_assert_leq(source.unpublished.size(), 50);
      }
    cr_assert_gt(source.forwarded.size(), 100);
    source.end_batch();
  });
  host.source(0).send("s", 6);
  host.run_until_quiet();
  host.check_all_published();
}

Test(crowded, any_message_without_keys)
{
  ParallelizeEngineOptions options = crowded();
  options.keyed = false;
  FakeHost host(options);
  FakeSource &source = host.source();
  crowd(host);
  source.send("a");
  cr_assert_eq(source.forwarded, "a");

  source.end_batch();
  cr_assert_eq(host.published(), "a");
  host.run_until_quiet();
  host.check_all_published();
}

Test(crowded, workers_that_are_stopped_end_after_the_batch)
{
  FakeHost host(crowded());
  FakeSource &source = host.source();
  FakeSource &main_thread = host.source(0);
  crowd(host);
  source.send("a");
  main_thread.send("a");
  host.stop();
  host.run_until_quiet();
  cr_assert(host.asleep(0));

  source.end_batch();
  host.run_until_quiet();
  cr_assert(host.ended(0));
  host.check_all_published();
}

/* ------------------------------------------------------------------------
 * Start and stop
 * ------------------------------------------------------------------------ */

static void
a_source_processes_its_messages_itself(FakeHost &host, FakeSource &source)
{
  for (unsigned i = 0; i < 10; i++)
    {
      const std::uint64_t before = host.published_count();
      source.send(keys.substr(i % 3, 1));
      cr_assert_eq(host.published_count(), before + 1);
    }
  source.end_batch();
  host.check_all_published();
}

Test(direct, before_the_start)
{
  FakeHost host(keyed(2));
  a_source_processes_its_messages_itself(host, host.source());
  a_source_processes_its_messages_itself(host, host.source(0));
}

Test(direct, after_the_last_worker_has_ended)
{
  FakeHost host(keyed(2));
  host.start_asleep();
  host.stop();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 2);
  a_source_processes_its_messages_itself(host, host.source());
  a_source_processes_its_messages_itself(host, host.source(0));
}

Test(direct, without_keys)
{
  FakeHost host(round_robin(2));
  a_source_processes_its_messages_itself(host, host.source());
}

Test(direct, ends_with_the_next_start)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  source.send("a");
  source.end_batch();
  host.start();
  source.send("a");
  source.end_batch();
  cr_assert_eq(host.counters().in_flight, 1);
  host.run_until_quiet();
  cr_assert_eq(host.published(), "aa");
  host.check_all_published();
}

Test(direct, a_batch_that_is_open_at_the_start_goes_on)
{
  FakeHost host(keyed(2));
  FakeSource &before = host.source(0);
  FakeSource &source = host.source();
  source.send("a");
  host.start_asleep();
  source.send("a");
  before.send("a");
  host.come_to_rest();
}

// Nobody else will ever come for it.
Test(direct, no_message_is_left_behind_when_two_sources_bring_one_key)
{
  FakeHost host(keyed(2));
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  while_publishing(host, first, [&]
  {
    second.send("a");
    second.end_batch();
  });

  first.send("a");
  first.end_batch();
  host.check_all_published();
}

Test(direct, no_message_is_left_behind_after_a_quantum)
{
  ParallelizeEngineOptions options = keyed(2);
  options.quantum = 2;
  FakeHost host(options);
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  while_forwarding(host, "a", [&]
  {
    second.send("a", 5);
    second.end_batch();
  });

  first.send("a");
  first.end_batch();
  host.check_all_published();
}

Test(stopping, workers_drain_and_end)
{
  FakeHost host(keyed(3));
  FakeSource &source = host.source();
  host.start();
  send_one_each(source, 36);
  source.end_batch();
  host.stop();
  host.run_until_quiet();

  cr_assert_eq(host.count(FakeWorker::ended), 3);
  host.check_all_published();
}

Test(stopping, wakes_the_sleepers)
{
  FakeHost host(keyed(3));
  host.start_asleep();
  host.stop();
  cr_assert_eq(host.count(FakeWorker::awake), 3);
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 3);
}

Test(stopping, workers_stay_for_a_batch_that_is_open)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start();
  source.send("a");
  host.stop();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::asleep), 2);

  send_one_each(source, 10);
  source.end_batch();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 2);
  cr_assert_eq(source.forwarded, "", "the workers did it all");
  host.check_all_published();
}

Test(stopping, workers_stay_for_a_batch_that_is_opened_after_it)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start_asleep();
  host.stop();
  source.send("a");
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 0);
  source.end_batch();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 2);
  host.check_all_published();
}

Test(stopping, workers_end_with_a_batch_that_has_nothing_left)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start_asleep();
  source.send("a");
  host.stop();
  host.run_until_quiet();
  cr_assert_eq(host.published(), "a");
  cr_assert_eq(host.count(FakeWorker::asleep), 2);

  source.end_batch();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 2);
}

Test(stopping, workers_stay_for_a_message_that_another_one_runs)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start();
  source.send("a");
  source.end_batch();
  while_forwarding(host, "a", [&]
  {
    host.stop();
    cr_assert_eq(host.run(1), PARALLELIZE_RUN_SLEEPING);
  });
  host.run_until_quiet();

  cr_assert_eq(host.count(FakeWorker::ended), 2);
  host.check_all_published();
}

Test(stopping, workers_take_what_comes_meanwhile)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start();
  source.send("a");
  source.end_batch();
  while_forwarding(host, "a", [&]
  {
    host.stop();
    host.run(1);
    source.send("b");
    source.end_batch();
    cr_assert(host.can_run(1));
  });
  host.run_until_quiet();

  cr_assert_eq(host.count(FakeWorker::ended), 2);
  cr_assert_eq(source.forwarded, "");
  host.check_all_published();
}

Test(stopping, twice_and_before_the_start)
{
  FakeHost host(keyed(2));
  host.stop();
  host.start_asleep();
  cr_assert_eq(host.count(FakeWorker::asleep), 2);
  host.stop();
  host.stop();
  host.run_until_quiet();
  host.stop();
  cr_assert_eq(host.count(FakeWorker::ended), 2);
}

Test(stopping, and_starting_again)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  for (unsigned round = 0; round < 5; round++)
    {
      source.send("a", 3);
      source.end_batch();
      host.start();
      source.send("a", 3);
      source.end_batch();
      host.stop();
      host.run_until_quiet();
      cr_assert_eq(host.count(FakeWorker::ended), 2);
    }
  cr_assert_eq(host.published_count(), 30);
  host.check_all_published();
}

Test(abandoned_worker, leaves_the_work_to_the_others)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start();
  host.abandon(1);
  send_one_each(source, 20);
  source.end_batch();
  host.run_until_quiet();
  host.check_all_published();

  host.stop();
  host.run_until_quiet();
  cr_assert(host.ended(0));
  a_source_processes_its_messages_itself(host, source);
}

Test(abandoned_worker, was_the_only_one)
{
  FakeHost host(keyed(1));
  host.start();
  host.abandon(0);
  host.stop();
  a_source_processes_its_messages_itself(host, host.source());
}

/* ------------------------------------------------------------------------
 * Messages that are cheaper than a hand-over
 * ------------------------------------------------------------------------ */

static void
start_with_cheap_messages(FakeHost &host)
{
  host.start_asleep();
  learn_cost(host, 500);
  host.cost = 500;
}

Test(cheap, messages_are_forwarded_directly)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  source.send("b", 16);

  cr_assert_eq(source.forwarded.size(), 16);
  cr_assert_eq(host.counters().in_flight, 0);
  source.end_batch();
  cr_assert_eq(host.counters().forwarded_directly, 16);
  host.check_all_published();
}

Test(cheap, only_when_it_is_known)
{
  FakeHost host(keyed(2));
  host.cost = 500;
  host.start();
  FakeSource &source = host.source();
  source.send("a", 16);
  cr_assert_eq(source.forwarded, "");

  host.come_to_rest();
}

Test(cheap, not_on_a_thread_that_does_not_publish_soon)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &main_thread = host.source(0);
  main_thread.send("a", 16);
  cr_assert_eq(main_thread.forwarded, "");
  cr_assert_eq(host.counters().in_flight, 16);
  host.run_until_quiet();
  host.check_all_published();
}

Test(cheap, what_others_bring_waits_for_the_end_of_the_batch)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  const std::size_t before = host.published().size();

  first.send("x");
  second.send("x");
  second.send("y");
  second.end_batch();
  host.run_until_quiet();
  cr_assert_eq(second.forwarded, "");
  cr_assert_eq(host.counters().in_flight, 2);
  cr_assert_eq(host.published().substr(before), "");

  first.end_batch();
  host.run_until_quiet();
  cr_assert_eq(host.published().substr(before), "xxy");
  host.check_all_published();
}

Test(cheap, a_batch_ends_early_when_others_wait)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  first.send("x");
  second.send("y");
  second.end_batch();

  first.send("x");
  cr_assert_eq(first.forwarded, "x");
  cr_assert(host.published().ends_with("x"));
  cr_assert_not(first.forwards_itself());
  cr_assert_eq(host.count(FakeWorker::awake), 1);
  host.run_until_quiet();
  cr_assert(host.published().ends_with("xy"));

  first.end_batch();
  host.run_until_quiet();
  host.check_all_published();
}

Test(cheap, others_do_not_help_meanwhile_and_go_on)
{
  ParallelizeEngineOptions options = keyed(2);
  options.batch_size = 2;
  options.prefetch = 4;
  FakeHost host(options);
  start_with_cheap_messages(host);
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  first.send("x");
  send_one_each(second, 20);
  cr_assert_eq(second.forwarded, "");

  first.end_batch();
  second.end_batch();
  host.run_until_quiet();
  host.check_all_published();
}

Test(cheap, not_while_messages_are_inside)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &main_thread = host.source(0);
  FakeSource &source = host.source();
  main_thread.send("a");
  source.send("a");
  cr_assert_eq(source.forwarded, "");

  host.come_to_rest();
}

Test(cheap, not_while_a_message_is_being_run)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &main_thread = host.source(0);
  FakeSource &source = host.source();
  while_forwarding(host, "a", [&]
  {
    source.send("b");
    cr_assert_eq(source.forwarded, "");
  });
  main_thread.send("a");
  host.run_until_quiet();

  host.come_to_rest();
}

Test(cheap, ends_when_messages_become_slow)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  host.cost = 100 * microsecond;
  FakeSource &source = host.source();
  source.send("b", 100);
  cr_assert_lt(source.forwarded.size(), 20);

  host.come_to_rest();
}

Test(cheap, any_thread_forwards_directly_without_keys)
{
  FakeHost host(round_robin(2));
  start_with_cheap_messages(host);
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  first.send("a", 8);
  second.send("b", 8);
  cr_assert_eq(first.forwarded.size(), 8);
  cr_assert_eq(second.forwarded.size(), 8);

  first.end_batch();
  second.end_batch();
  host.check_all_published();
}

Test(cheap, workers_that_are_stopped_end_after_the_batch)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  first.send("x");
  second.send("y");
  second.end_batch();
  host.stop();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::asleep), 2);

  first.end_batch();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 2);
  host.check_all_published();
}

/* ------------------------------------------------------------------------
 * Hot keys
 * ------------------------------------------------------------------------ */

// Send many messages, `percent` of them with the key "hot", while one worker
// runs the key "hot" and another one has nothing to do.
static void
send_hot_key_with_an_idle_worker(FakeHost &host, FakeSource &source, unsigned percent)
{
  std::mt19937 random(1);
  while_forwarding(host, "hot", [&]
  {
    for (unsigned i = 0; i < 20'000; i++)
      {
        source.send(random() % 100 < percent ? "hot" : "cold");
        host.run_until_quiet();
      }
  });
  source.send("hot");
  source.end_batch();
  host.run_until_quiet();
  host.come_to_rest();
}

Test(hot_key, is_reported)
{
  FakeHost host(keyed(2));
  host.start_asleep();
  send_hot_key_with_an_idle_worker(host, host.source(), 97);
  cr_assert_eq(host.hot_keys.size(), 1, "reported %zu times", host.hot_keys.size());
  cr_assert_eq(host.hot_keys[0], "hot");
}

Test(hot_key, is_reported_again_much_later)
{
  FakeHost host(keyed(2));
  host.start_asleep();
  FakeSource &source = host.source();
  send_hot_key_with_an_idle_worker(host, source, 97);
  host.elapsed += 60 * second;
  send_hot_key_with_an_idle_worker(host, source, 97);
  cr_assert_eq(host.hot_keys.size(), 1);
  host.elapsed += 3600 * second;
  send_hot_key_with_an_idle_worker(host, source, 97);
  cr_assert_eq(host.hot_keys.size(), 2);
}

Test(hot_key, is_not_reported_when_it_has_half_of_the_traffic)
{
  FakeHost host(keyed(2));
  host.start_asleep();
  send_hot_key_with_an_idle_worker(host, host.source(), 50);
  cr_assert(host.hot_keys.empty());
}

Test(hot_key, is_not_reported_when_no_worker_is_idle)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start();
  source.send("hot", 20'000);
  cr_assert(host.hot_keys.empty());
  source.end_batch();
  host.run_until_quiet();
}

// Each message is processed before the next one comes.
Test(hot_key, is_not_reported_when_nothing_waits_for_it)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start_asleep();
  for (unsigned i = 0; i < 20'000; i++)
    {
      source.send("hot");
      host.run_until_quiet();
    }
  cr_assert(host.hot_keys.empty());

  host.come_to_rest();
}

// All workers sleep while a source's thread has the key: with one more of them nothing would be different.
Test(hot_key, is_not_reported_when_there_is_one_worker)
{
  for (const unsigned workers : {1, 2})
    {
      ParallelizeEngineOptions options = keyed(workers);
      options.prefetch = 1;
      FakeHost host(options);
      FakeSource &source = host.source();
      FakeSource &other = host.source(0);       // hands over each message
      host.start_asleep();
      other.send("cold", 10);
      while_forwarding(host, "hot", [&]
      {
        for (unsigned i = 0; i < 20'000; i++)
          {
            other.send("hot");
            host.run_until_quiet();
          }
      });
      source.send("hot");
      cr_assert_eq(host.hot_keys.size(), workers - 1);

      host.come_to_rest();
    }
}

/* ------------------------------------------------------------------------
 * Counters
 * ------------------------------------------------------------------------ */

Test(counters, are_zero_at_first)
{
  FakeHost host(keyed(2));
  const ParallelizeEngineCounters counters = host.counters();
  cr_assert_eq(counters.in_flight, 0);
  cr_assert_eq(counters.helped, 0);
  cr_assert_eq(counters.forwarded_directly, 0);
  cr_assert_eq(counters.wakeups, 0);
  cr_assert_eq(counters.stolen, 0);
  cr_assert_eq(host.processed_by(0), 0);
  cr_assert_eq(host.processed_by(1), 0);
}

Test(counters, in_flight_goes_down_with_the_publish)
{
  FakeHost host(keyed(1));
  FakeSource &source = host.source();
  host.start();
  source.send("a", 3);
  source.end_batch();
  cr_assert_eq(host.counters().in_flight, 3);
  host.on_forward = [&](const FakeMessage &) { cr_assert_eq(host.counters().in_flight, 3); };
  host.run(0);
  cr_assert_eq(host.counters().in_flight, 0);
}

Test(counters, processed_messages_are_those_of_workers_and_helpers)
{
  FakeHost host(prefetching(20));
  FakeSource &source = host.source();
  host.start();
  for (unsigned i = 0; i < 100; i++)
    source.send(keys.substr(i % 36, 1));
  source.end_batch();
  host.run_until_quiet();

  cr_assert_gt(host.processed_by(0), 0);
  cr_assert_gt(host.counters().helped, 0);
  cr_assert_eq(host.processed_by(0) + host.counters().helped, 100);
  host.check_all_published();
}
