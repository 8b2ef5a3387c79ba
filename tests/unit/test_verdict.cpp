// SPDX-License-Identifier: LGPL-2.1-or-later
// What limits the throughput, judged by invented counters.

#include "monitor/verdict.hpp"

#include <criterion/criterion.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

using namespace parallelize;

namespace {

constexpr std::uint64_t second = 1'000'000'000;

// Ten seconds.  Each worker was busy for `busy_seconds` of them.
struct Case
{
  explicit Case(const std::vector<double> &busy_seconds)
  {
    from.busy_ns.assign(busy_seconds.size(), 5 * second);
    from.time_ns = 100 * second;
    from.entered = from.processed = 1'000;
    to = from;
    to.time_ns += 10 * second;
    for (std::size_t i = 0; i < busy_seconds.size(); i++)
      to.busy_ns[i] += static_cast<std::uint64_t>(busy_seconds[i] * second);
    context.cores = 4;
    context.key_advice = "another key";
  }

  void
  process(std::uint64_t messages)
  {
    to.entered += messages;
    to.processed += messages;
    to.came += messages;
  }

  // This many wait all the time.
  void
  wait(std::uint64_t messages)
  {
    to.entered += messages;
    to.pending = messages;
    to.waited_ns = messages * 10 * second;
  }

  void
  keys(const std::string &hottest, double share, unsigned distinct)
  {
    context.keyed = true;
    context.hottest_key = hottest;
    context.hottest_share = share;
    context.distinct_keys = distinct;
    context.distinct_keys_known = true;
  }

  Verdict judged() const { return judge(from, to, context); }

  Snapshot from;
  Snapshot to;
  VerdictContext context;
};

void
assert_class(const Case &it, Bottleneck expected)
{
  const Verdict verdict = it.judged();
  cr_assert_eq(verdict.bottleneck, expected, "%s instead of %s", name_of(verdict.bottleneck), name_of(expected));
  cr_assert(!verdict.explanation.empty());
  cr_assert(!verdict.advice.empty());
}

void
assert_near(double value, double expected)
{
  cr_assert(std::abs(value - expected) < 1e-6, "%f instead of %f", value, expected);
}

bool
contains(const std::string &text, const std::string &part)
{
  return text.find(part) != std::string::npos;
}

}

Test(measures, of_a_simple_case)
{
  Case it({10, 6, 2, 2});
  it.process(2'000);
  const Verdict verdict = it.judged();
  assert_near(verdict.rate, 200);
  assert_near(verdict.utilization, 0.5);
  assert_near(verdict.utilization_variance, (0.25 + 0.01 + 0.09 + 0.09) / 4);
  assert_near(verdict.effective_parallelism, 2);
  assert_near(verdict.seconds_per_message, 0.01);
  assert_near(verdict.maximum_rate, 400);       // W / T
  assert_near(verdict.efficiency, 0.5);
}

Test(measures, fewer_scopes_than_workers_limit_the_maximum)
{
  Case it({5, 5, 5, 5});
  it.process(2'000);
  it.keys("k", 0.5, 2);
  const Verdict verdict = it.judged();
  assert_near(verdict.maximum_rate, 200);       // N / T
  assert_near(verdict.efficiency, 1);
}

Test(measures, a_source_that_assists_is_one_more_worker)
{
  Case it({10, 10});
  it.to.sources_busy_ns = 5 * second;
  it.process(2'500);
  const Verdict verdict = it.judged();
  assert_near(verdict.effective_parallelism, 2.5);
  assert_near(verdict.maximum_rate, 250);
  assert_near(verdict.efficiency, 1);
}

Test(measures, ordering_constraint_ratio)
{
  Case it({5, 5});
  it.process(1'000);
  it.to.ordered = 250;
  assert_near(it.judged().ordering_constraint_ratio, 0);
  it.keys("k", 0.1, 20);
  assert_near(it.judged().ordering_constraint_ratio, 0.25);
}

Test(measures, nothing_at_all)
{
  Case it({0, 0});
  it.to.time_ns = it.from.time_ns;
  const Verdict verdict = it.judged();
  assert_near(verdict.rate, 0);
  assert_near(verdict.maximum_rate, 0);
  assert_near(verdict.efficiency, 0);
}

Test(verdict, no_messages)
{
  Case it({0, 0});
  assert_class(it, Bottleneck::source);
  cr_assert(contains(it.judged().explanation, "No messages"));
}

Test(verdict, workers_wait_for_messages)
{
  Case it({3, 2});
  it.process(1'000);
  assert_class(it, Bottleneck::source);
  cr_assert(contains(it.judged().advice, "connections"));
}

Test(verdict, a_path_that_is_too_cheap)
{
  Case it({0, 0});
  it.process(100'000);
  it.to.too_cheap = 100'000;
  it.to.sources_busy_ns = 10 * second;
  assert_class(it, Bottleneck::source);
  cr_assert(contains(it.judged().explanation, "costs less"));
}

Test(verdict, cheap_messages_of_which_some_block)
{
  Case it({0, 0});
  it.process(100'000);
  it.to.too_cheap = 90'000;
  it.context.blocks = true;
  assert_class(it, Bottleneck::source);
  const Verdict verdict = it.judged();
  for (const char *part : {"Most messages cost less", "some block their thread", "hands over", "does not hold up others"})
    cr_assert(contains(verdict.explanation, part), "no %s in %s", part, verdict.explanation.c_str());
  cr_assert(contains(verdict.advice, "workers()"));
  cr_assert_not(contains(verdict.advice, "neither helps nor harms"));
}

// Every source has brought a message that blocked: all messages are handed over.
Test(verdict, cheap_messages_that_are_all_handed_over_because_some_block)
{
  Case it({1, 1});
  it.process(100'000);
  it.context.blocks = true;
  it.context.median_ns = 800;
  assert_class(it, Bottleneck::source);
  cr_assert(contains(it.judged().explanation, "Most messages cost less"));
  cr_assert_not(contains(it.judged().advice, "fewer workers()"));
}

Test(verdict, expensive_messages_of_which_some_block)
{
  Case it({1, 1});
  it.process(1'000);
  it.context.blocks = true;
  it.context.median_ns = 50'000;
  assert_class(it, Bottleneck::source);
  cr_assert(contains(it.judged().explanation, "workers are idle"));
  cr_assert_not(contains(it.judged().advice, "fewer workers()"));
  cr_assert(contains(it.judged().advice, "as many workers() as messages may block"));
}

Test(verdict, workers_come_first_even_if_messages_block)
{
  Case it({10, 10});
  it.process(1'000);
  it.to.cpu_ns = second;
  it.context.blocks = true;
  assert_class(it, Bottleneck::worker);
}

Test(verdict, a_window_that_is_too_small)
{
  Case it({6, 6});
  it.process(1'000);
  it.to.window_limited = 900;
  it.context.window = 10;
  assert_class(it, Bottleneck::source);
  cr_assert(contains(it.judged().advice, "log-iw-size()"));
  cr_assert(contains(it.judged().explanation, "10 messages"));
}

namespace {

// A source reads few messages at a time, and the workers are idle for two thirds of the time.
Case
limited_by_fetches()
{
  Case it({3, 4});
  it.process(1'000);
  it.to.fetch_limited = 600;
  it.context.limited_source = "s_tcp#0";
  it.context.fetch_limit = 10;
  return it;
}

bool
names_fetches(const Case &it)
{
  return it.judged().fetch_limit && contains(it.judged().advice, "log-fetch-limit()");
}

}

Test(verdict, a_source_that_reads_few_messages_at_a_time)
{
  const Case it = limited_by_fetches();
  assert_class(it, Bottleneck::source);
  cr_assert(names_fetches(it));
  cr_assert_eq(it.judged().fetch_limit, 10);
  cr_assert(contains(it.judged().explanation, "The source s_tcp#0 reads 10 messages at a time."));
  cr_assert(contains(it.judged().advice, "log-iw-size()"));
}

Test(verdict, small_fetches_that_are_no_limit)
{
  Case few = limited_by_fetches();
  few.to.fetch_limited = 400;
  cr_assert_not(names_fetches(few));

  Case once = limited_by_fetches();
  once.to.fetch_limited = once.from.fetch_limited;
  cr_assert_not(names_fetches(once), "the source was limited long ago");

  Case others = limited_by_fetches();
  others.to.entered *= 10;
  cr_assert_not(names_fetches(others), "most messages came from sources without a known window");

  Case busy = limited_by_fetches();
  busy.to.busy_ns = {13 * second, 13 * second};
  cr_assert_not(names_fetches(busy));
  assert_class(busy, Bottleneck::balanced);

  Case cheap = limited_by_fetches();
  cheap.to.too_cheap = 600;
  cr_assert_not(names_fetches(cheap));

  Case blocking = limited_by_fetches();
  blocking.context.blocks = true;
  blocking.context.median_ns = 800;
  cr_assert_not(names_fetches(blocking));

  Case window = limited_by_fetches();
  window.to.window_limited = 900;
  cr_assert_not(names_fetches(window));

  Case nothing = limited_by_fetches();
  nothing.from = nothing.to;
  nothing.from.time_ns -= 10 * second;
  cr_assert_not(names_fetches(nothing));
}

Test(verdict, small_fetches_while_workers_are_busy_half_of_the_time)
{
  Case it = limited_by_fetches();
  it.to.busy_ns = {11 * second, 12 * second};
  assert_class(it, Bottleneck::source);
  cr_assert(names_fetches(it));
}

Test(verdict, workers_that_wait_for_something)
{
  Case it({10, 10});
  it.process(1'000);
  it.wait(500);
  it.to.cpu_ns = 2 * second;
  assert_class(it, Bottleneck::worker);
  cr_assert(contains(it.judged().advice, "more workers()"));
  cr_assert(contains(it.judged().advice, "only 0.2 of 4 cores"));
}

Test(verdict, cores_that_are_all_busy)
{
  Case it({10, 10, 9, 10});
  it.process(1'000);
  it.wait(500);
  it.to.cpu_ns = 39 * second;
  assert_class(it, Bottleneck::worker);
  cr_assert(contains(it.judged().advice, "cores"));
}

Test(verdict, workers_come_first_even_with_a_hot_key)
{
  Case it({10, 10});
  it.process(1'000);
  it.wait(500);
  it.keys("hot", 0.6, 100);
  assert_class(it, Bottleneck::worker);
}

Test(verdict, one_key)
{
  Case it({4, 3, 2, 1});
  it.process(1'000);
  it.wait(500);
  it.keys("hot", 1, 1);
  assert_class(it, Bottleneck::key);
  cr_assert_eq(it.judged().key, "hot");
  cr_assert(contains(it.judged().explanation, "100%"));
  cr_assert_eq(it.judged().advice, "Another key.");
}

Test(verdict, keys_that_are_all_empty)
{
  Case it({4, 3, 2, 1});
  it.process(1'000);
  it.wait(500);
  it.keys("", 1, 1);
  it.context.hottest_is_empty = true;
  it.context.key = "${HOSST}";
  assert_class(it, Bottleneck::key);
  cr_assert_eq(it.judged().key, "");
  cr_assert(contains(it.judged().explanation, "The keys of all messages are empty."));
  cr_assert(contains(it.judged().advice, "worker-partition-key(\"${HOSST}\")"));
  cr_assert(contains(it.judged().advice, "empty-key(round-robin)"));
}

Test(verdict, keys_that_are_mostly_empty)
{
  Case it({4, 3, 2, 1});
  it.process(1'000);
  it.wait(500);
  it.keys("", 0.9, 5);
  it.context.hottest_is_empty = true;
  assert_class(it, Bottleneck::key);
  cr_assert(contains(it.judged().explanation, "Messages with an empty key take 90% of"));
}

Test(verdict, one_key_among_many)
{
  Case it({10, 2, 1, 1, 1, 0, 0, 0});
  it.process(1'000);
  it.wait(500);
  it.keys("hot", 0.6, 64);
  it.context.distinct_keys_known = false;
  assert_class(it, Bottleneck::key);
}

Test(verdict, one_message_that_takes_long)
{
  Case it({10, 2, 2, 2});
  it.process(1'000);
  it.context.pending_since_stuck = 99;
  it.keys("other", 0.02, 64);
  assert_class(it, Bottleneck::source);
  it.context.stuck_ns = 8 * second;
  it.context.stuck_key = "slow";
  assert_class(it, Bottleneck::key);
  cr_assert_eq(it.judged().key, "slow");
  assert_near(it.judged().key_share, 0.5);
  cr_assert(contains(it.judged().explanation, "8 seconds; 99 messages"));
}

Test(verdict, one_message_that_takes_long_and_holds_nobody_up)
{
  Case it({10, 2, 2, 2});
  it.process(1'000);
  it.keys("other", 0.02, 64);
  it.context.stuck_ns = 8 * second;
  assert_class(it, Bottleneck::source);
}

Test(verdict, a_source_that_is_stuck_on_one_message)
{
  Case it({2, 2});
  it.process(1'000);
  it.context.source_stuck_ns = 8 * second;
  assert_class(it, Bottleneck::source);
  cr_assert(contains(it.judged().explanation, "source's thread"));
  cr_assert(contains(it.judged().explanation, "one message for 8 seconds"));
}

Test(verdict, a_source_that_is_stuck_explains_the_messages_at_resequence)
{
  Case it({2, 2});
  it.process(1'000);
  it.to.window_limited = 900;
  it.to.parked = 99;
  assert_class(it, Bottleneck::order);
  it.context.source_stuck_ns = 8 * second;
  assert_class(it, Bottleneck::source);
  cr_assert(contains(it.judged().explanation, "source's thread"));
}

Test(verdict, a_stuck_source_that_no_message_comes_from)
{
  Case it({0, 0});
  it.context.source_stuck_ns = 8 * second;
  cr_assert(contains(it.judged().explanation, "source's thread"));
}

Test(verdict, workers_that_are_busy_come_before_one_stuck_source)
{
  Case it({10, 10});
  it.process(1'000);
  it.context.source_stuck_ns = 8 * second;
  assert_class(it, Bottleneck::worker);
}

Test(verdict, no_more_messages)
{
  Case it({0, 0});
  it.to.in_flight = 3;
  assert_class(it, Bottleneck::source);
  cr_assert(contains(it.judged().explanation, "3 are being processed"));
}

Test(verdict, a_hot_key_that_holds_nobody_up)
{
  Case it({2, 1, 1, 0});
  it.process(1'000);
  it.keys("hot", 1, 1);
  assert_class(it, Bottleneck::source);
}

Test(verdict, fewer_keys_than_workers)
{
  Case it({6, 6, 6, 6, 6, 0, 0, 0});
  it.process(1'000);
  it.wait(500);
  it.keys("one of three", 1.0 / 3, 3);
  assert_class(it, Bottleneck::order);
  cr_assert(contains(it.judged().explanation, "3 keys for 8 workers"));
}

Test(verdict, messages_that_wait_for_their_turn)
{
  Case it({10, 0, 0, 0});
  it.process(1'000);
  it.to.window_limited = 900;
  it.to.in_flight = 1;
  assert_class(it, Bottleneck::source);
  it.to.parked = 99;
  assert_class(it, Bottleneck::order);
  cr_assert(contains(it.judged().explanation, "99 messages"));
  cr_assert(contains(it.judged().explanation, "resequence()"));
}

Test(verdict, messages_that_have_waited_for_their_turn_for_long)
{
  Case it({10, 0, 0, 0});
  it.to.in_flight = 1;
  it.to.parked = 99;
  it.to.window_full_inside = true;
  assert_class(it, Bottleneck::order);
}

Test(verdict, messages_that_wait_because_they_came_together_are_no_order_problem)
{
  Case it({6, 6, 6, 6});
  it.process(1'000);
  it.wait(60);
  it.keys("k", 0.01, 64);
  assert_class(it, Bottleneck::balanced);
}

Test(verdict, a_destination_that_is_slow)
{
  Case it({1, 1});
  it.process(1'000);
  it.to.window_limited = 900;
  it.to.seen_full_after = 7;
  assert_class(it, Bottleneck::destination);
}

Test(verdict, windows_that_are_used_up_now_inside_and_now_after)
{
  Case it({1, 1});
  it.process(1'000);
  it.to.window_limited = 600;
  it.to.seen_full_after = 4;
  it.to.seen_full_inside = 3;
  assert_class(it, Bottleneck::destination);
  it.to.seen_full_inside = 5;
  assert_class(it, Bottleneck::source);
  cr_assert(contains(it.judged().advice, "log-iw-size()"));
}

Test(verdict, a_destination_that_takes_nothing)
{
  Case it({0, 0});
  it.from.window_full_after = it.to.window_full_after = true;
  assert_class(it, Bottleneck::destination);
}

Test(verdict, a_destination_that_was_slow_a_moment_ago)
{
  Case it({4, 4});
  it.process(1'000);
  it.to.window_limited = 100;
  it.to.seen_full_after = 1;
  it.to.window_full_after = true;
  assert_class(it, Bottleneck::source);
}

Test(verdict, workers_that_keep_up)
{
  Case it({6, 7});
  it.process(1'000);
  assert_class(it, Bottleneck::balanced);
}
