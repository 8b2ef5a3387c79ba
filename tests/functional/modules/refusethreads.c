/*
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Preloaded into the daemon: pthread_create() fails with EAGAIN while the process has TEST_MAX_THREADS
 * threads or more, as it does at the kernel's limit of tasks.
 */

#define _GNU_SOURCE

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

typedef int (*PThreadCreate)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static int
_count_threads(void)
{
  int count = 0;
  struct dirent *entry;
  DIR *tasks = opendir("/proc/self/task");

  if (!tasks)
    abort();
  while ((entry = readdir(tasks)))
    {
      if (entry->d_name[0] != '.')
        count++;
    }
  closedir(tasks);
  return count;
}

int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
  PThreadCreate real_create = (PThreadCreate) dlsym(RTLD_NEXT, "pthread_create");
  const char *limit = getenv("TEST_MAX_THREADS");

  if (limit && _count_threads() >= atoi(limit))
    return EAGAIN;
  return real_create(thread, attributes, start, argument);
}
