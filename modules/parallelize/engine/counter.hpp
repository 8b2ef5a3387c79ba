// SPDX-License-Identifier: LGPL-2.1-or-later
// A number that one thread writes and any thread reads.
#pragma once

#include <atomic>
#include <cstdint>

namespace parallelize {

// Relaxed, and no read-modify-write: as cheap as an ordinary variable.
class Counter
{
public:
  // The one thread that writes it.
  void add(std::uint64_t amount) { set(get() + amount); }
  void set(std::uint64_t value) { value_.store(value, std::memory_order_relaxed); }

  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

private:
  std::atomic<std::uint64_t> value_{0};
};

}
