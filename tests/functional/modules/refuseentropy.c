/*
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Preloaded into the daemon: getentropy() fails with ENOSYS, as under a kernel or a sandbox that does not grant it.
 */

#include <errno.h>
#include <stddef.h>

int
getentropy(void *buffer, size_t length)
{
  (void) buffer;
  (void) length;
  errno = ENOSYS;
  return -1;
}
