#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The module exports what the host looks up and nothing else: names of its own, or of the C++ library's
# templates, could meet the same names of another module in the daemon.

module=${PARALLELIZE_MODULE_DIR:?}/libparallelize.so
expected='module_info parallelize_module_init'

symbols=$(nm --dynamic --defined-only --format=just-symbols "$module") || exit 1
exported=$(echo "$symbols" | LC_ALL=C sort | xargs)
echo "$module exports: $exported"
test "$exported" = "$expected"
