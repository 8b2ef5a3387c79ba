# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The installed host: the target `syslog-ng` carries its headers and libraries, SYSLOG_NG_LIBDIR holds those
# libraries, SYSLOG_NG_TOOLSDIR the tools that build a module's grammar, and MODULEDIR is where a module goes.

find_package(PkgConfig REQUIRED)
pkg_check_modules(GLIB REQUIRED IMPORTED_TARGET glib-2.0)
pkg_check_modules(IVYKIS REQUIRED IMPORTED_TARGET ivykis)
pkg_check_modules(SYSLOG_NG REQUIRED IMPORTED_TARGET syslog-ng)
pkg_check_modules(JSONC json-c) # headers of some hosts include it

pkg_get_variable(SYSLOG_NG_LIBDIR syslog-ng libdir)
pkg_get_variable(SYSLOG_NG_TOOLSDIR syslog-ng toolsdir)
pkg_get_variable(SYSLOG_NG_MODULEDIR syslog-ng moduledir)
set(MODULEDIR ${SYSLOG_NG_MODULEDIR} CACHE PATH "Where syslog-ng looks for its modules")

add_library(syslog-ng INTERFACE)
if (JSONC_FOUND)
  target_include_directories(syslog-ng SYSTEM INTERFACE ${JSONC_INCLUDE_DIRS})
endif ()
target_link_libraries(syslog-ng INTERFACE PkgConfig::SYSLOG_NG PkgConfig::GLIB PkgConfig::IVYKIS)
target_compile_definitions(syslog-ng INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)

set(PYTHON_EXECUTABLE /usr/bin/python3 CACHE FILEPATH "Python that runs the host's merge-grammar.py")
find_package(BISON 3.7.6 REQUIRED)
