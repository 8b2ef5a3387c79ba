// SPDX-License-Identifier: LGPL-2.1-or-later
// A LogMessage on its way to another thread.
#pragma once

#include "host/daemon-headers.hpp"

#include "engine/message.hpp"
#include "pipes/ticket.hpp"

namespace parallelize {

// Takes over the reference to `msg`, and `retained`: the tickets that go with the
// message, or NULL.
Message pack_message(LogMessage *msg, const LogPathOptions &path_options, Ticket *retained);

// The message stays packed.
LogMessage *peek_message(const Message &packed);

// Gives back what was packed.  Release `retained` when the message has been forwarded.
struct UnpackedMessage
{
  LogMessage *msg;
  LogPathOptions path_options;
  Ticket *retained;
};
UnpackedMessage unpack_message(const Message &packed);

}
