/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/cached-time.h"
#include "host/features.h"
#include "timeutils/cache.h"

#include <iv.h>

void
host_cached_time_forget(void)
{
#if HOST_HAS_CACHED_REALTIME
  invalidate_cached_realtime();
#else
  invalidate_cached_time();
#endif
  /* rate-limit() and the timers of suppress() use the time of ivykis. */
  if (iv_inited())
    iv_invalidate_now();
}
