# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The target `package_source` packs the source folder, but for what version control leaves out of it.

set(CPACK_PACKAGE_NAME syslog-ng-parallelize)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_SOURCE_PACKAGE_FILE_NAME ${CPACK_PACKAGE_NAME}-${CPACK_PACKAGE_VERSION})
set(CPACK_SOURCE_GENERATOR TGZ)
set(CPACK_VERBATIM_VARIABLES ON)

# Regular expressions for whole paths.
string(REGEX REPLACE "([][.+*?^$(){}|\\\\])" "\\\\\\1" SOURCE_DIR "${PROJECT_SOURCE_DIR}")
set(CPACK_SOURCE_IGNORE_FILES
    "^${SOURCE_DIR}/\\.git/"
    "^${SOURCE_DIR}/build(-[^/]*)?/"
    "/__pycache__/"
    "/\\.pytest_cache/")

include(CPack)
