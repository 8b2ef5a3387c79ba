/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the engine keeps of a LogMessage on its way to another thread.
 */
#ifndef PARALLELIZE_PIPES_MESSAGE_H_INCLUDED
#define PARALLELIZE_PIPES_MESSAGE_H_INCLUDED 1

#include "engine/engine.h"
#include "logpipe.h"
#include "pipes/ticket.h"

G_BEGIN_DECLS

/* Takes over `msg`, and `held`, the tickets that go with it or NULL. */
void parallelize_message_pack(ParallelizeMessage *self, LogMessage *msg, const LogPathOptions *path_options,
                              ParallelizeTicket *held);

/* The message, which stays packed. */
LogMessage *parallelize_message_peek(const ParallelizeMessage *self);

/* Gives back what was packed: the message, and `*held` to be released. */
LogMessage *parallelize_message_unpack(const ParallelizeMessage *self, LogPathOptions *path_options,
                                       ParallelizeTicket **held);

G_END_DECLS

#endif
