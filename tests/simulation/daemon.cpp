// SPDX-License-Identifier: LGPL-2.1-or-later
#include "daemon.hpp"

namespace simulation {

namespace {

constexpr Time second = 1'000'000'000;

}

Daemon::Daemon(const Settings &settings, World &world, Caches &caches)
  : settings_(settings), world_(world), caches_(caches), dice_(settings.seed), keys_(settings.keys),
    costs_(settings.cost), work_of_key_(keys_.count())
{
  for (unsigned i = 0; i < settings.sources; i++)
    {
      auto source = std::make_unique<Source>();
      source->index = i;
      source->left = settings.messages / settings.sources + (i < settings.messages % settings.sources);
      source->window = settings.window;
      source->next_of_key.resize(keys_.count());
      source->out_of_key.resize(keys_.count());
      sources_.push_back(std::move(source));
    }
  next_arrival_.resize(settings.sources);
  arrived_.resize(settings.sources);
  waits_.reserve(settings.messages);
  latencies_.reserve(settings.messages);
}

bool
Daemon::run(Element &element)
{
  element_ = &element;
  for (const auto &source : sources_)
    source->thread = &world_.spawn("source " + std::to_string(source->index), [this, &source] { source_main(*source); });
  element.spawn_workers();
  if (settings_.costs.write > 0)
    writer_ = &world_.spawn("destination", [this] { writer_main(); });
  main_ = &world_.spawn("main", [this] { main_main(); });
  return world_.run();
}

Time
Daemon::longest_chain() const
{
  return *std::max_element(work_of_key_.begin(), work_of_key_.end());
}

/* -- The main thread -- */

void
Daemon::main_main()
{
  while (out_ < settings_.messages)
    {
      world_.sleep(second);
      if (out_ < settings_.messages)
        element_->look();
    }
  element_->stop();
  closed_ = true;
  if (writer_)
    world_.unpark(*writer_, 0);
}

/* -- Sources -- */

void
Daemon::source_main(Source &source)
{
  while (source.left > 0)
    {
      std::uint64_t batch = wait_for_messages(source);
      wait_for_window(source);
      batch = std::min({batch, source.left, settings_.fetch, source.window});
      world_.spend(settings_.costs.read_round, Spent::daemon);
      world_.sync();
      element_->batch_begins(source);
      for (; batch > 0; batch--)
        {
          world_.spend(settings_.costs.read, Spent::daemon);
          element_->submit(source, bring(source));
        }
      element_->batch_ends(source);
    }
}

// How many there are.
std::uint64_t
Daemon::wait_for_messages(Source &source)
{
  if (settings_.rate <= 0)
    return source.left;
  const double mean = static_cast<double>(second) * settings_.sources / settings_.rate;
  std::deque<Time> &arrived = arrived_[source.index];
  Time &next = next_arrival_[source.index];
  const auto take_due = [&]
  {
    for (; next <= world_.now(); next += static_cast<Time>(settings_.regular ? mean : dice_.exponential(mean)))
      arrived.push_back(next);
  };
  take_due();
  if (arrived.empty())
    {
      world_.sleep(next - world_.now() + settings_.costs.wake_delay);
      take_due();
    }
  return arrived.size();
}

void
Daemon::wait_for_window(Source &source)
{
  world_.sync();
  while (source.window == 0)
    {
      source.waits_for_window = true;
      world_.park();
    }
}

SimulatedMessage &
Daemon::bring(Source &source)
{
  if (free_.empty())
    free_.push_back(&storage_.emplace_back());
  SimulatedMessage &message = *free_.back();
  free_.pop_back();

  message.source = &source;
  message.number = source.next_number++;
  message.key = keys_.roll(dice_);
  message.number_of_key = source.next_of_key[message.key]++;
  message.cost = costs_.roll(dice_);
  message.core = world_.core();
  message.arrived = world_.now();
  if (std::deque<Time> &arrived = arrived_[source.index]; !arrived.empty())
    {
      message.arrived = arrived.front();
      arrived.pop_front();
    }
  source.left--;
  source.window--;
  first_arrival_ = std::min(first_arrival_, message.arrived);
  work_ += message.cost;
  Time &chain = work_of_key_[message.key];
  chain = keys_.any() ? chain + message.cost : std::max(chain, message.cost);
  return message;
}

/* -- Messages -- */

void
Daemon::process(SimulatedMessage &message, bool inlined)
{
  inlined_ += inlined;
  waits_.push_back(world_.now() - message.arrived);
  if (message.core != world_.core())
    world_.spend(settings_.costs.message, Spent::daemon);
  message.core = world_.core();
  if (settings_.blocks)
    world_.sleep(message.cost);
  else
    world_.spend(message.cost, Spent::message);
  world_.sync();
}

void
Daemon::publish(Forwarder &forwarder)
{
  world_.spend(settings_.costs.publish, Spent::daemon);
  if (forwarder.collected.empty())
    return;
  if (!writer_)
    {
      world_.sync();
      complete(forwarder.collected);
      forwarder.collected.clear();
      return;
    }
  caches_.lock(&queue_lock_);
  queue_.insert(queue_.end(), forwarder.collected.begin(), forwarder.collected.end());
  const bool wakes = std::exchange(writer_waits_, false);
  caches_.unlock(&queue_lock_);
  forwarder.collected.clear();
  if (wakes)
    {
      world_.spend(settings_.costs.wake, Spent::wakeups);
      world_.unpark(*writer_, settings_.costs.wake_delay);
    }
}

/* -- The destination -- */

void
Daemon::writer_main()
{
  std::vector<SimulatedMessage *> batch;
  while (!closed_)
    {
      caches_.lock(&queue_lock_);
      batch.swap(queue_);
      writer_waits_ = batch.empty();
      caches_.unlock(&queue_lock_);
      if (batch.empty())
        {
          world_.park();
          continue;
        }
      world_.spend(settings_.costs.write_round, Spent::daemon);
      std::vector<SimulatedMessage *> written;
      for (SimulatedMessage *message : batch)
        {
          world_.spend(settings_.costs.write, Spent::daemon);
          written.push_back(message);
          // A write takes some of them at a time.
          if (written.size() == 100)
            {
              world_.sync();
              complete(written);
              written.clear();
            }
        }
      world_.sync();
      complete(written);
      batch.clear();
    }
}

// They are out: acknowledge them.
void
Daemon::complete(const std::vector<SimulatedMessage *> &messages)
{
  world_.spend(settings_.costs.acknowledge * messages.size(), Spent::daemon);
  std::vector<Source *> waiting;
  for (SimulatedMessage *message : messages)
    {
      latencies_.push_back(world_.now() - message->arrived);
      check_order(*message);
      out_++;
      message->source->window++;
      if (std::exchange(message->source->waits_for_window, false))
        waiting.push_back(message->source);
      free_.push_back(message);
    }
  last_out_ = std::max(last_out_, world_.now());
  for (const Source *source : waiting)
    world_.unpark(*source->thread, settings_.costs.wake_delay);
}

void
Daemon::check_order(const SimulatedMessage &message)
{
  Source &source = *message.source;
  if (settings_.resequence)
    out_of_order_ += source.out++ != message.number;
  else if (keys_.any())
    out_of_order_ += source.out_of_key[message.key]++ != message.number_of_key;
}

}
