// SPDX-License-Identifier: LGPL-2.1-or-later
// One batch of a thread that brings messages.
#pragma once

#include "core.hpp"
#include "counters.hpp"
#include "node.hpp"
#include "runner.hpp"
#include "sampler.hpp"
#include "source-cost.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace parallelize {

// A set of strands of one engine.  One thread.
class StrandSet
{
public:
  explicit StrandSet(std::size_t strands) : words_((strands + 63) / 64) {}

  void add(std::size_t strand)
  {
    words_[strand / 64] |= std::uint64_t{1} << strand % 64;
    any_ = true;
  }

  void add_all() { all_ = true; }

  bool contains(std::size_t strand) const { return all_ || (any_ && words_[strand / 64] >> strand % 64 & 1); }

  void clear()
  {
    if (any_)
      words_.assign(words_.size(), 0);
    any_ = all_ = false;
  }

private:
  std::vector<std::uint64_t> words_;
  bool any_ = false;
  bool all_ = false;
};

// From Engine::open() to close(): the thread's messages, in order.  Its thread
// only, except for `counters` and `runner.counters`.
//
// Where a message runs.  It runs inline, on this thread, only if no runner has
// its strand, and no queue holds it.  Inline messages of other threads take no
// strand and do not count.  Besides, one of these must hold:
//   - the path is cheap for this source, or the source is in a trial (SourceCost),
//   - the source is over the high-water mark, its thread may assist, and
//     is_blocking() is false,
//   - this thread has run a message of the strand inline and has not published it,
//   - no worker is alive.
// Else the engine hands it over.  A message without order has no strand.
//
// An inline message does not claim its strand: order is promised for each source
// by itself, and a claim would make other sources wait for this one.  So this
// thread alone must see to its own order: it remembers the strands of its inline
// messages until it has published, and publishes before it hands over another
// message of one of them.
class alignas(64) Producer
{
public:
  enum Flags : unsigned
  {
    publishes = 1,      // the thread publishes soon after its last message, and then calls close()
    assists = 2,        // the thread may run messages of others inside submit()
    single = 4,         // the thread's batches have one message each
  };

  enum class Submitted
  {
    done,
    // More than prefetch() messages are in flight, and this thread cannot run any of
    // them: it had better leave the processor to the workers.
    source_yields,
  };

  explicit Producer(Core &core);
  Producer(const Producer &) = delete;

  // The next message.  May run it, or messages of others, and publish.
  Submitted submit(void *arrival);

  // Hand over what the batch has collected.  Forwards nothing.
  void flush();

  // The thread has published everything that it has forwarded, in the middle of
  // its batch.  Ignored while a message is on its way: that one is not complete.
  void published();

  // The source has read `came` messages in one go.  Of `window` unacknowledged
  // ones it has room for `left` more.  Before Engine::close().
  void report_window(std::size_t window, std::size_t left, std::size_t came);

  // The batch had `came` messages.  Before Engine::close().
  void report_batch(std::size_t came) { counters.batches.record(came); }

  // The same as report_window() for the number of messages that the source may read at a time.
  void report_fetch(const Fetch &fetch);

  ProducerCounters counters;    // this thread writes, any thread reads
  Runner runner;

private:
  friend class Engine;

  // While it lives, the thread is processing messages: the monitor watches it, and
  // published() does nothing.
  class Inside
  {
  public:
    Inside(Producer &producer, std::uint64_t since)
      : counter_(producer.counters.inside_since), before_(counter_.get())
    {
      counter_.set(std::max<std::uint64_t>(since, 1));
    }
    ~Inside() { counter_.set(before_); }
    Inside(const Inside &) = delete;

  private:
    Counter &counter_;
    const std::uint64_t before_;
  };

  struct Pending
  {
    Strand *strand;             // nullptr: needs no order, and has no node
    Node *node;
    Message message;
  };

  // The key of an arrival, as far as it has been looked at.
  struct Key
  {
    std::string_view text;
    std::uint64_t hash = 0;
    Strand *strand = nullptr;   // nullptr: the message needs no order
  };

  void open(unsigned flags, SourceCost &cost, bool no_worker);
  void close();

  void decide();
  bool allows_inline();
  bool is_over_high_water_mark();
  bool is_blocking() const;
  Key look_at_key(void *arrival);
  bool prepare_inline(const Key &key, bool allowed);
  void run_inline(void *arrival, const Key &key);
  unsigned inline_weight();
  void long_message(std::uint64_t took);
  void time_inline(void *arrival, const Key &key, unsigned weight);
  void inline_took(std::uint64_t now, std::uint64_t nanoseconds, unsigned weight);
  void drain_outlets();
  void collect(void *arrival, const Key &key);
  void sample_key(const Key &key);
  bool worth_handing_over() const;
  void hand_over();
  void publish();
  bool shall_assist();
  bool assist();

  Core &core_;
  NodeSource nodes_;
  std::vector<Pending> pending_;
  std::vector<Task> tasks_;             // scratch of hand_over()
  StrandSet inline_strands_;            // of inline messages since the last publish
  SourceCost *cost_ = nullptr;
  unsigned flags_ = 0;
  bool no_worker_ = false;              // none was alive when the batch was opened, and this thread hands nothing over
  SourceCost::Way way_ = SourceCost::Way::hand_over;
  bool over_high_water_mark_ = false;   // until three quarters of it are reached
  bool expects_long_ = false;           // messages of this source have been long
  unsigned pause_ = 0;                  // messages before the thread tries to assist again
  Sampler time_this_;                   // inline messages
  Sampler sample_this_;                 // other messages
  Sampler sample_key_;                  // keys
  Sampler fetch_again_;                 // batches of a source that is limited by its log-fetch-limit()
  Producer *next_free_ = nullptr;       // Engine's
};

}
