// SPDX-License-Identifier: LGPL-2.1-or-later
// A host for the engine whose threads are stepped by a test, one at a time.
#pragma once

#include "engine/engine.h"
#include "order-check.hpp"

#include <criterion/criterion.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

// What a message does behind the engine: a copy comes to each of `outlets`, one
// after the other, and to each of `later` from some other thread after it was
// forwarded.
struct Route
{
  std::vector<unsigned> outlets = {};
  std::vector<unsigned> later = {};
  bool goes_on = false;         // its ticket is held beyond its being forwarded
};

// What a handle points to begins with it.
struct FakeNumber
{
  std::uint64_t number;
};

struct FakeCopy : FakeNumber    // the number: of its source and outlet
{
  unsigned source;
  unsigned outlet;
  std::uint32_t ticket = 0;     // once it is known

  static std::string stream(unsigned outlet) { return "outlet " + std::to_string(outlet); }
  std::string name() const { return std::to_string(source) + "." + std::to_string(number); }
  std::uint32_t flags() const { return static_cast<std::uint32_t>(number * 17 + outlet); }
};

struct FakeMessage : FakeNumber // the number: of its source and key
{
  unsigned source;
  std::string key;
  std::uint64_t cost;           // nanoseconds
  std::vector<std::unique_ptr<FakeCopy>> copies = {};
  std::vector<std::unique_ptr<FakeCopy>> later = {};
  bool goes_on = false;

  std::uint32_t flags() const { return static_cast<std::uint32_t>(number * 31 + source); }
};

// A worker, or a thread that brings messages.  What it forwards becomes visible
// when it publishes, as with the destinations of the daemon.
struct FakeThread
{
  explicit FakeThread(std::string name) : name(std::move(name)) {}
  virtual ~FakeThread() = default;

  const std::string name;
  bool running = false;
  std::uint64_t clock = 0;
  std::string forwarded;        // the keys, one after the other
  std::vector<std::unique_ptr<FakeMessage>> unpublished;
  std::vector<std::unique_ptr<FakeCopy>> unpublished_copies;
};

struct FakeWorker : FakeThread
{
  enum State
  {
    absent,
    awake,                      // run() is due
    asleep,
    ended
  };

  explicit FakeWorker(unsigned index) : FakeThread("worker " + std::to_string(index)) {}

  State state = absent;
  unsigned longest_run = 0;     // messages in one run()
};

class FakeHost;

// Brings messages just as the host half does.
class FakeSource : public FakeThread
{
public:
  FakeSource(FakeHost &host, unsigned index, unsigned flags)
    : FakeThread("source " + std::to_string(index)), host_(host), index_(index), flags_(flags)
  {
  }

  // One message that takes FakeHost::cost to forward.
  void send(const std::string &key, const Route &route = {});
  void
  send(const std::string &key, unsigned count)
  {
    while (count--)
      send(key);
  }

  // Hand over what is collected, in the middle of the batch.
  void flush();

  // Publish and close, as at the end of a thread's batch.
  void end_batch();

  bool open() const { return producer_ != nullptr; }
  // The open batch has messages that never were in the engine.
  bool forwards_itself() const { return forwards_itself_; }

private:
  friend class FakeHost;

  std::vector<std::unique_ptr<FakeCopy>> copies_for(const std::vector<unsigned> &outlets);
  void forward(std::unique_ptr<FakeMessage> message, bool timed);
  void enqueue(std::unique_ptr<FakeMessage> message);
  void close();

  FakeHost &host_;
  const unsigned index_;
  const unsigned flags_;
  ParallelizeProducer *producer_ = nullptr;
  bool forwards_itself_ = false;
  unsigned came_ = 0;           // messages of the batch
};

// Holds the engine to its contract at every callback.  Threads run one inside
// the other: a hook that is called while one of them forwards or publishes may
// step any thread that is not running already.
class FakeHost
{
public:
  explicit FakeHost(const ParallelizeEngineOptions &options) : options(options)
  {
    static constexpr ParallelizeCallbacks callbacks = {
      .forward = [](void *self, ParallelizeRunner *runner, ParallelizeThread on, const ParallelizeMessage *message)
      { static_cast<FakeHost *>(self)->forward(runner, on, *message); },
      .forward_from_outlet = [](void *self, unsigned outlet, const ParallelizeMessage *copy)
      { static_cast<FakeHost *>(self)->forward_from_outlet(outlet, *copy); },
      .publish = [](void *self, ParallelizeThread on) { static_cast<FakeHost *>(self)->publish(on); },
      .wake = [](void *self, unsigned worker) { static_cast<FakeHost *>(self)->wake(worker); },
      .now = [](void *self) { return static_cast<FakeHost *>(self)->now(); },
      .message_id = [](void *, const ParallelizeMessage *message)
      { return static_cast<FakeNumber *>(message->handle)->number; },
      .hot_key = [](void *self, const char *key, size_t length, unsigned percent)
      { static_cast<FakeHost *>(self)->hot_key({key, length}, percent); },
    };
    engine_ = parallelize_engine_new(&options, &callbacks, this);
    for (unsigned i = 0; i < options.workers; i++)
      workers_.push_back(std::make_unique<FakeWorker>(i));
  }

  ~FakeHost() { parallelize_engine_free(engine_); }

  FakeHost(const FakeHost &) = delete;

  // A thread that brings messages.  The default is a worker thread of the daemon.
  FakeSource &
  source(unsigned flags = PARALLELIZE_PRODUCER_BATCHES | PARALLELIZE_PRODUCER_HELPS)
  {
    sources_.push_back(std::make_unique<FakeSource>(*this, sources_.size(), flags));
    return *sources_.back();
  }

  // The main thread has its look.
  void wake_for_what_waits() { parallelize_engine_wake_for_what_waits(engine_); }

  /* --- the threads of the workers --- */

  void
  start()
  {
    parallelize_engine_start(engine_);
    for (const auto &worker : workers_)
      worker->state = FakeWorker::awake;
  }

  // All workers have looked and found nothing to do.
  void
  start_asleep()
  {
    start();
    run_until_quiet();
  }

  void stop() { parallelize_engine_stop(engine_); }

  // The thread of `index` could not be created.
  void
  abandon(unsigned index)
  {
    worker(index).state = FakeWorker::absent;
    parallelize_engine_abandon_worker(engine_);
  }

  ParallelizeRun
  run(unsigned index)
  {
    FakeWorker &worker = this->worker(index);
    check(worker.state == FakeWorker::awake && !worker.running, worker.name + " cannot run now");
    Running as(*this, worker);
    const std::uint64_t before = processed_by(index);
    const ParallelizeRun result = parallelize_engine_run(engine_, index);

    check(worker.unpublished.empty() && worker.unpublished_copies.empty(),
          worker.name + " returns with unpublished messages");
    worker.longest_run = std::max(worker.longest_run, static_cast<unsigned>(processed_by(index) - before));
    if (result == PARALLELIZE_RUN_SLEEPING)
      worker.state = FakeWorker::asleep;
    else if (result == PARALLELIZE_RUN_ENDED)
      worker.state = FakeWorker::ended;
    return result;
  }

  bool can_run(unsigned index) { return worker(index).state == FakeWorker::awake && !worker(index).running; }

  // Run workers in turn until all sleep, have ended or are running.
  void
  run_until_quiet()
  {
    for (unsigned rounds = 0;; rounds++)
      {
        check(rounds < 100'000, "the workers never come to rest");
        bool quiet = true;
        for (unsigned i = 0; i < options.workers; i++)
          if (can_run(i))
            {
              run(i);
              quiet = false;
            }
        if (quiet)
          return;
      }
  }

  // Of the messages that went on, one comes to its end on a thread of its own.
  void
  finish(std::size_t index)
  {
    GoingOn message = std::move(going_on_[index]);
    going_on_.erase(going_on_.begin() + static_cast<std::ptrdiff_t>(index));
    FakeThread elsewhere("some other thread");
    Running as(*this, elsewhere);
    for (auto &copy : message.copies)
      {
        copy->ticket = message.ticket;
        FakeCopy *const handle = copy.release();
        const ParallelizeMessage arrived = {handle, handle->flags(), message.ticket};
        parallelize_engine_arrived(engine_, handle->outlet, &arrived);
        called_back();
      }
    parallelize_engine_release_ticket(engine_, message.ticket);
    check(elsewhere.unpublished_copies.empty(), "another thread leaves unpublished messages");
  }

  std::size_t going_on() const { return going_on_.size(); }

  // Nothing more is sent: all batches end, and all that was sent comes out.
  void
  come_to_rest()
  {
    for (const auto &source : sources_)
      source->end_batch();
    while (going_on())
      finish(0);
    run_until_quiet();
    while (going_on())
      {
        finish(going_on() - 1);
        run_until_quiet();
      }
    for (const auto &source : sources_)
      check(!source->open(), source->name + " goes on");
    check_all_published();
  }

  FakeWorker &worker(unsigned index) { return *workers_[index]; }
  bool asleep(unsigned index) { return worker(index).state == FakeWorker::asleep; }
  bool ended(unsigned index) { return worker(index).state == FakeWorker::ended; }
  unsigned
  count(FakeWorker::State state) const
  {
    return std::count_if(workers_.begin(), workers_.end(), [&](const auto &worker) { return worker->state == state; });
  }

  const std::vector<std::unique_ptr<FakeSource>> &sources() const { return sources_; }

  /* --- what a test sees --- */

  ParallelizeEngineCounters
  counters() const
  {
    ParallelizeEngineCounters counters;
    parallelize_engine_get_counters(engine_, &counters);
    return counters;
  }

  // Nothing happens meanwhile, though the clock is looked at.
  ParallelizeWorkerCounters
  worker_counters(unsigned index) const
  {
    ParallelizeWorkerCounters counters;
    observing_ = true;
    parallelize_engine_get_worker_counters(engine_, index, &counters);
    observing_ = false;
    return counters;
  }

  ParallelizeEngine *engine() const { return engine_; }

  std::uint64_t processed_by(unsigned index) const { return parallelize_engine_processed_by(engine_, index); }

  // The keys of all published messages, in order.
  const std::string &published() const { return published_; }

  // "SOURCE.NUMBER" of all that is published behind an outlet, in order.
  const std::vector<std::string> &behind_outlet(unsigned outlet) { return behind_outlets_[outlet]; }

  std::uint64_t sent_count() const { return sent_count_; }
  std::uint64_t published_count() const { return published_count_; }

  // Every message that was sent is published, and the engine is empty.
  void
  check_all_published() const
  {
    const std::string complaint = order_.finished();
    check(complaint.empty(), complaint);
    const std::string outlet_complaint = outlet_order_.finished();
    check(outlet_complaint.empty(), outlet_complaint);
    check_counters();
    check(counters().in_flight == 0, "in_flight is not zero in an empty engine");
    check(counters().parked + counters().released == 0, "something is parked in an empty engine");
    check(counters().entered == sent_count_, "not everything that was sent has entered");
  }

  // Nothing of what is counted contradicts the rest; not while a source's
  // thread runs, which counts when it is done.
  void
  check_counters() const
  {
    const ParallelizeEngineCounters all = counters();
    std::uint64_t assigned = all.helped + all.forwarded_directly;
    std::uint64_t processed = assigned;
    for (unsigned i = 0; i < options.workers; i++)
      {
        assigned += worker_counters(i).assigned;
        processed += worker_counters(i).processed;
      }
    check(all.entered == all.processed + all.in_flight, "entered is not processed + in flight");
    check(all.entered == assigned + all.waiting, "entered is not assigned + waiting");
    check(all.processed == processed, "processed is not the sum of all threads'");
  }

  void
  check(bool condition, const std::string &complaint) const
  {
    if (!condition)
      cr_assert_fail("%s%s%s", context.c_str(), context.empty() ? "" : ": ", complaint.c_str());
  }

  bool
  needs_order(const std::string &key) const
  {
    return options.keyed && !(key.empty() && options.empty_key_round_robin);
  }

  const ParallelizeEngineOptions options;
  std::uint64_t cost = 50'000;                          // of the messages that are sent from now on
  std::uint64_t cost_behind_outlets = 1'000;
  std::uint64_t elapsed = 0;                            // nanoseconds on top of what messages take
  bool reports_windows = false;                         // of the sources
  std::string context;                                  // what a complaint starts with
  std::vector<std::string> hot_keys;                    // as reported
  std::function<void(const FakeMessage &)> on_forward;  // inside forward()
  std::function<void(const FakeCopy &)> on_outlet;      // inside forward_from_outlet()
  std::function<void(FakeThread &)> on_publish;         // inside publish(), while nothing is visible yet
  std::function<void()> on_callback;                    // inside each callback

private:
  friend class FakeSource;

  // The engine is called on `thread` during this one's life.
  class Running
  {
  public:
    Running(FakeHost &host, FakeThread &thread) : host_(host), before_(host.current_)
    {
      host.check(!thread.running, thread.name + " is stepped inside itself");
      thread.running = true;
      host.current_ = &thread;
    }
    ~Running()
    {
      host_.current_->running = false;
      host_.current_ = before_;
    }

  private:
    FakeHost &host_;
    FakeThread *const before_;
  };

  FakeSource *current_source() { return dynamic_cast<FakeSource *>(current_); }

  void
  called_back()
  {
    if (on_callback && !observing_)
      on_callback();
  }

  void
  check_thread(ParallelizeThread on)
  {
    check(current_, "a callback outside of any thread");
    check((on == PARALLELIZE_ON_WORKER) == (dynamic_cast<FakeWorker *>(current_) != nullptr),
          current_->name + " is taken for another");
  }

  void
  forward(ParallelizeRunner *runner, ParallelizeThread on, const ParallelizeMessage &message)
  {
    check_thread(on);
    std::unique_ptr<FakeMessage> owned(static_cast<FakeMessage *>(message.handle));
    check(message.flags == owned->flags(), "the flags of a message have changed");
    process(
      std::move(owned), message.ticket,
      [&](unsigned outlet, const ParallelizeMessage &copy) { parallelize_runner_arrived(runner, outlet, &copy); },
      [&](std::uint32_t ticket) { parallelize_runner_hold_ticket(runner, ticket); });
  }

  // On the current thread.  A key is the thread's from here to its publish.
  template <typename Arrived, typename Hold>
  void
  process(std::unique_ptr<FakeMessage> owned, std::uint32_t ticket, const Arrived &arrived, const Hold &hold)
  {
    FakeThread &thread = *current_;
    FakeMessage &message = *owned;
    if (needs_order(message.key))
      {
        const FakeThread *holder = holders_.try_emplace(message.key, &thread).first->second;
        check(holder == &thread, thread.name + " forwards key '" + message.key + "' while " + holder->name
                                   + " has not published it");
      }
    thread.unpublished.push_back(std::move(owned));
    thread.forwarded += message.key;
    thread.clock += message.cost;
    if (on_forward)
      on_forward(message);
    called_back();
    for (auto &copy : message.copies)
      {
        copy->ticket = ticket;
        FakeCopy *const handle = copy.release();
        arrived(handle->outlet, {handle, handle->flags(), ticket});
        called_back();
      }
    if (!message.goes_on)
      return;
    hold(ticket);
    going_on_.push_back({ticket, std::move(message.later)});
    called_back();
  }

  // An outlet is the thread's from here to its publish.
  void
  forward_from_outlet(unsigned outlet, const ParallelizeMessage &message)
  {
    check(current_, "a callback outside of any thread");
    FakeThread &thread = *current_;
    std::unique_ptr<FakeCopy> owned(static_cast<FakeCopy *>(message.handle));
    const FakeCopy &copy = *owned;
    check(copy.outlet == outlet, copy.name() + " leaves another outlet");
    check(message.flags == copy.flags(), "the flags of a copy have changed");
    const FakeThread *holder = outlet_holders_.try_emplace(outlet, &thread).first->second;
    check(holder == &thread, thread.name + " forwards from an outlet while " + holder->name + " has not published it");
    thread.unpublished_copies.push_back(std::move(owned));
    thread.clock += cost_behind_outlets;
    if (on_outlet)
      on_outlet(copy);
    called_back();
  }

  void
  publish(ParallelizeThread on)
  {
    check_thread(on);
    make_visible(*current_);
    // The host's batch callbacks are a thread's, whoever asks for them.
    if (FakeSource *source = current_source(); source && source->flags_ & PARALLELIZE_PRODUCER_BATCHES)
      source->close();
  }

  void
  make_visible(FakeThread &thread)
  {
    if (on_publish)
      on_publish(thread);
    called_back();
    for (const auto &message : thread.unpublished)
      {
        const std::string complaint = order_.published(message->source, message->key, message->number,
                                                       needs_order(message->key) ? OrderCheck::kept
                                                                                 : OrderCheck::free_choice);
        check(complaint.empty(), complaint);
        published_ += message->key;
        published_count_++;
        holders_.erase(message->key);
      }
    thread.unpublished.clear();
    for (const auto &copy : thread.unpublished_copies)
      {
        const std::uint32_t before = last_tickets_.try_emplace(copy->outlet, copy->ticket).first->second;
        check(static_cast<std::int32_t>(copy->ticket - before) >= 0, copy->name() + " leaves after a later ticket");
        last_tickets_[copy->outlet] = copy->ticket;
        const std::string complaint = outlet_order_.published(copy->source, FakeCopy::stream(copy->outlet), copy->number);
        check(complaint.empty(), complaint);
        behind_outlets_[copy->outlet].push_back(copy->name());
        outlet_holders_.erase(copy->outlet);
      }
    thread.unpublished_copies.clear();
    called_back();
  }

  void
  wake(unsigned index)
  {
    check(asleep(index), worker(index).name + " is woken and does not sleep");
    worker(index).state = FakeWorker::awake;
    called_back();
  }

  std::uint64_t
  now()
  {
    called_back();
    return elapsed + (current_ ? current_->clock : 0);
  }

  void
  hot_key(const std::string &key, unsigned percent)
  {
    check(current_source(), "a hot key is reported outside of a source's thread");
    check(percent > 0 && percent <= 100, "a share of " + std::to_string(percent) + " percent");
    hot_keys.push_back(key);
    called_back();
  }

  ParallelizeEngine *engine_;
  std::vector<std::unique_ptr<FakeWorker>> workers_;
  std::vector<std::unique_ptr<FakeSource>> sources_;
  FakeThread *current_ = nullptr;
  mutable bool observing_ = false;
  std::map<std::string, FakeThread *> holders_;         // key to the thread that has it unpublished
  OrderCheck order_;
  std::map<unsigned, FakeThread *> outlet_holders_;     // the same for outlets
  OrderCheck outlet_order_;
  std::map<unsigned, std::uint32_t> last_tickets_;      // of each outlet
  std::map<unsigned, std::vector<std::string>> behind_outlets_;
  struct GoingOn
  {
    std::uint32_t ticket;
    std::vector<std::unique_ptr<FakeCopy>> copies;
  };
  std::vector<GoingOn> going_on_;                       // their tickets are held
  std::string published_;
  std::uint64_t sent_count_ = 0;
  std::uint64_t published_count_ = 0;
};

inline std::vector<std::unique_ptr<FakeCopy>>
FakeSource::copies_for(const std::vector<unsigned> &outlets)
{
  std::vector<std::unique_ptr<FakeCopy>> copies;
  for (const unsigned outlet : outlets)
    copies.push_back(
      std::make_unique<FakeCopy>(FakeCopy{{host_.outlet_order_.sent(index_, FakeCopy::stream(outlet))}, index_, outlet}));
  return copies;
}

inline void
FakeSource::send(const std::string &key, const Route &route)
{
  FakeHost::Running as(host_, *this);
  auto message = std::make_unique<FakeMessage>(
    FakeMessage{{host_.order_.sent(index_, key)}, index_, key, host_.cost});
  message->copies = copies_for(route.outlets);
  message->later = copies_for(route.later);
  message->goes_on = route.goes_on || !route.later.empty();
  host_.sent_count_++;

  for (;;)
    {
      if (!producer_)
        producer_ = parallelize_producer_open(host_.engine_, flags_);
      came_++;
      switch (parallelize_producer_accept(producer_))
        {
        case PARALLELIZE_ACCEPT_ENQUEUE:
          return enqueue(std::move(message));
        case PARALLELIZE_ACCEPT_FORWARD:
          return forward(std::move(message), false);
        case PARALLELIZE_ACCEPT_FORWARD_TIMED:
          return forward(std::move(message), true);
        case PARALLELIZE_ACCEPT_PUBLISH:
          host_.make_visible(*this);
          close();
        }
    }
}

inline void
FakeSource::forward(std::unique_ptr<FakeMessage> message, bool timed)
{
  host_.check(flags_ & PARALLELIZE_PRODUCER_BATCHES, name + " is to forward and does not publish soon");
  const std::uint64_t cost = message->cost;
  const std::uint32_t ticket = host_.options.outlets ? parallelize_producer_take_ticket(producer_) : 0;
  forwards_itself_ = true;
  host_.process(
    std::move(message), ticket,
    [&](unsigned outlet, const ParallelizeMessage &copy)
    {
      if (parallelize_producer_may_pass(producer_, outlet, ticket))
        host_.forward_from_outlet(outlet, copy);
      else
        parallelize_engine_arrived(host_.engine_, outlet, &copy);
    },
    [&](std::uint32_t ticket) { parallelize_producer_hold_ticket(producer_, ticket); });
  if (host_.options.outlets)
    parallelize_producer_return_ticket(producer_, ticket);
  if (timed)
    parallelize_producer_timed(producer_, cost);
}

inline void
FakeSource::enqueue(std::unique_ptr<FakeMessage> message)
{
  const std::string key = message->key;
  const std::uint32_t flags = message->flags();
  FakeMessage *const handle = message.release();
  const ParallelizeMessage handed_over = {handle, flags, 0};
  const ParallelizeEnqueue result = parallelize_producer_enqueue(producer_, &handed_over, key.data(), key.size());
  if (result == PARALLELIZE_ENQUEUE_FORWARD || result == PARALLELIZE_ENQUEUE_FORWARD_TIMED)
    return forward(std::unique_ptr<FakeMessage>(handle), result == PARALLELIZE_ENQUEUE_FORWARD_TIMED);

  host_.check((unpublished.empty() && unpublished_copies.empty()) || forwards_itself_,
              name + " helped and did not publish");
  if (!(flags_ & PARALLELIZE_PRODUCER_BATCHES))
    close();
}

inline void
FakeSource::close()
{
  if (!producer_)
    return;
  forwards_itself_ = false;
  const unsigned came = std::exchange(came_, 0);
  if (host_.reports_windows)
    parallelize_producer_report_window(producer_, 100, came < 100 ? 100 - came : 0, came);
  parallelize_producer_close(std::exchange(producer_, nullptr));
}

inline void
FakeSource::flush()
{
  FakeHost::Running as(host_, *this);
  if (producer_)
    parallelize_producer_flush(producer_);
}

inline void
FakeSource::end_batch()
{
  FakeHost::Running as(host_, *this);
  host_.make_visible(*this);
  close();
}
