// SPDX-License-Identifier: LGPL-2.1-or-later
// The promises of resequence(), one by one, stepped in one thread.

#include "engine/sequencer.hpp"
#include "fake-host.hpp"

#include <criterion/criterion.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

const Route to_outlet = {.outlets = {0}};

parallelize::EngineOptions
round_robin(unsigned workers, unsigned outlets = 1)
{
  return {
    .workers = workers,
    .keyed = false,
    .empty_key_round_robin = false,
    .message_ids = true,
    .batch_size = 1'000,
    .quantum = 100'000,
    .prefetch = 100'000,
    .outlets = outlets,
    .seed = {62, 0},
  };
}

parallelize::EngineOptions
keyed(unsigned workers)
{
  parallelize::EngineOptions options = round_robin(workers);
  options.keyed = true;
  return options;
}

std::vector<std::string>
numbers(unsigned source, unsigned from, unsigned to)
{
  std::vector<std::string> names;
  for (unsigned number = from; number < to; number++)
    names.push_back(std::to_string(source) + "." + std::to_string(number));
  return names;
}

void
send(FakeSource &source, unsigned count, const Route &route = to_outlet)
{
  while (count--)
    source.send("a", route);
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

// A message whose ticket is retained, and `count` later ones that the workers have processed.
void
wait_for_a_retained_ticket(FakeHost &host, FakeSource &source, unsigned count)
{
  source.send("retained", {.later = {0}});
  send(source, count);
  source.end_batch();
  host.run_until_quiet();
}

}

Test(resequence, later_messages_wait_for_a_slow_one)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source();
  host.start_asleep();
  while_forwarding(host, "slow", [&]
  {
    host.run(host.can_run(0) ? 0 : 1);
    cr_assert_eq(host.counters().parked, 10);
    cr_assert(host.behind_outlet(0).empty());
  });

  source.send("slow", to_outlet);
  send(source, 10);
  source.end_batch();
  host.run_until_quiet();

  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 11));
  host.check_all_published();
}

Test(resequence, messages_that_never_come_do_not_hold_up_others)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source();
  host.start();
  for (unsigned i = 0; i < 3000; i++)
    source.send("a", i % 3 ? to_outlet : Route{});
  source.end_batch();
  host.run_until_quiet();

  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 2000));
  host.check_all_published();
}

Test(resequence, copies_leave_one_after_the_other)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source();
  host.start();
  send(source, 5, {.outlets = {0, 0, 0}});
  source.end_batch();
  host.run_until_quiet();

  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 15));
  host.check_all_published();
}

Test(resequence, each_outlet_is_in_order)
{
  FakeHost host(round_robin(3, 2));
  FakeSource &source = host.source();
  host.start();
  for (unsigned i = 0; i < 100; i++)
    source.send("a", i % 3 ? Route{.outlets = {0}} : Route{.outlets = {1, 0}});
  source.end_batch();
  host.run_until_quiet();

  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 100));
  cr_assert_eq(host.behind_outlet(1), numbers(0, 0, 34));
  host.check_all_published();
}

Test(resequence, keys_share_one_order)
{
  parallelize::EngineOptions options = keyed(3);
  options.batch_size = 7;
  options.quantum = 5;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  for (unsigned i = 0; i < 1000; i++)
    source.send(std::to_string(i * i % 11), to_outlet);
  source.end_batch();
  host.run_until_quiet();

  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 1000));
  host.check_all_published();
}

Test(resequence, a_retained_ticket_holds_up_later_messages)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source();
  host.start();
  send(source, 3);
  wait_for_a_retained_ticket(host, source, 10);
  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 3));
  cr_assert_eq(host.counters().parked, 10);
  cr_assert_eq(host.counters().in_flight, 0);

  host.finish(0);
  host.run_until_quiet();
  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 14));
  host.check_all_published();
}

Test(resequence, copies_from_before_the_ticket_was_retained_come_first)
{
  FakeHost host(round_robin(1));
  FakeSource &source = host.source();
  host.start();
  while_forwarding(host, "next", [&] { host.finish(0); });
  source.send("first", {.outlets = {0}, .later = {0}});
  source.send("next", to_outlet);
  source.end_batch();
  host.run_until_quiet();

  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 3));
  host.check_all_published();
}

// A worker that makes messages due runs the outlet itself: nobody is woken for it.
Test(resequence, needs_no_wake_up_of_its_own)
{
  FakeHost host(round_robin(4));
  FakeSource &source = host.source();
  host.start_asleep();
  source.send("a", to_outlet);
  source.end_batch();
  host.run_until_quiet();
  const std::uint64_t before = host.counters().wakeups;
  source.send("a", to_outlet);
  source.end_batch();
  host.run_until_quiet();
  cr_assert_eq(host.counters().wakeups, before + 1);
  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 2));
}

Test(resequence, an_outlet_is_published_before_another_worker_runs_it)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source();
  host.start();
  // The fake host complains if both workers have unpublished messages of the outlet.
  host.on_publish = [&](FakeThread &thread)
  {
    const unsigned other = &thread == &host.worker(0) ? 1 : 0;
    if (host.can_run(other))
      host.run(other);
  };
  for (unsigned i = 0; i < 50; i++)
    {
      send(source, 20);
      source.end_batch();
      host.run_until_quiet();
    }
  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 1000));
  host.check_all_published();
}

Test(resequence, a_thread_that_assists_publishes_an_outlet_before_it_goes_on)
{
  parallelize::EngineOptions crowded = round_robin(1);
  crowded.prefetch = 10;
  FakeHost host(crowded);
  FakeSource &source = host.source();
  FakeSource &assistant = host.source(parallelize::Producer::assists);
  host.start();
  host.cost = 100'000;
  wait_for_a_retained_ticket(host, source, 5);

  // The only worker is busy when the outlet becomes due.
  bool busy = false;
  unsigned assisted = 0;
  host.on_forward = [&](const FakeMessage &message)
  {
    if (message.key == "slow" && !std::exchange(busy, true))
      {
        host.finish(0);
        for (int i = 0; i < 40; i++)
          assistant.send("late", to_outlet);
      }
    else if (message.key == "late" && assisted++ == 0)
      cr_expect_eq(host.behind_outlet(0).size(), 1 + 5);
  };
  source.send("slow", to_outlet);
  source.end_batch();
  host.run_until_quiet();
  cr_expect_gt(assisted, 0);
  host.check_all_published();
}

// The worker publishes copies every now and then, however long the messages take after resequence().
Test(resequence, an_outlet_with_a_backlog_is_run_in_slices)
{
  FakeHost host(round_robin(1));
  FakeSource &source = host.source();
  host.start();
  host.cost_behind_outlets = 100'000;
  wait_for_a_retained_ticket(host, source, 500);
  std::size_t most = 0;
  host.on_publish = [&](FakeThread &thread) { most = std::max(most, thread.unpublished_copies.size()); };
  host.finish(0);
  host.run_until_quiet();

  cr_assert_gt(most, 0);
  cr_assert_leq(most, 100);
  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 501));
}

Test(resequence, an_outlet_with_a_backlog_is_run_in_quanta)
{
  parallelize::EngineOptions options = round_robin(1);
  options.quantum = 50;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  host.cost_behind_outlets = 100'000;
  wait_for_a_retained_ticket(host, source, 500);
  host.finish(0);

  cr_assert_eq(host.run(0), parallelize::Turn::again);
  const std::size_t published = host.behind_outlet(0).size();
  cr_assert_gt(published, 0);
  cr_assert_leq(published, 50);
  host.run_until_quiet();
  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 501));
  host.check_all_published();
}

// The worker is about to fall asleep, and looks again.
Test(resequence, an_outlet_that_becomes_due_meanwhile_is_run)
{
  FakeHost host(round_robin(1));
  FakeSource &source = host.source();
  host.start();
  wait_for_a_retained_ticket(host, source, 1);
  host.on_publish = [&](FakeThread &thread)
  {
    if (&thread == &host.worker(0) && host.going_on())
      host.finish(0);
  };
  source.send("a");
  source.end_batch();
  host.run_until_quiet();

  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 2));
  host.check_all_published();
}

Test(resequence, parked_copies_do_not_count_for_prefetch)
{
  parallelize::EngineOptions options = round_robin(2);
  options.prefetch = 10;
  FakeHost host(options);
  FakeSource &source = host.source();
  host.start();
  wait_for_a_retained_ticket(host, source, 5);
  for (unsigned i = 0; i < 100; i++)
    {
      send(source, 5);
      source.end_batch();
      host.run_until_quiet();
    }

  cr_assert_eq(host.counters().parked, 505);
  cr_assert_eq(source.forwarded, "", "the source's thread has assisted");
  host.finish(0);
  host.run_until_quiet();
  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 506));
}

/* ------------------------------------------------------------------------
 * The thread that brings messages
 * ------------------------------------------------------------------------ */

namespace {

// From here on the threads of sources run messages inline.  Workers sleep.
void
learn_that_messages_are_cheap(FakeHost &host, FakeSource &source)
{
  host.cost = 100;
  host.cost_behind_outlets = 100;
  source.send("a");
  source.end_batch();
  host.run_until_quiet();
}

}

Test(inline_messages, leave_at_once)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source();
  host.start_asleep();
  learn_that_messages_are_cheap(host, source);
  const std::uint64_t wakeups = host.counters().wakeups;

  send(source, 100, {.outlets = {0, 0}});
  cr_assert_eq(host.counters().parked, 0);
  source.end_batch();
  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 200));
  cr_assert_eq(host.counters().wakeups, wakeups);
  cr_assert_eq(host.counters().too_cheap, 100);
  host.check_all_published();
}

// Its copies leave before the thread runs the next message, and wait for an older ticket like all others.
Test(inline_messages, are_parked_and_released_one_by_one)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source();
  FakeSource &older = host.source();
  host.start_asleep();
  learn_that_messages_are_cheap(host, source);
  std::vector<std::uint64_t> left;
  host.on_outlet = [&](const FakeCopy &copy) { left.push_back(copy.number); };

  for (unsigned i = 0; i < 3; i++)
    {
      source.send("a", to_outlet);
      cr_assert_eq(left.size(), i + 1);
      cr_assert_eq(host.counters().parked, 0);
    }
  older.send("retained", {.later = {0}});
  for (unsigned i = 0; i < 3; i++)
    {
      source.send("a", to_outlet);
      cr_assert_eq(left.size(), 3);
      cr_assert_eq(host.counters().parked, i + 1);
    }
  cr_assert_eq(host.counters().too_cheap, 7);
  host.come_to_rest();
  cr_assert_eq(left.size(), 7);
}

Test(inline_messages, of_two_sources_take_turns)
{
  FakeHost host(round_robin(2));
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  host.start_asleep();
  learn_that_messages_are_cheap(host, first);

  first.send("a", to_outlet);
  second.send("a", to_outlet);
  second.end_batch();
  cr_assert(host.behind_outlet(0).empty(), "the first source has not published");
  first.end_batch();
  host.run_until_quiet();
  cr_assert_eq(host.behind_outlet(0), (std::vector<std::string>{"0.0", "1.0"}));
  host.check_all_published();
}

Test(inline_messages, bring_along_the_copies_that_become_due)
{
  FakeHost host(round_robin(2));
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  host.start_asleep();
  learn_that_messages_are_cheap(host, first);
  const std::uint64_t wakeups = host.counters().wakeups;
  while_forwarding(host, "first", [&]
  {
    send(second, 3);
    second.end_batch();
    cr_assert_eq(host.counters().parked, 3);
  });

  first.send("first", to_outlet);
  first.end_batch();
  cr_assert_eq(host.behind_outlet(0), (std::vector<std::string>{"0.0", "1.0", "1.1", "1.2"}));
  cr_assert_eq(host.counters().wakeups, wakeups);
  host.check_all_published();
}

Test(inline_messages, of_a_long_batch_leave_before_its_end)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source();
  host.start_asleep();
  learn_that_messages_are_cheap(host, source);
  send(source, 50'000);
  cr_assert_gt(host.behind_outlet(0).size(), 10'000);
  host.come_to_rest();
}

Test(inline_messages, leave_after_those_that_the_batch_has_collected)
{
  parallelize::EngineOptions options = round_robin(1);
  options.prefetch = 5;
  FakeHost host(options);
  FakeSource &source = host.source();
  FakeSource &main_thread = host.source(0);
  host.start();
  send(source, 2);
  send(main_thread, 6, {});
  send(source, 1);
  cr_assert_eq(source.forwarded, "a", "more than prefetch() are pending");
  host.come_to_rest();
  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 3));
}

Test(inline_messages, before_the_start)
{
  FakeHost host(round_robin(2));
  FakeSource &first = host.source();
  FakeSource &second = host.source(0);
  for (unsigned i = 0; i < 10; i++)
    {
      first.send("a", to_outlet);
      second.send("a", to_outlet);
    }
  first.end_batch();
  cr_assert_eq(host.behind_outlet(0).size(), 20);
  host.check_all_published();
}

Test(inline_messages, that_become_due_during_a_publish_leave_if_no_worker_is_alive)
{
  FakeHost host(round_robin(2));
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  bool sent = false;
  host.on_publish = [&](FakeThread &thread)
  {
    if (sent || &thread != &first || !first.has_unpublished())
      return;
    sent = true;
    send(second, 1);
  };
  send(first, 1);
  cr_assert(sent);
  cr_assert_eq(host.counters().released, 0);
  host.come_to_rest();
  cr_assert_eq(host.behind_outlet(0), (std::vector<std::string>{"0.0", "1.0"}));
}

// No other thread will ever come for the copies.
Test(inline_messages, leave_nothing_parked_if_no_worker_is_alive)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source();
  source.send("retained", {.outlets = {0}, .later = {0}});
  send(source, 5);
  source.end_batch();
  cr_assert_eq(host.counters().parked, 6);

  host.finish(0);
  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 7));
  host.check_all_published();
}

/* ------------------------------------------------------------------------
 * The end
 * ------------------------------------------------------------------------ */

Test(resequence_stop, drains_in_order)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source();
  host.start();
  send(source, 100);
  host.stop();
  source.end_batch();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 2);
  cr_assert_eq(host.behind_outlet(0), numbers(0, 0, 100));
  host.check_all_published();
}

Test(resequence_stop, workers_stay_for_a_retained_ticket)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source();
  host.start();
  wait_for_a_retained_ticket(host, source, 10);
  host.stop();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::asleep), 2);

  host.finish(0);
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 2);
  host.check_all_published();
}

Test(resequence_stop, workers_end_with_a_retained_ticket_that_brings_no_copy)
{
  FakeHost host(round_robin(2));
  FakeSource &source = host.source();
  host.start();
  source.send("retained", {.goes_on = true});
  source.end_batch();
  host.run_until_quiet();
  host.stop();
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::asleep), 2);

  host.finish(0);
  host.run_until_quiet();
  cr_assert_eq(host.count(FakeWorker::ended), 2);
}

/* ------------------------------------------------------------------------
 * The sequencer alone
 * ------------------------------------------------------------------------ */

namespace {

// What has become due at an outlet, as handles.
std::vector<std::uintptr_t>
take_all(parallelize::StrandList strands, parallelize::SlabPool &slabs)
{
  parallelize::NodeSink sink(slabs);
  std::vector<std::uintptr_t> handles;
  while (parallelize::Strand *strand = strands.pop())
    do
      while (parallelize::Node *node = strand->pop())
        {
          handles.push_back(reinterpret_cast<std::uintptr_t>(node->message.handle));
          sink.give_back(node);
        }
    while (!strand->release());
  return handles;
}

}

// Tickets wrap around in here, see Sequencer::first_ticket.
Test(sequencer, any_order_of_ends_results_in_the_order_of_tickets)
{
  constexpr std::uint32_t count = 10'000;
  for (const std::uint32_t disorder : {1u, 10u, 300u, 5'000u})
    {
      parallelize::SlabPool slabs;
      parallelize::Sequencer sequencer(1, slabs);
      std::mt19937 random(disorder);
      std::vector<std::uintptr_t> order(count);
      std::vector<std::uintptr_t> expected, left;

      const std::uint32_t first = sequencer.issue(count);
      for (std::uint32_t i = 0; i < count; i++)
        order[i] = i;
      for (std::uint32_t i = 0; i < count; i += disorder)
        std::shuffle(order.begin() + i, order.begin() + std::min(count, i + disorder), random);

      const auto comes = [](std::uintptr_t index) { return index % 3 != 0 && index / 256 % 5 != 0; };
      for (const std::uintptr_t index : order)
        {
          const std::uint32_t ticket = first + static_cast<std::uint32_t>(index);
          if (comes(index))
            sequencer.arrived(0, {reinterpret_cast<void *>(index), 0, ticket, 0});
          for (const std::uintptr_t handle : take_all(sequencer.done(ticket), slabs))
            left.push_back(handle);
        }
      for (std::uintptr_t index = 0; index < count; index++)
        if (comes(index))
          expected.push_back(index);

      cr_assert_lt(first + count, first);
      cr_assert_eq(left, expected);
      cr_assert_eq(sequencer.released(), expected.size());
      cr_assert_eq(sequencer.parked(), 0);
      cr_assert_not(sequencer.idle());
      sequencer.published(expected.size());
      cr_assert(sequencer.idle());
    }
}
