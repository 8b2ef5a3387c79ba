// SPDX-License-Identifier: LGPL-2.1-or-later
#include "runner.hpp"

#include "prefetch.hpp"

#include <algorithm>
#include <utility>

namespace parallelize {

namespace {

constexpr unsigned messages_per_look = 32;
constexpr unsigned messages_per_first_slice = 32;       // until the cost of a message is known
constexpr std::uint64_t slow_message_ns = 20'000;

// As the callbacks know it.
Message
unmarked(Message message)
{
  message.flags &= ~Message::each_is_sampled;
  return message;
}

}

/* -- Messages -- */

void
Runner::run(const Task &task, unsigned limit)
{
  if (ran_ == 0)
    {
      begin_slice();
      counters.busy.start(slice_started_);
      counters.busy_since.set(slice_started_);
    }
  if (!task.strand)
    run_message(task.message, nullptr);
  else
    {
      run_strand(*task.strand, limit);
      (task.strand->outlet == Strand::no_outlet ? kept_strands_ : outlets_).push(task.strand);
    }
}

void
Runner::run_strand(Strand &strand, unsigned limit)
{
  for (unsigned i = 0; i < limit && !slice_over_; i++)
    {
      Node *node = strand.pop();
      if (!node)
        return;
      const Message message = node->message;
      const HashedKey key = {node->key, node->key_hash};
      nodes_.give_back(node);
      if (const Node *next = strand.next_known())
        prefetch_message(next->message);
      if (strand.outlet != Strand::no_outlet)
        {
          forward_from_outlet(strand.outlet, message);
          continue;
        }
      counters.waiting.set(strand.backlog());
      run_message(message, &key);
    }
}

// `key`: nullptr if the message needs no order.
void
Runner::run_message(const Message &message, const HashedKey *key)
{
  ran_tasks_++;
  if (!message.sampled_at)
    forward(message, key);
  else
    {
      const unsigned weight = message.flags & Message::each_is_sampled ? 1 : sample_one_in;
      const std::uint64_t started = core_.callbacks.now();
      core_.samples.waiting.record(SampleClock::since(message.sampled_at, started), weight);
      sample_receipt(started - core_.callbacks.age(unmarked(message)), weight);
      forward(message, key);
      const std::uint64_t ended = core_.callbacks.now();
      core_.record_processing(key, ended - started, weight);
      core_.samples.latencies.record(SampleClock::since(message.sampled_at, ended), weight);
    }
  message_ended();
}

// Messages that go on to outlets are sampled there.
void
Runner::sample_receipt(std::uint64_t received, unsigned weight)
{
  if (!core_.sequencer)
    unpublished_samples_.add(received, weight);
}

void
Runner::forward(const Message &message, const HashedKey *key)
{
  const Message forwarded = unmarked(message);
  counters.message.start(key ? key->head : KeyHead{},
                         core_.options.message_ids ? core_.callbacks.message_id(forwarded) : 0);
  core_.callbacks.forward(*this, forwarded);
  if (core_.sequencer)
    events_.done(message.ticket);
}

std::uint32_t
Runner::run_inline(void *arrival)
{
  if (ran_ == 0)
    begin_slice();
  const std::uint32_t ticket = core_.sequencer ? core_.sequencer->issue(1) : 0;
  counters.message.start_inline();
  core_.callbacks.forward_inline(*this, arrival, ticket);
  message_ended();
  return ticket;
}

// At once: a batch may end without a publish of ours, and then it is too late to forward.
void
Runner::resequence_inline(std::uint32_t ticket)
{
  if (!core_.sequencer)
    return;
  events_.done(ticket);
  resequence();
}

/* -- Outlets -- */

void
Runner::forward_from_outlet(unsigned outlet, const Message &copy)
{
  ran_outlets_++;
  if (copy.sampled_at)
    {
      const std::uint64_t now = core_.callbacks.now();
      core_.samples.resequencing.record(SampleClock::since(copy.sampled_at, now), sample_outlets_one_in);
      unpublished_samples_.add(now - core_.callbacks.age(copy), sample_outlets_one_in);
    }
  counters.message.start_after_outlet(core_.options.message_ids ? core_.callbacks.message_id(copy) : 0);
  core_.callbacks.forward_from_outlet(outlet, copy);
  message_ended();
}

// Tell the sequencer what has happened, and run the copies whose turn has come.
// The outlets that this thread has are run as well: other threads may have pushed
// to them.
void
Runner::resequence()
{
  StrandList due = core_.sequencer->take(events_);
  while (Strand *outlet = due.pop())
    outlets_.push(outlet);
  for (Strand *outlet = outlets_.first(); outlet; outlet = outlet->next)
    run_strand(*outlet, core_.options.quantum);
}

void
Runner::drain_outlets()
{
  Task task;
  do
    {
      while (core_.scheduler.take_outlet(task))
        run(task, core_.options.quantum);
    }
  while (publish());
}

/* -- Publish -- */

bool
Runner::publish()
{
  if (ran_ == 0 && kept_strands_.empty() && outlets_.empty())
    return false;

  if (!events_.empty() || !outlets_.empty())
    {
      // There is a slice more for what is due: then no thread has to be woken for
      // it, and everything is about to be published anyway.
      slice_over_ = false;
      slice_started_ = core_.callbacks.now();
      resequence();
    }
  // Every copy from an outlet was brought by some message: over all runners this
  // is what a message costs up to its end.
  if (ran_tasks_)
    core_.cost.add(excess(core_.callbacks.now(), counters.busy_since.get()), ran_tasks_,
                   blocked_ns_, blocked_);
  blocked_ns_ = blocked_ = 0;
  core_.callbacks.publish(on_);
  published();
  return true;
}

void
Runner::published()
{
  const unsigned tasks = std::exchange(ran_tasks_, 0);
  const unsigned copies = std::exchange(ran_outlets_, 0);

  ran_ = 0;
  slice_over_ = false;
  nodes_.flush();
  if (!unpublished_samples_.empty())
    unpublished_samples_.record(core_.callbacks.now(), core_.samples.from_receipt);
  if (counters.busy_since.get())
    {
      counters.waiting.set(0);
      counters.processed.add(tasks);
      counters.busy.stop(core_.callbacks.now());
      counters.busy_since.set(0);
    }

  StrandList again;
  for (StrandList *strands : {&kept_strands_, &outlets_})
    while (Strand *strand = strands->pop())
      if (!strand->release())
        again.push(strand);
  if (!again.empty())
    core_.scheduler.requeue(again, on_);

  if (copies)
    core_.sequencer->published(copies);
  // A thread that finds the engine empty sees everything published.  Sequentially
  // consistent: either this thread sees `stopping`, or the worker that stop()
  // wakes sees the subtraction.
  if ((tasks || copies) && core_.in_flight.fetch_sub(tasks) == tasks && core_.stopping.load())
    core_.scheduler.wake_all();
}

/* -- The clock -- */

void
Runner::begin_slice()
{
  const std::uint64_t now = std::max<std::uint64_t>(core_.callbacks.now(), 1);
  slice_started_ = last_look_ = now;
  tick_ = core_.callbacks.coarse_now();
  slice_over_ = slowed_down_ = false;
  since_look_ = 0;
  until_look_ = messages_until_look();
  slowness_.begin(now);
}

// While workers sleep, a worker must notice soon that messages take longer than
// they used to.
unsigned
Runner::messages_until_look() const
{
  if (expects_cheap_)
    return messages_per_look;
  return core_.cost.slow() || (on_ == OnThread::worker && core_.scheduler.anybody_sleeps()) ? 1 : messages_per_look;
}

void
Runner::message_ended()
{
  ran_++;
  since_look_++;
  // A message that takes long is one during which the clock has ticked.
  const std::uint64_t before = std::exchange(tick_, core_.callbacks.coarse_now());
  if (--until_look_ == 0 || before != tick_)
    look_at_clock();
}

void
Runner::look_at_clock()
{
  const std::uint64_t now = core_.callbacks.now();
  const std::uint64_t took = now - last_look_;
  // A producer judges its inline messages itself: between them the thread does other work.
  if ((on_ == OnThread::worker || ran_tasks_) && took > harmful_ns && judge(now, took) == Slowness::blocked)
    {
      blocked_ns_ += took;
      blocked_++;
    }
  slowed_down_ = took > slow_message_ns * std::exchange(since_look_, 0);
  last_look_ = now;
  until_look_ = messages_until_look();
  if (now - slice_started_ >= (core_.cost.blocks(now) ? slice_with_blocking_ns : slice_ns)
      || (ran_tasks_ >= messages_per_first_slice && core_.cost.unsure()))
    slice_over_ = true;
}

Slowness
Runner::judge(std::uint64_t now, std::uint64_t took)
{
  const Slowness result = slowness_.judge(now, took);
  if (result == Slowness::blocked)
    core_.cost.note_blocking(now, took);
  return result;
}

}
