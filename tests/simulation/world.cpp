// SPDX-License-Identifier: LGPL-2.1-or-later
#include "world.hpp"

namespace simulation {

Thread &
World::spawn(const std::string &name, std::function<void()> body)
{
  const unsigned core = limited_ ? no_core : static_cast<unsigned>(threads_.size());
  threads_.push_back(std::make_unique<Thread>(name, core, [this, body = std::move(body)]
  {
    body();
    end();
  }));
  alive_++;
  at(0, *threads_.back(), true);
  return *threads_.back();
}

bool
World::run()
{
  while (alive_ > 0 && !events_.empty())
    {
      const Event event = events_.top();
      events_.pop();
      now_ = event.time;
      if (event.wakes)
        activate(*event.thread);
      else
        {
          current_ = event.thread;
          outside_.switch_to(current_->fiber_);
          current_ = nullptr;
        }
    }
  return alive_ == 0;
}

// The thread that runs has given up its core, or has an event of its own.  Returns
// when it goes on.
void
World::next()
{
  Thread &self = *current_;
  while (!events_.empty())
    {
      const Event event = events_.top();
      events_.pop();
      now_ = event.time;
      if (event.wakes)
        {
          activate(*event.thread);
          continue;
        }
      current_ = event.thread;
      if (current_ != &self)
        self.fiber_.switch_to(current_->fiber_);
      return;
    }
  self.fiber_.switch_to(outside_);
}

void
World::end()
{
  alive_--;
  sync();
  leave_core();
  current_->state_ = Thread::State::parked;
  next();
}

void
World::spend(Time nanoseconds, Spent on)
{
  Thread &self = *current_;
  self.cpu_ += nanoseconds;
  self.spent_[static_cast<std::size_t>(on)] += nanoseconds;
  if (!limited_)
    {
      self.time_ += nanoseconds;
      return;
    }
  while (nanoseconds > costs.timeslice)
    {
      self.time_ += costs.timeslice;
      nanoseconds -= costs.timeslice;
      sync();
    }
  self.time_ += nanoseconds;
}

void
World::sync()
{
  Thread &self = *current_;
  if (!events_.empty() && events_.top().time < self.time_)
    {
      at(self.time_, self, false);
      next();
    }
  if (!ready_.empty() && self.time_ - self.slice_started_ >= costs.timeslice)
    yield();
}

void
World::yield()
{
  Thread &self = *current_;
  if (ready_.empty())
    return;
  const Time time = self.time_;
  const unsigned core = self.core_;
  ready_.push_back(&self);
  Thread *const other = ready_.front();
  ready_.pop_front();
  dispatch(*other, core, time + costs.context_switch);
  next();
}

// The thread gets a core, as soon as there is one.
void
World::activate(Thread &thread)
{
  thread.state_ = Thread::State::active;
  if (!limited_)
    {
      dispatch(thread, thread.core_, now_);
      return;
    }
  unsigned core = thread.core_;
  if (core == no_core || !free_cores_[core])
    core = static_cast<unsigned>(std::find(free_cores_.begin(), free_cores_.end(), true) - free_cores_.begin());
  if (core == free_cores_.size())
    ready_.push_back(&thread);
  else
    {
      free_cores_[core] = false;
      dispatch(thread, core, now_);
    }
}

void
World::dispatch(Thread &thread, unsigned core, Time time)
{
  thread.core_ = core;
  thread.time_ = thread.slice_started_ = time;
  at(time, thread, false);
}

void
World::leave_core()
{
  if (!limited_)
    return;
  Thread &self = *current_;
  if (ready_.empty())
    {
      free_cores_[self.core_] = true;
      return;
    }
  Thread *const other = ready_.front();
  ready_.pop_front();
  other->spent_[static_cast<std::size_t>(Spent::switches)] += costs.context_switch;
  dispatch(*other, self.core_, self.time_ + costs.context_switch);
}

void
World::park()
{
  sync();
  Thread &self = *current_;
  if (std::exchange(self.wake_pending_, false))
    return;
  self.switches_++;
  self.state_ = Thread::State::parked;
  leave_core();
  next();
}

void
World::sleep(Time nanoseconds)
{
  sync();
  Thread &self = *current_;
  self.switches_++;
  self.state_ = Thread::State::waking;
  leave_core();
  at(self.time_ + nanoseconds, self, true);
  next();
}

void
World::unpark(Thread &other, Time delay)
{
  sync();
  if (other.state_ != Thread::State::parked)
    {
      other.wake_pending_ = true;
      return;
    }
  other.state_ = Thread::State::waking;
  at(current_->time_ + delay, other, true);
}

}
