// SPDX-License-Identifier: LGPL-2.1-or-later
// What the engine counts.
#pragma once

#include "counter.hpp"
#include "histogram.hpp"
#include "running-message.hpp"

#include <array>
#include <cstdint>

namespace parallelize {

// Why a thread that brings messages processed one.
enum class InlineReason
{
  too_cheap,            // the message costs less than handing it over
  crowded,              // over the high-water mark, or its strand had an unpublished inline message of this thread
  no_worker,            // no worker was alive
};
constexpr std::size_t inline_reasons = 3;
constexpr const char *inline_reason_names[inline_reasons] = {"too_cheap", "crowded", "no_worker"};     // for users

// What a runner's thread counts, for all to read.
struct RunnerCounters
{
  RunningMessage message;       // the one that the thread is processing, or was the last
  Counter processed;            // of those handed over and started here: published
  Counter waiting;              // in the strand that the thread is running
  BusyTime busy;
  Counter stolen;               // tasks
  Counter busy_since;           // when this slice's first message of a task started; 0: there was none
};

// What a producer counts beside that.  Its thread writes, any thread reads.
struct ProducerCounters
{
  Counter handed_over;          // messages
  Counter hand_overs;
  SizeCounts batches;           // messages that came in one batch
  SizeCounts hand_over_sizes;   // messages of one hand-over
  Counter ordered;              // messages that came while their strand was not idle
  Counter empty_keys;           // messages whose key was looked at and is empty
  Counter saw_key;              // 1: a key was not empty
  // Inline messages.  EngineCounters::inlined has those of `assisted` as well.
  std::array<Counter, inline_reasons> inlined;
  Counter assisted;             // messages handed over, and started by a producer
  Counter inline_busy_ns;       // processing inline messages; an estimate
  Counter fetch_limited;        // messages that came in a small batch, of a source that has more to read
  Counter yields;               // times that the source gave way to the workers
  Counter inside_since;         // when the thread started to process messages; 0: it does not
};

// The engine as a whole.  Each number is right by itself; all agree when nothing
// happens meanwhile: entered = processed + in_flight, waiting <= in_flight.
struct EngineCounters
{
  std::uint64_t entered = 0;
  std::uint64_t processed = 0;
  std::uint64_t in_flight = 0;          // handed over and not yet published
  std::uint64_t waiting = 0;            // of these: not started
  std::uint64_t hand_overs = 0;         // of one or more messages each
  std::uint64_t ordered = 0;            // messages that came while their strand was not idle
  std::uint64_t empty_keys = 0;         // messages whose key was looked at and is empty
  bool saw_key = false;                 // a key was not empty
  // Inline messages, and those of ProducerCounters::assisted, which count as crowded.
  std::array<std::uint64_t, inline_reasons> inlined = {};
  std::uint64_t worth_a_hand_over = 0;  // of these: all but too_cheap
  std::uint64_t too_cheap = 0;          // of these: not worth a hand-over
  std::uint64_t sources_busy_ns = 0;    // processing them
  std::uint64_t fetch_limited = 0;      // messages that came in a small batch, of a source that has more to read
  std::uint64_t source_yields = 0;
  std::uint64_t parked = 0;             // copies that have come to an outlet before their turn
  std::uint64_t released = 0;           // copies whose turn has come, not yet published
  std::uint64_t wakeups = 0;
  std::uint64_t stolen = 0;             // tasks taken from another worker
};

struct BatchSizes
{
  Distribution came;            // messages that came in one batch
  Distribution handed_over;     // messages of one hand-over
};

struct WorkerCounters
{
  std::uint64_t assigned = 0;           // started
  std::uint64_t processed = 0;          // of these: published
  std::uint64_t waiting = 0;            // in its local queue, and in the strand that it is running
  std::uint64_t busy_ns = 0;
  std::uint64_t idle_ns = 0;
  std::uint64_t stolen = 0;             // tasks, by this worker
  std::uint64_t wakeups = 0;
};

// all - part, or 0: the two are not read atomically.
constexpr std::uint64_t
excess(std::uint64_t all, std::uint64_t part)
{
  return all > part ? all - part : 0;
}

}
