// SPDX-License-Identifier: LGPL-2.1-or-later
// Tells the simulated caches what the engine does to its atomics and mutexes.
#pragma once

#include "caches.hpp"

namespace simulation {

// While it lives, and a virtual thread runs.  One at a time.
class Observed
{
public:
  Observed(World &world, Caches &caches);
  ~Observed();
  Observed(const Observed &) = delete;
};

}
