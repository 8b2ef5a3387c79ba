/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/forward.h"
#include "host/features.h"

void
host_forward_detached(LogPipe *pipe, LogMessage *msg, const LogPathOptions *path_options)
{
  LogPathOptions detached = LOG_PATH_OPTIONS_INIT;

  detached.ack_needed = path_options->ack_needed;
  detached.flow_control_requested = path_options->flow_control_requested;
#if HOST_HAS_FILTERX
  /* the scope of a filterx block before the pipe, which is on this stack */
  FilterXEvalContext *context = filterx_eval_get_context();

  filterx_eval_set_context(NULL);
#endif
  log_pipe_forward_msg(pipe, msg, &detached);
#if HOST_HAS_FILTERX
  filterx_eval_set_context(context);
#endif
}
