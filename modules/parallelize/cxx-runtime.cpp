/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For a module that has its own copy of the C++ library's run-time part. */

#include <cstdio>
#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <typeinfo>

namespace __gnu_cxx
{

/* What std::terminate() calls, unless told otherwise; from any thread, does not
 * return.  The library's own would bring the demangler, 50 kB of code that
 * works with sprintf().  The version script keeps this one to ourselves. */
void
__verbose_terminate_handler()
{
  const std::type_info *type = abi::__cxa_current_exception_type();

  std::fprintf(stderr, "parallelize: uncaught C++ exception: %s", type ? type->name() : "none");
  if (type)
    try
      {
        throw;
      }
    catch (const std::exception &exception)
      {
        std::fprintf(stderr, ", %s", exception.what());
      }
    catch (...)
      {
      }
  std::fputc('\n', stderr);
  std::abort();
}

/* Gives back the memory that is kept for exceptions while there is no other. */
void __freeres() noexcept;

}

/* The host loads and unloads all modules to see what they offer, at each
 * reload. */
[[gnu::destructor]] static void
module_is_unloaded()
{
  __gnu_cxx::__freeres();
}
