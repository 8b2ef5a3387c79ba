// SPDX-License-Identifier: LGPL-2.1-or-later
// The one way in which a message is run.
#pragma once

#include "core.hpp"
#include "counters.hpp"
#include "slowness.hpp"
#include "unpublished-samples.hpp"

#include <cstddef>
#include <cstdint>

namespace parallelize {

// Runs messages in _slices_: it runs some, publishes, and gives the strands up.
//
// A runner keeps every strand that it has run until it has published, because
// destinations collect messages per thread: a strand that went elsewhere earlier
// could overtake itself.  A worker has a runner, and so has a producer.
//
// Its own thread only, except for `counters`.
class Runner
{
public:
  Runner(OnThread on, Core &core)
    : on_(on), core_(core), nodes_(core.slabs), events_(core.slabs), slowness_(core.callbacks)
  {
  }
  Runner(const Runner &) = delete;

  // Run a task: up to `limit` messages of its strand, or until the slice is over.
  void run(const Task &task, unsigned limit);

  // Run a message that this thread has brought.  resequence_inline(), with the
  // ticket that this returns, has to follow.
  std::uint32_t run_inline(void *arrival);
  // Run the copies at outlets that waited for that message.
  void resequence_inline(std::uint32_t ticket);

  enum class Step
  {
    ran,                // there is room in the slice for more
    published,          // there may be more to do
    slice_ended,        // the same, after the whole time of a slice
    found_nothing,      // and nothing was left to publish
  };
  // What a worker repeats, and a producer that assists: run the task that
  // `take(task)` finds, outlets first, and publish when it is time.
  template <typename Take>
  Step step(unsigned limit, const Take &take)
  {
    Task task;
    const bool outlet = core_.scheduler.take_outlet(task);
    if (!outlet && !take(task))
      return publish() ? Step::published : Step::found_nothing;
    run(task, limit);
    // An outlet is published at once: the next message may be slow.
    if (!outlet && !slice_over_)
      return Step::ran;
    const Step result = slice_over_ ? Step::slice_ended : Step::published;
    publish();
    return result;
  }

  // Make everything visible that this thread has forwarded, then give the strands
  // up.  False if there was nothing.
  bool publish();

  // Publish, and run the outlets that no runner has, until none is left.
  void drain_outlets();

  // The second half of publish(): everything is visible because the thread has
  // published by itself.
  void published();

  // True if the slice has had its time.
  bool slice_is_over() const { return slice_over_; }
  // coarse_now() when the last message ended, or the slice began.
  std::uint64_t tick() const { return tick_; }
  // True if messages have become slow, with the time between them, since the last look at the clock.
  bool has_slowed_down() const { return slowed_down_; }
  // Messages since the last publish.
  unsigned ran() const { return ran_; }
  // Share the watch for long messages with the other threads of a source.
  void share_watch(SlownessWatch &watch) { slowness_.share(watch); }
  // An inline message that stands for `weight` has been processed; the daemon received it at `received`.
  void sample_receipt(std::uint64_t received, unsigned weight);
  // The inline messages that come are cheap.
  void expect_cheap(bool cheap) { expects_cheap_ = cheap; }
  // A message was long, it seems: begin to watch.
  void expect_long(std::uint64_t now) { slowness_.expect(now); }
  // Why a message took `took`, which is longer than harmful_ns.
  Slowness judge(std::uint64_t now, std::uint64_t took);

  // The following are called inside forward() and forward_inline(), on their thread.

  // A copy of the message, with its ticket, has come to an outlet; takes over the handle.
  void arrived(unsigned outlet, const Message &copy) { events_.arrived(outlet, core_.arrival(copy)); }
  // The message goes on elsewhere as well: its ticket is not done before
  // Engine::release_ticket().  Once a ticket.
  void retain_ticket(std::uint32_t ticket) { core_.sequencer->retain(ticket, events_); }

  RunnerCounters counters;      // this thread writes, any thread reads

private:
  void begin_slice();
  void run_strand(Strand &strand, unsigned limit);
  void run_message(const Message &message, const HashedKey *key);
  void forward(const Message &message, const HashedKey *key);
  void forward_from_outlet(unsigned outlet, const Message &copy);
  void resequence();
  void message_ended();
  void look_at_clock();
  unsigned messages_until_look() const;

  const OnThread on_;
  Core &core_;
  NodeSink nodes_;
  SequencerEvents events_;      // since the sequencer was last told; only with outlets
  SlownessJudge slowness_;

  // Since the last publish
  StrandList kept_strands_;     // that were run
  StrandList outlets_;          // the same, of outlets
  unsigned ran_ = 0;            // messages
  unsigned ran_tasks_ = 0;      // of these: handed over
  unsigned ran_outlets_ = 0;    // of these: copies after resequence()
  UnpublishedSamples unpublished_samples_;

  std::uint64_t blocked_ns_ = 0;        // the time of tasks that blocked
  unsigned blocked_ = 0;                // how many they are

  // The clock
  std::uint64_t slice_started_ = 0;
  std::uint64_t last_look_ = 0;
  std::uint64_t tick_ = 0;      // coarse_now() after the last message
  unsigned until_look_ = 0;     // messages
  unsigned since_look_ = 0;     // messages
  bool slice_over_ = false;
  bool slowed_down_ = false;
  bool expects_cheap_ = false;
};

}
