// SPDX-License-Identifier: LGPL-2.1-or-later
// What limits the throughput, judged by two snapshots of the counters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace parallelize {

// The counters at one time.
struct Snapshot
{
  std::uint64_t time_ns = 0;
  std::uint64_t entered = 0;
  std::uint64_t processed = 0;
  std::uint64_t pending = 0;            // now
  std::uint64_t in_flight = 0;          // now, pending messages included
  std::uint64_t parked = 0;             // now: copies that wait at a resequence() for their turn
  std::uint64_t released = 0;           // now: copies whose turn there has come
  std::uint64_t ordered = 0;            // messages that came while their strand was not idle
  std::uint64_t too_cheap = 0;          // messages that ran inline because a hand-over costs more
  std::uint64_t source_yields = 0;      // times that a source gave way because too many messages were pending
  std::uint64_t waited_ns = 0;          // the sum over all messages
  std::uint64_t sources_busy_ns = 0;
  std::uint64_t came = 0;               // messages of sources with a window
  std::uint64_t window_limited = 0;     // of these: messages that used up a window
  std::uint64_t fetch_limited = 0;      // of these: messages that came in a small batch, of a source that has more to read
  bool window_full_inside = false;      // now: messages in flight have used up a window
  bool window_full_after = false;       // now: messages that left the element and are not acknowledged have
  std::uint64_t seen_full_inside = 0;   // snapshots, one a second, that found it so
  std::uint64_t seen_full_after = 0;
  bool blocks = false;                  // a message has blocked its thread in the last seconds
  std::uint64_t cpu_ns = 0;             // of the process
  std::vector<std::uint64_t> busy_ns;   // of each worker
};

// What a verdict needs to know beside two snapshots.
struct VerdictContext
{
  unsigned cores = 1;
  bool keyed = false;
  std::string key;                      // the template
  std::string key_advice;               // how to get a better key
  std::string hottest_key;
  bool hottest_is_empty = false;
  double hottest_share = 0;             // of the processing time; 0: unknown
  unsigned distinct_keys = 0;           // at least this many
  bool distinct_keys_known = false;     // exactly this many
  std::size_t window = 0;               // messages of one connection; 0: unknown
  std::string limited_source;           // a source that has more than it may read at a time
  std::size_t fetch_limit = 0;          // messages that this source may read at a time; 0: there is none

  // Messages that block their thread
  bool blocks = false;                  // there was one in the time that is judged
  std::uint64_t median_ns = 0;          // of all messages; 0: unknown

  // The worker that has been processing one message for longest
  std::uint64_t stuck_ns = 0;           // 0: no worker is stuck
  std::string stuck_key;                // of the message
  bool stuck_after_outlet = false;      // the message is after a resequence(): its key is not known
  std::uint64_t pending_since_stuck = 0;        // messages; the least of all snapshots since then

  // The same of threads that bring messages
  std::uint64_t source_stuck_ns = 0;    // 0: no such thread is stuck
};

enum class Bottleneck
{
  source,
  worker,
  key,
  order,
  destination,
  balanced,
};

// As the report shows it.
const char *name_of(Bottleneck bottleneck);

struct Verdict
{
  Bottleneck bottleneck = Bottleneck::source;
  double seconds = 0;                   // that were judged
  double rate = 0;                      // messages a second
  double maximum_rate = 0;              // 0: unknown, no message was processed
  double seconds_per_message = 0;       // of processing
  double effective_parallelism = 0;     // messages processed at the same time, on average
  double efficiency = 0;                // of what the workers and the keys allow
  double utilization = 0;               // busy share of the workers, on average
  double utilization_variance = 0;
  double ordering_constraint_ratio = 0; // messages that had to wait for another one of their key
  double pending = 0;                   // messages, on average
  double cores_busy = 0;                // of the daemon
  std::size_t fetch_limit = 0;          // the same: messages
  std::string key;                      // only if one limits the throughput
  double key_share = 0;
  std::string explanation;
  std::string advice;
};

// What limited the throughput between two snapshots.
Verdict judge(const Snapshot &from, const Snapshot &to, const VerdictContext &context);

}
