// SPDX-License-Identifier: LGPL-2.1-or-later
// Distributions, hot keys, the message that a thread is at, and JSON.

#include "engine/counter.hpp"
#include "engine/fetch-limit.hpp"
#include "engine/histogram.hpp"
#include "engine/hot-key.hpp"
#include "engine/running-message.hpp"
#include "monitor/json.hpp"

#include <criterion/criterion.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace parallelize;

/* ------------------------------------------------------------------------
 * Distributions
 * ------------------------------------------------------------------------ */

Test(histogram, buckets_follow_each_other_without_a_gap)
{
  std::size_t index = 0;
  for (std::uint64_t value = 0; value < 100'000; value++)
    {
      const std::size_t next = HistogramBuckets::index_of(value);
      cr_assert(next == index || next == index + 1, "value %lu", value);
      index = next;
      cr_assert_leq(value, HistogramBuckets::upper_bound(index));
    }
}

Test(histogram, an_upper_bound_is_the_last_value_of_its_bucket)
{
  const std::size_t last = HistogramBuckets::index_of(HistogramBuckets::largest);
  for (std::size_t index = 0; index < last; index++)
    {
      const std::uint64_t bound = HistogramBuckets::upper_bound(index);
      cr_assert_eq(HistogramBuckets::index_of(bound), index);
      cr_assert_eq(HistogramBuckets::index_of(bound + 1), index + 1);
    }
  cr_assert_eq(HistogramBuckets::upper_bound(last), HistogramBuckets::largest);
}

Test(histogram, too_large_a_value_is_kept_in_the_last_bucket)
{
  Histogram histogram;
  histogram.record(UINT64_MAX / 2, 1);
  cr_assert_eq(histogram.read().buckets().back().first, HistogramBuckets::largest);
  cr_assert_eq(histogram.read().max(), UINT64_MAX / 2);
}

Test(histogram, quantiles_are_at_most_a_thirtysecond_too_high)
{
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> times(10, 2);
  std::vector<std::uint64_t> values;
  Histogram histogram;
  for (unsigned i = 0; i < 100'000; i++)
    {
      values.push_back(static_cast<std::uint64_t>(times(random)));
      histogram.record(values.back(), 1);
    }
  std::sort(values.begin(), values.end());

  const Distribution distribution = histogram.read();
  cr_assert_eq(distribution.count(), values.size());
  cr_assert_eq(distribution.max(), values.back());
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0})
    {
      const std::uint64_t exact = values[std::max<std::size_t>(std::ceil(share * values.size()), 1) - 1];
      const std::uint64_t found = distribution.quantile(share);
      cr_assert(found >= exact && found <= exact + exact / 32 + 1, "%f: %lu instead of %lu", share, found, exact);
    }
}

Test(histogram, a_weight_counts_as_so_many_values)
{
  Histogram histogram;
  histogram.record(10, 99);
  histogram.record(1000, 1);
  const Distribution distribution = histogram.read();
  cr_assert_eq(distribution.count(), 100);
  cr_assert_eq(distribution.sum(), 1990);
  cr_assert_eq(distribution.quantile(0.99), 10);
  cr_assert_eq(distribution.quantile(1), 1000);
}

Test(histogram, without_values)
{
  const Distribution distribution = Histogram().read();
  cr_assert_eq(distribution.count(), 0);
  cr_assert_eq(distribution.quantile(0.5), 0);
}

Test(histogram, values_up_to_a_bound_are_counted)
{
  Histogram histogram;
  for (const std::uint64_t value : {1, 10, 100, 1000})
    histogram.record(value, 2);
  const Distribution distribution = histogram.read();
  cr_assert_eq(distribution.count_up_to(0), 0);
  cr_assert_eq(distribution.count_up_to(10), 4);
  cr_assert_eq(distribution.count_up_to(999), 6);
  cr_assert_eq(distribution.count_up_to(2000), 8);
}

Test(sizes, of_several_threads_are_added)
{
  SizeCounts some;
  SizeCounts others;
  for (unsigned i = 0; i < 99; i++)
    some.record(10);
  others.record(1'000'000);
  SizeTotals totals;
  totals.add(some);
  totals.add(others);
  const Distribution distribution = totals.read();
  cr_assert_eq(distribution.count(), 100);
  cr_assert_eq(distribution.sum(), 1'000'990);
  cr_assert_eq(distribution.max(), 1'000'000);
  cr_assert_eq(distribution.quantile(0.99), 10);
}

Test(sizes, that_are_small_are_exact)
{
  for (std::uint64_t size = 0; size < 32; size++)
    cr_assert_eq(SizeBuckets::upper_bound(SizeBuckets::index_of(size)), size);
  for (std::uint64_t size = 32; size < SizeBuckets::largest; size += 7)
    {
      const std::uint64_t bound = SizeBuckets::upper_bound(SizeBuckets::index_of(size));
      cr_assert(bound >= size && bound < size + size / 16 + 1, "%lu: %lu", size, bound);
    }
}

Test(sizes, that_are_powers_of_two_end_a_bucket)
{
  for (std::uint64_t size = 1; size <= SizeBuckets::largest; size *= 2)
    {
      SizeCounts counts;
      SizeTotals totals;
      counts.record(size);
      counts.record(size + 1);
      totals.add(counts);
      cr_assert_eq(totals.read().count_up_to(size), 1, "%lu", size);
    }
}

/* ------------------------------------------------------------------------
 * Sources that read few messages at a time
 * ------------------------------------------------------------------------ */

namespace {

// The last state after ten seconds of bursts: so many full batches, one that is not, and a pause.
FetchPressure::State
pressure_of_bursts(unsigned full, std::uint64_t round, std::uint64_t pause)
{
  FetchPressure pressure;
  FetchPressure::State state = FetchPressure::low;
  for (std::uint64_t now = 1; now < 10'000'000'000;)
    {
      for (unsigned i = 0; i < full; i++)
        state = pressure.add(now += round, true);
      pressure.add(now += round, false);
      now += pause;
    }
  return state;
}

}

Test(fetch_pressure, rises_once)
{
  FetchPressure pressure;
  unsigned rises = 0;
  FetchPressure::State state = FetchPressure::low;
  for (unsigned i = 0; i < 1000; i++)
    {
      state = pressure.add(1'000'000'000 + i * 100'000, true);
      cr_assert(i > 60 || state == FetchPressure::low);
      rises += state == FetchPressure::rises;
    }
  cr_assert_eq(state, FetchPressure::high);
  cr_assert_eq(rises, 1);
  cr_assert_eq(pressure.add(2'000'000'000, true), FetchPressure::low);
}

Test(fetch_pressure, of_a_coarse_clock)
{
  FetchPressure pressure;
  FetchPressure::State state = FetchPressure::low;
  for (std::uint64_t now = 1'000'000'000; now < 2'000'000'000; now += 100'000)
    state = pressure.add(now / 4'000'000 * 4'000'000, true);
  cr_assert_eq(state, FetchPressure::high);
}

// The buffer of a connection ends within a message now and then.
Test(fetch_pressure, is_high_though_some_batches_are_not_full)
{
  cr_assert_eq(pressure_of_bursts(6, 100'000, 0), FetchPressure::high);
}

Test(fetch_pressure, is_low_if_messages_come_in_bursts)
{
  cr_assert_eq(pressure_of_bursts(2, 50'000, 0), FetchPressure::low);
  cr_assert_eq(pressure_of_bursts(10, 50'000, 5'000'000), FetchPressure::low);
  cr_assert_eq(pressure_of_bursts(50, 50'000, 100'000'000), FetchPressure::low);
}

Test(fetch_pressure, is_low_if_full_batches_come_at_intervals)
{
  FetchPressure pressure;
  for (unsigned i = 0; i < 10'000; i++)
    cr_assert_eq(pressure.add(1'000'000'000 + i * 500'000ull, true), FetchPressure::low);
}

/* ------------------------------------------------------------------------
 * Busy time
 * ------------------------------------------------------------------------ */

Test(busy_time, grows_while_busy_only)
{
  BusyTime busy;
  std::uint64_t now = 1'000;
  const auto clock = [&] { return now; };
  cr_assert_eq(busy.read(clock), 0);
  busy.start(now);
  now += 10;
  cr_assert_eq(busy.read(clock), 10);
  busy.stop(now += 5);
  now += 100;
  cr_assert_eq(busy.read(clock), 15);
  busy.start(now);
  cr_assert_eq(busy.read(clock), 15);
  now += 7;
  cr_assert_eq(busy.read(clock), 22);
  busy.stop(now);
  cr_assert_eq(busy.total(), 22);
}

// Half of the time it is: the thread starts and stops at each step of the clock.
Test(busy_time, is_never_read_backwards_or_twice)
{
  constexpr std::uint64_t steps = 1'000'000;
  BusyTime busy;
  std::atomic<std::uint64_t> clock{1};
  std::thread worker([&]
  {
    for (std::uint64_t i = 0; i < steps; i++)
      {
        busy.start(clock.load());
        clock.fetch_add(1);
        busy.stop(clock.load());
        clock.fetch_add(1);
      }
  });

  std::uint64_t last = 0;
  while (clock.load() < 2 * steps)
    {
      const std::uint64_t at_least = clock.load() / 2;
      const std::uint64_t seen = busy.read([&] { return clock.load(); });
      cr_assert_geq(seen + 1, at_least);
      cr_assert_leq(last, seen);
      cr_assert_leq(seen, clock.load());
      last = seen;
    }
  worker.join();
  cr_assert_eq(busy.total(), steps);
}

/* ------------------------------------------------------------------------
 * Hot keys
 * ------------------------------------------------------------------------ */

namespace {

void
feed(HotKeys &hot_keys, const std::string &key, std::string &hot)
{
  hot_keys.sample(key, std::hash<std::string>()(key), hot);
}

}

Test(hot_keys, are_on_cache_lines_of_their_own)
{
  struct
  {
    char before;
    HotKeys hot_keys;
    char after;
  } neighbours;
  const auto line = [](const void *address) { return reinterpret_cast<std::uintptr_t>(address) / 64; };
  cr_assert_neq(line(&neighbours.before), line(&neighbours.hot_keys));
  cr_assert_neq(line(&neighbours.after), line(reinterpret_cast<char *>(&neighbours.hot_keys + 1) - 1));
}

Test(hot_keys, counts_keep_the_bound_of_the_sketch)
{
  // Fewer samples than fade anything.
  constexpr unsigned samples = HotKeys::memory - 1;
  std::mt19937 random(2);
  HotKeys hot_keys;
  std::map<std::string, unsigned> exact;
  std::string hot;
  for (unsigned i = 0; i < samples; i++)
    {
      // Zipf-like: half of all is one of a few, the other half one of very many
      const unsigned number = random() % 2 ? random() % 4 : 4 + random() % 10'000;
      const std::string key = "key" + std::to_string(number);
      exact[key]++;
      feed(hot_keys, key, hot);
    }

  const HotKeys::Report report = hot_keys.report();
  cr_assert_eq(report.samples, samples);
  cr_assert_eq(report.keys.size(), HotKeys::capacity);
  cr_assert(!report.complete);
  for (const HotKey &key : report.keys)
    {
      cr_assert_leq(exact[key.key], key.count);
      cr_assert_geq(exact[key.key], key.count - key.error);
      cr_assert_leq(key.error, samples / HotKeys::capacity);
    }
  for (const auto &[key, count] : exact)
    if (count > samples / HotKeys::capacity)
      cr_assert(std::any_of(report.keys.begin(), report.keys.end(), [&](const HotKey &hot) { return hot.key == key; }));
}

Test(hot_keys, few_keys_are_counted_exactly)
{
  HotKeys hot_keys;
  std::string hot;
  for (unsigned i = 0; i < 300; i++)
    feed(hot_keys, i % 3 ? "often" : "seldom", hot);
  const HotKeys::Report report = hot_keys.report();
  cr_assert(report.complete);
  cr_assert_eq(report.keys.size(), 2);
  cr_assert_eq(report.keys[0].key, "often");
  cr_assert_eq(report.keys[0].count, 200);
  cr_assert_eq(report.keys[1].error, 0);
}

Test(hot_keys, old_traffic_is_forgotten)
{
  HotKeys hot_keys;
  std::string hot;
  for (unsigned i = 0; i < 100'000; i++)
    feed(hot_keys, "yesterday", hot);
  for (unsigned i = 0; i < 8 * HotKeys::memory; i++)
    feed(hot_keys, "today", hot);
  const HotKeys::Report report = hot_keys.report();
  cr_assert_eq(report.keys[0].key, "today");
  cr_assert_geq(report.keys[0].count, report.total * 99 / 100);
  cr_assert_leq(report.samples, HotKeys::memory);
}

Test(hot_keys, a_key_that_keeps_changing_its_neighbours_stays)
{
  HotKeys hot_keys;
  std::string hot;
  for (unsigned i = 0; i < 50'000; i++)
    feed(hot_keys, i % 4 ? "once" + std::to_string(i) : "again", hot);
  const HotKeys::Report report = hot_keys.report();
  cr_assert_eq(report.keys[0].key, "again");
  const double share = static_cast<double>(report.keys[0].count - report.keys[0].error) / report.total;
  cr_assert(share > 0.22 && share < 0.27, "%f", share);
}

Test(hot_keys, weights_count_as_so_many)
{
  HotKeys hot_keys;
  for (unsigned i = 0; i < 1000; i++)
    {
      hot_keys.weigh("heavy", false, 1, 1'000'000);
      hot_keys.weigh("light", false, 2, 1'000);
    }
  const HotKeys::Report report = hot_keys.report();
  cr_assert_eq(report.keys[0].key, "heavy");
  cr_assert_eq(report.keys[0].count, 1'000'000'000);
  cr_assert_eq(report.keys[1].count, 1'000'000);
  cr_assert_eq(report.total, 1'001'000'000);
}

Test(hot_keys, a_long_key_is_cut)
{
  HotKeys hot_keys;
  std::string hot;
  feed(hot_keys, std::string(100'000, 'x'), hot);
  cr_assert_eq(hot_keys.report().keys[0].key.size(), HotKeys::max_key_length);
  cr_assert(hot_keys.report().keys[0].cut);
}

Test(hot_keys, keys_that_begin_alike_are_not_one)
{
  const std::string beginning(HotKeys::max_key_length, 'x');
  HotKeys hot_keys;
  std::string hot;
  for (unsigned i = 0; i < 100; i++)
    {
      feed(hot_keys, beginning + std::to_string(i % 2), hot);
      hot_keys.weigh("cut", true, i % 4, 1);
    }
  cr_assert_eq(hot_keys.report().keys.size(), 6);
}

/* ------------------------------------------------------------------------
 * The message that a thread is at
 * ------------------------------------------------------------------------ */

Test(running_message, is_told_with_its_key_and_id)
{
  RunningMessage running;
  RunningMessage::Identity identity;
  KeyHead key;
  key.assign("the key");
  running.start(key, 7);
  cr_assert(running.read(identity));
  cr_assert_eq(identity.sequence, 1);
  cr_assert_eq(identity.id, 7);
  cr_assert(identity.key.view() == "the key");
  cr_assert(!identity.key.cut);
}

Test(running_message, a_long_key_is_cut)
{
  KeyHead key;
  key.assign(std::string(KeyHead::capacity, 'x'));
  cr_assert(!key.cut);
  key.assign(std::string(KeyHead::capacity + 1, 'x'));
  cr_assert(key.cut);
  cr_assert_eq(key.view().size(), KeyHead::capacity);
}

Test(running_message, after_an_outlet_is_another_one)
{
  RunningMessage running;
  RunningMessage::Identity identity;
  KeyHead key;
  key.assign("the key");
  running.start(key, 7);
  running.start_after_outlet(8);
  cr_assert(running.read(identity));
  cr_assert(identity.after_outlet);
  cr_assert_eq(identity.id, 8);
  cr_assert(identity.key.view().empty());
  cr_assert_eq(identity.sequence, 2);
  cr_assert_eq(running.started(), 1);
  running.start(key, 9);
  cr_assert(running.read(identity));
  cr_assert(!identity.after_outlet);
  cr_assert_eq(running.started(), 2);
}

Test(running_message, is_not_known_if_it_is_inline)
{
  RunningMessage running;
  RunningMessage::Identity identity;
  KeyHead key;
  key.assign("the key");
  running.start(key, 7);
  running.start_inline();
  cr_assert(!running.read(identity));
  cr_assert_eq(running.sequence(), 2);
  cr_assert_eq(running.started(), 1);
  running.start(key, 8);
  cr_assert(running.read(identity));
  cr_assert_eq(identity.sequence, 3);
  cr_assert_eq(identity.id, 8);
}

Test(running_message, is_never_a_mixture_of_two)
{
  constexpr std::uint64_t messages = 300'000;
  RunningMessage running;
  std::thread worker([&]
  {
    for (std::uint64_t i = 1; i <= messages; i++)
      {
        KeyHead key;
        key.assign(std::string(KeyHead::capacity, static_cast<char>('a' + i % 26)));
        running.start(key, i);
      }
  });

  std::uint64_t seen = 0;
  while (seen < messages)
    {
      RunningMessage::Identity identity;
      if (!running.read(identity) || identity.sequence == 0)
        continue;
      cr_assert_eq(identity.id, identity.sequence);
      const std::string expected(KeyHead::capacity, static_cast<char>('a' + identity.sequence % 26));
      cr_assert(identity.key.view() == expected);
      seen = identity.sequence;
    }
  worker.join();
}

/* ------------------------------------------------------------------------
 * JSON
 * ------------------------------------------------------------------------ */

namespace {

std::string
as_json(std::string_view text)
{
  JsonWriter json;
  json.string(text);
  return json.text();
}

}

Test(json, commas_stand_where_they_belong)
{
  JsonWriter json;
  json.begin_object();
  json.name("a");
  json.begin_array();
  json.integer(1);
  json.integer(2);
  json.begin_array();
  json.end_array();
  json.end_array();
  json.name("b");
  json.begin_object();
  json.end_object();
  json.name("c");
  json.boolean(true);
  json.name("d");
  json.null();
  json.end_object();
  cr_assert_eq(json.text(), R"({"a":[1,2,[]],"b":{},"c":true,"d":null})");
}

Test(json, numbers)
{
  JsonWriter json;
  json.begin_array();
  json.number(0.25);
  json.number(1 / 0.0);
  json.seconds(1'500'000'000);
  json.integer(UINT64_MAX);
  json.end_array();
  cr_assert_eq(json.text(), "[0.25,null,1.5,18446744073709551615]");
}

Test(json, any_bytes_become_a_string)
{
  cr_assert_eq(as_json("plain"), R"("plain")");
  cr_assert_eq(as_json("\"\\\n\x7f"), R"("\"\\\u000a\u007f")");
  cr_assert_eq(as_json("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
  cr_assert_eq(as_json(std::string_view("\0", 1)), R"("\u0000")");
  cr_assert_eq(as_json("\xc2\x80\xc2\x9f\xc2\xa0"), "\"\\u0080\\u009f\xc2\xa0\"");
}

Test(json, what_is_not_utf8_is_shown_as_bytes)
{
  cr_assert_eq(as_json("\xff"), R"("\\xff")");
  cr_assert_eq(as_json("\xc3"), R"("\\xc3")");
  cr_assert_eq(as_json("\xc0\x80"), R"("\\xc0\\x80")");
  cr_assert_eq(as_json("\xed\xa0\x80"), R"("\\xed\\xa0\\x80")");
  cr_assert_eq(as_json("\xf4\x90\x80\x80"), R"("\\xf4\\x90\\x80\\x80")");
  cr_assert_eq(as_json("\xe2\x82z"), R"("\\xe2\\x82z")");
}
