// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How a message travels:
//
//   producer: accept, enqueue .. enqueue, close      a batch of one thread
//             └─ hand_over: strand, run queue, wake
//   runner:   take a group of tasks from the run queue (or steal half of
//             another worker's), run each strand, publish, then release or
//             requeue the strands
//
// The publish comes before a strand is given up: destinations collect messages
// per thread, so what a strand forwarded on this thread must be visible before
// another thread may forward its next message.
//
// With resequence() behind: every message gets a ticket with its hand-over.
// What comes to an outlet, and which tickets are done, a runner collects and
// tells the sequencer before it publishes.  What is due then is pushed to the
// outlet's strand, which is run, published and given up like any other.

#include "engine.hpp"

#include <algorithm>
#include <bit>
#include <utility>

using namespace parallelize;

namespace {

// Strands are cheap and a shared one is not: two unrelated keys on one strand
// wait for each other.
constexpr std::size_t strands_per_worker = 128;
constexpr std::size_t max_strands = 16384;

// At most so many tasks are taken from the run queue at once.  Enough to make
// its lock and the publish rare, few enough to be spread among the workers.
constexpr std::size_t max_group = 32;

// A runner publishes at least this often, so that what is done becomes visible
// even if the next message takes long.
constexpr std::uint32_t slice_ns = 2'000'000;
constexpr std::uint64_t longest_help_ns = 20'000'000;       // then the source reads on; its job has so many messages
constexpr unsigned max_unpublished = 4096;  // by a producer's thread: memory queues count them in 16 bits
constexpr unsigned messages_per_clock = 32;
constexpr unsigned messages_per_first_slice = 32;   // until the cost of a message is known

// A message comes from another core's cache: so much of it is asked for while
// the one before it is processed.
constexpr std::size_t message_bytes = 1024;
constexpr std::size_t cache_line = 64;

constexpr unsigned time_one_in = 8;         // messages forwarded directly
constexpr unsigned watch_one_in = 16;       // keys
constexpr unsigned probe_one_in = 64;       // messages handed over; all of them if messages are slow
constexpr unsigned watch_outlets_one_in = 8;  // messages that come to one; a power of two
constexpr unsigned pause_after_no_help = 32; // messages: everything may be one strand that somebody runs
constexpr std::uint64_t hot_key_every_ns = 600'000'000'000;
constexpr unsigned hot_key_backlog = 32;    // messages; small windows never hold many more

// By how much `all` exceeds its `part`, which may have been read a little later.
std::uint64_t
excess(std::uint64_t all, std::uint64_t part)
{
  return all > part ? all - part : 0;
}

// Whether it is watched how long the messages with a ticket wait at outlets.
// Scattered: what is sampled must not depend on a rhythm of the messages.
bool
is_watched(std::uint32_t ticket)
{
  return (ticket * 0x9e3779b1u) >> (32 - std::countr_zero(watch_outlets_one_in)) == 0;
}

void
bring_closer(const ParallelizeMessage &message)
{
  const char *start = static_cast<const char *>(message.handle);
  for (std::size_t offset = 0; offset < message_bytes; offset += cache_line)
    __builtin_prefetch(start + offset, 1);
}

void
bring_closer(const Task &task)
{
  if (!task.strand)
    bring_closer(task.message);
  else if (const Node *node = task.strand->peek())
    bring_closer(node->message);
}

}

/* ------------------------------------------------------------------------
 * Set-up and end
 * ------------------------------------------------------------------------ */

parallelize_producer::parallelize_producer(parallelize_engine &engine)
  : engine(engine), nodes(engine.slabs_), time_this(time_one_in), watch_this(watch_one_in),
    probe_this(probe_one_in)
{
}

parallelize_runner::parallelize_runner(ParallelizeThread on, parallelize_engine &engine, RunnerCounters &counters)
  : on(on), engine(engine), counters(counters), nodes(engine.slabs_), events(engine.slabs_)
{
}

parallelize_engine::parallelize_engine(const ParallelizeEngineOptions &options,
                                       const ParallelizeCallbacks &callbacks, void *user_data)
  : options_(options), callbacks_(callbacks), user_data_(user_data),
    help_until_(options.prefetch - options.prefetch / 4),
    created_(callbacks.now(user_data)), hash_(options.seed[0], options.seed[1])
{
  const std::size_t strands =
    options.keyed ? std::min(max_strands, std::bit_ceil(options.workers * strands_per_worker)) : 1;
  strand_mask_ = strands - 1;
  strands_ = std::make_unique<Strand[]>(strands);
  for (unsigned i = 0; i < options.workers; i++)
    workers_.push_back(std::make_unique<Worker>(*this));
  if (options.outlets)
    sequencer_ = std::make_unique<Sequencer>(options.outlets, slabs_);
  idle_.reserve(options.workers);
}

parallelize_engine::~parallelize_engine()
{
  while (ParallelizeProducer *producer = free_producers_)
    {
      free_producers_ = producer->next_free;
      delete producer;
    }
}

void
parallelize_engine::start()
{
  std::lock_guard lock(mutex_);
  alive_ = options_.workers;
  stopping_.store(false);
}

void
parallelize_engine::stop()
{
  stopping_.store(true);
  wake_all();
}

void
parallelize_engine::abandon_worker()
{
  std::lock_guard lock(mutex_);
  alive_--;
}

void
parallelize_engine::wake_for_what_waits()
{
  if (sleeping_.load(std::memory_order_relaxed) == 0)
    return;

  std::vector<unsigned> sleepers;
  {
    std::lock_guard lock(mutex_);
    std::size_t tasks = outlet_queue_.size();
    if (!solo_)
      {
        tasks += run_queue_.size();
        for (const auto &worker : workers_)
          tasks += worker->group_size.load(std::memory_order_relaxed);
      }
    wake_locked(tasks, sleepers);
  }
  wake(sleepers);
}

/* ------------------------------------------------------------------------
 * The producer's thread
 * ------------------------------------------------------------------------ */

ParallelizeProducer *
parallelize_engine::open(unsigned flags)
{
  ParallelizeProducer *producer = nullptr;
  {
    std::lock_guard lock(producers_mutex_);
    if ((producer = free_producers_))
      free_producers_ = producer->next_free;
  }
  if (!producer)
    producer = new ParallelizeProducer(*this);
  producer->flags = flags;
  producer->solo_refused = false;

  // The last worker ends when it finds, under the lock, that stop() was called
  // and no producer is open.  Both sides are sequentially consistent: either it
  // sees this increment and stays for our batch, or we see stopping_ and ask,
  // under the lock, whether it has gone.
  open_.fetch_add(1);
  producer->direct = false;
  if (stopping_.load())
    producer->direct = nobody_is_alive();
  return producer;
}

// Whether this thread becomes the one that processes everything.  Only when
// nothing is inside: what came before is published, so order holds.
bool
parallelize_engine::try_solo(ParallelizeProducer &producer)
{
  std::lock_guard lock(mutex_);
  if (solo_ || stopping_.load() || !run_queue_.empty())
    return false;
  // Sequentially consistent, as in hold(): one of the two sees the other.
  solo_taken_.store(true);
  if (in_flight_.load() != 0)
    {
      solo_taken_.store(false);
      return false;
    }
  solo_ = &producer;
  producer.solo = true;
  solo_wanted_by_others_.store(false, std::memory_order_relaxed);
  return true;
}

ParallelizeAccept
parallelize_engine::accept(ParallelizeProducer &producer)
{
  if (!(producer.flags & PARALLELIZE_PRODUCER_BATCHES))
    return PARALLELIZE_ACCEPT_ENQUEUE;
  // Nobody but a helper would run the outlets.
  if (sequencer_ && producer.direct)
    return PARALLELIZE_ACCEPT_ENQUEUE;

  // A batch that stays open for long must not keep back what is done.
  if (may_forward(producer) == 0)
    return PARALLELIZE_ACCEPT_PUBLISH;

  const bool cheap = cost_.cheap();
  if (options_.keyed)
    {
      if (producer.solo && (!cheap || solo_wanted_by_others_.load(std::memory_order_relaxed)))
        return PARALLELIZE_ACCEPT_PUBLISH;
      if (cheap && !producer.solo && !producer.solo_refused)
        producer.solo_refused = !producer.pending.empty() || !try_solo(producer);
      if (!producer.solo)
        return PARALLELIZE_ACCEPT_ENQUEUE;
    }
  else if (!cheap && !more_wait_than_should(producer))
    return PARALLELIZE_ACCEPT_ENQUEUE;

  producer.forwarded++;
  producer.helped += !cheap;
  return producer.time_this.pick() ? PARALLELIZE_ACCEPT_FORWARD_TIMED : PARALLELIZE_ACCEPT_FORWARD;
}

// A message that is one of `weight` has been processed.  Any thread.
void
parallelize_engine::record_processing(const KeyHead &key, std::uint64_t hash, std::uint64_t nanoseconds, unsigned weight)
{
  processing_times_.record(nanoseconds, weight);
  if (options_.keyed)
    busy_keys_.weigh(key.view(), key.cut, hash, nanoseconds * weight);
}

void
parallelize_engine::timed(ParallelizeProducer &producer, std::uint64_t nanoseconds)
{
  if (const unsigned weight = std::exchange(producer.timed_weight, 0))
    {
      record_processing(producer.timed_key, producer.timed_hash, nanoseconds, weight);
      latencies_.record(nanoseconds, weight);
      return;
    }
  cost_.sample(nanoseconds);
  processing_times_.record(nanoseconds, time_one_in);
}

// How many messages this batch may still forward itself.
unsigned
parallelize_engine::may_forward(const ParallelizeProducer &producer) const
{
  const unsigned limit = std::min(max_unpublished, cost_.messages_in(slice_ns));
  const unsigned forwarded = producer.forwarded + producer.from_outlets;
  return limit > forwarded ? limit - forwarded : 0;
}

// Whether it is of interest how long the message takes that enqueue() leaves to the caller.
bool
parallelize_engine::shall_time(ParallelizeProducer &producer, std::string_view key, std::uint64_t hash)
{
  const bool all = cost_.very_slow();
  if (!all && !producer.probe_this.pick())
    return false;
  producer.timed_key.assign(key);
  producer.timed_hash = hash;
  producer.timed_weight = all ? 1 : probe_one_in;
  return true;
}

bool
parallelize_engine::needs_order(std::string_view key) const
{
  return options_.keyed && !(key.empty() && options_.empty_key_round_robin);
}

void
parallelize_engine::watch_for_hot_key(ParallelizeProducer &producer, std::string_view key, std::uint64_t hash)
{
  if (!producer.watch_this.pick())
    return;
  std::string hot;
  const unsigned percent = hot_keys_.sample(key, hash, hot);
  if (!percent || options_.workers == 1 || sleeping_.load(std::memory_order_relaxed) == 0)
    return;
  // Only if so much is inside that a sleeper had something to do, were it of other keys.
  if (in_flight_.load(std::memory_order_relaxed) + producer.pending.size() <= std::min(cost_.per_wake_up(), hot_key_backlog))
    return;

  const std::uint64_t time = std::max<std::uint64_t>(now(), 1);
  std::uint64_t last = hot_key_reported_.load(std::memory_order_relaxed);
  if ((last == 0 || time - last >= hot_key_every_ns)
      && hot_key_reported_.compare_exchange_strong(last, time, std::memory_order_relaxed))
    callbacks_.hot_key(user_data_, hot.data(), hot.size(), percent);
}

// More than prefetch() messages wait, and this thread may do something about it.
bool
parallelize_engine::more_wait_than_should(const ParallelizeProducer &producer) const
{
  return (producer.flags & PARALLELIZE_PRODUCER_HELPS)
         && in_flight_.load(std::memory_order_relaxed) + producer.pending.size() > options_.prefetch;
}

bool
parallelize_engine::shall_help(ParallelizeProducer &producer) const
{
  if (!more_wait_than_should(producer))
    return false;
  if (producer.pause == 0)
    return true;
  producer.pause--;
  return false;
}

bool
parallelize_engine::worth_handing_over(const ParallelizeProducer &producer) const
{
  const std::size_t count = producer.pending.size();
  return count >= std::min(options_.batch_size, options_.prefetch)
         || producer.direct
         || (sleeping_.load(std::memory_order_relaxed) && count >= cost_.per_wake_up());
}

// Whether the message is processed by this thread, right away, while it is in
// this core's cache.
bool
parallelize_engine::runs_here(ParallelizeProducer &producer, Strand &strand)
{
  const bool held = strand.is_held_by(&producer) ? strand.quiet() : hold(producer, strand);
  producer.forwarded += held;
  producer.helped += held;
  return held;
}

// Take a strand with which nothing is under way, until close().
bool
parallelize_engine::hold(ParallelizeProducer &producer, Strand &strand)
{
  if (producer.direct || !(producer.flags & PARALLELIZE_PRODUCER_BATCHES) || !strand.looks_idle()
      || !more_wait_than_should(producer))
    return false;

  // What this batch has collected of the same key comes first.
  hand_over(producer);
  in_flight_.fetch_add(1);
  if (solo_taken_.load() || !strand.take_if_idle(&producer))
    {
      in_flight_.fetch_sub(1);
      return false;
    }
  strand.next = producer.held;
  producer.held = &strand;
  return true;
}

// After a publish.
void
parallelize_engine::release_held(ParallelizeProducer &producer)
{
  unsigned count = 0;

  for (Strand *strand = producer.held; strand; strand = strand->next, count++)
    strand->forget_holder();
  give_up(std::exchange(producer.held, nullptr), PARALLELIZE_ON_PRODUCER);
  for (Strand *outlet = producer.outlets; outlet; outlet = outlet->next)
    outlet->forget_holder();
  give_up(std::exchange(producer.outlets, nullptr), PARALLELIZE_ON_PRODUCER);
  if (producer.from_outlets)
    sequencer_->published(std::exchange(producer.from_outlets, 0));
  if (count)
    in_flight_.fetch_sub(count, std::memory_order_acq_rel);
}

// Its order is that of the hand-overs, and what this thread brought before
// comes first.
std::uint32_t
parallelize_engine::take_ticket(ParallelizeProducer &producer)
{
  hand_over(producer);
  return sequencer_->issue(1);
}

void
parallelize_engine::hold_outlet(ParallelizeProducer &producer, Strand &outlet)
{
  outlet.set_holder(&producer);
  outlet.next = producer.outlets;
  producer.outlets = &outlet;
}

bool
parallelize_engine::may_pass(ParallelizeProducer &producer, unsigned outlet, std::uint32_t ticket)
{
  bool taken;
  const bool passes = sequencer_->may_pass(outlet, ticket, &producer, taken);
  if (taken)
    hold_outlet(producer, sequencer_->strand(outlet));
  if (passes && is_watched(ticket))
    resequencing_times_.record(0, watch_outlets_one_in);
  return passes;
}

// 0: it is not watched.
std::uint64_t
parallelize_engine::arrival_time(const ParallelizeMessage &copy) const
{
  return is_watched(copy.ticket) ? std::max<std::uint64_t>(now(), 1) : 0;
}

// A message that has come to an outlet at `parked_at` is about to leave it.
void
parallelize_engine::record_resequencing(std::uint64_t parked_at)
{
  if (parked_at)
    resequencing_times_.record(excess(now(), parked_at), watch_outlets_one_in);
}

// A worker need not be woken for what this thread has made due.
void
parallelize_engine::return_ticket(ParallelizeProducer &producer, std::uint32_t ticket)
{
  Strand *outlets = sequencer_->done(ticket);
  if (!(producer.flags & PARALLELIZE_PRODUCER_HELPS))
    {
      schedule_outlets(outlets);
      return;
    }
  while (Strand *outlet = outlets)
    {
      outlets = outlet->next;
      hold_outlet(producer, *outlet);
    }
  if (producer.outlets)
    run_outlets(producer);
}

// Those that this thread holds.  What is left waits for close().
void
parallelize_engine::run_outlets(ParallelizeProducer &producer)
{
  NodeSink sink(slabs_);
  for (Strand *outlet = producer.outlets; outlet; outlet = outlet->next)
    {
      const unsigned index = sequencer_->outlet_of(outlet);
      while (may_forward(producer))
        {
          Node *node = outlet->pop();
          if (!node)
            break;
          const ParallelizeMessage message = node->message;
          record_resequencing(node->parked_at);
          sink.give_back(node);
          producer.from_outlets++;
          callbacks_.forward_from_outlet(user_data_, index, &message);
        }
    }
}

ParallelizeEnqueue
parallelize_engine::enqueue(ParallelizeProducer &producer, const ParallelizeMessage &message,
                            std::string_view key)
{
  if (needs_order(key))
    {
      const std::uint64_t hash = hash_(key.data(), key.size());
      Strand &strand = strands_[hash & strand_mask_];
      watch_for_hot_key(producer, key, hash);
      if (runs_here(producer, strand))
        return shall_time(producer, key, hash) ? PARALLELIZE_ENQUEUE_FORWARD_TIMED : PARALLELIZE_ENQUEUE_FORWARD;
      Node *node = producer.nodes.take();
      node->message = message;
      node->key_hash = hash;
      node->key.assign(key);
      producer.pending.push_back({&strand, node, {}});
    }
  else
    producer.pending.push_back({nullptr, nullptr, message});

  const bool helps = shall_help(producer);
  if (!helps && !worth_handing_over(producer))
    return PARALLELIZE_ENQUEUED;
  hand_over(producer);

  // Whoever has helped has published, which may have closed the producer.
  if (producer.direct)
    help(0, PARALLELIZE_INLINE_NO_WORKER);
  else if (helps && !(worth_helping() && help(cost_.cheap() ? 0 : help_until_, PARALLELIZE_INLINE_CROWDED)))
    {
      producer.pause = pause_after_no_help;
      outrun_.fetch_add(1, std::memory_order_relaxed);
      return PARALLELIZE_ENQUEUED_OUTRUN;
    }
  return PARALLELIZE_ENQUEUED;
}

void
parallelize_engine::probe(ParallelizeMessage &message, std::uint64_t time, unsigned weight)
{
  message = {new Probe{message, time, weight}, Probe::flag, 0};
}

void
parallelize_engine::hand_over(ParallelizeProducer &producer)
{
  if (producer.pending.empty())
    return;

  const std::size_t count = producer.pending.size();
  const bool probe_all = cost_.very_slow();
  std::uint64_t time = 0;           // the clock is looked at once, and only for a probe

  std::uint32_t ticket = sequencer_ ? sequencer_->issue(static_cast<std::uint32_t>(count)) : 0;
  in_flight_.fetch_add(count, std::memory_order_relaxed);
  handed_over_.fetch_add(count, std::memory_order_relaxed);
  batches_.fetch_add(1, std::memory_order_relaxed);
  for (auto &[strand, node, unordered] : producer.pending)
    {
      ParallelizeMessage &message = strand ? node->message : unordered;
      message.ticket = ticket++;
      if (probe_all || producer.probe_this.pick())
        {
          time = time ? time : now();
          probe(message, time, probe_all ? 1 : probe_one_in);
        }
      if (!strand)
        producer.tasks.push_back({nullptr, message});
      else if (strand->push(node))
        producer.tasks.push_back({strand, {}});
    }
  if (const std::size_t behind_others = count - producer.tasks.size())
    ordered_.fetch_add(behind_others, std::memory_order_relaxed);
  producer.pending.clear();
  if (producer.tasks.empty())
    return;

  std::vector<unsigned> sleepers;
  {
    std::lock_guard lock(mutex_);
    for (const Task &task : producer.tasks)
      run_queue_.push_back(task);
    if (!solo_)
      wake_locked(std::min(run_queue_.size(), std::size_t{workers_worth_waking(count)}), sleepers);
    else
      solo_wanted_by_others_.store(true, std::memory_order_relaxed);
  }
  producer.tasks.clear();
  wake(sleepers);
}

void
parallelize_engine::close(ParallelizeProducer &producer)
{
  release_held(producer);
  hand_over(producer);
  if (producer.forwarded)
    {
      never_handed_over_[PARALLELIZE_INLINE_TOO_CHEAP].fetch_add(producer.forwarded - producer.helped,
                                                                 std::memory_order_relaxed);
      never_handed_over_[PARALLELIZE_INLINE_CROWDED].fetch_add(producer.helped, std::memory_order_relaxed);
      sources_busy_ns_.fetch_add(std::uint64_t{producer.forwarded} * cost_.nanoseconds(), std::memory_order_relaxed);
      producer.forwarded = producer.helped = 0;
    }
  if (producer.solo)
    {
      std::vector<unsigned> sleepers;
      {
        std::lock_guard lock(mutex_);
        solo_ = nullptr;
        solo_taken_.store(false);
        wake_locked(run_queue_.size(), sleepers);
      }
      producer.solo = false;
      wake(sleepers);
    }
  {
    std::lock_guard lock(producers_mutex_);
    producer.next_free = free_producers_;
    free_producers_ = &producer;
  }
  if (open_.fetch_sub(1) == 1 && stopping_.load())
    wake_all();
}

SourceWindows::State
parallelize_engine::window_state(const ParallelizeProducer &producer, std::size_t window, std::size_t left,
                                 std::size_t came) const
{
  const std::size_t used = window - left;
  if (left > window / 16)
    return SourceWindows::open;

  // What has just come tells nothing of where messages stay.
  if (used <= came)
    return 2 * (inside() + producer.pending.size()) >= used ? SourceWindows::used_up_inside : SourceWindows::open;
  // Of this source there cannot be more here than there is altogether.
  return used - came > 2 * inside() ? SourceWindows::used_up_beyond : SourceWindows::used_up_inside;
}

void
parallelize_engine::report_window(ParallelizeProducer &producer, std::size_t window, std::size_t left, std::size_t came)
{
  constexpr auto relaxed = std::memory_order_relaxed;
  const SourceWindows::State state = window_state(producer, window, left, came);
  const std::uint64_t all = windows_.came.fetch_add(came, relaxed) + came;

  if (state != SourceWindows::open)
    {
      const std::uint64_t since = excess(all, windows_.accounted.exchange(all, relaxed));
      windows_.came_to_the_end.fetch_add(std::min<std::uint64_t>(since, window), relaxed);
      (state == SourceWindows::used_up_beyond ? windows_.seen_used_up_beyond : windows_.seen_used_up_inside)
        .fetch_add(1, relaxed);
    }
  windows_.looks.fetch_add(1, relaxed);
  windows_.last.store(state, relaxed);
  windows_.last_size.store(window, relaxed);
}

// Handed over and not published, here or behind an outlet.
std::uint64_t
parallelize_engine::inside() const
{
  return in_flight_.load(std::memory_order_relaxed) + (sequencer_ ? sequencer_->parked() + sequencer_->released() : 0);
}

// Messages that are inside, without those that wait for their turn.
std::uint64_t
parallelize_engine::runnable() const
{
  return in_flight_.load(std::memory_order_relaxed) + (sequencer_ ? sequencer_->released() : 0);
}

bool
parallelize_engine::nobody_is_alive()
{
  std::lock_guard lock(mutex_);
  return alive_ == 0;
}

// Cheap messages had better all be done, so that this thread can go solo.  Else
// what waits may all be in strands that others run; and for a few messages the
// publish would cost more than it brings, unless far too many wait.
bool
parallelize_engine::worth_helping()
{
  std::lock_guard lock(mutex_);
  return cost_.cheap() || run_queue_.size() >= cost_.per_wake_up()
         || (!run_queue_.empty() && in_flight_.load(std::memory_order_relaxed) > options_.prefetch + options_.prefetch / 4);
}

// Run strands on the producer's thread until no more than `until_in_flight`
// messages are inside, or nothing can be run right now, or for long enough,
// which is one message at least.  False: nothing was run.
bool
parallelize_engine::help(std::uint64_t until_in_flight, ParallelizeInlineReason reason)
{
  RunnerCounters counters;
  Runner runner(PARALLELIZE_ON_PRODUCER, *this, counters);
  const std::uint64_t started = now();
  bool to_the_end = reason == PARALLELIZE_INLINE_NO_WORKER;
  bool any = false;
  bool more = true;
  Task task;

  while (more)
    {
      // As a worker does it: messages that take long must not hold up what has left an outlet.
      while (runner.from_outlets == 0 && runner.done < options_.quantum && !slice_is_over(runner)
             && take_one(runner, task))
        run_task(runner, task, options_.quantum - runner.done);
      const unsigned done = runner.done - runner.from_outlets;
      more = runner.from_outlets > 0 || runner.done >= options_.quantum || slice_is_over(runner);
      any |= runner.done > 0;
      helped_started_[reason].fetch_add(done, std::memory_order_relaxed);
      if (publish(runner))
        {
          // What is queued again may have nobody but us to run it.
          more = true;
          to_the_end |= nobody_is_alive();
        }
      helped_published_.fetch_add(done, std::memory_order_relaxed);
      more &= to_the_end ? runnable() > 0 : runnable() > until_in_flight && now() - started < longest_help_ns;
    }
  helped_stolen_.fetch_add(counters.stolen.get(), std::memory_order_relaxed);
  sources_busy_ns_.fetch_add(counters.busy.total(), std::memory_order_relaxed);
  return any;
}

/* ------------------------------------------------------------------------
 * Any runner
 * ------------------------------------------------------------------------ */

void
parallelize_engine::forward(Runner &runner, const ParallelizeMessage &message, const KeyHead &key)
{
  runner.counters.message.start(key, callbacks_.message_id ? callbacks_.message_id(user_data_, &message) : 0);
  callbacks_.forward(user_data_, &runner, runner.on, &message);
  if (sequencer_)
    runner.events.done(message.ticket);
}

void
parallelize_engine::run_probe(Runner &runner, const ParallelizeMessage &message, const KeyHead &key, std::uint64_t hash)
{
  const std::unique_ptr<Probe> probe(static_cast<Probe *>(message.handle));
  const std::uint64_t started = now();
  waiting_times_.record(excess(started, probe->handed_over), probe->weight);
  forward(runner, probe->message, key);
  const std::uint64_t ended = now();
  record_processing(key, hash, ended - started, probe->weight);
  latencies_.record(excess(ended, probe->handed_over), probe->weight);
}

void
parallelize_engine::run_message(Runner &runner, const ParallelizeMessage &message, const KeyHead &key, std::uint64_t hash)
{
  runner.done++;
  if (message.flags & Probe::flag)
    run_probe(runner, message, key, hash);
  else
    forward(runner, message, key);
}

void
parallelize_engine::run_from_outlet(Runner &runner, unsigned outlet, const ParallelizeMessage &message)
{
  runner.done++;
  runner.from_outlets++;
  runner.counters.message.start_behind_outlet(callbacks_.message_id ? callbacks_.message_id(user_data_, &message) : 0);
  callbacks_.forward_from_outlet(user_data_, outlet, &message);
}

void
parallelize_engine::run_task(Runner &runner, const Task &task, unsigned limit)
{
  if (runner.done == 0)
    start_slice(runner);
  if (!task.strand)
    {
      run_message(runner, task.message, {}, 0);
      return;
    }

  const unsigned outlet = sequencer_ ? sequencer_->outlet_of(task.strand) : Sequencer::none;
  for (unsigned i = 0; i < limit; i++)
    {
      Node *node = task.strand->pop();
      if (!node)
        break;
      const ParallelizeMessage message = node->message;
      const KeyHead key = node->key;
      const std::uint64_t hash = outlet == Sequencer::none ? node->key_hash : 0;
      if (outlet != Sequencer::none)
        record_resequencing(node->parked_at);
      runner.nodes.give_back(node);
      if (const Node *next = task.strand->next_known())
        bring_closer(next->message);
      if (outlet != Sequencer::none)
        run_from_outlet(runner, outlet, message);
      else
        {
          runner.counters.waiting.set(task.strand->backlog());
          run_message(runner, message, key, hash);
        }
      if (slice_is_over(runner))
        break;
    }
  task.strand->next = runner.held;
  runner.held = task.strand;
}

void
parallelize_engine::start_slice(Runner &runner)
{
  runner.slice_started = std::max<std::uint64_t>(now(), 1);
  if (runner.counters.busy_since.get() == 0)
    {
      runner.counters.busy.start(runner.slice_started);
      runner.counters.busy_since.set(runner.slice_started);
    }
  runner.slice_over = false;
  runner.until_clock = messages_until_clock();
}

// While others sleep it matters to notice soon that messages take longer than
// they used to.
unsigned
parallelize_engine::messages_until_clock() const
{
  return cost_.slow() || sleeping_.load(std::memory_order_relaxed) ? 0 : messages_per_clock;
}

bool
parallelize_engine::slice_is_over(Runner &runner)
{
  if (runner.done == 0)
    return false;
  if (runner.slice_over || (runner.until_clock && --runner.until_clock))
    return runner.slice_over;
  runner.until_clock = messages_until_clock();
  runner.slice_over = now() - runner.slice_started >= slice_ns
                      || (runner.done >= messages_per_first_slice && cost_.unsure());
  return runner.slice_over;
}

// Tell the sequencer what has happened, and run what is due with it, for which
// there is a slice more: nobody needs to be woken, and what was forwarded is
// about to be published anyway.
void
parallelize_engine::resequence(Runner &runner)
{
  Strand *outlets = sequencer_->take(runner.events);
  if (!outlets)
    return;

  start_slice(runner);
  while (Strand *outlet = outlets)
    {
      outlets = outlet->next;
      run_task(runner, {outlet, {}}, options_.quantum);
    }
}

// Make what was forwarded visible; only then give up the strands.  True: some
// of them had to be queued again.
bool
parallelize_engine::publish(Runner &runner)
{
  if (runner.done == 0 && !runner.held)
    return false;

  if (!runner.events.empty())
    resequence(runner);

  RunnerCounters &counters = runner.counters;
  const unsigned from_outlets = std::exchange(runner.from_outlets, 0);
  const unsigned brought = std::exchange(runner.done, 0) - from_outlets;
  // What is forwarded from outlets was brought by some runner: over all of them
  // this is what a message costs up to its end.
  if (brought)
    cost_.sample((now() - counters.busy_since.get()) / brought);
  runner.nodes.flush();
  callbacks_.publish(user_data_, runner.on);
  counters.waiting.set(0);
  counters.processed.add(brought);
  counters.busy.stop(now());
  counters.busy_since.set(0);

  const bool requeued = give_up(std::exchange(runner.held, nullptr), runner.on);

  if (from_outlets)
    sequencer_->published(from_outlets);
  // Whoever finds the engine empty sees everything published.  Sequentially
  // consistent: either we see stopping_, or the worker that it wakes sees this.
  if (in_flight_.fetch_sub(brought) == brought && stopping_.load())
    wake_all();
  return requeued;
}

// What the strands forwarded is published: release each, or queue it again if
// messages have come.  True: some were queued again.
bool
parallelize_engine::give_up(Strand *strands, ParallelizeThread on)
{
  Strand *again = nullptr;
  while (Strand *strand = strands)
    {
      strands = strand->next;
      if (!strand->release())
        {
          strand->next = again;
          again = strand;
        }
    }
  if (again)
    requeue(again, on);
  return again != nullptr;
}

// A strand with more than a worker's share of all messages: it has to be run
// nearly all the time, or one worker will be left with it when the others are
// done.
bool
parallelize_engine::outweighs_the_others(const Task &task) const
{
  return task.strand
         && task.strand->backlog() * options_.workers >= in_flight_.load(std::memory_order_relaxed);
}

void
parallelize_engine::requeue(Strand *strands, ParallelizeThread on)
{
  std::vector<unsigned> sleepers;
  for (Strand *strand = strands; strand; strand = strand->next)
    strand->gather();
  {
    std::lock_guard lock(mutex_);
    while (Strand *strand = strands)
      {
        strands = strand->next;
        const Task task{strand, {}};
        if (sequencer_ && sequencer_->outlet_of(strand) != Sequencer::none)
          outlet_queue_.push_back(task);
        else if (!outweighs_the_others(task))
          run_queue_.push_back(task);
        else if (std::exchange(others_had_a_turn_, false))
          run_queue_.push_front(task);
        else if (!run_queue_.empty() && !outweighs_the_others(run_queue_.front()))
          run_queue_.push_second(task);
        else
          run_queue_.push_back(task);
      }
    outlets_wait_.store(!outlet_queue_.empty(), std::memory_order_relaxed);
    // A worker takes one of them itself.  A helper may leave without.
    const std::size_t tasks = outlet_queue_.size() + (solo_ ? 0 : run_queue_.size());
    wake_locked(tasks - std::min<std::size_t>(tasks, on == PARALLELIZE_ON_WORKER), sleepers);
  }
  wake(sleepers);
}

// One task, from the run queue or from some worker's group.
bool
parallelize_engine::take_one(Runner &runner, Task &task)
{
  if (take_outlet(task))
    return true;
  {
    std::lock_guard lock(mutex_);
    if (solo_)
      return false;
    if (!run_queue_.empty())
      {
        task = run_queue_.pop_front();
        others_had_a_turn_ |= !outweighs_the_others(task);
        return true;
      }
  }
  for (const auto &worker : workers_)
    if (take_from_group(*worker, task))
      {
        runner.counters.stolen.add(1);
        return true;
      }
  return false;
}

// An outlet that nobody runs.  Before anything else, since what is due is older
// than anything that waits; and beside a solo producer, since what comes to an
// outlet has left the keys behind.
bool
parallelize_engine::take_outlet(Task &task)
{
  if (!outlets_wait_.load(std::memory_order_relaxed))
    return false;
  std::lock_guard lock(mutex_);
  if (outlet_queue_.empty())
    return false;
  task = outlet_queue_.pop_front();
  outlets_wait_.store(!outlet_queue_.empty(), std::memory_order_relaxed);
  return true;
}

/* ------------------------------------------------------------------------
 * Any thread: tickets of messages that went on to other threads
 * ------------------------------------------------------------------------ */

void
parallelize_engine::release_ticket(std::uint32_t ticket)
{
  schedule_outlets(sequencer_->done(ticket));
  // Sequentially consistent: either we see stopping_, or the worker that it
  // wakes sees this.
  if (stopping_.load() && sequencer_->idle())
    wake_all();
}

void
parallelize_engine::schedule_outlets(Strand *outlets)
{
  if (!outlets)
    return;

  std::vector<unsigned> sleepers;
  bool somebody_is_alive;
  {
    std::lock_guard lock(mutex_);
    for (; outlets; outlets = outlets->next)
      outlet_queue_.push_back({outlets, {}});
    outlets_wait_.store(true, std::memory_order_relaxed);
    somebody_is_alive = alive_ > 0;
    wake_locked(outlet_queue_.size(), sleepers);
  }
  wake(sleepers);
  if (!somebody_is_alive)
    run_scheduled_outlets();
}

void
parallelize_engine::run_scheduled_outlets()
{
  RunnerCounters counters;
  Runner runner(PARALLELIZE_ON_PRODUCER, *this, counters);
  Task task;

  do
    while (take_outlet(task))
      run_task(runner, task, options_.quantum);
  while (publish(runner));
}

/* ------------------------------------------------------------------------
 * A worker's thread
 * ------------------------------------------------------------------------ */

ParallelizeRun
parallelize_engine::run(unsigned index)
{
  Worker &worker = *workers_[index];
  Runner &runner = worker.runner;
  unsigned used = 0;
  Task task;

  for (;;)
    {
      if (take_outlet(task))
        {
          // Published at once: messages that take long must not hold it up.
          const unsigned before = runner.done;
          run_task(runner, task, options_.quantum - used);
          used += runner.done - before;
          publish(runner);
          if (used >= options_.quantum)
            return PARALLELIZE_RUN_AGAIN;
          continue;
        }

      if (!take_from_group(worker, task) && !take_group(worker, task) && !steal_into(worker, index, task))
        {
          ParallelizeRun result;
          if (!publish(runner) && rest(index, result))
            return result;
          continue;
        }

      // What is left of the group is work for somebody who sleeps.
      if (sleeping_.load(std::memory_order_relaxed)
          && worker.group_size.load(std::memory_order_relaxed) >= cost_.per_wake_up())
        wake_one();

      const unsigned before = runner.done;
      run_task(runner, task, options_.quantum - used);
      used += runner.done - before;

      if (used >= options_.quantum)
        {
          publish(runner);
          return PARALLELIZE_RUN_AGAIN;
        }
      if (slice_is_over(runner))
        publish(runner);
    }
}

bool
parallelize_engine::take_from_group(Worker &worker, Task &task)
{
  if (worker.group_size.load(std::memory_order_relaxed) == 0)
    return false;
  std::lock_guard lock(worker.mutex);
  if (worker.group.empty())
    return false;
  task = worker.group.pop_front();
  worker.group_size.store(worker.group.size(), std::memory_order_relaxed);
  if (!worker.group.empty())
    bring_closer(worker.group.front());
  return true;
}

// A share of the run queue: half of what would be fair, so that the last ones
// to come still find something.
bool
parallelize_engine::take_group(Worker &worker, Task &task)
{
  std::vector<unsigned> sleepers;
  {
    std::lock_guard lock(mutex_);
    if (solo_ || run_queue_.empty())
      return false;
    const std::size_t share = run_queue_.size() / (2 * options_.workers);
    task = run_queue_.pop_front();
    const bool hot = outweighs_the_others(task);
    others_had_a_turn_ |= !hot;
    // A hot strand is taken alone, or it would wait for the rest of its group.
    if (share > 1 && !hot && !outweighs_the_others(run_queue_.front()))
      {
        std::lock_guard group_lock(worker.mutex);
        run_queue_.move_front(std::min(share, max_group) - 1, worker.group);
        worker.group_size.store(worker.group.size(), std::memory_order_relaxed);
      }
    // Whoever filled the queue may have thought its messages cheaper than they are.
    if (run_queue_.size() >= cost_.per_wake_up())
      wake_locked(1, sleepers);
  }
  wake(sleepers);
  return true;
}

bool
parallelize_engine::steal_into(Worker &thief, unsigned index, Task &task)
{
  for (unsigned i = 1; i < options_.workers; i++)
    {
      Worker &victim = *workers_[(index + i) % options_.workers];
      if (victim.group_size.load(std::memory_order_relaxed) == 0)
        continue;
      {
        std::lock_guard lock(victim.mutex);
        victim.group.move_front((victim.group.size() + 1) / 2, thief.loot);
        victim.group_size.store(victim.group.size(), std::memory_order_relaxed);
      }
      if (thief.loot.empty())
        continue;

      thief.counters.stolen.add(thief.loot.size());
      task = thief.loot.pop_front();
      std::lock_guard lock(thief.mutex);
      thief.loot.move_front(thief.loot.size(), thief.group);
      thief.group_size.store(thief.group.size(), std::memory_order_relaxed);
      return true;
    }
  return false;
}

bool
parallelize_engine::somebody_has_a_group() const
{
  return std::any_of(workers_.begin(), workers_.end(), [](const auto &worker)
  {
    return worker->group_size.load(std::memory_order_relaxed) > 0;
  });
}

// Fall asleep or end.  False: there is something to do after all.
bool
parallelize_engine::rest(unsigned index, ParallelizeRun &result)
{
  std::lock_guard lock(mutex_);
  if (!outlet_queue_.empty())
    return false;
  if (!solo_)
    {
      // Groups grow under this lock only (a thief's grows at the cost of
      // another, and the thief is awake): whoever sleeps after this look is
      // seen in sleeping_ by the owner of any group that comes later.
      if (!run_queue_.empty() || somebody_has_a_group())
        return false;
    }

  if (stopping_.load() && open_.load() == 0 && (!sequencer_ || sequencer_->idle()) && in_flight_.load() == 0)
    {
      alive_--;
      result = PARALLELIZE_RUN_ENDED;
      return true;
    }

  idle_.push_back(index);
  sleeping_.store(idle_.size(), std::memory_order_relaxed);
  result = PARALLELIZE_RUN_SLEEPING;
  return true;
}

/* ------------------------------------------------------------------------
 * Wake-ups.  A worker is taken out of idle_ before it is woken, so that it is
 * woken once for each time it fell asleep.
 * ------------------------------------------------------------------------ */

unsigned
parallelize_engine::workers_worth_waking(std::size_t messages) const
{
  const std::size_t worth = (messages + cost_.per_wake_up() - 1) / cost_.per_wake_up();
  return std::min<std::size_t>(worth, options_.workers);
}

// mutex_ is held.
void
parallelize_engine::wake_locked(std::size_t count, std::vector<unsigned> &sleepers)
{
  for (; count && !idle_.empty(); count--)
    {
      sleepers.push_back(idle_.back());
      workers_[idle_.back()]->wakeups.add(1);
      idle_.pop_back();
    }
  sleeping_.store(idle_.size(), std::memory_order_relaxed);
}

void
parallelize_engine::wake(std::vector<unsigned> &sleepers)
{
  for (unsigned index : sleepers)
    callbacks_.wake(user_data_, index);
}

void
parallelize_engine::wake_one()
{
  std::vector<unsigned> sleepers;
  {
    std::lock_guard lock(mutex_);
    wake_locked(1, sleepers);
  }
  wake(sleepers);
}

void
parallelize_engine::wake_all()
{
  std::vector<unsigned> sleepers;
  {
    std::lock_guard lock(mutex_);
    wake_locked(idle_.size(), sleepers);
  }
  wake(sleepers);
}

/* ------------------------------------------------------------------------
 * Metrics
 * ------------------------------------------------------------------------ */

ParallelizeEngineCounters
parallelize_engine::counters() const
{
  constexpr auto relaxed = std::memory_order_relaxed;
  ParallelizeEngineCounters result = {};

  std::uint64_t published = helped_published_.load(relaxed);
  std::uint64_t started = 0;
  std::uint64_t never_handed_over = 0;
  result.stolen = helped_stolen_.load(relaxed);
  for (const auto &worker : workers_)
    {
      published += worker->counters.processed.get();
      started += worker->counters.message.started();
      result.stolen += worker->counters.stolen.get();
      result.wakeups += worker->wakeups.get();
    }
  for (unsigned reason = 0; reason < PARALLELIZE_INLINE_REASONS; reason++)
    {
      const std::uint64_t forwarded = never_handed_over_[reason].load(relaxed);
      const std::uint64_t helped = helped_started_[reason].load(relaxed);
      never_handed_over += forwarded;
      started += helped;
      result.inlined[reason] = forwarded + helped;
      (reason == PARALLELIZE_INLINE_TOO_CHEAP ? result.forwarded_directly : result.helped) += result.inlined[reason];
    }
  const std::uint64_t handed_over = handed_over_.load(relaxed);

  result.entered = handed_over + never_handed_over;
  result.processed = published + never_handed_over;
  result.in_flight = excess(handed_over, published);
  result.waiting = excess(handed_over, started);
  result.batches = batches_.load(relaxed);
  result.ordered = ordered_.load(relaxed);
  result.sources_busy_ns = sources_busy_ns_.load(relaxed);
  result.outrun = outrun_.load(relaxed);
  if (sequencer_)
    {
      result.parked = sequencer_->parked();
      result.released = sequencer_->released();
    }
  return result;
}

ParallelizeWorkerCounters
parallelize_engine::worker_counters(unsigned index) const
{
  const Worker &worker = *workers_[index];
  ParallelizeWorkerCounters result = {};

  result.processed = worker.counters.processed.get();
  result.assigned = worker.counters.message.started();
  result.waiting = worker.counters.waiting.get() + worker.group_size.load(std::memory_order_relaxed);
  result.stolen = worker.counters.stolen.get();
  result.wakeups = worker.wakeups.get();

  std::uint64_t time = 0;
  result.busy_ns = worker.counters.busy.read([&] { return time = now(); });
  const std::uint64_t age = time - created_;
  result.idle_ns = age > result.busy_ns ? age - result.busy_ns : 0;
  return result;
}

std::uint64_t
parallelize_engine::processed_by(unsigned index) const
{
  return workers_[index]->counters.processed.get();
}

bool
parallelize_engine::running_message(unsigned index, RunningMessage::Identity &identity) const
{
  return workers_[index]->counters.message.read(identity);
}

std::uint64_t
parallelize_engine::messages_run(unsigned index) const
{
  return workers_[index]->counters.message.sequence();
}

std::uint64_t
parallelize_engine::busy_since(unsigned index) const
{
  return workers_[index]->counters.busy_since.get();
}

/* ------------------------------------------------------------------------
 * C ABI
 * ------------------------------------------------------------------------ */

extern "C" {

ParallelizeEngine *
parallelize_engine_new(const ParallelizeEngineOptions *options, const ParallelizeCallbacks *callbacks,
                       void *user_data)
{
  return new parallelize_engine(*options, *callbacks, user_data);
}

void
parallelize_engine_free(ParallelizeEngine *self)
{
  delete self;
}

void
parallelize_engine_start(ParallelizeEngine *self)
{
  self->start();
}

void
parallelize_engine_stop(ParallelizeEngine *self)
{
  self->stop();
}

void
parallelize_engine_abandon_worker(ParallelizeEngine *self)
{
  self->abandon_worker();
}

void
parallelize_engine_wake_for_what_waits(ParallelizeEngine *self)
{
  self->wake_for_what_waits();
}

ParallelizeRun
parallelize_engine_run(ParallelizeEngine *self, unsigned worker)
{
  return self->run(worker);
}

ParallelizeProducer *
parallelize_producer_open(ParallelizeEngine *self, unsigned flags)
{
  return self->open(flags);
}

ParallelizeAccept
parallelize_producer_accept(ParallelizeProducer *self)
{
  return self->engine.accept(*self);
}

void
parallelize_producer_timed(ParallelizeProducer *self, uint64_t nanoseconds)
{
  self->engine.timed(*self, nanoseconds);
}

ParallelizeEnqueue
parallelize_producer_enqueue(ParallelizeProducer *self, const ParallelizeMessage *message, const char *key,
                             size_t key_length)
{
  return self->engine.enqueue(*self, *message, {key, key_length});
}

uint32_t
parallelize_producer_take_ticket(ParallelizeProducer *self)
{
  return self->engine.take_ticket(*self);
}

void
parallelize_producer_return_ticket(ParallelizeProducer *self, uint32_t ticket)
{
  self->engine.return_ticket(*self, ticket);
}

bool
parallelize_producer_may_pass(ParallelizeProducer *self, unsigned outlet, uint32_t ticket)
{
  return self->engine.may_pass(*self, outlet, ticket);
}

void
parallelize_producer_hold_ticket(ParallelizeProducer *self, uint32_t ticket)
{
  self->engine.hold_ticket(ticket);
}

void
parallelize_runner_arrived(ParallelizeRunner *self, unsigned outlet, const ParallelizeMessage *copy)
{
  self->events.arrived(outlet, *copy, self->engine.arrival_time(*copy));
}

void
parallelize_runner_hold_ticket(ParallelizeRunner *self, uint32_t ticket)
{
  self->engine.hold_ticket(*self, ticket);
}

void
parallelize_engine_arrived(ParallelizeEngine *self, unsigned outlet, const ParallelizeMessage *copy)
{
  self->arrived(outlet, *copy);
}

void
parallelize_engine_release_ticket(ParallelizeEngine *self, uint32_t ticket)
{
  self->release_ticket(ticket);
}

void
parallelize_producer_flush(ParallelizeProducer *self)
{
  self->engine.flush(*self);
}

void
parallelize_producer_close(ParallelizeProducer *self)
{
  self->engine.close(*self);
}

void
parallelize_engine_get_counters(ParallelizeEngine *self, ParallelizeEngineCounters *counters)
{
  *counters = self->counters();
}

void
parallelize_engine_get_worker_counters(ParallelizeEngine *self, unsigned worker,
                                       ParallelizeWorkerCounters *counters)
{
  *counters = self->worker_counters(worker);
}

void
parallelize_producer_report_window(ParallelizeProducer *self, size_t window, size_t left, size_t came)
{
  self->engine.report_window(*self, window, left, came);
}

uint64_t
parallelize_engine_processed_by(ParallelizeEngine *self, unsigned worker)
{
  return self->processed_by(worker);
}

}
