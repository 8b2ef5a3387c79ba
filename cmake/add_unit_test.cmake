# SPDX-License-Identifier: LGPL-2.1-or-later
#
# add_unit_test(TARGET test_name SOURCES ... [DEPENDS ...])
#
# Builds a Criterion executable and registers it with ctest.

if (BUILD_TESTING)
  pkg_check_modules(CRITERION REQUIRED IMPORTED_TARGET criterion)
endif ()

function (add_unit_test)
  cmake_parse_arguments(TEST "" "TARGET" "SOURCES;DEPENDS" ${ARGN})

  if (SANITIZE MATCHES thread)
    list(APPEND TEST_SOURCES criterion_under_tsan.cpp)
  endif ()

  add_executable(${TEST_TARGET} ${TEST_SOURCES})
  target_link_libraries(${TEST_TARGET} PRIVATE ${TEST_DEPENDS} PkgConfig::CRITERION)

  add_test(NAME ${TEST_TARGET} COMMAND ${TEST_TARGET})
  # Criterion takes no notice when a test process fails after its test has passed, as sanitizers make it.
  set_tests_properties(${TEST_TARGET} PROPERTIES
    TIMEOUT 300
    FAIL_REGULAR_EXPRESSION "ERROR: LeakSanitizer|WARNING: ThreadSanitizer")
endfunction ()
