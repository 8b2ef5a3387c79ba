// SPDX-License-Identifier: LGPL-2.1-or-later
// Warnings about elements after, or before, an element of this module.
//
// Main thread, after the configuration was initialized.
#pragma once

#include "host/daemon-headers.hpp"

namespace parallelize {

// A parallelize() that has workers.
struct ParallelElement
{
  LogPipe *pipe;
  const char *key;              // nullptr: round-robin
  const char *id;
  const char *location;
};

// Warn if a destination undoes the order that the element keeps per key.
void warn_about_destinations(const ParallelElement &element);

// Warn if several threads make a fault of syslog-ng likely that ends it.
void warn_about_python_parsers(const ParallelElement &element);
void warn_about_filterx(const ParallelElement &element);

// Warn if a destination undoes the order that a resequence() with partners restores.
void warn_about_destinations(LogPipe *resequence, const char *location);

}
