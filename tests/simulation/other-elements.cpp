// SPDX-License-Identifier: LGPL-2.1-or-later
#include "other-elements.hpp"

namespace simulation {

void
StaticHash::batch_begins(Source &source)
{
  batches_[&source].resize(workers_.size());
}

void
StaticHash::submit(Source &source, SimulatedMessage &message)
{
  world_.spend(world_.costs.pack, Spent::daemon);
  std::size_t worker = turn_++;
  if (daemon_.keys().any())
    {
      world_.spend(world_.costs.key, Spent::daemon);
      world_.spend(world_.costs.hash, Spent::engine);
      worker = Dice(message.key).next();
    }
  batches_[&source][worker % workers_.size()].push_back(&message);
}

void
StaticHash::batch_ends(Source &source)
{
  std::vector<std::vector<SimulatedMessage *>> &batches = batches_[&source];
  for (std::size_t i = 0; i < workers_.size(); i++)
    {
      Worker &worker = workers_[i];
      if (batches[i].empty())
        continue;
      caches_.lock(&worker);
      worker.inbox.insert(worker.inbox.end(), batches[i].begin(), batches[i].end());
      const bool wakes = std::exchange(worker.waits, false);
      caches_.unlock(&worker);
      batches[i].clear();
      if (!wakes)
        continue;
      world_.spend(world_.costs.wake, Spent::wakeups);
      world_.unpark(*worker.thread, world_.costs.wake_delay);
    }
  daemon_.publish(source);
}

void
StaticHash::spawn_workers()
{
  for (std::size_t i = 0; i < workers_.size(); i++)
    workers_[i].thread = &world_.spawn("worker " + std::to_string(i), [this, i] { worker_main(workers_[i]); });
}

void
StaticHash::worker_main(Worker &worker)
{
  std::vector<SimulatedMessage *> batch;
  while (!stopped_)
    {
      caches_.lock(&worker);
      batch.swap(worker.inbox);
      worker.waits = batch.empty();
      caches_.unlock(&worker);
      if (batch.empty())
        {
          world_.park();
          continue;
        }
      world_.spend(world_.costs.turn, Spent::daemon);
      for (SimulatedMessage *message : batch)
        {
          world_.spend(world_.costs.run, Spent::engine);
          daemon_.process(*message, false);
          daemon_.forward(*message, worker);
        }
      batch.clear();
      daemon_.publish(worker);
    }
}

void
StaticHash::stop()
{
  stopped_ = true;
  for (Worker &worker : workers_)
    world_.unpark(*worker.thread, 0);
}

}
