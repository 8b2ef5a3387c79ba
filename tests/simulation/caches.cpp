// SPDX-License-Identifier: LGPL-2.1-or-later
#include "caches.hpp"

namespace simulation {

/* -- Lines -- */

Caches::Line &
Caches::line(const void *address, const char *what)
{
  const std::uintptr_t number = reinterpret_cast<std::uintptr_t>(address) / line_size;
  Line *&recent = recent_[number % recent_.size()];
  if (recent && recent->address == number)
    return *recent;
  const auto [found, is_new] = lines_.try_emplace(number);
  Line &line = found->second;
  if (is_new)
    {
      line.address = number;
      line.counts = &line_counts_[what ? what : name_of_(address)];
    }
  recent = &line;
  return line;
}

// The line comes from another core.
void
Caches::fetch(Line &line)
{
  line.counts->transfers++;
  if (!costs_time_)
    return;
  world_.sync();
  const Time now = world_.now();
  const Time begin = std::max(now, line.busy_until);
  const Time end = begin + world_.costs.line;
  line.counts->waited += end - now;
  world_.spend(end - now, Spent::lines);
}

void
Caches::read(const void *address, const char *what)
{
  Line &line = this->line(address, what);
  const unsigned core = world_.core();
  line.counts->accesses++;
  if (line.owner == core || (line.owner == no_core && line.sharers[core]))
    return;
  if (line.owner != no_core || line.sharers.any())
    fetch(line);
  if (line.owner != no_core && line.owner != core)
    {
      line.sharers.reset();
      line.sharers.set(line.owner);
      line.owner = no_core;
    }
  line.sharers.set(core);
}

void
Caches::write(const void *address, const char *what)
{
  Line &line = this->line(address, what);
  const unsigned core = world_.core();
  line.counts->accesses++;
  if (line.owner == core)
    return;
  std::bitset<most_cores> others = line.sharers;
  others.reset(core);
  if (line.owner != no_core || others.any())
    {
      line.counts->transfers++;
      if (costs_time_)
        {
          world_.sync();
          line.busy_until = std::max(world_.now(), line.busy_until) + world_.costs.line;
        }
    }
  line.owner = core;
  line.sharers.reset();
}

void
Caches::read_modify_write(const void *address)
{
  Line &line = this->line(address, nullptr);
  const unsigned core = world_.core();
  line.counts->accesses++;
  line.counts->read_modify_writes++;
  if (line.owner != core)
    {
      std::bitset<most_cores> others = line.sharers;
      others.reset(core);
      if (line.owner != no_core || others.any())
        {
          fetch(line);
          line.busy_until = world_.now();
        }
      line.owner = core;
      line.sharers.reset();
    }
  if (costs_time_)
    world_.spend(world_.costs.rmw, Spent::engine);
}

/* -- Locks -- */

Caches::Lock &
Caches::lock_at(const void *mutex)
{
  const auto [found, is_new] = locks_.try_emplace(mutex);
  if (is_new)
    found->second.counts = &lock_counts_[name_of_(mutex)];
  return found->second;
}

void
Caches::take(Lock &lock)
{
  lock.holder = &world_.current();
  lock.taken_at = world_.now();
  lock.counts->taken++;
  lock.counts->transfers += lock.last_core != world_.core() && lock.last_core != no_core;
  lock.last_core = world_.core();
}

// As the C library's: a thread that comes while the lock is free takes it, also before
// one that has just been woken for it.
void
Caches::lock(const void *mutex)
{
  read_modify_write(mutex);
  world_.sync();
  Lock &lock = lock_at(mutex);
  const Time came = world_.now();
  while (lock.holder)
    {
      lock.counts->contended++;
      for (Time spun = 0; lock.holder && spun < world_.costs.spin; spun += world_.costs.line)
        {
          world_.spend(world_.costs.line, Spent::locks);
          world_.sync();
        }
      if (!lock.holder)
        break;
      world_.spend(world_.costs.futex_wait, Spent::locks);
      world_.sync();
      if (!lock.holder)
        break;
      lock.waiters.push_back(&world_.current());
      world_.park();
      read_modify_write(mutex);
      world_.sync();
      std::erase(lock.waiters, &world_.current());
    }
  lock.counts->waited += world_.now() - came;
  take(lock);
}

bool
Caches::try_lock(const void *mutex)
{
  read_modify_write(mutex);
  world_.sync();
  Lock &lock = lock_at(mutex);
  if (lock.holder)
    return false;
  take(lock);
  return true;
}

void
Caches::unlock(const void *mutex)
{
  read_modify_write(mutex);
  world_.sync();
  Lock &lock = lock_at(mutex);
  lock.counts->held += world_.now() - lock.taken_at;
  lock.holder = nullptr;
  if (lock.waiters.empty())
    return;
  Thread *const first = lock.waiters.front();
  lock.waiters.pop_front();
  world_.spend(world_.costs.futex_wake, Spent::locks);
  world_.unpark(*first, world_.costs.futex_delay);
}

}
