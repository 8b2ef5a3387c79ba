# SPDX-License-Identifier: LGPL-2.1-or-later

if (NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif ()

set(CMAKE_C_STANDARD 11)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_package(Threads REQUIRED)

# The host's keyword tables leave fields out, and its callbacks parameters unused and cast.
set(C_WARNINGS -Wshadow -Wstrict-prototypes -Wno-missing-field-initializers -Wno-cast-function-type)
set(CXX_WARNINGS -Wnon-virtual-dtor)
add_compile_options(
  -Wall -Wextra -Wpointer-arith -Wundef -Wno-unused-parameter
  "$<$<COMPILE_LANGUAGE:C>:${C_WARNINGS}>"
  "$<$<COMPILE_LANGUAGE:CXX>:${CXX_WARNINGS}>")

if (ENABLE_WERROR)
  add_compile_options(-Werror)
endif ()

if (SANITIZE)
  # Without fortified calls, which would hide the plain ones from the sanitizers.
  add_compile_options(-fsanitize=${SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_compile_definitions($<$<COMPILE_LANGUAGE:CXX>:_GLIBCXX_ASSERTIONS>)
  add_link_options(-fsanitize=${SANITIZE})
else ()
  add_compile_options(
    -fstack-protector-strong
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE>
    $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
endif ()

add_link_options(LINKER:-z,relro LINKER:-z,now LINKER:--as-needed)
