/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking a message over, so that another thread may have it.
 */
#ifndef PARALLELIZE_HOST_MESSAGE_OWNERSHIP_H_INCLUDED
#define PARALLELIZE_HOST_MESSAGE_OWNERSHIP_H_INCLUDED 1

#include "logmsg/logmsg.h"
#include "logpipe.h"

G_BEGIN_DECLS

/*
 * Make `*msg` a message whose content no other thread holds: the message itself
 * or a clone.  `is_retained` is TRUE if somebody else may hold the message
 * without a mark.  Consumes the reference to the old message and returns a
 * reference to the new one.  Any thread.
 */
void host_message_take_ownership(LogMessage **msg, const LogPathOptions *path_options, gboolean is_retained);

G_END_DECLS

#endif
