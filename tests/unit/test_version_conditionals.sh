#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Only the folder host/ knows that versions of syslog-ng differ. Other files have no preprocessor conditional except
# include guards and the one for C++. They do not name a version or a feature of syslog-ng, except where the module
# states which version it was built for. Within host/, only features.h looks at the number of the version.

cd "$(dirname "$0")/../../modules/parallelize" || exit 1
failed=0

# no FOUND WHAT
no() {
  [ -n "$1" ] || return 0
  printf '%s in the wrong place:\n%s\n' "$2" "$1" >&2
  failed=1
}

sources() {
  find . -type f \( -name '*.[ch]' -o -name '*.ym' -o -name '*.[ch]pp' \) ! -path './host/*'
}

[ "$(sources | wc -l)" -gt 20 ] || { echo "there are hardly any sources in $PWD" >&2; exit 1; }
no "$(sources | xargs grep -nE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif)\b' |
  grep -vE '#ifndef PARALLELIZE_\w+_INCLUDED$|#ifdef __cplusplus$')" 'a preprocessor conditional'
no "$(sources | xargs grep -nE '\b(VERSION_(VALUE|STR|PRODUCT)\w*|SYSLOG_NG_VERSION|HOST_(IS|HAS)_\w+)\b' |
  grep -vE '^\./config/plugin\.c:[0-9]+: +\.version = SYSLOG_NG_VERSION,$')" "the version of syslog-ng"
no "$(grep -nE '\bVERSION_(VALUE|STR|PRODUCT)\w*' host/* | grep -vE '^host/features\.h:')" "the number of syslog-ng's version"
exit "$failed"
