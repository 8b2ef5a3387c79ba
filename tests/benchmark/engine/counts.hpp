// SPDX-License-Identifier: LGPL-2.1-or-later
// How often the engine used its atomics and locks: counts.cpp counts, no-counts.cpp does not.
#pragma once

#include "engine/engine.hpp"

#include <map>
#include <string>

namespace stress {

// On all threads.  `by_name`: an engine that one thread uses, or nullptr.
void begin_counting(const parallelize::Engine *by_name);

// By kind, "read_modify_writes" and "locks", and name: "lock scheduler: lock".  All
// other threads have ended.
std::map<std::string, unsigned long> counts();

}
