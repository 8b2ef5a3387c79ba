// SPDX-License-Identifier: LGPL-2.1-or-later
// Compile the engine with `-include` of this file, and each atomic and each mutex of it
// reports what is done to it.  The engine's sources stay as they are.
//
// Both have the size of the standard library's: the engine's data keep their places
// on cache lines.
#pragma once

// All that the engine or a program with this file includes: none of these headers
// may be read after the two macros at the end.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <bitset>
#include <cinttypes>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <queue>
#include <semaphore>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

// What a program with this file defines.
namespace counted {

class counted_mutex;

void on_load(const void *address) noexcept;
void on_store(const void *address) noexcept;
void on_read_modify_write(const void *address) noexcept;
// Memory that is no atomic; `what`: its name.
void on_line_read(const char *what, const void *address) noexcept;
void on_line_write(const char *what, const void *address) noexcept;
void on_lock(counted_mutex &mutex) noexcept;
bool on_try_lock(counted_mutex &mutex) noexcept;
void on_unlock(counted_mutex &mutex) noexcept;

template <typename T>
class counted_atomic
{
public:
  constexpr counted_atomic() noexcept = default;
  constexpr counted_atomic(T value) noexcept : value_(value) {}
  counted_atomic(const counted_atomic &) = delete;

  T load(std::memory_order order = std::memory_order_seq_cst) const noexcept
  {
    on_load(this);
    return value_.load(order);
  }

  void store(T value, std::memory_order order = std::memory_order_seq_cst) noexcept
  {
    on_store(this);
    value_.store(value, order);
  }

  T exchange(T value, std::memory_order order = std::memory_order_seq_cst) noexcept
  {
    on_read_modify_write(this);
    return value_.exchange(value, order);
  }

  bool compare_exchange_weak(T &expected, T value, std::memory_order success, std::memory_order failure) noexcept
  {
    on_read_modify_write(this);
    return value_.compare_exchange_strong(expected, value, success, failure);
  }

  bool compare_exchange_strong(T &expected, T value, std::memory_order success, std::memory_order failure) noexcept
  {
    return compare_exchange_weak(expected, value, success, failure);
  }

  bool compare_exchange_strong(T &expected, T value, std::memory_order order = std::memory_order_seq_cst) noexcept
  {
    on_read_modify_write(this);
    return value_.compare_exchange_strong(expected, value, order);
  }

  bool compare_exchange_weak(T &expected, T value, std::memory_order order = std::memory_order_seq_cst) noexcept
  {
    return compare_exchange_strong(expected, value, order);
  }

  T fetch_add(T amount, std::memory_order order = std::memory_order_seq_cst) noexcept
  {
    on_read_modify_write(this);
    return value_.fetch_add(amount, order);
  }

  T fetch_sub(T amount, std::memory_order order = std::memory_order_seq_cst) noexcept
  {
    on_read_modify_write(this);
    return value_.fetch_sub(amount, order);
  }

private:
  std::atomic<T> value_{};
};

class counted_mutex
{
public:
  counted_mutex() = default;
  counted_mutex(const counted_mutex &) = delete;

  void lock() noexcept { on_lock(*this); }
  bool try_lock() noexcept { return on_try_lock(*this); }
  void unlock() noexcept { on_unlock(*this); }

  std::mutex real;              // for programs with real threads
};
static_assert(sizeof(counted_mutex) == sizeof(std::mutex));

}

namespace std {
using counted::counted_atomic;
using counted::counted_mutex;
}

#define atomic counted_atomic
#define mutex counted_mutex

// In place of engine/line-marks.hpp.
#define PARALLELIZE_LINE_MARKS_INCLUDED
#define PARALLELIZE_READS_LINE(what, address) counted::on_line_read(what, address)
#define PARALLELIZE_WRITES_LINE(what, address) counted::on_line_write(what, address)
