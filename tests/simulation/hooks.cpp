// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hooks.hpp"

namespace simulation {

namespace {

World *observed_world = nullptr;
Caches *observed_caches = nullptr;

Caches *
caches()
{
  return observed_world && observed_world->any_current() ? observed_caches : nullptr;
}

}

Observed::Observed(World &world, Caches &caches)
{
  observed_world = &world;
  observed_caches = &caches;
}

Observed::~Observed()
{
  observed_world = nullptr;
}

}

namespace counted {

using simulation::Caches;

void
on_load(const void *address) noexcept
{
  if (Caches *caches = simulation::caches())
    caches->read(address);
}

void
on_store(const void *address) noexcept
{
  if (Caches *caches = simulation::caches())
    caches->write(address);
}

void
on_read_modify_write(const void *address) noexcept
{
  if (Caches *caches = simulation::caches())
    caches->read_modify_write(address);
}

void
on_line_read(const char *what, const void *address) noexcept
{
  if (Caches *caches = simulation::caches())
    {
      caches->use_memory();
      caches->read(address, what);
    }
}

void
on_line_write(const char *what, const void *address) noexcept
{
  if (Caches *caches = simulation::caches())
    {
      caches->use_memory();
      caches->write(address, what);
    }
}

void
on_lock(counted_mutex &mutex) noexcept
{
  if (Caches *caches = simulation::caches())
    caches->lock(&mutex);
}

bool
on_try_lock(counted_mutex &mutex) noexcept
{
  Caches *caches = simulation::caches();
  return !caches || caches->try_lock(&mutex);
}

void
on_unlock(counted_mutex &mutex) noexcept
{
  if (Caches *caches = simulation::caches())
    caches->unlock(&mutex);
}

}
