/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/pipe-methods.h"
#include "host/features.h"

void
host_pipe_set_config_methods(LogPipe *pipe, HostPipeMethod pre_config_init, HostPipeMethod post_config_init)
{
#if HOST_IS_4
  pipe->pre_config_init = pre_config_init;
  pipe->post_config_init = post_config_init;
#else
  /* syslog-ng calls nothing between the compilation of the configuration and the creation of the first queue. */
  pre_config_init(pipe);
  pipe->on_config_inited = post_config_init;
#endif
}

void
host_pipe_mark_thread_boundary(LogPipe *pipe)
{
#if HOST_HAS_FILTERX
  /* The changes of a filterx block before the pipe must be in the message before it leaves the thread. */
  pipe->flags |= PIF_SYNC_FILTERX;
#endif
}
