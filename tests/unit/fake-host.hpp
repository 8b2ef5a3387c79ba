// SPDX-License-Identifier: LGPL-2.1-or-later
// A host for the engine whose threads are stepped by a test, one at a time.
#pragma once

#include "engine/engine.hpp"
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
  bool blocks = false;          // its thread sleeps for that long, instead of computing
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
  bool inside = false;          // a message
  std::uint64_t clock = 0;
  parallelize::ThreadUsage usage = {};
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
    napping,                    // asleep, and run() may be called
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

  // Publish, in the middle of the batch.
  void publish();
  // The same inside one of its own messages, which is not complete: nothing becomes visible.
  void publish_inside();

  // Publish and close, as at the end of a thread's batch.
  void end_batch();

  bool open() const { return producer_ != nullptr; }
  // True if the thread that is called back is this one, inside a message.
  bool is_inside() const;
  // Copies after an outlet wait for the end of this source's batch.
  bool has_unpublished() const { return !unpublished_copies.empty(); }

private:
  friend class FakeHost;

  std::vector<std::unique_ptr<FakeCopy>> copies_for(const std::vector<unsigned> &outlets);
  void close();

  FakeHost &host_;
  const unsigned index_;
  const unsigned flags_;
  parallelize::Producer *producer_ = nullptr;
  unsigned came_ = 0;           // messages of the batch
};

// Holds the engine to its contract at every callback.  Threads run one inside
// the other: a hook that is called while one of them forwards or publishes may
// step any thread that is not running already.
class FakeHost : private parallelize::Callbacks
{
public:
  explicit FakeHost(const parallelize::EngineOptions &options) : options(options), engine_(with_ids(options), *this)
  {
    for (unsigned i = 0; i < options.workers; i++)
      workers_.push_back(std::make_unique<FakeWorker>(i));
  }

  FakeHost(const FakeHost &) = delete;

  // A thread that brings messages.  The default is a worker thread of the daemon.
  FakeSource &
  source(unsigned flags = parallelize::Producer::publishes | parallelize::Producer::assists)
  {
    sources_.push_back(std::make_unique<FakeSource>(*this, sources_.size(), flags));
    return *sources_.back();
  }

  // The main thread has its look.
  void rescan_sleepers() { engine_.rescan_sleepers(); }

  /* --- the threads of the workers --- */

  void
  start()
  {
    engine_.start();
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

  void stop() { engine_.stop(); }

  // The thread of `index` could not be created.
  void
  abandon(unsigned index)
  {
    worker(index).state = FakeWorker::absent;
    engine_.abandon_worker();
  }

  parallelize::Turn
  run(unsigned index)
  {
    FakeWorker &worker = this->worker(index);
    check(can_run(index), worker.name + " cannot run now");
    const bool napped = worker.state == FakeWorker::napping;
    worker.state = FakeWorker::awake;
    Running as(*this, worker);
    const std::uint64_t before = processed_by(index);
    const parallelize::Turn result = napped ? engine_.run_after_nap(index) : engine_.run(index);

    check(worker.unpublished.empty() && worker.unpublished_copies.empty(),
          worker.name + " returns with unpublished messages");
    worker.longest_run = std::max(worker.longest_run, static_cast<unsigned>(processed_by(index) - before));
    if (result == parallelize::Turn::sleeping)
      worker.state = FakeWorker::asleep;
    else if (result == parallelize::Turn::napping)
      worker.state = FakeWorker::napping;
    else if (result == parallelize::Turn::ended)
      worker.state = FakeWorker::ended;
    return result;
  }

  bool
  can_run(unsigned index)
  {
    const FakeWorker &worker = this->worker(index);
    return (worker.state == FakeWorker::awake || worker.state == FakeWorker::napping) && !worker.running;
  }

  // Run the workers that are awake once each.
  void
  run_awake()
  {
    for (unsigned i = 0; i < options.workers; i++)
      if (worker(i).state == FakeWorker::awake)
        run(i);
  }

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
        engine_.arrived(handle->outlet, {handle, handle->flags(), message.ticket, 0});
        called_back();
      }
    engine_.release_ticket(message.ticket);
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
  bool napping(unsigned index) { return worker(index).state == FakeWorker::napping; }
  bool asleep(unsigned index) { return worker(index).state == FakeWorker::asleep; }
  bool ended(unsigned index) { return worker(index).state == FakeWorker::ended; }
  unsigned
  count(FakeWorker::State state) const
  {
    return std::count_if(workers_.begin(), workers_.end(), [&](const auto &worker) { return worker->state == state; });
  }

  const std::vector<std::unique_ptr<FakeSource>> &sources() const { return sources_; }

  std::vector<FakeThread *>
  threads() const
  {
    std::vector<FakeThread *> result;
    for (const auto &worker : workers_)
      result.push_back(worker.get());
    for (const auto &source : sources_)
      result.push_back(source.get());
    return result;
  }

  /* --- what a test sees --- */

  parallelize::EngineCounters
  counters() const
  {
    observing_ = true;
    const parallelize::EngineCounters counters = engine_.counters();
    observing_ = false;
    return counters;
  }

  // Nothing happens meanwhile, though the clock is looked at.
  parallelize::WorkerCounters
  worker_counters(unsigned index) const
  {
    observing_ = true;
    const parallelize::WorkerCounters counters = engine_.worker_counters(index);
    observing_ = false;
    return counters;
  }

  parallelize::Engine &engine() { return engine_; }

  std::uint64_t processed_by(unsigned index) const { return engine_.processed_by(index); }

  // The keys of all published messages, in order.
  const std::string &published() const { return published_; }

  // "SOURCE.NUMBER" of all that is published behind an outlet, in order.
  const std::vector<std::string> &behind_outlet(unsigned outlet) { return behind_outlets_[outlet]; }

  // How often the engine has asked for the key of a message, and for the time.
  std::uint64_t key_looks() const { return key_looks_; }
  std::uint64_t clock_looks() const { return clock_looks_; }

  // The time on `thread`.
  std::uint64_t time_of(const FakeThread &thread) const { return elapsed + thread.clock; }

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
    const parallelize::EngineCounters all = counters();
    std::uint64_t assigned = all.worth_a_hand_over + all.too_cheap;
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

  const parallelize::EngineOptions options;
  std::uint64_t cost = 50'000;                          // of the messages that are sent from now on
  bool blocks = false;                                  // their threads sleep for that long
  std::uint64_t cost_behind_outlets = 1'000;
  std::uint64_t elapsed = 1'000'000'000;                // nanoseconds on top of what messages take
  bool reports_windows = false;                         // of the sources
  std::size_t fetch_limit = 0;                          // of the sources, messages; 0: unknown
  std::uint64_t message_age = 0;                        // when the engine asks for it
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

  static parallelize::EngineOptions
  with_ids(parallelize::EngineOptions options)
  {
    options.message_ids = true;
    return options;
  }

  void
  check_thread(parallelize::OnThread on)
  {
    check(current_, "a callback outside of any thread");
    check((on == parallelize::OnThread::worker) == (dynamic_cast<FakeWorker *>(current_) != nullptr),
          current_->name + " is taken for another");
  }

  // A message that a source submits: it, or nullptr when the engine has it.
  using Arrival = std::unique_ptr<FakeMessage>;

  std::string_view
  key(void *arrival) noexcept override
  {
    check(current_source(), "a key is looked at outside of a source's thread");
    check(options.keyed, "a key is looked at without need");
    key_looks_++;
    called_back();
    return static_cast<Arrival *>(arrival)->get()->key;
  }

  parallelize::Message
  pack(void *arrival) noexcept override
  {
    check(current_source(), "a message is packed outside of a source's thread");
    called_back();
    FakeMessage *const message = static_cast<Arrival *>(arrival)->release();
    return {message, message->flags(), 0, 0};
  }

  void
  forward_inline(parallelize::Runner &runner, void *arrival, std::uint32_t ticket) noexcept override
  {
    check(current_source(), "an inline message outside of a source's thread");
    process(runner, std::move(*static_cast<Arrival *>(arrival)), ticket);
  }

  void
  forward(parallelize::Runner &runner, const parallelize::Message &message) noexcept override
  {
    check(current_, "a callback outside of any thread");
    std::unique_ptr<FakeMessage> owned(static_cast<FakeMessage *>(message.handle));
    check(message.flags == owned->flags(), "the flags of a message have changed");
    // A key of a message that was handed over is the thread's from here to its publish.
    if (needs_order(owned->key))
      {
        const FakeThread *holder = holders_.try_emplace(owned->key, current_).first->second;
        check(holder == current_, current_->name + " forwards key '" + owned->key + "' while " + holder->name
                                    + " has not published it");
      }
    process(runner, std::move(owned), message.ticket);
  }

  // On the current thread.
  void
  process(parallelize::Runner &runner, std::unique_ptr<FakeMessage> owned, std::uint32_t ticket)
  {
    FakeThread &thread = *current_;
    FakeMessage &message = *owned;
    // Inline or not: the messages of one source and key stay together.
    if (needs_order(message.key))
      {
        const FakeThread *holder = source_holders_.try_emplace({message.source, message.key}, &thread).first->second;
        check(holder == &thread, thread.name + " forwards key '" + message.key + "' of source "
                                   + std::to_string(message.source) + " while " + holder->name
                                   + " has not published it");
      }
    thread.inside = true;
    thread.unpublished.push_back(std::move(owned));
    thread.forwarded += message.key;
    spend(thread, message.cost, message.blocks);
    if (on_forward)
      on_forward(message);
    called_back();
    for (auto &copy : message.copies)
      {
        copy->ticket = ticket;
        FakeCopy *const handle = copy.release();
        runner.arrived(handle->outlet, {handle, handle->flags(), ticket, 0});
        called_back();
      }
    if (message.goes_on)
      {
        runner.retain_ticket(ticket);
        going_on_.push_back({ticket, std::move(message.later)});
        called_back();
      }
    thread.inside = false;
  }

  static void
  spend(FakeThread &thread, std::uint64_t nanoseconds, bool blocked)
  {
    thread.clock += nanoseconds;
    if (blocked)
      thread.usage.voluntary_switches++;
    else
      thread.usage.cpu_ns += nanoseconds;
  }

  // An outlet is the thread's from here to its publish.
  void
  forward_from_outlet(unsigned outlet, const parallelize::Message &message) noexcept override
  {
    check(current_, "a callback outside of any thread");
    FakeThread &thread = *current_;
    std::unique_ptr<FakeCopy> owned(static_cast<FakeCopy *>(message.handle));
    const FakeCopy &copy = *owned;
    check(copy.outlet == outlet, copy.name() + " leaves another outlet");
    check(message.flags == copy.flags(), "the flags of a copy have changed");
    const FakeThread *holder = outlet_holders_.try_emplace(outlet, &thread).first->second;
    check(holder == &thread, thread.name + " forwards from an outlet while " + holder->name + " has not published it");
    thread.inside = true;
    thread.unpublished_copies.push_back(std::move(owned));
    spend(thread, cost_behind_outlets, false);
    if (on_outlet)
      on_outlet(copy);
    called_back();
    thread.inside = false;
  }

  void
  publish(parallelize::OnThread on) noexcept override
  {
    check_thread(on);
    make_visible(*current_);
    // The daemon's batch callbacks are a thread's, whoever asks for them.
    if (FakeSource *source = current_source(); source && source->producer_)
      source->producer_->published();
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
        if (const auto holder = holders_.find(message->key); holder != holders_.end() && holder->second == &thread)
          holders_.erase(holder);
        source_holders_.erase({message->source, message->key});
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
  wake(unsigned index) noexcept override
  {
    check(asleep(index) || napping(index), worker(index).name + " is woken and does not sleep");
    worker(index).state = FakeWorker::awake;
    called_back();
  }

  std::uint64_t
  now() noexcept override
  {
    called_back();
    clock_looks_ += !observing_;
    return elapsed + (current_ ? current_->clock : 0);
  }

  // Ticks as that of a usual kernel does.  Nothing happens meanwhile.
  std::uint64_t
  coarse_now() noexcept override
  {
    constexpr std::uint64_t tick = 4'000'000;
    return (elapsed + (current_ ? current_->clock : 0)) / tick * tick;
  }

  parallelize::ThreadUsage thread_usage() noexcept override { return current_->usage; }

  std::uint64_t
  message_id(const parallelize::Message &message) noexcept override
  {
    return static_cast<FakeNumber *>(message.handle)->number;
  }

  std::uint64_t age(const parallelize::Message &) noexcept override { return message_age; }
  std::uint64_t age_of_arrival(void *) noexcept override { return message_age; }

  void
  hot_key(std::string_view key, unsigned percent) noexcept override
  {
    check(current_source(), "a hot key is reported outside of a source's thread");
    check(percent > 0 && percent <= 100, "a share of " + std::to_string(percent) + " percent");
    hot_keys.emplace_back(key);
    called_back();
  }

  std::vector<std::unique_ptr<FakeWorker>> workers_;
  std::vector<std::unique_ptr<FakeSource>> sources_;
  FakeThread *current_ = nullptr;
  mutable bool observing_ = false;
  std::map<std::string, FakeThread *> holders_;         // key to the thread that has it unpublished
  std::map<std::pair<unsigned, std::string>, FakeThread *> source_holders_; // the same for a key of one source
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
  std::uint64_t key_looks_ = 0;
  std::uint64_t clock_looks_ = 0;
  std::uint64_t sent_count_ = 0;
  std::uint64_t published_count_ = 0;
  parallelize::Engine engine_;                          // last: it calls back from its beginning on
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
    FakeMessage{{host_.order_.sent(index_, key)}, index_, key, host_.cost, host_.blocks});
  message->copies = copies_for(route.outlets);
  message->later = copies_for(route.later);
  message->goes_on = route.goes_on || !route.later.empty();
  host_.sent_count_++;

  if (!producer_)
    producer_ = &host_.engine_.open(flags_, index_ + 1);
  came_++;
  producer_->submit(&message);
  if (!(flags_ & parallelize::Producer::publishes))
    {
      // What such a thread forwards is visible at once.
      host_.make_visible(*this);
      close();
    }
}

inline void
FakeSource::close()
{
  if (!producer_)
    return;
  const unsigned came = std::exchange(came_, 0);
  if (host_.reports_windows)
    producer_->report_window(100, came < 100 ? 100 - came : 0, came);
  producer_->report_batch(came);
  producer_->report_fetch({.came = came, .limit = host_.fetch_limit, .full = came >= host_.fetch_limit, .source = "s"});
  host_.engine_.close(*std::exchange(producer_, nullptr));
}

inline void
FakeSource::flush()
{
  FakeHost::Running as(host_, *this);
  if (producer_)
    producer_->flush();
}

inline bool
FakeSource::is_inside() const
{
  return inside && host_.current_ == this;
}

inline void
FakeSource::publish()
{
  FakeHost::Running as(host_, *this);
  host_.make_visible(*this);
  if (producer_)
    producer_->published();
}

inline void
FakeSource::publish_inside()
{
  host_.check(is_inside(), name + " is not inside a message");
  producer_->published();
}

inline void
FakeSource::end_batch()
{
  FakeHost::Running as(host_, *this);
  host_.make_visible(*this);
  close();
}
