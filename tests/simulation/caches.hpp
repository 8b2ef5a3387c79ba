// SPDX-License-Identifier: LGPL-2.1-or-later
// Cache lines and locks of virtual cores: who has them, and what that costs.
#pragma once

#include "world.hpp"

namespace simulation {

// What happened to the lines, or to the locks, of one name.
struct LineCounts
{
  std::uint64_t accesses = 0;
  std::uint64_t read_modify_writes = 0;
  std::uint64_t transfers = 0;  // from one core to another
  Time waited = 0;              // for these
};

struct LockCounts
{
  std::uint64_t taken = 0;
  std::uint64_t transfers = 0;  // taken by another core than the last time
  std::uint64_t contended = 0;  // times that a thread had to wait
  Time waited = 0;
  Time held = 0;
};

// A line is in one core's cache, changed, or in several, unchanged.  A core that has
// it pays next to nothing.  Another one waits until it comes; a line that many want
// goes to one after the other.  A store does not wait, but keeps the line busy.
class Caches
{
public:
  static constexpr std::size_t most_cores = 320;

  using NameOf = std::function<const char *(const void *)>;

  // `costs_time`: false: all is counted, and nothing takes time.
  Caches(World &world, bool costs_time) : world_(world), costs_time_(costs_time) {}
  Caches(const Caches &) = delete;

  // The names of memory from here on; forgets all lines.
  void set_names(NameOf name_of)
  {
    name_of_ = std::move(name_of);
    lines_.clear();
    recent_ = {};
    locks_.clear();
  }

  void read(const void *address, const char *what = nullptr);
  void write(const void *address, const char *what = nullptr);
  void read_modify_write(const void *address);
  // A few instructions on a line.
  void use_memory() { world_.spend(world_.costs.memory, Spent::engine); }

  void lock(const void *mutex);
  bool try_lock(const void *mutex);
  void unlock(const void *mutex);

  const std::map<std::string, LineCounts> &lines() const { return line_counts_; }
  const std::map<std::string, LockCounts> &locks() const { return lock_counts_; }

private:
  static constexpr std::uintptr_t line_size = 64;

  struct Line
  {
    std::uintptr_t address;
    unsigned owner = no_core;           // has changed it
    std::bitset<most_cores> sharers;    // if there is no owner
    Time busy_until = 0;
    LineCounts *counts;
  };

  struct Lock
  {
    Thread *holder = nullptr;
    unsigned last_core = no_core;
    Time taken_at = 0;
    std::deque<Thread *> waiters;
    LockCounts *counts;
  };

  Line &line(const void *address, const char *what);
  Lock &lock_at(const void *mutex);
  void fetch(Line &line);
  void take(Lock &lock);

  World &world_;
  const bool costs_time_;
  NameOf name_of_ = [](const void *) { return "other"; };
  std::unordered_map<std::uintptr_t, Line> lines_;
  std::array<Line *, 4096> recent_ = {};
  std::unordered_map<const void *, Lock> locks_;
  std::map<std::string, LineCounts> line_counts_;
  std::map<std::string, LockCounts> lock_counts_;
};

}
