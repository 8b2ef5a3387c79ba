// SPDX-License-Identifier: LGPL-2.1-or-later
// Which message a thread is processing: enough of it to tell a human.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace parallelize {

// The beginning of a key.
struct KeyHead
{
  static constexpr std::size_t capacity = 30;

  void assign(std::string_view key)
  {
    length = static_cast<std::uint8_t>(std::min(key.size(), capacity));
    cut = key.size() > capacity;
    std::memcpy(text, key.data(), length);
  }

  std::string_view view() const { return {text, length}; }

  std::uint8_t length = 0;
  bool cut = false;
  char text[capacity] = {};
};

// Written by the thread that processes messages, and read by any other without
// holding it up: a sequence lock whose sequence is the number of messages, those
// behind an outlet included.
class RunningMessage
{
public:
  struct Identity
  {
    std::uint64_t sequence;     // messages up to and including this one
    std::uint64_t id;
    KeyHead key;
    bool behind_outlet;         // its key is not known
  };

  // Its own thread, as is the next.
  void start(const KeyHead &key, std::uint64_t id)
  {
    write(key, id, 0);
    started_.store(started_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  void start_behind_outlet(std::uint64_t id) { write({}, id, behind_outlet); }

  // The rest: any thread.

  std::uint64_t sequence() const { return sequence_.load(std::memory_order_relaxed); }

  // Without those behind an outlet.
  std::uint64_t started() const { return started_.load(std::memory_order_relaxed); }

  // False: it is just going on to another message.
  bool read(Identity &identity) const
  {
    const std::uint64_t written = written_.load(std::memory_order_acquire);
    Words words;
    for (std::size_t i = 0; i < words.size(); i++)
      words[i] = key_[i].load(std::memory_order_acquire);
    identity.key = std::bit_cast<KeyHead>(words);
    identity.id = id_.load(std::memory_order_acquire);
    identity.sequence = written & ~behind_outlet;
    identity.behind_outlet = written & behind_outlet;
    return sequence() == identity.sequence;
  }

private:
  static constexpr std::uint64_t behind_outlet = std::uint64_t{1} << 63;

  // The stores are in order: whoever sees a word of this message also sees sequence_.
  void write(const KeyHead &key, std::uint64_t id, std::uint64_t flag)
  {
    const std::uint64_t sequence = sequence_.load(std::memory_order_relaxed) + 1;
    sequence_.store(sequence, std::memory_order_relaxed);
    const Words words = std::bit_cast<Words>(key);
    for (std::size_t i = 0; i < words.size(); i++)
      key_[i].store(words[i], std::memory_order_release);
    id_.store(id, std::memory_order_release);
    written_.store(sequence | flag, std::memory_order_release);
  }

  using Words = std::array<std::uint64_t, sizeof(KeyHead) / sizeof(std::uint64_t)>;
  static_assert(sizeof(Words) == sizeof(KeyHead));

  std::atomic<std::uint64_t> sequence_{0};
  std::array<std::atomic<std::uint64_t>, Words{}.size()> key_{};
  std::atomic<std::uint64_t> id_{0};
  std::atomic<std::uint64_t> written_{0};
  std::atomic<std::uint64_t> started_{0};
};

}
