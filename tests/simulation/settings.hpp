// SPDX-License-Identifier: LGPL-2.1-or-later
// What is simulated.
#pragma once

#include "costs.hpp"
#include "dice.hpp"

namespace simulation {

struct Settings
{
  Costs costs;
  bool contention = true;       // lines and locks take time

  std::string element = "parallelize";  // or static-hash, off
  unsigned workers = 4;
  unsigned cores = 0;           // 0: one for each thread
  std::uint64_t batch_size = 128;
  std::uint64_t quantum = 1000;         // log-fetch-limit() of the element
  std::uint64_t prefetch = 0;           // 0: the default for this number of workers
  bool resequence = false;

  unsigned sources = 1;
  std::uint64_t messages = 100'000;     // of all sources together
  double rate = 0;              // messages a second, of all sources together; 0: as fast as they can
  bool regular = false;         // at the same distance; else by a Poisson process
  std::uint64_t fetch = 1000;           // log-fetch-limit() of the source
  std::uint64_t window = 100'000;       // log-iw-size() of each source

  std::string cost = "constant:8000";
  bool blocks = false;          // messages wait for something, instead of computing
  std::string keys = "none";
  std::uint64_t seed = 1;

  // From the arguments of the program.  Throws std::invalid_argument.
  static Settings parse(int argc, char **argv);
};

}
