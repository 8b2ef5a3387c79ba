/*
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Preloaded into the daemon: its wall clock is off by as many seconds as the file TEST_CLOCK_FILE says, a
 * native 64-bit integer that may change at any time. Monotonic clocks stay as they are, as they would be.
 */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static const volatile int64_t *shift;

__attribute__((constructor)) static void
_set_up(void)
{
  const char *path = getenv("TEST_CLOCK_FILE");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *map = fd >= 0 ? mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

  real_clock_gettime = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
  if (map == MAP_FAILED || !real_clock_gettime)
    abort();
  close(fd);
  shift = map;
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
  if (!real_clock_gettime)
    _set_up();

  int result = real_clock_gettime(clock, now);

  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
    now->tv_sec += *shift;
  return result;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
  struct timespec precise;

  clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec;
  now->tv_usec = precise.tv_nsec / 1000;
  return 0;
}

time_t
time(time_t *result)
{
  struct timespec now;

  clock_gettime(CLOCK_REALTIME, &now);
  if (result)
    *result = now.tv_sec;
  return now.tv_sec;
}
