/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/message-ownership.h"

void
host_message_take_ownership(LogMessage **msg, const LogPathOptions *path_options, gboolean is_retained)
{
  /* A parser on this stack may still hold the table of values: group-lines() hands on the message that it got. */
  if (is_retained || (*msg)->payload->ref_cnt > 1)
    log_msg_write_protect(*msg);
  log_msg_make_writable(msg, path_options);
  if ((*msg)->flags & LF_STATE_OWN_PAYLOAD)
    return;

  /* A clone shares the table of values until a value is set, also with the messages of other branches.  Several
   * threads must not share it: many filters and parsers count references to it without a lock. */
  (*msg)->payload = nv_table_clone((*msg)->payload, 0);
  (*msg)->flags |= LF_STATE_OWN_PAYLOAD;
}
