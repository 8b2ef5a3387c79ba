#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The module is built with what the compiler and linker offer against memory errors, and asks the system for
# nothing but memory, threads, time and event loops.

module=${PARALLELIZE_MODULE_DIR:?}/libparallelize.so
failed=0

fail() {
  echo "$module: $1" >&2
  failed=1
}

segments=$(readelf --wide --segments "$module") && dynamic=$(readelf --wide --dynamic "$module") &&
  imports=$(nm --dynamic --undefined-only --format=just-symbols "$module" | sed 's/@.*//') || exit 1

echo "$segments" | grep -q 'GNU_RELRO' || fail 'no RELRO'
echo "$dynamic" | grep -q 'BIND_NOW' || fail 'RELRO is partial: not bound at start'
echo "$segments" | grep 'GNU_STACK' | grep -q 'RW ' || fail 'no word about the stack'
! echo "$segments" | grep 'GNU_STACK' | grep -q 'E' || fail 'an executable stack'
! echo "$segments" | grep 'LOAD' | grep -q 'RWE' || fail 'memory that is writable and executable'
! echo "$dynamic" | grep -q 'TEXTREL' || fail 'text relocations'

if echo "$imports" | grep -q '^__[at]san_'; then
  echo "$module: built with a sanitizer, which does without stack protector and fortified calls"
else
  echo "$imports" | grep -q '^__stack_chk_fail$' || fail 'no stack protector'
  echo "$imports" | grep -q '_chk$' || fail 'no fortified calls'
  forbidden=$(echo "$imports" | grep -E \
    '^(socket|socketpair|connect|bind|listen|accept4?|send(to|msg)?|recv(from|msg)?|fork|vfork|exec.*|posix_spawnp?|system|popen|dlopen|set[er]*[ug]id|setgroups|cap_.*|chroot|chmod|chown|unlink|rename|mkdir|ptrace|mprotect|getenv|gets|strcpy|strcat|sprintf|vsprintf)$')
  [ -z "$forbidden" ] || fail "calls of no use to it: $(echo "$forbidden" | xargs)"
fi
[ "$failed" -eq 0 ] && echo "$module: hardened"
exit "$failed"
