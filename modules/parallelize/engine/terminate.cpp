/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What std::terminate() calls, unless told otherwise. The C++ library's own
 * prints the name of the exception to standard error, which a daemon has not,
 * and brings the demangler with it: 50 kB of code that parses with sprintf().
 * The version script keeps this one to ourselves. From any thread; does not
 * return. */

#include <cstdlib>
#include <exception>

namespace __gnu_cxx
{

void
__verbose_terminate_handler()
{
  std::abort();
}

}
