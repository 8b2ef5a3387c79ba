// SPDX-License-Identifier: LGPL-2.1-or-later
// What the monitor says of an engine.

#include "fake-host.hpp"
#include "monitor/monitor.hpp"

#include <criterion/criterion.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr std::uint64_t second = 1'000'000'000;

parallelize::EngineOptions
options(unsigned workers, bool keyed = true)
{
  return {
    .workers = workers,
    .keyed = keyed,
    .empty_key_round_robin = false,
    .message_ids = true,
    .batch_size = 1'000,
    .quantum = 100'000,
    .prefetch = 100'000,
    .outlets = 0,
    .seed = {62, 0},
  };
}

class Watch final : private parallelize::MonitorListener
{
public:
  explicit Watch(FakeHost &host)
    : host_(host),
      monitor_(host.engine(), {.cores = 2, .key = "$HOST", .key_advice = "another key", .stuck_ns = 5 * second, .listener = *this}, 0)
  {
  }

  void
  ticks(unsigned seconds)
  {
    while (seconds--)
      {
        host_.elapsed += second;
        monitor_.tick(0);
      }
  }

  std::string report() const { return monitor_.report({.id = "id \"1\"", .location = "here", .key = "$HOST"}, 0); }

  std::vector<std::string> told;

private:
  void stuck(const parallelize::StuckThread &thread) override { tell("stuck", thread); }
  void stuck_no_more(const parallelize::StuckThread &thread) override { tell("free", thread); }
  void keys_are_empty(std::uint64_t messages) override { told.push_back("empty keys " + std::to_string(messages)); }
  void
  reads_few(const parallelize::LimitedSource::Report &source, double) override
  {
    told.push_back(source.source + " reads " + std::to_string(source.limit));
  }

  void
  tell(const std::string &what, const parallelize::StuckThread &thread)
  {
    const std::string who = thread.kind == parallelize::StuckThread::source ? "source" : std::to_string(thread.index);
    const std::string message = !thread.identified    ? " unknown"
                                : thread.after_outlet ? " outlet"
                                                      : " key " + thread.key;
    told.push_back(what + " " + who + message + " id " + std::to_string(thread.message_id) + " after "
                   + std::to_string(thread.nanoseconds / second) + " of " + std::to_string(thread.stuck_threads));
  }

  FakeHost &host_;
  parallelize::Monitor monitor_;
};

void
assert_contains(const std::string &report, std::initializer_list<const char *> parts)
{
  for (const char *part : parts)
    cr_assert(report.find(part) != std::string::npos, "no %s in %s", part, report.c_str());
}

// `action` runs while the `number`-th message of `key` is being forwarded.
void
while_forwarding(FakeHost &host, const std::string &key, std::uint64_t number, std::function<void()> action)
{
  host.on_forward = [=](const FakeMessage &message)
  {
    if (message.key == key && message.number == number)
      action();
  };
}

}

Test(stuck, is_told_with_its_message_and_end)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  while_forwarding(host, "slow", 2, [&]
  {
    watch.ticks(4);
    cr_assert(watch.told.empty());
    watch.ticks(4);
    cr_assert_eq(watch.told.size(), 1);
  });

  source.send("slow", 5);
  source.end_batch();
  host.run_until_quiet();
  watch.ticks(1);

  cr_assert_eq(watch.told.size(), 2);
  cr_assert(watch.told[0].starts_with("stuck 0 key slow id 2 after 5 of 1"), "%s", watch.told[0].c_str());
  cr_assert(watch.told[1].starts_with("free 0 key slow id 2 after"), "%s", watch.told[1].c_str());
  watch.ticks(100);
  cr_assert_eq(watch.told.size(), 2);
}

Test(stuck, is_the_verdict_while_messages_wait)
{
  FakeHost host(options(2));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  while_forwarding(host, "slow", 1, [&]
  {
    watch.ticks(6);
    assert_contains(watch.report(), {R"("class":"key-bound")", R"("key":"slow")", "99 messages wait"});
  });
  source.send("slow", 101);
  source.end_batch();
  host.run_until_quiet();
  watch.ticks(20);
  cr_assert(watch.report().find(R"("class":"source-bound")") != std::string::npos);
}

Test(stuck, after_an_outlet)
{
  parallelize::EngineOptions with_outlet = options(2);
  with_outlet.outlets = 1;
  FakeHost host(with_outlet);
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  host.on_outlet = [&](const FakeCopy &copy)
  {
    if (copy.number != 1)
      return;
    watch.ticks(6);
    assert_contains(watch.report(), {R"("class":"order-bound")", "all later messages wait", R"("waiting":0)"});
  };
  for (unsigned i = 0; i < 4; i++)
    source.send("a", Route{.outlets = {0}});
  source.end_batch();
  host.run_until_quiet();
  watch.ticks(1);
  cr_assert_eq(watch.told.size(), 2);
  cr_assert(watch.told[0].find(" outlet id 1 after 5 of 1") != std::string::npos, "%s", watch.told[0].c_str());
  host.come_to_rest();
}

Test(stuck, many_messages_after_an_outlet_are_not_one)
{
  parallelize::EngineOptions with_outlet = options(1);
  with_outlet.outlets = 1;
  FakeHost host(with_outlet);
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  host.on_outlet = [&](const FakeCopy &) { watch.ticks(4); };
  for (unsigned i = 0; i < 4; i++)
    source.send("a", Route{.outlets = {0}});
  source.end_batch();
  host.run_until_quiet();
  cr_assert(watch.told.empty());
  host.come_to_rest();
}

Test(stuck, many_messages_are_not_one)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  host.on_forward = [&](const FakeMessage &) { watch.ticks(4); };
  source.send("slow", 5);
  source.end_batch();
  host.run_until_quiet();
  cr_assert(watch.told.empty());
}

Test(stuck, an_idle_worker_is_not)
{
  FakeHost host(options(2));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  source.send("a", 5);
  source.end_batch();
  host.run_until_quiet();
  watch.ticks(100);
  cr_assert(watch.told.empty());
}

// The main thread may be busy for long, and then looks at a thread that has just begun.
Test(stuck, a_late_tick_is_no_reason)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  watch.ticks(1);
  host.elapsed += 100 * second;
  host.on_forward = [&](const FakeMessage &) { watch.ticks(1); };
  source.send("a");
  source.end_batch();
  host.run_until_quiet();
  cr_assert_eq(host.worker_counters(0).processed, 1);
  cr_assert(watch.told.empty());
}

Test(stuck, is_told_once_a_minute)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  host.on_forward = [&](const FakeMessage &) { watch.ticks(10); };
  source.send("slow", 7);
  source.end_batch();
  host.run_until_quiet();
  watch.ticks(1);
  // The first one, and the first of those that come a minute later.
  cr_assert_eq(watch.told.size(), 4);
  cr_assert(watch.told[2].starts_with("stuck 0 key slow id 6"), "%s", watch.told[2].c_str());
}

namespace {

// From here on the threads of sources process messages inline.
void
learn_that_messages_are_cheap(FakeHost &host, FakeSource &source)
{
  host.cost = 100;
  source.send("a");
  source.end_batch();
  host.run_until_quiet();
}

}

Test(stuck_source, is_told_with_its_end)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.start_asleep();
  learn_that_messages_are_cheap(host, source);
  // The first ones are timed: then one long message would end this.
  source.send("a", 40);
  source.end_batch();
  Watch watch(host);
  while_forwarding(host, "slow", 1, [&]
  {
    watch.ticks(4);
    cr_assert(watch.told.empty());
    watch.ticks(4);
    cr_assert_eq(watch.told.size(), 1);
  });

  const std::uint64_t before = host.counters().too_cheap;
  source.send("slow", 3);
  cr_assert_eq(host.counters().too_cheap - before, 3);
  watch.ticks(1);
  source.end_batch();
  host.run_until_quiet();

  cr_assert_eq(watch.told.size(), 2);
  // The message of an inline thread is not known.
  cr_assert(watch.told[0].starts_with("stuck source unknown id 0 after 5 of 1"), "%s", watch.told[0].c_str());
  cr_assert(watch.told[1].starts_with("free source unknown id 0 after"), "%s", watch.told[1].c_str());
  watch.ticks(100);
  cr_assert_eq(watch.told.size(), 2);
}

Test(stuck_source, is_the_verdict)
{
  FakeHost host(options(2));
  FakeSource &source = host.source();
  host.start_asleep();
  learn_that_messages_are_cheap(host, source);
  Watch watch(host);
  while_forwarding(host, "slow", 1, [&]
  {
    watch.ticks(6);
    assert_contains(watch.report(), {R"("class":"source-bound")", "A source's thread has been processing one message for 6 "});
  });
  source.send("slow", 2);
  source.end_batch();
  watch.ticks(1);
  cr_assert(watch.report().find("A source's thread") == std::string::npos);
}

Test(stuck_source, before_the_start)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  Watch watch(host);
  while_forwarding(host, "slow", 1, [&] { watch.ticks(6); });
  source.send("slow", 2);
  source.end_batch();
  watch.ticks(1);
  cr_assert_eq(watch.told.size(), 2);
  cr_assert(watch.told[0].starts_with("stuck source"), "%s", watch.told[0].c_str());
}

// A message that was handed over is known.
Test(stuck_source, that_assists)
{
  parallelize::EngineOptions crowded = options(1);
  crowded.prefetch = 5;
  FakeHost host(crowded);
  FakeSource &source = host.source();
  host.elapsed = second;
  host.start();
  Watch watch(host);
  bool assisted = false;
  host.on_forward = [&](const FakeMessage &)
  {
    if (std::exchange(assisted, true))
      return;
    watch.ticks(6);
    assert_contains(watch.report(), {"A source's thread has been processing one message for 6 "});
  };
  source.send("slow", 20);
  cr_assert(assisted);
  watch.ticks(1);
  cr_assert_eq(watch.told.size(), 2);
  cr_assert(watch.told[0].starts_with("stuck source key slow id 0 after 5 of 1"), "%s", watch.told[0].c_str());
  cr_assert(watch.told[1].starts_with("free source key slow id 0 after"), "%s", watch.told[1].c_str());
  host.come_to_rest();
}

Test(stuck_source, after_an_outlet)
{
  parallelize::EngineOptions with_outlet = options(2);
  with_outlet.outlets = 1;
  FakeHost host(with_outlet);
  FakeSource &source = host.source();
  host.start_asleep();
  learn_that_messages_are_cheap(host, source);
  Watch watch(host);
  host.on_outlet = [&](const FakeCopy &copy) { watch.ticks(copy.number == 1 ? 6 : 0); };
  for (unsigned i = 0; i < 4; i++)
    source.send("a", Route{.outlets = {0}});
  source.end_batch();
  watch.ticks(1);
  cr_assert_eq(watch.told.size(), 2);
  cr_assert(watch.told[0].starts_with("stuck source outlet id 1 after 5 of 1"), "%s", watch.told[0].c_str());
  host.come_to_rest();
}

Test(stuck_source, several)
{
  FakeHost host(options(1));
  FakeSource &first = host.source();
  FakeSource &second = host.source();
  host.start_asleep();
  learn_that_messages_are_cheap(host, first);
  Watch watch(host);
  host.on_forward = [&](const FakeMessage &message)
  {
    watch.ticks(message.key == "first" ? 3 : 70);
    // Its thread brings messages for the first time.
    if (message.key == "first")
      second.send("second");
  };
  first.send("first");
  cr_assert_eq(watch.told.size(), 2);
  cr_assert(watch.told[0].starts_with("stuck source unknown id 0 after 5 of 1"), "%s", watch.told[0].c_str());
  cr_assert(watch.told[1].starts_with("stuck source unknown id 0 after 63 of 2")
            || watch.told[1].starts_with("stuck source unknown id 0 after 62 of 2"), "%s", watch.told[1].c_str());
  watch.ticks(1);
  cr_assert_eq(watch.told.size(), 4);
  host.come_to_rest();
}

Test(stuck_source, many_messages_are_not_one)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  Watch watch(host);
  host.on_forward = [&](const FakeMessage &) { watch.ticks(4); };
  source.send("slow", 5);
  source.end_batch();
  watch.ticks(10);
  cr_assert(watch.told.empty());
}

Test(stuck_source, a_late_tick_is_no_reason)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  Watch watch(host);
  watch.ticks(1);
  host.elapsed += 100 * second;
  host.on_forward = [&](const FakeMessage &) { watch.ticks(1); };
  source.send("a");
  source.end_batch();
  cr_assert(watch.told.empty());
}

Test(stuck_source, a_thread_that_waits_for_messages_is_not)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  Watch watch(host);
  source.send("a", 5);
  watch.ticks(100);
  source.end_batch();
  watch.ticks(100);
  source.send("a", 5);
  watch.ticks(100);
  cr_assert(watch.told.empty());
  host.come_to_rest();
}

namespace {

// Cheap messages, of which one blocks its thread for 50 ms.
void
send_one_that_blocks(FakeHost &host, FakeSource &source)
{
  host.cost = 100;
  source.send("a", 250);
  host.cost = 50'000'000;
  host.blocks = true;
  source.send("a");
  host.cost = 100;
  host.blocks = false;
  source.send("a", 249);
  source.end_batch();
  host.run_until_quiet();
}

}

Test(blocking, is_the_verdict_though_messages_are_cheap_on_average)
{
  FakeHost host(options(4));
  FakeSource &source = host.source();
  host.start_asleep();
  learn_that_messages_are_cheap(host, source);
  Watch watch(host);
  for (unsigned i = 0; i < 10; i++)
    {
      send_one_that_blocks(host, source);
      watch.ticks(1);
    }
  assert_contains(watch.report(), {R"("class":"source-bound")", "Most messages cost less", "some block their thread"});
  cr_assert(watch.report().find("neither helps nor harms") == std::string::npos);
}

Test(blocking, is_forgotten)
{
  FakeHost host(options(4));
  FakeSource &source = host.source();
  host.start_asleep();
  learn_that_messages_are_cheap(host, source);
  Watch watch(host);
  for (unsigned i = 0; i < 3; i++)
    {
      send_one_that_blocks(host, source);
      watch.ticks(1);
    }
  for (unsigned i = 0; i < 100; i++)
    {
      source.send("a", 500);
      source.end_batch();
      host.run_until_quiet();
      watch.ticks(1);
    }
  assert_contains(watch.report(), {"neither helps nor harms"});
}

namespace {

void
send_batch(FakeHost &host, FakeSource &source, const std::string &key, unsigned messages)
{
  source.send(key, messages);
  source.end_batch();
  host.run_until_quiet();
}

}

Test(empty_keys, are_told_once)
{
  FakeHost host(options(2));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  send_batch(host, source, "", 999);
  watch.ticks(3);
  cr_assert(watch.told.empty());
  send_batch(host, host.source(), "", 1);
  watch.ticks(3);
  cr_assert_eq(watch.told.size(), 1);
  cr_assert_eq(watch.told[0], "empty keys 1000");
  cr_assert_eq(host.counters().empty_keys, 1000);
  assert_contains(watch.report(), {R"("empty_keys":1000)"});
}

Test(empty_keys, are_told_if_order_does_not_hold_them_up)
{
  parallelize::EngineOptions round_robin = options(2);
  round_robin.empty_key_round_robin = true;
  FakeHost host(round_robin);
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  send_batch(host, source, "", 1000);
  watch.ticks(1);
  cr_assert_eq(watch.told.size(), 1);
}

Test(empty_keys, are_no_matter_if_one_message_has_a_key)
{
  FakeHost host(options(2));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  send_batch(host, host.source(), "a", 1);
  send_batch(host, source, "", 5000);
  watch.ticks(3);
  cr_assert(watch.told.empty());
  cr_assert_eq(host.counters().empty_keys, 5000);
}

Test(empty_keys, are_no_matter_without_a_key)
{
  FakeHost host(options(2, false));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  send_batch(host, source, "", 5000);
  watch.ticks(3);
  cr_assert(watch.told.empty());
}

namespace {

// Eleven seconds.  A message takes 50 us.
struct Fetching
{
  explicit Fetching(std::size_t limit) : host(options(2, false)), source(host.source()), watch(host)
  {
    host.reports_windows = true;
    host.fetch_limit = limit;
    host.start_asleep();
  }

  // Batches of `come` messages, `pause` nanoseconds apart.
  void
  read(unsigned come, std::uint64_t pause)
  {
    for (unsigned i = 0; i < 11; i++)
      {
        for (std::uint64_t time = 0; time < second / 4; time += pause)
          {
            send_batch(host, source, "a", come);
            host.elapsed += pause;
          }
        watch.ticks(1);
      }
  }

  FakeHost host;
  FakeSource &source;
  Watch watch;
};

}

Test(fetch_limit, is_told_once_if_workers_are_idle)
{
  Fetching it(10);
  it.read(10, 100'000);
  cr_assert_eq(it.watch.told.size(), 1);
  cr_assert_eq(it.watch.told[0], "s reads 10");
  assert_contains(it.watch.report(), {R"("class":"source-bound")", "The source s reads 10 messages at a time"});
}

Test(fetch_limit, of_a_source_that_brings_fewer_messages)
{
  Fetching it(10);
  it.read(9, 100'000);
  cr_assert(it.watch.told.empty());
  cr_assert_eq(it.host.counters().fetch_limited, 0);
}

Test(fetch_limit, of_a_source_that_has_to_wait_for_messages)
{
  Fetching it(10);
  it.read(10, 600'000);
  cr_assert(it.watch.told.empty());
  cr_assert_eq(it.host.counters().fetch_limited, 0);
}

Test(fetch_limit, that_is_large)
{
  for (const unsigned limit : {100, 101})
    {
      Fetching it(limit);
      for (unsigned i = 0; i < 200; i++)
        {
          send_batch(it.host, it.source, "a", limit);
          it.host.elapsed += 100'000;
        }
      cr_assert_eq(it.host.counters().fetch_limited > 0, limit == 100);
    }
}

Test(fetch_limit, that_is_unknown)
{
  Fetching it(0);
  it.read(10, 100'000);
  cr_assert(it.watch.told.empty());
}

Test(fetch_limit, of_messages_that_are_cheap)
{
  Fetching it(10);
  it.host.cost = 100;
  it.read(10, 100'000);
  cr_assert(it.host.counters().too_cheap > 0);
  cr_assert(it.watch.told.empty());
}

Test(counting, of_messages_that_came_while_others_of_their_key_were_in_flight)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.start();
  source.send("a", 10);
  source.send("b", 5);
  source.end_batch();
  cr_assert_eq(host.counters().ordered, 13);
  host.come_to_rest();
}

Test(counting, of_batches_and_of_messages_that_wait)
{
  FakeHost host(options(2));
  FakeSource &source = host.source();
  host.start();
  for (unsigned i = 0; i < 3; i++)
    {
      source.send("a", 2);
      source.end_batch();
    }
  cr_assert_eq(host.counters().hand_overs, 3);
  cr_assert_eq(host.counters().waiting, 6);
  while_forwarding(host, "a", 3, [&]
  {
    cr_assert_eq(host.counters().waiting, 2);
    cr_assert_eq(host.counters().in_flight, 6);
    cr_assert_eq(host.worker_counters(0).waiting + host.worker_counters(1).waiting, 2);
    cr_assert_eq(host.worker_counters(0).assigned + host.worker_counters(1).assigned, 4);
  });
  host.run_until_quiet();
  cr_assert_eq(host.counters().waiting, 0);
  host.come_to_rest();
}

Test(counting, of_busy_and_idle_time)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.elapsed = 2 * second;
  host.start_asleep();
  host.cost = second;
  host.on_forward = [&](const FakeMessage &)
  {
    const std::uint64_t busy = host.worker_counters(0).busy_ns;
    cr_assert(busy >= second, "a slice counts while it lasts: %lu", busy);
  };
  source.send("a");
  source.end_batch();
  host.run_until_quiet();
  cr_assert_eq(host.worker_counters(0).busy_ns, second);
  host.on_forward = nullptr;
  host.elapsed += 10 * second;
  cr_assert_eq(host.worker_counters(0).busy_ns, second);
  cr_assert_eq(host.worker_counters(0).idle_ns, 10 * second);
}

Test(counting, of_busy_time_goes_on_while_outlets_run)
{
  parallelize::EngineOptions with_outlet = options(1, false);
  with_outlet.outlets = 1;
  FakeHost host(with_outlet);
  FakeSource &source = host.source();
  host.elapsed = second;
  host.start_asleep();
  host.cost = 3 * second;
  host.cost_behind_outlets = second;
  std::uint64_t expected = 0;
  const auto look = [&](std::uint64_t more)
  {
    expected += more;
    const std::uint64_t busy = host.worker_counters(0).busy_ns;
    cr_assert_eq(busy, expected, "%lu instead of %lu", busy, expected);
  };
  host.on_forward = [&](const FakeMessage &) { look(3 * second); };
  host.on_outlet = [&](const FakeCopy &) { look(second); };
  for (unsigned i = 0; i < 3; i++)
    source.send("a", Route{.outlets = {0}});
  source.end_batch();
  host.run_until_quiet();
  host.elapsed += second;
  look(0);
  cr_assert_eq(expected, 12 * second);
}

Test(counting, of_windows)
{
  FakeHost host(options(1));
  host.start();
  parallelize::Producer &producer = host.engine().open(parallelize::Producer::publishes, 0);
  Watch watch(host);
  producer.report_window(100, 50, 10);
  cr_assert(watch.report().find(R"("windows":{"seen":1,"used_up_inside":0,"used_up_beyond":0,"last_size":100})")
            != std::string::npos);
  producer.report_window(100, 0, 10);
  cr_assert(watch.report().find(R"("used_up_beyond":1)") != std::string::npos);
  FakeSource &source = host.source();
  source.send("a", 60);
  source.end_batch();
  producer.report_window(100, 0, 10);
  cr_assert(watch.report().find(R"("used_up_inside":1)") != std::string::npos);
  host.engine().close(producer);
  host.come_to_rest();
}

namespace {

// A source with a window of 1000 that reads ten messages at a time, each of
// which is forwarded at once.
class WindowedSource
{
public:
  explicit WindowedSource(FakeHost &host) : source_(host.source()), host_(host) {}

  // So many that are not acknowledged.
  void
  read(unsigned batches, unsigned come = 10)
  {
    while (batches--)
      {
        source_.send("a", come);
        host_.run_until_quiet();
        source_.end_batch();
        host_.run_until_quiet();
        used_ += come;
        parallelize::Producer &producer = host_.engine().open(parallelize::Producer::publishes, 0);
        producer.report_window(1000, 1000 - used_, come);
        host_.engine().close(producer);
      }
  }

  void acknowledge(unsigned count) { used_ -= count; }

private:
  FakeSource &source_;
  FakeHost &host_;
  unsigned used_ = 0;
};

void
assert_verdict(Watch &watch, const std::string &expected)
{
  const std::string report = watch.report();
  cr_assert(report.find("\"class\":\"" + expected + "\"") != std::string::npos, "not %s: %s", expected.c_str(),
            report.c_str());
}

}

// Most batches end with an open window.
Test(windows, of_a_slow_destination_that_acknowledges_in_bulk)
{
  FakeHost host(options(2));
  host.start_asleep();
  Watch watch(host);
  WindowedSource source(host);
  for (unsigned i = 0; i < 8; i++)
    {
      source.read(100);
      watch.ticks(1);
      source.acknowledge(1000);
    }
  assert_verdict(watch, "destination-bound");
}

Test(windows, of_a_slow_destination_that_acknowledges_one_by_one)
{
  FakeHost host(options(2));
  host.start_asleep();
  Watch watch(host);
  WindowedSource source(host);
  source.read(100);
  for (unsigned i = 0; i < 8; i++)
    {
      for (unsigned j = 0; j < 100; j++)
        {
          source.acknowledge(10);
          source.read(1);
        }
      watch.ticks(1);
    }
  assert_verdict(watch, "destination-bound");
}

// When a batch uses up the window its messages are still inside.
Test(windows, of_a_slow_destination_after_workers_that_take_their_time)
{
  FakeHost host(options(2));
  host.start_asleep();
  Watch watch(host);
  FakeSource &source = host.source();
  for (unsigned i = 0; i < 8; i++)
    {
      source.send("a", 600);
      source.end_batch();
      parallelize::Producer &producer = host.engine().open(parallelize::Producer::publishes, 0);
      producer.report_window(1000, 400, 600);
      source.send("b", 400);
      producer.report_window(1000, 0, 400);
      host.engine().close(producer);
      source.end_batch();
      host.run_until_quiet();
      watch.ticks(1);
    }
  assert_verdict(watch, "destination-bound");
}

// It opens and closes the window often in a short time.
Test(windows, of_a_destination_that_was_slow_for_a_moment)
{
  FakeHost host(options(2));
  host.start_asleep();
  Watch watch(host);
  WindowedSource source(host);
  source.read(100);
  for (unsigned i = 0; i < 50; i++)
    {
      source.acknowledge(1);
      source.read(1, 1);
    }
  source.acknowledge(1000);
  for (unsigned i = 0; i < 500; i++)
    {
      source.read(1);
      source.acknowledge(10);
    }
  watch.ticks(9);
  assert_verdict(watch, "source-bound");
}

Test(windows, that_one_batch_fills_tell_nothing_of_the_destination)
{
  FakeHost host(options(2));
  host.start_asleep();
  Watch watch(host);
  WindowedSource source(host);
  for (unsigned i = 0; i < 8; i++)
    {
      source.read(1, 1000);
      source.acknowledge(1000);
      watch.ticks(1);
    }
  assert_verdict(watch, "source-bound");
}

Test(report, is_json_with_everything)
{
  FakeHost host(options(2));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  source.send("k", 100);
  source.end_batch();
  host.run_until_quiet();
  watch.ticks(1);
  assert_contains(watch.report(), {R"({"id":"id \"1\"","location":"here","key":"$HOST","workers":2,)", R"("entered":100)",
                           R"("processed":100)", R"("waiting":0)", R"("inline":{"too_cheap":0)", R"("p999":)",
                           R"("by_messages":[{"key":"k","share":1,"error":0}])", R"("by_time":[{"key":"k","share":1,"error":0}])", R"("class":"source-bound")"});
}

Test(report, times_of_slow_messages_are_all_known)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  host.cost = 1'000'000;
  source.send("k", 20);
  source.end_batch();
  host.run_until_quiet();
  const std::string report = watch.report();
  cr_assert(report.find(R"("processing":{"count":20,"sum":0.02,"p50":0.001,"p90":0.001)") != std::string::npos,
            "%s", report.c_str());
}

Test(report, latency_is_waiting_and_processing_of_the_same_message)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.start_asleep();
  host.elapsed = second;
  Watch watch(host);
  host.cost = 10 * second;
  source.send("k");
  source.end_batch();
  host.elapsed += 7 * second;
  host.run_until_quiet();
  assert_contains(watch.report(), {R"("waiting":{"count":1,"sum":7.000000)", R"("processing":{"count":1,"sum":10,)",
                           R"("latency":{"count":1,"sum":17.000000)"});
}

Test(report, sizes_of_batches)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.start();
  Watch watch(host);
  for (unsigned i = 0; i < 3; i++)
    {
      source.send("a", 7);
      source.flush();
      source.send("a", 3);
      source.end_batch();
    }
  assert_contains(watch.report(), {R"("came":{"count":3,"sum":30,"p50":10,"p90":10,"p99":10,"p999":10,"max":10,)"
                                   R"("buckets":[[10,3]]})",
                                   R"("handed_over":{"count":6,"sum":30,"p50":3,"p90":7,"p99":7,"p999":7,"max":7,)"
                                   R"("buckets":[[3,3],[7,3]]})"});
  host.come_to_rest();
}

namespace {

// The time from the receipt of messages to their publish, in seconds.
std::string
from_receipt(const Watch &watch)
{
  const std::string report = watch.report();
  const std::size_t begin = report.find(R"("from_receipt":)");
  return report.substr(begin, report.find('[', begin) - begin);
}

}

// The slice ends long after the message.
Test(report, time_from_the_receipt_ends_with_the_publish)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.start_asleep();
  host.message_age = 2 * second;
  host.cost = second;
  Watch watch(host);
  source.send("a");
  source.end_batch();
  host.on_publish = [&](FakeThread &) { host.elapsed += 4 * second; };
  host.run_until_quiet();
  const std::string found = from_receipt(watch);
  cr_assert(found.find(R"("count":1,)") != std::string::npos, "%s", found.c_str());
  cr_assert(found.find(R"("max":7,)") != std::string::npos, "%s", found.c_str());
}

Test(report, time_from_the_receipt_of_messages_that_the_source_processes)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.message_age = 2 * second;
  Watch watch(host);
  host.cost = second / 1000;
  source.send("a");
  cr_assert(from_receipt(watch).find(R"("count":0,)") != std::string::npos);
  host.elapsed += second;
  source.end_batch();
  const std::string found = from_receipt(watch);
  cr_assert(found.find(R"("max":3.001,)") != std::string::npos, "%s", found.c_str());
}

Test(report, time_from_the_receipt_ends_after_resequence)
{
  parallelize::EngineOptions with_outlet = options(1);
  with_outlet.outlets = 1;
  FakeHost host(with_outlet);
  FakeSource &source = host.source();
  host.start_asleep();
  host.message_age = 2 * second;
  host.cost_behind_outlets = second;
  Watch watch(host);
  for (unsigned i = 0; i < 100; i++)
    source.send("a", Route{.outlets = {0}});
  source.end_batch();
  host.run_until_quiet();
  const std::string found = from_receipt(watch);
  // One copy in eight is sampled.
  const unsigned long count = std::stoul(found.substr(found.find("count") + 7));
  cr_assert(count > 20 && count < 300 && count % 8 == 0, "%s", found.c_str());
  host.come_to_rest();
}

Test(report, keys_that_begin_alike_are_not_one)
{
  FakeHost host(options(4));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  host.cost = second / 100;
  const std::string beginning = "/var/log/containers/production-app-";
  for (unsigned i = 0; i < 5'000; i++)
    source.send(beginning + std::to_string(i % 50));
  source.end_batch();
  host.run_until_quiet();
  const std::string report = watch.report();
  const std::size_t by_time = report.find(R"("by_time":[{"key":)");
  const std::size_t shares = report.find(R"("share":)", by_time);
  const double share = std::stod(report.substr(shares + 8));
  cr_assert_lt(share, 0.1, "%f", share);
  const std::string name = report.substr(by_time + 18, beginning.size() + 1);
  cr_assert_eq(name, "\"" + beginning, "%s", name.c_str());
}

Test(report, a_key_that_is_known_by_its_beginning_only)
{
  FakeHost host(options(1));
  FakeSource &source = host.source();
  host.start_asleep();
  Watch watch(host);
  host.cost = second / 100;
  // What takes nearly all of the time is too rare to be seen at the entrance.
  source.send("whole", 1);
  source.send(std::string(parallelize::KeyHead::capacity + 1, 'x'), 1);
  source.end_batch();
  host.run_until_quiet();
  const std::string report = watch.report();
  cr_assert(report.find(R"({"key":")" + std::string(parallelize::KeyHead::capacity, 'x') + R"(...","share":0.5)") != std::string::npos, "%s",
            report.c_str());
}

// One in sixteen messages is timed, and stands for all of them.
Test(report, times_of_messages_that_the_source_processes_are_known_as_well)
{
  parallelize::EngineOptions crowded = options(1);
  crowded.prefetch = 5;
  FakeHost host(crowded);
  FakeSource &source = host.source();
  host.start();
  Watch watch(host);
  host.cost = 1'000'000;
  for (unsigned i = 0; i < 1'000; i++)
    source.send(std::string(1, static_cast<char>('a' + i % 26)));
  source.end_batch();
  host.come_to_rest();
  cr_assert_gt(host.counters().inlined[static_cast<std::size_t>(parallelize::InlineReason::crowded)], 500);
  const parallelize::Distribution processing = host.engine().samples().processing.read();
  cr_assert(processing.count() > 800 && processing.count() < 1'200, "%lu messages", processing.count());
  assert_contains(watch.report(), {R"("p50":0.001,"p90":0.001)"});
}
