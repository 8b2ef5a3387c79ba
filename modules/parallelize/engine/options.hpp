// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>

namespace parallelize {

struct EngineOptions
{
  unsigned workers;             // at least 1
  bool keyed;                   // false: round-robin, the engine keeps no order
  bool empty_key_round_robin;   // messages with an empty key need no order
  bool message_ids;             // message_id() knows some
  unsigned batch_size;          // the engine hands over at most this many messages at once; at least 1
  unsigned quantum;             // a worker runs at most this many messages before its thread's other work; at least 1
  unsigned prefetch;            // the high-water mark: with more messages in flight, producers process some; at least 1
  unsigned outlets;             // 0: no tickets
  std::uint64_t seed[2];        // of the keyed hash: random, or a sender could choose keys that share a strand
};

}
