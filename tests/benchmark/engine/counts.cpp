// SPDX-License-Identifier: LGPL-2.1-or-later
#include "counts.hpp"

#include "names.hpp"

namespace stress {

namespace {

using Counts = std::map<std::string, unsigned long>;

bool counting = false;
const parallelize::Engine *named_engine = nullptr;
std::binary_semaphore all_free(1);      // guards the next
Counts all;

// What one thread counts, until it ends.
class ThreadCounts
{
public:
  ~ThreadCounts() { add_to_all(); }

  void add(const char *kind, const void *address)
  {
    if (!counting)
      return;
    kinds_[kind]++;
    if (named_engine)
      names_[{kind, simulation::name_in(*named_engine, address)}]++;
  }

  void add_to_all()
  {
    all_free.acquire();
    for (const auto &[kind, count] : kinds_)
      all[std::string(kind) + "s"] += count;
    for (const auto &[name, count] : names_)
      all[std::string(name.first) + " " + name.second] += count;
    all_free.release();
    kinds_.clear();
    names_.clear();
  }

private:
  std::map<const char *, unsigned long> kinds_;
  std::map<std::pair<const char *, const char *>, unsigned long> names_;
};

thread_local ThreadCounts counts_of_this_thread;

}

void
begin_counting(const parallelize::Engine *by_name)
{
  counting = true;
  named_engine = by_name;
}

Counts
counts()
{
  counting = false;
  counts_of_this_thread.add_to_all();
  return all;
}

}

namespace counted {

void
on_load(const void *) noexcept
{
}

void
on_store(const void *) noexcept
{
}

void
on_read_modify_write(const void *address) noexcept
{
  stress::counts_of_this_thread.add("read_modify_write", address);
}

void
on_line_read(const char *, const void *) noexcept
{
}

void
on_line_write(const char *, const void *) noexcept
{
}

void
on_lock(counted_mutex &mutex) noexcept
{
  stress::counts_of_this_thread.add("lock", &mutex);
  mutex.real.lock();
}

bool
on_try_lock(counted_mutex &mutex) noexcept
{
  stress::counts_of_this_thread.add("tried_lock", &mutex);
  return mutex.real.try_lock();
}

void
on_unlock(counted_mutex &mutex) noexcept
{
  mutex.real.unlock();
}

}
