// SPDX-License-Identifier: LGPL-2.1-or-later
#include "monitor/stuck-watch.hpp"

#include <algorithm>

namespace parallelize {

namespace {

constexpr std::uint64_t report_every_ns = 60'000'000'000;

}

StuckWatch::StuckWatch(const Engine &engine, std::uint64_t stuck_ns, StuckListener &listener)
  : engine_(engine), stuck_ns_(stuck_ns), listener_(listener), last_tick_(engine.now())
{
}

void
StuckWatch::tick(std::uint64_t time)
{
  const std::vector<Engine::Runners> runners = engine_.runners();
  watched_.resize(std::max(watched_.size(), runners.size()), Watched{.since = time});
  for (std::size_t i = 0; i < runners.size(); i++)
    {
      Watched &watched = watched_[i];
      const std::uint64_t since = watched.since;
      follow(watched, runners[i], time);
      if (watched.reported && watched.since != since)
        end_stuck(watched, watched.since - since);
    }
  last_tick_ = time;

  if (last_report_ && time - last_report_ < report_every_ns)
    return;
  const auto first = std::find_if(watched_.begin(), watched_.end(), [&](const Watched &watched)
  {
    return is_stuck(watched) && !watched.reported;
  });
  if (first != watched_.end())
    begin_stuck(first - watched_.begin());
}

// Find out since when the thread has been with its message.
void
StuckWatch::follow(Watched &watched, const Engine::Runners &runner, std::uint64_t time) const
{
  if (!runner.busy_since)
    watched.since = time;
  else if (runner.messages != watched.messages || runner.busy_since > watched.since)
    watched.since = std::max(runner.busy_since, last_tick_);
  watched.messages = runner.messages;
}

StuckThread::Kind
StuckWatch::kind_of(std::size_t runner) const
{
  return runner < engine_.options().workers ? StuckThread::worker : StuckThread::source;
}

bool
StuckWatch::is_stuck(const Watched &watched) const
{
  return last_tick_ > watched.since && last_tick_ - watched.since >= stuck_ns_;
}

std::optional<StuckWatch::Longest>
StuckWatch::longest(StuckThread::Kind kind) const
{
  std::optional<Longest> result;
  for (std::size_t i = 0; i < watched_.size(); i++)
    if (kind_of(i) == kind && is_stuck(watched_[i]) && (!result || watched_[i].since < result->since))
      result = {i, watched_[i].since};
  return result;
}

void
StuckWatch::begin_stuck(std::size_t runner)
{
  Watched &watched = watched_[runner];
  StuckThread &report = watched.report;
  RunningMessage::Identity identity;

  report = {};
  report.kind = kind_of(runner);
  report.index = static_cast<unsigned>(runner);
  report.nanoseconds = last_tick_ - watched.since;
  for (std::size_t i = 0; i < watched_.size(); i++)
    report.stuck_threads += kind_of(i) == report.kind && is_stuck(watched_[i]);
  report.waiting = engine_.counters().waiting;
  if (engine_.running_message(runner, identity) && identity.sequence == watched.messages)
    {
      report.identified = true;
      report.after_outlet = identity.after_outlet;
      report.key = identity.key.view();
      report.key_cut = identity.key.cut;
      report.message_id = identity.id;
    }
  watched.reported = true;
  last_report_ = last_tick_;
  listener_.stuck(report);
}

void
StuckWatch::end_stuck(Watched &watched, std::uint64_t nanoseconds)
{
  watched.reported = false;
  watched.report.nanoseconds = nanoseconds;
  listener_.stuck_no_more(watched.report);
}

}
