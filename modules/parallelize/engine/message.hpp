// SPDX-License-Identifier: LGPL-2.1-or-later
// A message in the engine's care.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace parallelize {

// A packed message: any thread may run it.  The engine owns it from pack() until
// forward(), or from its arrival at an outlet until forward_from_outlet().
//
// Packed to 20 bytes, so that a Node with it is one cache line.
struct __attribute__((packed, aligned(4))) Message
{
  // The engine's own flag: the engine samples every message at present, not one
  // in `sample_one_in`.
  static constexpr std::uint32_t each_is_sampled = UINT32_C(0x80000000);

  void *handle;
  std::uint32_t flags;          // the callbacks' own, returned unchanged; without each_is_sampled
  std::uint32_t ticket;         // only with outlets: set by the engine, and by the callbacks for an arrival
  std::uint32_t sampled_at;     // the engine's: a SampleClock time, or 0 if the message is not sampled
};
static_assert(sizeof(Message) == 20);

// Time in 32 bits, for a sampled message: units of 1024 ns, wraps after 73 minutes.
class SampleClock
{
public:
  static std::uint32_t at(std::uint64_t nanoseconds)
  {
    const std::uint32_t time = static_cast<std::uint32_t>(nanoseconds >> shift);
    return time ? time : 1;
  }

  // Nanoseconds from `time` until `now`.
  static std::uint64_t since(std::uint32_t time, std::uint64_t now)
  {
    const std::int32_t units = static_cast<std::int32_t>(at(now) - time);
    return units > 0 ? std::uint64_t(units) << shift : 0;
  }

private:
  static constexpr unsigned shift = 10;
};

// The beginning of a key.
struct KeyHead
{
  static constexpr std::size_t capacity = 26;

  void assign(std::string_view key)
  {
    length = static_cast<std::uint8_t>(std::min(key.size(), capacity));
    cut = key.size() > capacity;
    key.copy(text, length);
  }

  std::string_view view() const { return {text, length}; }

  std::uint8_t length = 0;
  bool cut = false;             // the key is longer than this
  char text[capacity] = {};
};
static_assert(sizeof(KeyHead) == 28);

struct HashedKey
{
  KeyHead head;
  std::uint64_t hash;           // of the whole key
};

}
