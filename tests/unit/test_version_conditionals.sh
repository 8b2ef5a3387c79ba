#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Only host-compat.* knows that hosts differ: elsewhere in the host half no preprocessor conditional stands but include
# guards and the C++ one, and no name that tells the host's version but where the module states what it was built for.

cd "$(dirname "$0")/../../modules/parallelize" || exit 1
failed=0

# no FOUND WHAT
no() {
  [ -n "$1" ] || return 0
  printf '%s outside of host-compat.*:\n%s\n' "$2" "$1" >&2
  failed=1
}

sources() {
  find . -type f \( -name '*.[ch]' -o -name '*.ym' -o -name '*.[ch]pp' \) ! -name 'host-compat.*'
}

[ "$(sources | wc -l)" -gt 20 ] || { echo "there are hardly any sources in $PWD" >&2; exit 1; }
no "$(sources | xargs grep -nE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif)\b' |
  grep -vE '#ifndef PARALLELIZE_\w+_INCLUDED$|#ifndef RESEQUENCE_\w+_INCLUDED$|#ifdef __cplusplus$')" 'a preprocessor conditional'
no "$(sources | xargs grep -nE '\b(VERSION_(VALUE|STR|PRODUCT)\w*|SYSLOG_NG_VERSION|HOST_(IS|HAS)_\w+)\b' |
  grep -vE '^\./config/plugin\.c:[0-9]+: +\.version = SYSLOG_NG_VERSION,$')" "a word about the host's version"
exit "$failed"
