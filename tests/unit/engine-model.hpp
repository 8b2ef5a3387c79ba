// SPDX-License-Identifier: LGPL-2.1-or-later
// One random schedule of an engine, stepped in one thread.
//
// An engine, sources and messages are drawn, then random threads are stepped.
// Inside a callback other threads may be stepped, as if they ran meanwhile; the
// thread that is called back goes on afterwards.
#pragma once

#include "dice.hpp"
#include "fake-host.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

class EngineModel
{
public:
  EngineModel(Dice &dice, const std::string &context) : dice_(dice), host_(random_options(dice))
  {
    host_.context = context;
    host_.reports_windows = true;
    keys_ = dice_.one_of({1u, 2u, 8u, 60u});
    usual_cost_ = dice_.one_of({100u, 500u, 5'000u, 50'000u, 500'000u});
    interleave_one_in_ = dice_.one_of({2u, 4u, 10u, 40u});
    steps_left_ = dice_.from_to(20, 400);
    goes_on_one_in_ = dice_.one_of({1u, 10u, 1000u});
    for (unsigned i = dice_.from_to(1, 4); i; i--)
      host_.source(dice_.one_of<unsigned>({0, parallelize::Producer::publishes, parallelize::Producer::assists, ordinary,
                                           ordinary, ordinary | parallelize::Producer::single,
                                           parallelize::Producer::single}));
    host_.on_callback = [this] { meanwhile(); };
  }

  void
  run()
  {
    while (steps_left_ && !dice_.exhausted())
      {
        step();
        check_somebody_comes();
        host_.check_counters();
        if (dice_.one_in(100))
          come_to_rest();
      }
    end();
  }

  // How many threads were stepped.
  unsigned steps() const { return steps_; }

private:
  void
  meanwhile()
  {
    if (depth_ == max_depth || !dice_.one_in(interleave_one_in_))
      return;
    if (dice_.one_in(10))
      publish_inside();
    depth_++;
    step();
    depth_--;
  }

  // Something happens on a random thread, if it is not inside the engine already.
  void
  step()
  {
    if (resting_)
      return run_a_worker();
    if (!steps_left_)
      return;
    steps_left_--;
    steps_++;
    if (dice_.one_in(6))
      finish_one();
    switch (dice_.below(10))
      {
      case 0:
        if (dice_.one_in(5))
          start_or_stop();
        else if (dice_.one_in(10))
          host_.rescan_sleepers();
        else if (dice_.one_in(2))
          host_.elapsed += dice_.one_of<std::uint64_t>({1'000'000, 200'000'000, 3'000'000'000, 90'000'000'000});
        break;
      case 1:
      case 2:
      case 3:
      case 4:
        run_a_worker();
        break;
      default:
        run_a_source();
      }
  }

  void
  start_or_stop()
  {
    if (started_)
      host_.stop();
    else if (host_.count(FakeWorker::absent) + host_.count(FakeWorker::ended) == host_.options.workers)
      start();
    else
      return;           // still stopping
    started_ = !started_;
  }

  void
  start()
  {
    host_.start();
    for (unsigned i = 1; i < host_.options.workers; i++)
      if (dice_.one_in(20))
        host_.abandon(i);
  }

  void
  run_a_worker()
  {
    const unsigned worker = dice_.below(host_.options.workers);
    if (host_.can_run(worker))
      host_.run(worker);
  }

  void
  run_a_source()
  {
    FakeSource &source = *host_.sources()[dice_.below(static_cast<unsigned>(host_.sources().size()))];
    if (source.running)
      return;
    if (dice_.one_in(4))
      {
        switch (dice_.below(8))
          {
          case 0:
          case 1:
            return source.flush();
          case 2:
            return source.publish();
          default:
            return source.end_batch();
          }
      }
    for (unsigned i = dice_.one_of({1u, 1u, 5u, 50u}); i; i--)
      {
        host_.cost = dice_.one_in(20) ? dice_.one_of({100u, 50'000u, 3'000'000u, 9'000'000u}) : usual_cost_;
        host_.blocks = dice_.one_in(3);
        source.send(random_key(), random_route());
      }
  }

  // The thread that is called back may publish for a reason of its own.
  void
  publish_inside()
  {
    for (const auto &source : host_.sources())
      if (source->is_inside() && source->open())
        return source->publish_inside();
  }

  Route
  random_route()
  {
    Route route;
    if (!host_.options.outlets || dice_.one_in(3))
      return route;
    for (unsigned copies = dice_.one_of({1u, 1u, 1u, 2u, 5u}); copies; copies--)
      route.outlets.push_back(dice_.below(host_.options.outlets));
    if (dice_.one_in(goes_on_one_in_))
      {
        route.goes_on = true;
        for (unsigned copies = dice_.below(3); copies; copies--)
          route.later.push_back(dice_.below(host_.options.outlets));
      }
    return route;
  }

  // A message that went on elsewhere comes to its end.
  void
  finish_one()
  {
    if (host_.going_on())
      host_.finish(dice_.below(static_cast<unsigned>(host_.going_on())));
  }

  std::string
  random_key()
  {
    const unsigned key = dice_.one_in(2) ? 1 : dice_.below(keys_ + 1);
    return key ? "k" + std::to_string(key) : "";
  }

  // Between steps: what is inside has somebody who will run it without being woken.
  void
  check_somebody_comes()
  {
    const std::uint64_t waiting = host_.counters().in_flight + host_.counters().released;
    const unsigned runnable = host_.count(FakeWorker::awake) + host_.count(FakeWorker::napping);
    host_.check(waiting == 0 || runnable > 0 || somebody_has_unpublished(),
                std::to_string(waiting) + " messages wait, and nobody is awake or naps");
  }

  // All wait for the end of its batch, which will come.
  bool
  somebody_has_unpublished() const
  {
    const auto &sources = host_.sources();
    return std::any_of(sources.begin(), sources.end(), [](const auto &source) { return source->has_unpublished(); });
  }

  // Other workers go on inside callbacks, but nothing more is sent.
  void
  come_to_rest()
  {
    resting_ = true;
    host_.come_to_rest();
    resting_ = false;
  }

  void
  end()
  {
    host_.stop();
    come_to_rest();
    host_.check(host_.count(FakeWorker::ended) + host_.count(FakeWorker::absent) == host_.options.workers,
                "a stopped worker has not ended");
  }

  static constexpr unsigned max_depth = 6;      // threads inside each other
  static constexpr unsigned ordinary = parallelize::Producer::publishes | parallelize::Producer::assists;

  Dice &dice_;
  FakeHost host_;
  unsigned keys_;
  unsigned usual_cost_;
  unsigned interleave_one_in_;
  unsigned steps_left_;
  unsigned goes_on_one_in_;     // of the messages with copies
  unsigned steps_ = 0;
  unsigned depth_ = 0;
  bool started_ = false;
  bool resting_ = false;
};
