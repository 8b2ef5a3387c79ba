// SPDX-License-Identifier: LGPL-2.1-or-later
// Finds a key that holds nearly all traffic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace parallelize {

// Boyer and Moore's majority vote over a window of sampled keys: a key with
// more than half of the samples is found with room for one key only.
class HotKeyVote
{
public:
  static constexpr unsigned window = 512;
  static constexpr unsigned nearly_all_percent = 90;
  static constexpr std::size_t max_key_length = 256;

  // One sampled key.  Any thread; a sample is skipped rather than waited for.
  // Returns the share in percent of a key that held nearly all of the window
  // that this sample completes, and the key in `hot`; otherwise 0.
  unsigned sample(std::string_view key, std::string &hot)
  {
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock())
      return 0;

    key = key.substr(0, max_key_length);
    if (votes_ == 0 && key != candidate_)
      {
        candidate_.assign(key);
        hits_ = 0;
      }
    if (key == candidate_)
      {
        votes_++;
        hits_++;
      }
    else
      votes_--;

    if (++samples_ < window)
      return 0;
    const unsigned percent = hits_ * 100 / samples_;
    if (percent >= nearly_all_percent)
      hot = candidate_;
    samples_ = votes_ = hits_ = 0;
    return percent >= nearly_all_percent ? percent : 0;
  }

private:
  std::mutex mutex_;
  std::string candidate_;
  unsigned samples_ = 0;
  unsigned votes_ = 0;
  unsigned hits_ = 0;       // of the candidate since it became one
};

}
