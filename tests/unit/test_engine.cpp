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
parallelize::EngineOptions
keyed(unsigned workers)
{
  return {
    .workers = workers,
    .keyed = true,
    .empty_key_round_robin = false,
    .message_ids = true,
    .batch_size = 1'000,
    .quantum = 100'000,
    .prefetch = 100'000,
    .outlets = 0,
    .seed = {seed[0], seed[1]},
  };
}

parallelize::EngineOptions
round_robin(unsigned workers)
{
  parallelize::EngineOptions options = keyed(workers);
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
  parallelize::EngineOptions options = keyed(3);
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
  parallelize::EngineOptions options = keyed(2);
  options.quantum = 2;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  source.send("a", 4);
  source.end_batch();
  while_publishing(host, host.worker(0), [&]
  {
    cr_assert_eq(host.run(1), parallelize::Turn::sleeping);
    cr_assert_eq(host.worker(1).forwarded, "");
  });

  cr_assert_eq(host.run(0), parallelize::Turn::again);
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
  parallelize::EngineOptions options = keyed(2);
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
  parallelize::EngineOptions options = keyed(2);
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
  parallelize::EngineOptions options = keyed(2);
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

/* -- Sources that hand over each message by itself -- */

constexpr unsigned ordinary_single =
  parallelize::Producer::publishes | parallelize::Producer::assists | parallelize::Producer::single;

void
send_single(FakeSource &source, unsigned count = 1)
{
  for (; count; count--)
    {
      source.send("");
      source.end_batch();
    }
}

// The worker that naps after single messages that cost `cost` each.
unsigned
let_one_nap(FakeHost &host, FakeSource &source, std::uint64_t cost)
{
  host.start_asleep();
  learn_cost(host, cost);
  host.cost = cost;
  send_single(source, 2);
  while (host.count(FakeWorker::awake))
    host.run_awake();
  cr_assert_eq(host.count(FakeWorker::napping), 1);
  return host.napping(0) ? 0 : 1;
}

Test(nap, single_messages_in_a_row_wake_no_more_workers)
{
  FakeHost host(round_robin(1));
  FakeSource &source = host.source(ordinary_single);
  const unsigned napper = let_one_nap(host, source, 8 * microsecond);
  const std::uint64_t before = host.counters().wakeups;

  send_single(source, 20);
  cr_assert_eq(host.counters().wakeups, before);
  cr_assert_eq(host.counters().waiting, 20);
  cr_assert_eq(host.run(napper), parallelize::Turn::napping, "more than one message came: they will go on");
  cr_assert_eq(host.counters().in_flight, 0);
  cr_assert_eq(host.run(napper), parallelize::Turn::sleeping, "none came");

  send_single(source);
  cr_assert_eq(host.counters().wakeups, before + 1, "nobody naps");
  host.run_awake();
  cr_assert_eq(host.count(FakeWorker::asleep), 1, "a message that comes alone is no reason to nap");
  host.come_to_rest();
}

Test(nap, enough_single_messages_wake_a_worker)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source(ordinary_single);
  let_one_nap(host, source, 8 * microsecond);
  const std::uint64_t before = host.counters().wakeups;

  send_single(source, 31);
  cr_assert_eq(host.counters().wakeups, before);
  send_single(source, 9);
  cr_assert_eq(host.counters().wakeups, before + 1, "one worker is under way");
  send_single(source, 30);
  cr_assert_eq(host.counters().wakeups, before + 2, "more than 400 microseconds of work wait for it");
  host.come_to_rest();
}

Test(nap, enough_single_messages_of_one_key_wake_a_worker)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source(ordinary_single);
  let_one_nap(host, source, 8 * microsecond);
  const std::uint64_t before = host.counters().wakeups;

  send_single(source, 31);
  cr_assert_eq(host.counters().wakeups, before);
  send_single(source);
  cr_assert_eq(host.counters().wakeups, before + 1);
  host.come_to_rest();
}

Test(nap, a_worker_that_gets_up_wakes_another_one_for_the_rest)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source(ordinary_single);
  const unsigned napper = let_one_nap(host, source, 8 * microsecond);

  send_single(source, 2);
  host.on_forward = [&, done = false](const FakeMessage &) mutable
  {
    if (std::exchange(done, true))
      return;
    cr_assert_eq(host.count(FakeWorker::awake), 2, "the message may be long");
  };
  host.run(napper);
  host.come_to_rest();
}

Test(nap, a_slow_single_message_does_not_wait)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source(ordinary_single);
  let_one_nap(host, source, 8 * microsecond);
  learn_cost(host, 500'000 * microsecond);
  host.cost = 8 * microsecond;
  send_single(source, 2);
  host.run_awake();
  const std::uint64_t before = host.counters().wakeups;

  send_single(source);
  cr_assert_eq(host.counters().wakeups, before + 1);
  host.come_to_rest();
}

Test(nap, messages_of_other_sources_wake_the_napper)
{
  FakeHost host(round_robin(1));
  FakeSource &source = host.source(ordinary_single);
  FakeSource &other = host.source();
  let_one_nap(host, source, 8 * microsecond);

  other.send("", 2);
  other.end_batch();
  cr_assert_eq(host.count(FakeWorker::awake), 1);
  host.come_to_rest();
}

Test(nap, a_napper_ends_with_the_engine)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source(ordinary_single);
  let_one_nap(host, source, 8 * microsecond);

  host.stop();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 2);
}

Test(wake_up, no_worker_that_is_awake)
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

  // It takes one of the two itself.
  host.run(0);
  cr_assert(host.can_run(1), "it is woken for the other one");
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
  learn_cost(host, 5 * microsecond);
  FakeSource &source = host.source();
  while_forwarding(host, "a", [&]
  {
    cr_assert_eq(host.count(FakeWorker::awake), 1);
    host.engine().rescan_sleepers();
    host.run_until_quiet();
    cr_assert_eq(host.counters().waiting, 0, "messages wait for one that has nothing to do with them");
    cr_assert_eq(host.counters().in_flight, 1);
  });

  send_one_each(source, 21);
  source.end_batch();
  host.run_until_quiet();
  host.come_to_rest();
}

Test(wake_up, none_when_nothing_is_pending)
{
  FakeHost host(keyed(4));
  host.start_asleep();
  while_forwarding(host, "a", [&]
  {
    host.engine().rescan_sleepers();
    cr_assert_eq(host.count(FakeWorker::awake), 1);
  });
  host.source().send("a");
  host.come_to_rest();
  host.engine().rescan_sleepers();
  cr_assert_eq(host.count(FakeWorker::awake), 0);
}

/* ------------------------------------------------------------------------
 * Splitting and stealing
 * ------------------------------------------------------------------------ */

static void
ten_slow_messages_take_the_time_of_one(const parallelize::EngineOptions &options)
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
  parallelize::EngineOptions options = round_robin(4);
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
    host.run_until_quiet();
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

Test(stealing, by_a_source_that_assists)
{
  parallelize::EngineOptions options = keyed(2);
  options.batch_size = 1;
  options.prefetch = 35;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  send_one_each(source, 35);
  while_forwarding(host, "a", [&]
  {
    source.send("9");
    cr_assert_gt(host.counters().worth_a_hand_over, 0);
    cr_assert_gt(host.counters().stolen, 0);
  });
  host.run(0);

  host.come_to_rest();
}

Test(stealing, a_sleeper_is_woken_for_the_local_queue_of_a_busy_worker)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.start_asleep();
  learn_cost(host, 2 * microsecond);
  // One of the workers is enough, until it has published its first slice.
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

// The worker has not come back to the run queue.
Test(stealing, a_sleeper_is_woken_as_soon_as_messages_turn_out_to_be_slow)
{
  FakeHost host(keyed(2));
  host.start_asleep();
  learn_cost(host, 2 * microsecond);
  host.cost = 10 * millisecond;
  FakeSource &source = host.source();
  send_one_each(source, 16);
  source.end_batch();
  unsigned messages = 0;
  host.on_forward = [&](const FakeMessage &)
  {
    if (++messages == 2)
      cr_assert_eq(host.count(FakeWorker::awake), 2);
  };
  host.run_until_quiet();
  host.check_all_published();
}

/* ------------------------------------------------------------------------
 * Fairness
 * ------------------------------------------------------------------------ */

Test(fairness, a_run_ends_after_its_quantum)
{
  parallelize::EngineOptions options = keyed(1);
  options.quantum = 10;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  source.send("a", 25);
  source.end_batch();

  cr_assert_eq(host.run(0), parallelize::Turn::again);
  cr_assert_eq(host.published_count(), 10);
  cr_assert_eq(host.run(0), parallelize::Turn::again);
  cr_assert_eq(host.published_count(), 20);
  cr_assert_eq(host.run(0), parallelize::Turn::sleeping);
  cr_assert_eq(host.published_count(), 25);
}

Test(fairness, the_quantum_counts_the_messages_of_all_strands)
{
  parallelize::EngineOptions options = keyed(1);
  options.quantum = 10;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  source.send("a", 9);
  source.send("b", 10);
  source.end_batch();

  cr_assert_eq(host.run(0), parallelize::Turn::again);
  cr_assert_leq(host.worker(0).longest_run, 10);
  host.run_until_quiet();
  host.check_all_published();
}

Test(fairness, a_hot_key_waits_for_its_turn)
{
  parallelize::EngineOptions options = keyed(1);
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

// Or one worker would still have it when the others are done.
Test(fairness, a_hot_key_comes_first_every_other_time)
{
  parallelize::EngineOptions options = keyed(2);
  options.quantum = 10;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  source.send("0", 300);
  send_one_each(source, 26);
  source.end_batch();
  // The first share of the run queue was taken before it was known that the key is hot.
  do
    host.run(0);
  while (host.worker_counters(0).waiting);

  const std::size_t before = host.published().size();
  for (unsigned i = 0; i < 10; i++)
    host.run(0);
  const std::string published = host.published().substr(before);
  const auto others = published.size() - std::count(published.begin(), published.end(), '0');
  cr_assert_geq(others, 4);
  cr_assert_leq(others, 6, "%zu", others);
  host.run_until_quiet();
  host.check_all_published();
}

Test(fairness, a_hot_key_does_not_starve_the_others_when_all_other_workers_are_busy)
{
  parallelize::EngineOptions options = keyed(2);
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
  host.elapsed = second;
  host.cost = millisecond;
  host.start();
  for (unsigned i = 0; i < 100; i++)
    source.send(keys.substr(i % different_keys, 1));
  source.end_batch();
  host.on_forward = [&](const FakeMessage &) { cr_assert_leq(host.worker(0).unpublished.size(), 2, "2 ms"); };

  cr_assert_eq(host.run(0), parallelize::Turn::again, "the thread comes to its other work after a slice");
  cr_assert_eq(host.published_count(), 2);
  host.run_until_quiet();
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

static parallelize::EngineOptions
prefetching(unsigned prefetch)
{
  parallelize::EngineOptions options = keyed(1);
  options.batch_size = 1;
  options.prefetch = prefetch;
  return options;
}

Test(prefetch, a_source_assists_beyond_it_and_stops_below_it)
{
  FakeHost host(prefetching(100));
  FakeSource &source = host.source();
  host.start();
  unsigned sent = 0;
  for (; sent < 100; sent++)
    source.send("key " + std::to_string(sent));
  cr_assert_eq(host.counters().worth_a_hand_over, 0);

  source.send("one more");
  const std::uint64_t inside = host.counters().in_flight;
  cr_assert_lt(inside, 100);
  cr_assert_gt(inside, 0, "it does not do everything");
  cr_assert_eq(host.counters().worth_a_hand_over, 101 - inside);
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
  parallelize::EngineOptions options = keyed(1);
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

Test(prefetch, a_source_does_not_assist_for_long)
{
  FakeHost host(prefetching(30));
  FakeSource &source = host.source();
  host.cost = 8000 * microsecond;
  host.start();
  send_one_each(source, 30);
  source.send("one more");
  cr_assert_eq(host.counters().worth_a_hand_over, 3, "twenty milliseconds, and the message that is under way then");
  host.come_to_rest();
}

// What the source has forwarded before is published before it runs messages of others.
Test(prefetch, assisting_publishes_and_the_batch_goes_on)
{
  FakeHost host(prefetching(10));
  FakeSource &source = host.source();
  host.start();
  host.source(0).send("s", 11);
  source.send("a");
  cr_assert_eq(source.forwarded, "a");
  cr_assert_eq(host.published(), "");
  while_forwarding(host, "s", [&] { cr_assert_eq(host.published(), "a"); });
  source.send("s");
  cr_assert_gt(host.counters().worth_a_hand_over, 1);
  cr_assert(source.forwarded.starts_with("as"));
  cr_assert(source.open());
  cr_assert(source.unpublished.empty());

  host.come_to_rest();
}

Test(prefetch, a_thread_that_may_not_assist_goes_on)
{
  FakeHost host(prefetching(10));
  FakeSource &main_thread = host.source(0);
  FakeSource &other = host.source(parallelize::Producer::publishes);
  host.start();
  for (unsigned i = 0; i < 100; i++)
    {
      main_thread.send("a");
      other.send("b");
    }
  other.end_batch();
  cr_assert_eq(host.counters().in_flight, 200);
  cr_assert_eq(host.counters().worth_a_hand_over, 0);
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
    cr_assert_eq(host.counters().worth_a_hand_over, 0);
    cr_assert_eq(host.counters().in_flight, 101);
  });

  source.send("a");
  host.run_until_quiet();
  host.come_to_rest();
}

// The source runs the only strand, so that the worker finds nothing and sleeps.
// Then the source stops with messages left.
static void
a_source_wakes_a_worker_for_the_rest(unsigned prefetch, unsigned quantum)
{
  parallelize::EngineOptions options = prefetching(prefetch);
  options.quantum = quantum;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  source.send("a", prefetch);
  while_forwarding(host, "a", [&] { cr_assert_eq(host.run(0), parallelize::Turn::sleeping); });

  source.send("a");
  cr_assert_gt(host.counters().worth_a_hand_over, 0);
  cr_assert_gt(host.counters().in_flight, 0);
  cr_assert_eq(host.count(FakeWorker::awake), 1, "messages are pending and no worker is awake");
  host.come_to_rest();
}

Test(prefetch, a_source_that_has_assisted_enough_wakes_a_worker_for_the_rest)
{
  a_source_wakes_a_worker_for_the_rest(40, 35);
}

Test(prefetch, a_source_that_finds_no_more_wakes_a_worker_for_the_rest)
{
  a_source_wakes_a_worker_for_the_rest(40, 5);
}

/* ------------------------------------------------------------------------
 * More messages than prefetch() are pending: a thread runs messages of idle keys inline
 * ------------------------------------------------------------------------ */

// One worker, busy for the time being, and more messages of key "s" than prefetch().
static parallelize::EngineOptions
crowded()
{
  parallelize::EngineOptions options = keyed(1);
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
  cr_assert_eq(host.counters().worth_a_hand_over, 1);
  host.run_until_quiet();
  host.check_all_published();
}

Test(crowded, messages_of_its_key_from_others_do_not_wait_for_it)
{
  FakeHost host(crowded());
  FakeSource &source = host.source();
  FakeSource &main_thread = host.source(0);
  crowd(host);
  source.send("a");
  cr_assert_eq(source.forwarded, "a");
  main_thread.send("a");
  host.run_until_quiet();
  cr_assert_eq(host.published(), "ssssssa", "that of the other one");

  source.end_batch();
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

Test(crowded, not_on_a_thread_that_may_not_assist)
{
  FakeHost host(crowded());
  FakeSource &main_thread = host.source(0);
  FakeSource &other = host.source(parallelize::Producer::publishes);
  crowd(host);
  main_thread.send("a");
  other.send("b");
  cr_assert_eq(main_thread.forwarded, "");
  cr_assert_eq(other.forwarded, "");

  other.end_batch();
  host.run_until_quiet();
  host.check_all_published();
}

// It assists, and comes to its own message after those of others.
Test(crowded, not_on_a_thread_that_does_not_publish_soon)
{
  FakeHost host(crowded());
  FakeSource &source = host.source(parallelize::Producer::assists);
  crowd(host);
  source.send("a");
  cr_assert(source.forwarded.starts_with("s"));

  host.come_to_rest();
}

Test(crowded, a_key_stays_inline_until_the_publish)
{
  FakeHost host(crowded());
  FakeSource &source = host.source();
  crowd(host);
  source.send("a");
  host.run_until_quiet();
  cr_assert_eq(host.counters().in_flight, 0);
  source.send("a");
  cr_assert_eq(source.forwarded, "aa");
  cr_assert_eq(source.unpublished.size(), 2, "nothing makes it publish");

  source.end_batch();
  source.send("a");
  cr_assert_eq(source.forwarded, "aa");
  host.come_to_rest();
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
  parallelize::EngineOptions options = crowded();
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
  crowd(host);
  source.send("a");
  cr_assert_eq(source.forwarded, "a");
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
  const std::size_t before = source.forwarded.size();
  const std::uint64_t without_worker =
    host.counters().inlined[static_cast<std::size_t>(parallelize::InlineReason::no_worker)];
  for (unsigned i = 0; i < 10; i++)
    {
      source.send(keys.substr(i % 3, 1));
      cr_assert_eq(source.forwarded.size(), before + i + 1);
      cr_assert_eq(host.counters().in_flight, 0);
    }
  source.end_batch();
  cr_assert_eq(host.counters().inlined[static_cast<std::size_t>(parallelize::InlineReason::no_worker)],
               without_worker + 10);
  host.check_all_published();
}

Test(no_worker, before_the_start)
{
  FakeHost host(keyed(2));
  a_source_processes_its_messages_itself(host, host.source());
  a_source_processes_its_messages_itself(host, host.source(0));
}

Test(no_worker, after_the_last_worker_has_ended)
{
  FakeHost host(keyed(2));
  host.start_asleep();
  host.stop();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 2);
  a_source_processes_its_messages_itself(host, host.source());
  a_source_processes_its_messages_itself(host, host.source(0));
}

Test(no_worker, without_keys)
{
  FakeHost host(round_robin(2));
  a_source_processes_its_messages_itself(host, host.source());
}

Test(no_worker, ends_with_the_next_start)
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

Test(no_worker, a_batch_that_is_open_at_the_start_goes_on)
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

// No worker will ever come for it.
Test(no_worker, no_message_is_left_behind_when_two_sources_bring_one_key)
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

Test(no_worker, no_message_is_left_behind_after_a_quantum)
{
  parallelize::EngineOptions options = keyed(2);
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

// In the order of tickets, in front of everything that comes later.
Test(no_worker, copies_leave_their_outlets_in_order)
{
  parallelize::EngineOptions options = keyed(2);
  options.outlets = 2;
  FakeHost host(options);
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  FakeSource &main_thread = host.source(0);
  for (unsigned i = 0; i < 5; i++)
    {
      first.send("a", {.outlets = {0, 1}});
      second.send("a", {.outlets = {0}});
      main_thread.send("b", {.outlets = {1, 0}});
    }
  cr_assert_eq(host.counters().in_flight, 0);
  cr_assert_eq(host.counters().parked + host.counters().released, 0);
  host.come_to_rest();
  cr_assert_eq(host.behind_outlet(0).size(), 15);
  cr_assert_eq(host.behind_outlet(1).size(), 10);
}

Test(no_worker, a_released_ticket_runs_the_outlets)
{
  parallelize::EngineOptions options = keyed(2);
  options.outlets = 1;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start_asleep();
  source.send("a", {.outlets = {0}, .later = {0}});
  source.send("b", {.outlets = {0}});
  source.end_batch();
  host.run_until_quiet();
  host.stop();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::asleep), 2, "a ticket is retained");
  host.finish(0);
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 2);

  source.send("a", {.outlets = {0}, .later = {0}});
  source.send("b", {.outlets = {0}});
  source.end_batch();
  cr_assert_eq(host.behind_outlet(0).size(), 3);
  host.finish(0);
  cr_assert_eq(host.behind_outlet(0).size(), 6);
  cr_assert_eq(host.counters().parked + host.counters().released, 0);
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
    cr_assert_eq(host.run(1), parallelize::Turn::sleeping);
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

Test(cheap, messages_are_too_cheap)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  source.send("b", 16);

  cr_assert_eq(source.forwarded.size(), 16);
  cr_assert_eq(host.counters().in_flight, 0);
  source.end_batch();
  cr_assert_eq(host.counters().too_cheap, 16);
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

Test(cheap, messages_of_its_key_from_others_do_not_wait_for_it)
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
  cr_assert_eq(second.forwarded, "xy");
  cr_assert_eq(host.published().substr(before), "xy");

  first.end_batch();
  cr_assert_eq(host.published().substr(before), "xyx");
  host.check_all_published();
}

Test(cheap, a_batch_goes_on_beside_those_of_others)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  FakeSource &main_thread = host.source(0);
  first.send("x");
  second.send("y");
  main_thread.send("z");
  first.send("x");
  second.send("y");
  cr_assert_eq(first.forwarded, "xx");
  cr_assert_eq(second.forwarded, "yy");
  cr_assert_eq(first.unpublished.size(), 2, "nothing makes it publish");

  host.run_until_quiet();
  cr_assert(host.published().ends_with("z"));
  host.come_to_rest();
}

Test(cheap, others_run_inline_as_well)
{
  parallelize::EngineOptions options = keyed(2);
  options.batch_size = 2;
  options.prefetch = 4;
  FakeHost host(options);
  start_with_cheap_messages(host);
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  first.send("x");
  send_one_each(second, 20);
  cr_assert_eq(second.forwarded.size(), 20);

  first.end_batch();
  second.end_batch();
  host.run_until_quiet();
  host.check_all_published();
}

Test(cheap, not_while_messages_of_the_key_are_pending)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &main_thread = host.source(0);
  FakeSource &source = host.source();
  main_thread.send("a");
  source.send("b");
  cr_assert_eq(source.forwarded, "b");
  source.send("a");
  cr_assert_eq(source.forwarded, "b");
  source.send("b");
  cr_assert_eq(source.forwarded, "bb");

  host.come_to_rest();
}

Test(cheap, not_while_a_message_of_the_key_is_being_run)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &main_thread = host.source(0);
  FakeSource &source = host.source();
  while_forwarding(host, "a", [&]
  {
    source.send("a");
    cr_assert_eq(source.forwarded, "");
    source.send("b");
    cr_assert_eq(source.forwarded, "b");
  });
  main_thread.send("a");
  host.run_until_quiet();

  host.come_to_rest();
}

Test(cheap, not_while_a_message_of_the_key_is_unpublished)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &main_thread = host.source(0);
  FakeSource &source = host.source();
  main_thread.send("a");
  main_thread.send("c");
  bool published = false;
  host.on_publish = [&](FakeThread &thread)
  {
    if (published || thread.unpublished.empty() || thread.unpublished.front()->key != "a")
      return;
    published = true;
    source.send("a");
    cr_assert_eq(source.forwarded, "");
    source.send("b");
    cr_assert_eq(source.forwarded, "b");
  };
  host.run_until_quiet();
  cr_assert(published);

  host.come_to_rest();
}

// 32 messages are timed, one in 16.
Test(cheap, ends_when_messages_become_slow)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  host.cost = 100 * microsecond;
  FakeSource &source = host.source();
  source.send("b", 2000);
  cr_assert_leq(source.forwarded.size(), 32 * 16 * 3 / 2);

  host.come_to_rest();
}

Test(cheap, ends_when_messages_become_slow_after_a_long_time)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  source.send("b", 100'000);
  source.end_batch();
  cr_assert_eq(source.forwarded.size(), 100'000);
  host.cost = 100 * microsecond;
  source.send("b", 2000);
  cr_assert_leq(source.forwarded.size() - 100'000, 32 * 16 * 3 / 2);

  host.come_to_rest();
}

Test(cheap, without_keys)
{
  FakeHost host(round_robin(2));
  start_with_cheap_messages(host);
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  host.source(0).send("c", 4);
  first.send("a", 8);
  second.send("b", 8);
  cr_assert_eq(first.forwarded.size(), 8);
  cr_assert_eq(second.forwarded.size(), 8);

  host.come_to_rest();
}

Test(cheap, workers_that_are_stopped_end_after_the_batch)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  source.send("x");
  cr_assert_eq(source.forwarded, "x");
  host.stop();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::asleep), 2);

  source.end_batch();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 2);
  host.check_all_published();
}

/* ------------------------------------------------------------------------
 * Inline messages
 * ------------------------------------------------------------------------ */

Test(inlined, keys_are_not_looked_at_while_nothing_is_in_flight)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  const std::uint64_t before = host.key_looks();
  send_one_each(source, 36);
  source.end_batch();
  cr_assert_eq(host.key_looks(), before);

  host.source(0).send("a");
  const std::uint64_t others = host.key_looks();
  send_one_each(source, 3);
  cr_assert_eq(host.key_looks() - others, 3);
  cr_assert_eq(source.forwarded.substr(36), "bc", "the strand of the other one is not idle");

  host.come_to_rest();
}

Test(inlined, what_the_batch_has_collected_comes_first)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  host.source(0).send("a");
  source.send("a");
  cr_assert_eq(host.counters().in_flight, 1, "not handed over yet");
  host.run_until_quiet();
  source.send("a");
  cr_assert_eq(source.forwarded, "");
  cr_assert_eq(host.counters().in_flight, 1, "the first one is handed over");

  host.come_to_rest();
}

// While a thread publishes, it may run copies of others that block.
Test(inlined, what_the_batch_has_collected_does_not_wait_for_a_publish)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  FakeSource &main_thread = host.source(0);
  main_thread.send("z");
  source.send("a");
  main_thread.send("a");
  source.send("z");
  cr_assert_eq(source.forwarded, "a");
  cr_assert_eq(host.counters().in_flight, 2, "the source has collected one");
  while_publishing(host, source, [&] { cr_assert_eq(host.counters().in_flight, 3); });
  source.send("a");
  cr_assert_eq(source.forwarded, "a");
  cr_assert(source.unpublished.empty());

  host.come_to_rest();
}

// Some other source hands the key over meanwhile.
Test(inlined, messages_are_published_before_one_of_their_key_is_handed_over)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  FakeSource &main_thread = host.source(0);
  main_thread.send("z");
  source.send("a", 3);
  source.send("b");
  main_thread.send("a");
  main_thread.send("c");
  source.send("c");
  cr_assert_eq(source.unpublished.size(), 4, "no message of that key is unpublished");
  source.send("a");
  cr_assert_eq(source.forwarded, "aaab");
  cr_assert(source.unpublished.empty());
  cr_assert(source.open());

  host.come_to_rest();
}

Test(inlined, messages_of_unknown_keys_are_published_before_any_is_handed_over)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  const std::uint64_t looks = host.key_looks();
  source.send("a");
  cr_assert_eq(host.key_looks(), looks);
  host.source(0).send("b");
  source.send("b");
  cr_assert_eq(source.forwarded, "a");
  cr_assert(source.unpublished.empty());

  host.come_to_rest();
}

// Its thread may publish on behalf of something else, while the message is on its way.
Test(inlined, a_message_is_not_published_before_it_is_complete)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  FakeSource &main_thread = host.source(0);
  main_thread.send("z");
  while_forwarding(host, "a", [&]
  {
    source.publish_inside();
    main_thread.send("a");
  });
  source.send("a");
  source.send("a");
  cr_assert_eq(source.forwarded, "a");
  cr_assert(source.unpublished.empty());

  host.come_to_rest();
}

Test(inlined, after_a_publish_of_its_own_the_thread_may_hand_over_without_another)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  FakeSource &main_thread = host.source(0);
  source.send("a");
  source.publish();
  main_thread.send("a");
  main_thread.send("b");
  unsigned publishes = 0;
  host.on_publish = [&](FakeThread &thread) { publishes += &thread == &source; };
  source.send("b");
  source.send("a");
  cr_assert_eq(publishes, 0);
  cr_assert_eq(source.forwarded, "a");

  host.come_to_rest();
}

Test(inlined, a_stuck_message_delays_no_other_source)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  FakeSource &main_thread = host.source(0);
  const std::uint64_t before = host.published_count();
  while_forwarding(host, "x", [&]
  {
    second.send("x");
    second.send("y");
    second.end_batch();
    cr_assert_eq(second.forwarded, "xy");
    main_thread.send("x");
    send_one_each(main_thread, 36);
    host.run_until_quiet();
    cr_assert_eq(host.published_count() - before, 2 + 1 + 36);
    cr_assert_eq(host.counters().in_flight, 0);
  });
  first.send("x");

  host.come_to_rest();
}

Test(inlined, a_stuck_message_delays_no_other_source_without_keys)
{
  FakeHost host(round_robin(2));
  start_with_cheap_messages(host);
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  FakeSource &main_thread = host.source(0);
  const std::uint64_t before = host.published_count();
  while_forwarding(host, "x", [&]
  {
    second.send("y", 10);
    second.end_batch();
    main_thread.send("z", 10);
    host.run_until_quiet();
    cr_assert_eq(host.published_count() - before, 20);
  });
  first.send("x");

  host.come_to_rest();
}

Test(inlined, cheap_messages_are_published_once_a_batch)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  unsigned publishes = 0;
  host.on_publish = [&](FakeThread &thread) { publishes += &thread == &source; };
  source.send("a", 1000);
  cr_assert_eq(source.forwarded.size(), 1000);
  cr_assert_eq(publishes, 0, "%u times within half a millisecond", publishes);

  host.come_to_rest();
}

// Memory queues count unpublished messages in 16 bits.
Test(inlined, a_thread_keeps_few_thousand_messages_back)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  host.cost = 50;
  FakeSource &source = host.source();
  host.on_forward = [&](const FakeMessage &) { cr_assert_leq(source.unpublished.size(), 4096); };
  source.send("a", 10'000);
  cr_assert_eq(source.forwarded.size(), 10'000);
  host.on_forward = nullptr;

  host.come_to_rest();
}

Test(inlined, the_clock_is_read_for_few_cheap_messages)
{
  FakeHost host(keyed(2));
  start_with_cheap_messages(host);
  FakeSource &source = host.source();
  const std::uint64_t before = host.clock_looks();
  source.send("a", 1000);
  cr_assert_eq(source.forwarded.size(), 1000);
  cr_assert_leq(host.clock_looks() - before, 1000 / 4);

  host.come_to_rest();
}

/* ------------------------------------------------------------------------
 * Harm: an inline message blocks the thread of its source
 * ------------------------------------------------------------------------ */

namespace {

// Ten workers, and `source` runs cheap messages inline.
struct CheapTraffic
{
  explicit CheapTraffic(unsigned workers = 10) : host(keyed(workers)), source(host.source())
  {
    host.elapsed = second;
    start_with_cheap_messages(host);
    source.send("a", 1000);
    source.end_batch();
    cr_assert_eq(source.forwarded.size(), 1000);
  }

  // From here on every message blocks its thread.
  void
  block()
  {
    host.cost = 100 * millisecond;
    host.blocks = true;
  }

  // Bring some messages, which the workers process.  How many of them the source's thread processed.
  unsigned
  bring(unsigned count)
  {
    const std::size_t before = source.forwarded.size();
    while (count--)
      {
        source.send(keys.substr(next++ % 36, 1));
        source.end_batch();
        host.run_until_quiet();
      }
    return static_cast<unsigned>(source.forwarded.size() - before);
  }

  // Bring a message each 10 ms until the source's thread processes one.  How many
  // hundred milliseconds that takes, rounded.
  unsigned
  time_until_inline()
  {
    const std::uint64_t started = host.time_of(source);
    while (!bring(1))
      {
        host.elapsed += 10 * millisecond;
        host.check(host.time_of(source) - started < 1000 * second, "no message is tried again");
      }
    const std::uint64_t until = host.time_of(source) - host.cost;
    return static_cast<unsigned>((until - started + 50 * millisecond) / (100 * millisecond));
  }

  FakeHost host;
  FakeSource &source;
  unsigned next = 0;
};

}

Test(harm, a_source_runs_two_blocking_messages_at_most)
{
  CheapTraffic traffic;
  traffic.block();
  cr_assert_leq(traffic.bring(20), 2);
  traffic.host.come_to_rest();
}

Test(harm, two_sources_do_not_share_it)
{
  CheapTraffic traffic;
  FakeSource &other = traffic.host.source();
  other.send("x", 100);
  other.end_batch();
  traffic.block();
  traffic.bring(20);

  traffic.host.cost = 500;
  traffic.host.blocks = false;
  other.send("x", 100);
  cr_assert_eq(other.forwarded.size(), 200);
  traffic.host.come_to_rest();
}

Test(harm, after_two_seconds_one_message_is_tried_and_the_wait_doubles)
{
  CheapTraffic traffic;
  traffic.block();
  traffic.bring(20);
  cr_assert_eq(traffic.time_until_inline(), 20);
  cr_assert_eq(traffic.bring(20), 0, "one message only");
  cr_assert_eq(traffic.time_until_inline(), 40);
  cr_assert_eq(traffic.bring(20), 0);
  cr_assert_eq(traffic.time_until_inline(), 80);
  cr_assert_eq(traffic.bring(20), 0);
  traffic.host.come_to_rest();
}

Test(harm, the_wait_doubles_up_to_64_seconds)
{
  CheapTraffic traffic;
  traffic.block();
  traffic.bring(20);
  for (const unsigned seconds : {2, 4, 8, 16, 32, 64, 64, 64})
    {
      cr_assert_eq(traffic.time_until_inline(), seconds * 10);
      cr_assert_eq(traffic.bring(20), 0);
    }
  traffic.host.come_to_rest();
}

Test(harm, is_forgotten_after_eight_times_the_wait)
{
  CheapTraffic traffic;
  traffic.block();
  traffic.bring(20);
  cr_assert_eq(traffic.time_until_inline(), 20);

  // That was the second time: four seconds, and 32 without harm.
  traffic.host.elapsed += 37 * second;
  traffic.host.cost = 500;
  traffic.host.blocks = false;
  // The workers have to learn that messages are cheap again.
  traffic.bring(20'000);
  cr_assert_gt(traffic.bring(1000), 900, "cheap messages are inline again");
  traffic.block();
  cr_assert_leq(traffic.bring(20), 2);
  cr_assert_eq(traffic.time_until_inline(), 20);
  traffic.host.come_to_rest();
}

static unsigned
blocked_on_the_thread_of_a_source(std::uint64_t pause_each_100, unsigned messages)
{
  CheapTraffic traffic;
  FakeHost &host = traffic.host;
  FakeSource &source = traffic.source;
  FakeSource &other = host.source();
  unsigned blocked = 0;
  host.on_forward = [&](const FakeMessage &message) { blocked += message.blocks && source.is_inside(); };
  for (unsigned i = 1; i <= messages; i++)
    {
      host.blocks = i % 500 == 0;
      host.cost = host.blocks ? 50 * millisecond : 500;
      source.send(keys.substr(i % 20, 1));
      host.blocks = false;
      host.cost = 500;
      if (i % 10 == 0)
        other.send("z");
      if (i % 100)
        continue;
      source.end_batch();
      other.end_batch();
      host.run_until_quiet();
      host.elapsed += pause_each_100;
    }
  cr_assert_eq(other.forwarded.size(), messages / 10, "the other source stays inline");
  host.come_to_rest();
  return blocked;
}

// one that it sees for a lost processor.
Test(harm, a_source_runs_few_of_messages_that_block_seldom)
{
  cr_assert_leq(blocked_on_the_thread_of_a_source(0, 30'000), 2);
}

// One minute: trials after 2, 6, 14, and 30 seconds.
Test(harm, a_source_runs_few_of_messages_that_block_seldom_for_a_long_time)
{
  cr_assert_leq(blocked_on_the_thread_of_a_source(10 * millisecond, 600'000), 2 + 3 + 2);
}

Test(harm, a_source_runs_few_long_messages_that_are_far_apart)
{
  CheapTraffic traffic;
  unsigned blocked = 0;
  for (unsigned i = 0; i < 20; i++)
    {
      traffic.host.cost = 500;
      traffic.host.blocks = false;
      traffic.bring(1000);
      traffic.host.elapsed += 11 * second;
      traffic.host.cost = 5 * second;
      traffic.host.blocks = true;
      blocked += traffic.bring(1);
    }
  cr_assert_leq(blocked, 8, "%u of 20 messages that blocked for five seconds", blocked);
  traffic.host.come_to_rest();
}

Test(harm, a_thread_that_loses_its_processor_is_not_harmed)
{
  CheapTraffic traffic;
  const auto elapse = [&](const FakeMessage &) { traffic.host.elapsed += 60 * millisecond; };
  traffic.host.on_forward = elapse;
  cr_assert_eq(traffic.bring(20), 20);
  traffic.host.on_forward = nullptr;
  cr_assert_eq(traffic.bring(1000), 1000);
  traffic.host.come_to_rest();
}

Test(harm, a_message_that_computes_for_long_harms_as_well)
{
  for (const std::uint64_t cost : {20 * millisecond, 100 * millisecond})
    {
      CheapTraffic traffic;
      traffic.host.cost = cost;
      cr_assert_leq(traffic.bring(20), 2);
      traffic.host.come_to_rest();
    }
}

Test(harm, that_comes_while_no_worker_is_alive_does_not_add_up)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.elapsed = second;
  host.cost = 100 * millisecond;
  host.blocks = true;
  source.send("a", 20);
  source.end_batch();
  host.cost = 500;
  host.blocks = false;
  host.start_asleep();
  const std::size_t before = source.forwarded.size();
  for (unsigned i = 0; i < 500; i++)
    {
      source.send("a");
      source.end_batch();
      host.run_until_quiet();
      host.elapsed += 10 * millisecond;
    }
  cr_assert_gt(source.forwarded.size() - before, 100, "the source hands over for longer than two seconds");
  host.come_to_rest();
}

// It is seen by everybody who asks whether the path blocks.
Test(harm, on_the_thread_of_a_source_the_path_blocks)
{
  CheapTraffic traffic;
  FakeSource &source = traffic.source;
  traffic.block();
  const std::size_t before = source.forwarded.size();
  source.send("a", 2);
  cr_assert_gt(source.forwarded.size(), before);
  bool blocks = false;
  traffic.host.on_forward = [&](const FakeMessage &) { blocks = traffic.host.engine().blocks(); };
  traffic.bring(1);
  cr_assert(blocks);
  traffic.host.come_to_rest();
}

/* ------------------------------------------------------------------------
 * Leaving and entering inline
 * ------------------------------------------------------------------------ */

Test(leaving, a_path_that_has_become_expensive_is_handed_over)
{
  CheapTraffic traffic;
  traffic.host.cost = 100 * microsecond;
  cr_assert_leq(traffic.bring(20'000), 32 * 16 * 3 / 2);
  traffic.host.come_to_rest();
}

Test(leaving, slow_messages_are_noticed_soon)
{
  CheapTraffic traffic;
  FakeSource &fresh = traffic.host.source();
  fresh.send("b");
  fresh.end_batch();
  traffic.host.cost = 900 * microsecond;
  const std::uint64_t before = traffic.host.time_of(fresh);
  for (unsigned i = 0; i < 1000; i++)
    {
      fresh.send("b");
      fresh.end_batch();
      traffic.host.run_until_quiet();
    }
  cr_assert_leq((traffic.host.time_of(fresh) - before) / millisecond, 100);
  traffic.host.come_to_rest();
}

// One message that blocks a worker.
static void
send_blocking(FakeHost &host, FakeSource &source)
{
  const std::uint64_t cost = std::exchange(host.cost, 5 * millisecond);
  host.blocks = true;
  source.send("z");
  host.cost = cost;
  host.blocks = false;
}

// Messages that take 10 us, in batches of 1000, for ten seconds; those of another source block.
static std::vector<unsigned>
trials_of_an_expensive_path(FakeHost &host)
{
  std::vector<unsigned> trials;
  FakeSource &source = host.source();
  host.elapsed = second;
  host.cost = 10 * microsecond;
  host.start_asleep();
  learn_cost(host, host.cost);
  FakeSource &main_thread = host.source(0);
  for (unsigned i = 0; i < 1000; i++)
    {
      const std::size_t before = source.forwarded.size();
      send_blocking(host, main_thread);
      for (unsigned j = 0; j < 1000; j++)
        source.send(keys.substr(j % 36, 1));
      source.end_batch();
      host.run_until_quiet();
      host.elapsed += 10 * millisecond;
      if (source.forwarded.size() > before)
        trials.push_back(static_cast<unsigned>(source.forwarded.size() - before));
    }
  host.come_to_rest();
  return trials;
}

Test(trial, of_an_expensive_path_comes_once_in_a_while)
{
  FakeHost host(keyed(2));
  const std::vector<unsigned> trials = trials_of_an_expensive_path(host);
  // After one second, two, four, eight ...
  cr_assert_geq(trials.size(), 3);
  cr_assert_leq(trials.size(), 6, "%zu trials", trials.size());
  for (const unsigned messages : trials)
    cr_assert_leq(messages, 64);
}

// The workers measure what its messages cost.
Test(trial, not_of_a_path_that_does_not_block)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.cost = 40 * microsecond;
  host.start_asleep();
  for (unsigned i = 0; i < 100; i++)
    {
      source.send("a", 10);
      source.end_batch();
      host.run_until_quiet();
      host.elapsed += 10 * millisecond;
    }
  cr_assert_eq(source.forwarded, "");
  host.come_to_rest();
}

Test(trial, takes_32_messages_only)
{
  FakeHost host(keyed(2));
  for (const unsigned messages : trials_of_an_expensive_path(host))
    cr_assert_leq(messages, 32, "%u messages", messages);
}

Test(trial, is_not_taken_for_a_crowd)
{
  FakeHost host(keyed(2));
  trials_of_an_expensive_path(host);
  const std::uint64_t crowded = host.counters().inlined[static_cast<std::size_t>(parallelize::InlineReason::crowded)];
  cr_assert_eq(crowded, 0);
}

// All messages block: there is nothing to find out.
Test(trial, is_not_taken_if_all_messages_block)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.elapsed = second;
  host.cost = 25 * millisecond;
  host.blocks = true;
  host.start_asleep();
  for (unsigned i = 0; i < 1000; i++)
    {
      source.send(keys.substr(i % 36, 1));
      source.end_batch();
      host.run_until_quiet();
      host.elapsed += 10 * millisecond;
    }
  cr_assert_eq(source.forwarded, "");
  host.come_to_rest();
}

// A trial may block one of the few threads that read sources.
Test(trial, is_taken_by_one_source_at_a_time)
{
  FakeHost host(keyed(2));
  FakeSource &main_thread = host.source(0);
  FakeSource &first = host.source();
  FakeSource &second_one = host.source();
  host.elapsed = second;
  host.cost = 500;
  host.start_asleep();
  unsigned together = 0;
  for (unsigned i = 0; i < 40; i++)
    {
      send_blocking(host, main_thread);
      const std::size_t before = first.forwarded.size();
      const std::size_t before_second = second_one.forwarded.size();
      first.send("a");
      second_one.send("b");
      first.end_batch();
      second_one.end_batch();
      together += first.forwarded.size() > before && second_one.forwarded.size() > before_second;
      host.run_until_quiet();
      host.elapsed += 10 * millisecond;
    }
  cr_assert_eq(together, 0);
  host.come_to_rest();
}

// The workers see only the messages of the other source, which block.
Test(trial, finds_that_messages_of_a_source_are_cheap)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  FakeSource &main_thread = host.source(0);
  host.elapsed = second;
  host.start_asleep();
  std::size_t inlined = 0;
  for (unsigned i = 0; i < 100; i++)
    {
      host.cost = 500;
      send_blocking(host, main_thread);
      inlined = source.forwarded.size();
      source.send("a", 10);
      source.end_batch();
      host.run_until_quiet();
      host.elapsed += 10 * millisecond;
    }
  cr_assert_eq(source.forwarded.size() - inlined, 10);
  cr_assert_geq(inlined, 700);
  host.come_to_rest();
}

// 32 cheap messages, and then none that is.
Test(trial, is_not_believed_for_long)
{
  FakeHost host(keyed(2));
  FakeSource &source = host.source();
  host.elapsed = second;
  host.start_asleep();
  learn_cost(host, 3 * microsecond);
  host.cost = 500;
  source.send("a", 33);
  cr_assert_eq(source.forwarded.size(), 33, "the trial, and the first message after it");
  host.cost = 20 * microsecond;
  source.send("a", 1000);
  source.end_batch();
  host.run_until_quiet();
  cr_assert_leq(source.forwarded.size(), 33 + 32);
  host.come_to_rest();
}

/* ------------------------------------------------------------------------
 * Over the high-water mark
 * ------------------------------------------------------------------------ */

static void
pend(FakeHost &host, unsigned count)
{
  FakeSource &main_thread = host.source(0);
  for (unsigned i = 0; i < count; i++)
    main_thread.send("s");
  cr_assert_eq(host.counters().in_flight, count);
}

Test(high_water_mark, messages_are_inline_until_three_quarters_of_it)
{
  parallelize::EngineOptions options = prefetching(100);
  options.quantum = 13;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  pend(host, 101);
  source.send("a");
  source.end_batch();
  cr_assert_eq(source.forwarded, "a");
  host.run(0);
  cr_assert_eq(host.counters().in_flight, 88);
  source.send("a");
  source.end_batch();
  cr_assert_eq(source.forwarded, "aa");
  host.run(0);
  cr_assert_eq(host.counters().in_flight, 75);
  source.send("a");
  source.end_batch();
  cr_assert_eq(source.forwarded, "aa");
  cr_assert_eq(host.counters().in_flight, 76);

  host.come_to_rest();
}

Test(high_water_mark, a_source_assists_until_three_quarters_of_it)
{
  parallelize::EngineOptions options = prefetching(100);
  options.quantum = 20;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.cost = 5 * microsecond;
  host.start();
  for (unsigned i = 0; i < 101; i++)
    host.source(0).send("key " + std::to_string(i));
  source.send("key 100");
  cr_assert_leq(host.counters().in_flight, 75);
  cr_assert_gt(host.counters().in_flight, 25);

  host.come_to_rest();
}

Test(high_water_mark, a_source_does_not_assist_while_the_path_blocks)
{
  FakeHost host(prefetching(10));
  FakeSource &source = host.source();
  host.elapsed = second;
  host.cost = 5 * millisecond;
  host.blocks = true;
  host.start();
  host.source(0).send("s", 3);
  host.run_until_quiet();

  host.cost = 5 * microsecond;
  host.blocks = false;
  pend(host, 20);
  source.send("s");
  cr_assert_eq(host.counters().worth_a_hand_over, 0);
  cr_assert_eq(host.counters().source_yields, 1);
  host.elapsed += 3 * second;
  source.send("s", 40);
  cr_assert_gt(host.counters().worth_a_hand_over, 0);

  host.come_to_rest();
}

// No window bounds messages that a parser has made.
Test(high_water_mark, a_source_runs_messages_that_block_if_far_too_many_are_in_flight)
{
  FakeHost host(prefetching(10));
  FakeSource &source = host.source();
  host.elapsed = second;
  host.cost = 5 * millisecond;
  host.blocks = true;
  host.start();
  host.source(0).send("s", 3);
  host.run_until_quiet();
  pend(host, 321);
  source.send("a");
  cr_assert_eq(source.forwarded, "a");

  host.come_to_rest();
}

// Its message has not ended.
Test(high_water_mark, a_source_runs_no_messages_beside_a_worker_that_is_stuck)
{
  FakeHost host(prefetching(10));
  FakeSource &source = host.source();
  host.elapsed = second;
  host.cost = 5 * microsecond;
  host.start();
  host.source(0).send("s");
  while_forwarding(host, "s", [&]
  {
    for (unsigned i = 0; i < 3; i++)
      {
        host.elapsed += second;
        host.engine().rescan_sleepers();
      }
    for (unsigned i = 0; i < 20; i++)
      host.source(0).send("s");
    source.send("a");
    cr_assert_eq(source.forwarded, "");
  });
  host.run(0);

  host.come_to_rest();
}

Test(high_water_mark, a_source_runs_two_messages_that_block_inline_at_most)
{
  FakeHost host(prefetching(10));
  FakeSource &source = host.source();
  host.elapsed = second;
  host.start();
  pend(host, 20);
  host.cost = 100 * millisecond;
  host.blocks = true;
  for (unsigned i = 0; i < 10; i++)
    {
      source.send(keys.substr(i, 1));
      source.end_batch();
    }
  cr_assert_leq(source.forwarded.size(), 2);

  host.come_to_rest();
}

// More threads are what such messages need.
Test(high_water_mark, a_source_runs_messages_that_compute_for_long)
{
  FakeHost host(prefetching(10));
  FakeSource &source = host.source();
  host.elapsed = second;
  host.start();
  pend(host, 20);
  host.cost = 20 * millisecond;
  for (unsigned i = 0; i < 10; i++)
    {
      source.send(keys.substr(i, 1));
      source.end_batch();
    }
  cr_assert_eq(source.forwarded.size(), 10);

  host.come_to_rest();
}

// The wait after its second message that blocked: four seconds, and the path blocks for two.
Test(high_water_mark, a_source_that_was_harmed_runs_no_messages)
{
  FakeHost host(prefetching(10));
  FakeSource &source = host.source();
  host.elapsed = second;
  start_with_cheap_messages(host);
  for (unsigned i = 0; i < 2; i++)
    {
      host.elapsed += 2100 * millisecond;
      host.cost = 100 * millisecond;
      host.blocks = true;
      source.send("a");
      source.end_batch();
    }
  cr_assert_eq(source.forwarded, "aa");

  host.elapsed += 3 * second;
  host.cost = 500;
  host.blocks = false;
  pend(host, 20);
  source.send("b");
  cr_assert_eq(source.forwarded, "aa");
  source.end_batch();
  host.elapsed += 2 * second;
  source.send("c");
  cr_assert_eq(source.forwarded, "aac");

  host.come_to_rest();
}

Test(high_water_mark, a_source_is_blocked_by_few_messages_that_it_assists_with)
{
  FakeHost host(prefetching(100));
  FakeSource &source = host.source();
  FakeSource &main_thread = host.source(0);
  host.elapsed = second;
  host.start();
  main_thread.send("w");
  // The only worker is stuck.
  while_forwarding(host, "w", [&]
  {
    host.cost = 100 * millisecond;
    host.blocks = true;
    for (unsigned i = 0; i < 3; i++)
      send_one_each(main_thread, 20);
    for (unsigned i = 0; i < 10; i++)
      send_one_each(source, 20);
    cr_assert_leq(source.forwarded.size(), 3, "%zu messages blocked it", source.forwarded.size());
  });
  host.run(0);

  host.come_to_rest();
}

/* ------------------------------------------------------------------------
 * Slices
 * ------------------------------------------------------------------------ */

// Messages take 100 us, then one takes 150 ms, then 100 us again.  A thread that
// has published waits two milliseconds at most until it publishes the long one.
template <typename Run>
static void
a_long_message_is_published_soon(FakeHost &host, FakeSource &source, const Run &run)
{
  constexpr std::uint64_t long_message = 150 * millisecond;
  std::uint64_t ended = 0;
  std::uint64_t published = 0;
  unsigned unpublished_before = 0;
  host.on_forward = [&](const FakeMessage &message)
  {
    if (message.cost != long_message)
      return;
    for (const auto &thread : host.threads())
      if (thread->inside)
        {
          ended = host.time_of(*thread);
          unpublished_before = static_cast<unsigned>(thread->unpublished.size()) - 1;
        }
  };
  host.on_publish = [&](FakeThread &thread)
  {
    for (const auto &message : thread.unpublished)
      if (message->cost == long_message)
        published = host.time_of(thread);
  };
  const std::uint64_t usual = host.cost;
  for (unsigned i = 0; i < 300; i++)
    {
      host.cost = i == 203 ? long_message : usual;
      source.send(keys.substr(i % 3, 1));
    }
  run();
  cr_assert_gt(ended, 0);
  cr_assert_gt(published, 0);
  cr_assert_leq((published - ended) / microsecond, 2000);
  cr_assert_leq(unpublished_before, std::max<std::uint64_t>(2 * millisecond / usual, 1) + 32);
  host.on_forward = nullptr;
  host.on_publish = nullptr;
  host.come_to_rest();
}

Test(slices, a_worker_publishes_soon_after_a_long_message)
{
  FakeHost host(keyed(1));
  host.elapsed = second;
  host.cost = 100 * microsecond;
  host.start();
  FakeSource &source = host.source();
  a_long_message_is_published_soon(host, source, [&]
  {
    source.end_batch();
    host.run_until_quiet();
  });
}

Test(slices, a_worker_publishes_soon_after_a_long_message_among_cheap_ones)
{
  FakeHost host(keyed(1));
  host.elapsed = second;
  host.start_asleep();
  learn_cost(host, 500);
  host.cost = 500;
  FakeSource &main_thread = host.source(0);
  a_long_message_is_published_soon(host, main_thread, [&] { host.run_until_quiet(); });
}

Test(slices, a_worker_publishes_each_of_messages_that_have_become_long)
{
  FakeHost host(keyed(1));
  host.start_asleep();
  learn_cost(host, 500);
  host.cost = 100 * millisecond;
  FakeSource &main_thread = host.source(0);
  send_one_each(main_thread, 20);
  host.on_forward = [&](const FakeMessage &) { cr_assert_leq(host.worker(0).unpublished.size(), 1); };
  host.run_until_quiet();
  host.check_all_published();
}

Test(slices, a_source_without_workers_publishes_soon_after_a_long_message)
{
  FakeHost host(keyed(1));
  host.elapsed = second;
  host.cost = 100 * microsecond;
  a_long_message_is_published_soon(host, host.source(), [] {});
}

Test(slices, a_source_publishes_soon_after_a_long_message_among_cheap_ones)
{
  FakeHost host(keyed(1));
  host.elapsed = second;
  start_with_cheap_messages(host);
  a_long_message_is_published_soon(host, host.source(), [] {});
}

// The time of the last message apart, no message waits for its publish any longer.
Test(slices, a_source_publishes_each_two_milliseconds)
{
  FakeHost host(keyed(1));
  host.elapsed = second;
  host.cost = 100 * microsecond;
  FakeSource &source = host.source();
  host.on_forward = [&](const FakeMessage &) { cr_assert_leq(source.unpublished.size(), 20); };
  for (unsigned i = 0; i < 1000; i++)
    source.send(keys.substr(i % 36, 1));
  host.come_to_rest();
}

Test(slices, are_shorter_while_messages_block)
{
  FakeHost host(keyed(1));
  host.elapsed = second;
  host.start();
  FakeSource &source = host.source();
  host.cost = 5 * millisecond;
  host.blocks = true;
  source.send("a", 3);
  source.end_batch();
  host.run_until_quiet();

  host.cost = 50 * microsecond;
  host.blocks = false;
  host.on_forward = [&](const FakeMessage &) { cr_assert_leq(host.worker(0).unpublished.size(), 4); };
  for (unsigned i = 0; i < 100; i++)
    source.send(keys.substr(i % 36, 1));
  source.end_batch();
  host.run_until_quiet();
  host.on_forward = nullptr;
  host.come_to_rest();
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
  FakeSource &source = host.source(0);  // never tries whether messages are cheap
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

// All workers sleep while a source's thread, which assists, has the key: with one
// more of them nothing would be different.
Test(hot_key, is_not_reported_when_there_is_one_worker)
{
  for (const unsigned workers : {1, 2})
    {
      parallelize::EngineOptions options = keyed(workers);
      options.prefetch = 1;
      FakeHost host(options);
      FakeSource &source = host.source();
      FakeSource &other = host.source(0);       // hands over each message
      host.start_asleep();
      other.send("hot", 2);
      while_forwarding(host, "hot", [&]
      {
        for (unsigned i = 0; i < 20'000; i++)
          {
            other.send("hot");
            host.run_until_quiet();
          }
      });
      source.send("hot");
      cr_assert(source.forwarded.starts_with("hot"));
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
  const parallelize::EngineCounters counters = host.counters();
  cr_assert_eq(counters.in_flight, 0);
  cr_assert_eq(counters.worth_a_hand_over, 0);
  cr_assert_eq(counters.too_cheap, 0);
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

Test(counters, processed_messages_are_those_of_workers_and_sources)
{
  FakeHost host(prefetching(20));
  FakeSource &source = host.source();
  host.start();
  for (unsigned i = 0; i < 100; i++)
    source.send(keys.substr(i % 36, 1));
  source.end_batch();
  host.run_until_quiet();

  cr_assert_gt(host.processed_by(0), 0);
  cr_assert_gt(host.counters().worth_a_hand_over, 0);
  cr_assert_eq(host.processed_by(0) + host.counters().worth_a_hand_over, 100);
  host.check_all_published();
}
