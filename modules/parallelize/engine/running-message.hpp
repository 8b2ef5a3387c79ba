// SPDX-License-Identifier: LGPL-2.1-or-later
// Which message a thread is processing: enough of it to tell a human.
#pragma once

#include "message.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace parallelize {

// The runner's thread writes it, and any thread reads it without holding the
// runner up: a sequence lock whose sequence is the number of messages, those
// after an outlet and inline ones included.
class RunningMessage
{
public:
  struct Identity
  {
    std::uint64_t sequence;     // messages up to and including this one
    std::uint64_t id;
    KeyHead key;
    bool after_outlet;          // its key is not known
  };

  // Its own thread, as are the next two.
  void start(const KeyHead &key, std::uint64_t id)
  {
    write(key, id, 0);
    started_.store(started_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  void start_after_outlet(std::uint64_t id) { write({}, id, after_outlet); }

  // A message of which neither key nor id is known.
  void start_inline() { sequence_.store(sequence_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }

  // The rest: any thread.

  std::uint64_t sequence() const { return sequence_.load(std::memory_order_relaxed); }

  // Messages that were handed over.
  std::uint64_t started() const { return started_.load(std::memory_order_relaxed); }

  // False if the message is not known, or the thread is just going on to another one.
  bool read(Identity &identity) const
  {
    const std::uint64_t written = written_.load(std::memory_order_acquire);
    Words words;
    for (std::size_t i = 0; i < words.size(); i++)
      words[i] = key_[i].load(std::memory_order_acquire);
    std::memcpy(static_cast<void *>(&identity.key), words.data(), sizeof identity.key);
    identity.id = id_.load(std::memory_order_acquire);
    identity.sequence = written & ~after_outlet;
    identity.after_outlet = written & after_outlet;
    return sequence() == identity.sequence;
  }

private:
  static constexpr std::uint64_t after_outlet = std::uint64_t{1} << 63;

  using Words = std::array<std::uint64_t, (sizeof(KeyHead) + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t)>;

  // The stores are in order: whoever sees a word of this message also sees sequence_.
  void write(const KeyHead &key, std::uint64_t id, std::uint64_t flag)
  {
    const std::uint64_t sequence = sequence_.load(std::memory_order_relaxed) + 1;
    sequence_.store(sequence, std::memory_order_relaxed);
    Words words = {};
    std::memcpy(words.data(), &key, sizeof key);
    for (std::size_t i = 0; i < words.size(); i++)
      key_[i].store(words[i], std::memory_order_release);
    id_.store(id, std::memory_order_release);
    written_.store(sequence | flag, std::memory_order_release);
  }

  std::atomic<std::uint64_t> sequence_{0};
  std::array<std::atomic<std::uint64_t>, Words{}.size()> key_{};
  std::atomic<std::uint64_t> id_{0};
  std::atomic<std::uint64_t> written_{0};
  std::atomic<std::uint64_t> started_{0};
};

}
