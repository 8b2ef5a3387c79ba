// SPDX-License-Identifier: LGPL-2.1-or-later
// Finds the busiest keys.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace parallelize {

struct HotKey
{
  std::string key;
  bool cut;                     // the key goes on
  std::uint64_t hash;           // of all of it
  std::uint64_t count;          // weight of its samples; too high by at most `error`, never too low
  std::uint64_t error;
};

// Space-Saving (Metwally, Agrawal, El Abbadi) over sampled keys.
//
// Of samples that weigh N together, a count is too high by at most N / capacity,
// and any key with more than N / capacity of them is listed.  Counts fade: all
// are halved when there are `memory` samples, so that old traffic is forgotten.
//
// A key is its hash: what is kept of its text may be the beginning of others, too.
//
// On cache lines of its own, for its lock.
class alignas(64) HotKeys
{
public:
  static constexpr std::size_t capacity = 64;
  static constexpr std::size_t max_key_length = 256;    // longer ones are cut
  static constexpr unsigned memory = 2048;
  static constexpr unsigned window = 512;
  static constexpr unsigned nearly_all_percent = 90;

  struct Report
  {
    std::vector<HotKey> keys;   // the busiest first
    std::uint64_t total = 0;    // the weight of all samples
    unsigned samples = 0;
    bool complete = true;       // all keys that were seen lately are listed
  };

  // One sampled key, and a hash of 64 bits.  Any thread; a sample is skipped
  // rather than waited for.  Now and then, when a key has nearly all samples:
  // its share in percent, and the key in `hot`; otherwise 0.
  unsigned sample(std::string_view key, std::uint64_t hash, std::string &hot)
  {
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock())
      return 0;
    count(key.substr(0, max_key_length), key.size() > max_key_length, hash, 1);
    if (++since_looked_ < window)
      return 0;
    since_looked_ = 0;
    return look(hot);
  }

  // The same for samples that do not all weigh the same, of keys that may be cut.
  void weigh(std::string_view key, bool cut, std::uint64_t hash, std::uint64_t weight)
  {
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (lock.owns_lock())
      count(key, cut, hash, weight);
  }

  // Any thread.
  Report report() const
  {
    std::lock_guard lock(mutex_);
    Report result;
    for (std::size_t i = 0; i < used_; i++)
      result.keys.push_back({entries_[i].key, entries_[i].cut, hashes_[i], entries_[i].count, entries_[i].error});
    std::sort(result.keys.begin(), result.keys.end(),
              [](const HotKey &a, const HotKey &b) { return a.count > b.count; });
    result.total = total_;
    result.samples = samples_;
    result.complete = complete_;
    return result;
  }

private:
  struct Entry
  {
    std::string key;
    bool cut;
    std::uint64_t count;
    std::uint64_t error;
  };

  void count(std::string_view key, bool cut, std::uint64_t hash, std::uint64_t weight)
  {
    total_ += weight;
    entry_of(key, cut, hash).count += weight;
    if (++samples_ >= memory)
      fade();
  }

  Entry &entry_of(std::string_view key, bool cut, std::uint64_t hash)
  {
    for (std::size_t i = 0; i < used_; i++)
      if (hashes_[i] == hash)
        return entries_[i];

    if (used_ < capacity)
      {
        hashes_[used_] = hash;
        entries_[used_] = {std::string(key), cut, 0, 0};
        return entries_[used_++];
      }
    // The rarest one gives up its place: how often the new one came before is
    // not known, but not more often than that.
    complete_ = false;
    const auto rarest = std::min_element(entries_.begin(), entries_.end(),
                                         [](const Entry &a, const Entry &b) { return a.count < b.count; });
    hashes_[rarest - entries_.begin()] = hash;
    rarest->key.assign(key);
    rarest->cut = cut;
    rarest->error = rarest->count;
    return *rarest;
  }

  void fade()
  {
    std::size_t kept = 0;
    total_ = 0;
    samples_ /= 2;
    for (std::size_t i = 0; i < used_; i++)
      {
        Entry entry = std::move(entries_[i]);
        entry.count /= 2;
        entry.error = std::min(entry.count, (entry.error + 1) / 2);
        if (entry.count == 0)
          continue;
        total_ += entry.count;
        hashes_[kept] = hashes_[i];
        entries_[kept++] = std::move(entry);
      }
    used_ = kept;
    complete_ = used_ < capacity;
  }

  unsigned look(std::string &hot) const
  {
    for (std::size_t i = 0; i < used_; i++)
      {
        const std::uint64_t percent = (entries_[i].count - entries_[i].error) * 100 / std::max<std::uint64_t>(total_, 1);
        if (percent >= nearly_all_percent)
          {
            hot = entries_[i].key;
            return percent;
          }
      }
    return 0;
  }

  mutable std::mutex mutex_;
  std::array<std::uint64_t, capacity> hashes_{};        // of entries_, to be looked through quickly
  std::array<Entry, capacity> entries_{};
  std::size_t used_ = 0;
  std::uint64_t total_ = 0;     // the sum of all counts
  unsigned samples_ = 0;
  unsigned since_looked_ = 0;
  bool complete_ = true;        // no key has been left out since the counts last faded
};

}
