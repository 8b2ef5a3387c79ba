// SPDX-License-Identifier: LGPL-2.1-or-later
// What the parts of an engine share.
#pragma once

#include "callbacks.hpp"
#include "fetch-limit.hpp"
#include "path-cost.hpp"
#include "histogram.hpp"
#include "hot-key.hpp"
#include "node.hpp"
#include "options.hpp"
#include "sampler.hpp"
#include "scheduler.hpp"
#include "sequencer.hpp"
#include "siphash.hpp"
#include "source-windows.hpp"
#include "strand.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace parallelize {

// A thread publishes at least this often, so that finished messages become
// visible even if the next message takes long.
constexpr std::uint64_t slice_ns = 2'000'000;

// The same while messages block now and then: the strands that a blocked thread
// has not published wait for it.
constexpr std::uint64_t slice_with_blocking_ns = 200'000;

constexpr unsigned sample_one_in = 64;          // messages; every one if they are slow
constexpr unsigned sample_key_one_in = 16;      // keys
constexpr unsigned sample_outlets_one_in = 8;   // tickets; a power of two

// How long messages wait and take.  Any thread; written once a sampled message.
struct Samples
{
  Histogram waiting;            // from the hand-over to the start
  Histogram processing;
  Histogram latencies;          // from the hand-over (inline: the start) to the end, of messages worth a hand-over
  Histogram from_receipt;       // from the daemon's receipt to the publish; with outlets: of copies after one
  Histogram resequencing;       // from the arrival at an outlet
  HotKeys keys_by_time;         // their text is cut
};

struct Core
{
  Core(const EngineOptions &options, Callbacks &callbacks)
    : options(options), callbacks(callbacks), created(callbacks.now()), hash(options.seed[0], options.seed[1]),
      strand_mask(options.keyed ? std::clamp(std::bit_ceil(options.workers * strands_per_worker), min_strands, max_strands) - 1
                                : 0),
      strands(std::make_unique<Strand[]>(strand_mask + 1)),
      scheduler(options.workers, callbacks, cost, in_flight),
      sequencer(options.outlets ? std::make_unique<Sequencer>(options.outlets, slabs) : nullptr)
  {
  }

  std::size_t strand_of(std::uint64_t key_hash) const { return key_hash & strand_mask; }

  // True if messages with this ticket are sampled at outlets.  Scattered: a
  // rhythm of the messages must not decide about the sample.
  static bool is_sampled(std::uint32_t ticket)
  {
    return (ticket * 0x9e3779b1u) >> (32 - std::countr_zero(sample_outlets_one_in)) == 0;
  }

  // `copy` as it comes to an outlet.
  Message arrival(const Message &copy)
  {
    Message result = copy;
    result.sampled_at = is_sampled(copy.ticket) ? SampleClock::at(callbacks.now()) : 0;
    return result;
  }

  // A message that is one of `weight` has been processed.  `key`: nullptr if it needs no order.
  void record_processing(const HashedKey *key, std::uint64_t nanoseconds, unsigned weight)
  {
    samples.processing.record(nanoseconds, weight);
    if (key)
      samples.keys_by_time.weigh(key->head.view(), key->head.cut, key->hash, nanoseconds * weight);
  }

  // True once in ten minutes.
  bool may_report_hot_key()
  {
    const std::uint64_t time = std::max<std::uint64_t>(callbacks.now(), 1);
    std::uint64_t last = hot_key_reported_.load(std::memory_order_relaxed);
    return (last == 0 || time - last >= hot_key_every_ns)
           && hot_key_reported_.compare_exchange_strong(last, time, std::memory_order_relaxed);
  }

  // True if nothing is in flight, neither here nor at an outlet.
  bool is_empty() const { return in_flight.load() == 0 && (!sequencer || sequencer->idle()); }

  // Handed over and not published, here or after an outlet.  An estimate.
  std::uint64_t messages_inside() const
  {
    return in_flight.load(std::memory_order_relaxed) + (sequencer ? sequencer->parked() + sequencer->released() : 0);
  }

  // A shared strand makes two unrelated keys wait for each other; strands are cheap.
  static constexpr std::size_t strands_per_worker = 128;
  static constexpr std::size_t min_strands = 2048;
  static constexpr std::size_t max_strands = 16384;

  // Set once
  const EngineOptions options;
  Callbacks &callbacks;
  const std::uint64_t created;          // when
  const SipHash hash;
  const std::size_t strand_mask;
  const std::unique_ptr<Strand[]> strands;
  SlabPool slabs;
  PathCost cost;

  // No worker yet, or soon no more: read with every batch, written twice in a life.
  alignas(64) std::atomic<bool> stopping{true};

  // Messages handed over and not published.  Added before the hand-over, and
  // subtracted after the publish.
  alignas(64) std::atomic<std::uint64_t> in_flight{0};
  // Producers between open and close.
  alignas(64) std::atomic<unsigned> open{0};

  Scheduler scheduler;
  const std::unique_ptr<Sequencer> sequencer;   // nullptr: no outlets

  HotKeys keys_by_messages;
  Samples samples;
  SourceWindows windows;
  LimitedSource limited_source;

private:
  static constexpr std::uint64_t hot_key_every_ns = 600'000'000'000;

  std::atomic<std::uint64_t> hot_key_reported_{0};      // when; 0: never
};

}
