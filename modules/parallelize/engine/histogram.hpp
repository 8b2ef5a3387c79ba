// SPDX-License-Identifier: LGPL-2.1-or-later
// A distribution of times or sizes, of bounded size and with a bounded error.
#pragma once

#include "counter.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace parallelize {

// The buckets of a log-linear histogram, as in HdrHistogram: each power of two
// is divided into 2^bits buckets, so that a bucket is never wider than
// 1 / 2^bits of what it holds.  Values below 2^(bits + 1) have their own.
template <unsigned bits, std::uint64_t largest_value>
struct LogLinearBuckets
{
  static constexpr std::uint64_t largest = largest_value;       // larger ones are in its bucket
  static constexpr std::size_t count() { return index_of(largest) + 1; }

  static constexpr std::size_t index_of(std::uint64_t value)
  {
    value = std::min(value, largest);
    const unsigned width = std::bit_width(value);
    const unsigned shift = width > bits + 1 ? width - bits - 1 : 0;
    return (std::size_t{shift} << bits) + static_cast<std::size_t>(value >> shift);
  }

  // The largest value that belongs into a bucket.
  static constexpr std::uint64_t upper_bound(std::size_t index)
  {
    const std::size_t row = index >> bits;
    const unsigned shift = row > 1 ? row - 1 : 0;
    const std::uint64_t first = index - (std::size_t{shift} << bits);
    return ((first + 1) << shift) - 1;
  }
};

using HistogramBuckets = LogLinearBuckets<5, (std::uint64_t{1} << 41) - 1>;     // nanoseconds: 36 minutes
using SizeBuckets = LogLinearBuckets<4, (std::uint64_t{1} << 17) - 1>;          // messages of a batch

// A copy of a Histogram at some moment.
class Distribution
{
public:
  using Bucket = std::pair<std::uint64_t, std::uint64_t>;   // the largest value in it, how many

  void add(std::uint64_t upper_bound, std::uint64_t count)
  {
    buckets_.emplace_back(upper_bound, count);
    count_ += count;
  }
  void set_max(std::uint64_t max) { max_ = max; }
  void set_sum(std::uint64_t sum) { sum_ = sum; }

  std::uint64_t count() const { return count_; }
  std::uint64_t max() const { return max_; }
  std::uint64_t sum() const { return sum_; }
  const std::vector<Bucket> &buckets() const { return buckets_; }   // those that are not empty, ascending

  // How many values do not exceed `bound`: never too many.
  std::uint64_t count_up_to(std::uint64_t bound) const
  {
    std::uint64_t result = 0;
    for (const auto &[upper_bound, count] : buckets_)
      if (upper_bound <= bound)
        result += count;
    return result;
  }

  // What `share` of the values (0 to 1) do not exceed: never too low, too high by
  // at most the width of a bucket.  0 if there are none.
  std::uint64_t quantile(double share) const
  {
    const double wanted = share * static_cast<double>(count_);
    std::uint64_t seen = 0;
    for (const auto &[upper_bound, count] : buckets_)
      {
        seen += count;
        if (static_cast<double>(seen) >= wanted)
          return std::min(upper_bound, max_);
      }
    return max_;
  }

private:
  std::vector<Bucket> buckets_;
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
  std::uint64_t sum_ = 0;
};

// Any thread may record and read.
class Histogram
{
public:
  // `weight`: of how many values this one was chosen.
  void record(std::uint64_t value, std::uint64_t weight)
  {
    buckets_[HistogramBuckets::index_of(value)].fetch_add(weight, std::memory_order_relaxed);
    sum_.fetch_add(value * weight, std::memory_order_relaxed);
    std::uint64_t max = max_.load(std::memory_order_relaxed);
    while (value > max && !max_.compare_exchange_weak(max, value, std::memory_order_relaxed))
      ;
  }

  std::uint64_t sum() const { return sum_.load(std::memory_order_relaxed); }

  Distribution read() const
  {
    Distribution result;
    for (std::size_t i = 0; i < buckets_.size(); i++)
      if (const std::uint64_t count = buckets_[i].load(std::memory_order_relaxed))
        result.add(HistogramBuckets::upper_bound(i), count);
    result.set_max(max_.load(std::memory_order_relaxed));
    result.set_sum(sum());
    return result;
  }

private:
  std::array<std::atomic<std::uint64_t>, HistogramBuckets::count()> buckets_{};
  std::atomic<std::uint64_t> sum_{0};
  std::atomic<std::uint64_t> max_{0};
};

// Sizes that one thread records, without an atomic read-modify-write.  At least 1.
//
// A bucket ends with a power of two, or a multiple: batches often have such a size,
// and the bounds that users see are powers of two.
class SizeCounts
{
public:
  // Its thread.
  void record(std::uint64_t size)
  {
    buckets_[SizeBuckets::index_of(size - 1)].add(1);
    sum_.add(size);
    if (size > max_.get())
      max_.set(size);
  }

private:
  friend class SizeTotals;

  std::array<Counter, SizeBuckets::count()> buckets_;
  Counter sum_;
  Counter max_;
};

// The sum of several SizeCounts.  Any thread.
class SizeTotals
{
public:
  void add(const SizeCounts &counts)
  {
    for (std::size_t i = 0; i < buckets_.size(); i++)
      buckets_[i] += counts.buckets_[i].get();
    sum_ += counts.sum_.get();
    max_ = std::max(max_, counts.max_.get());
  }

  Distribution read() const
  {
    Distribution result;
    for (std::size_t i = 0; i < buckets_.size(); i++)
      if (buckets_[i])
        result.add(SizeBuckets::upper_bound(i) + 1, buckets_[i]);
    result.set_max(max_);
    result.set_sum(sum_);
    return result;
  }

private:
  std::array<std::uint64_t, SizeBuckets::count()> buckets_{};
  std::uint64_t sum_ = 0;
  std::uint64_t max_ = 0;
};

}
