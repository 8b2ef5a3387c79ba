// SPDX-License-Identifier: LGPL-2.1-or-later
// What is where in an engine.
#pragma once

#include "engine/engine.hpp"

namespace simulation {

// The name of a lock, or of what is on a cache line.
const char *name_in(const parallelize::Engine &engine, const void *address);

}
