// SPDX-License-Identifier: LGPL-2.1-or-later
// What things cost in virtual time.
#pragma once

namespace simulation {

using Time = std::uint64_t;     // nanoseconds

// The defaults are fixed, so that results are the same on every machine.  Their
// size is that of a server; tests/simulation/calibrate measures those of a machine.
struct Costs
{
  // Hardware
  Time line = 70;               // a cache line comes from another core
  Time rmw = 5;                 // an atomic read-modify-write on a line that the core has
  Time memory = 2;              // a few instructions on a line, mostly under a lock

  // The kernel
  Time clock = 25;
  Time coarse_clock = 5;
  Time thread_usage = 300;
  Time wake = 1'500;            // for the thread that wakes another one
  Time wake_delay = 30'000;     // until that one runs
  Time spin = 0;                // a thread tries a lock for this long before it sleeps; not that of the C library
  Time futex_wait = 1'000;      // a thread goes to sleep for a lock
  Time futex_wake = 1'500;      // the one that has the lock wakes it
  Time futex_delay = 5'000;     // until that one runs
  Time yield = 500;
  Time context_switch = 1'500;
  Time timeslice = 1'000'000;   // of a thread, if there are fewer cores than threads

  // The engine: instructions, without the accesses that are counted
  Time submit = 40;             // a message that is handed over, on the source's thread
  Time hash = 20;               // of its key
  Time run = 40;                // the same message, on the runner's thread
  Time inlined = 15;            // an inline message
  Time sequence = 60;           // a copy that passes an outlet
  Time turn = 500;              // a round of a worker's event loop

  // The daemon
  Time key = 30;                // expand the template
  Time pack = 60;               // make the message one that another thread may have
  Time message = 200;           // the message's memory comes from another core
  Time publish = 300;           // call a thread's batch callbacks
  Time read = 1'500;            // read and parse a message
  Time read_round = 5'000;      // a round of the source's event loop
  Time write = 1'000;           // format, write and free a message
  Time write_round = 3'000;     // a round of the destination's event loop
  Time acknowledge = 40;

  // Set one by its name.  False if there is none.
  bool set(const std::string &name, Time value);
};

inline bool
Costs::set(const std::string &name, Time value)
{
  const std::pair<const char *, Time *> names[] = {
    {"line", &line}, {"rmw", &rmw}, {"memory", &memory}, {"clock", &clock}, {"coarse_clock", &coarse_clock},
    {"thread_usage", &thread_usage}, {"wake", &wake}, {"wake_delay", &wake_delay}, {"spin", &spin}, {"futex_wait", &futex_wait},
    {"futex_wake", &futex_wake}, {"futex_delay", &futex_delay}, {"yield", &yield},
    {"context_switch", &context_switch}, {"timeslice", &timeslice}, {"submit", &submit}, {"hash", &hash},
    {"run", &run}, {"inlined", &inlined}, {"sequence", &sequence}, {"turn", &turn}, {"key", &key}, {"pack", &pack},
    {"message", &message}, {"publish", &publish}, {"read", &read}, {"read_round", &read_round}, {"write", &write},
    {"write_round", &write_round}, {"acknowledge", &acknowledge},
  };
  if (name == "all")
    {
      for (const auto &[_, cost] : names)
        if (cost != &timeslice && cost != &spin)
          *cost = value;
      return true;
    }
  for (const auto &[known, cost] : names)
    if (name == known)
      {
        *cost = value;
        return true;
      }
  return false;
}

}
