// SPDX-License-Identifier: LGPL-2.1-or-later
// Linked into the tests when they are built with ThreadSanitizer.

#include <cstdlib>

#if defined(__x86_64__)
// Criterion hands memory to its test processes at an address that it draws by rand_r(): 16 MiB times the
// number drawn, above 0x200000000000. It gives up where ThreadSanitizer has its shadow, which is nearly
// everywhere. These numbers lead above the place of the executable, where a program's own memory may be.
extern "C" int
rand_r(unsigned *seed) noexcept
{
  constexpr unsigned first = (0x567000000000 - 0x200000000000) >> 24;
  constexpr unsigned places = 0x800;
  return static_cast<int>(first + (*seed)++ % places);
}
#endif
