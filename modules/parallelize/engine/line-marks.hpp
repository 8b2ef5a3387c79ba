// SPDX-License-Identifier: LGPL-2.1-or-later
// Marks in the engine: here a thread uses a cache line that another thread wrote
// last, and no atomic says so.
//
// They are nothing.  tests/simulation has its own definitions in place of this
// header, and counts the cache lines that go from core to core.
#ifndef PARALLELIZE_LINE_MARKS_INCLUDED
#define PARALLELIZE_LINE_MARKS_INCLUDED

#define PARALLELIZE_READS_LINE(what, address) static_cast<void>(0)
#define PARALLELIZE_WRITES_LINE(what, address) static_cast<void>(0)
#endif
