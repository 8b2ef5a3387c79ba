// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pipes/packed-message.hpp"

namespace parallelize {

namespace {

// Message::flags
constexpr std::uint32_t ack_needed = 1 << 0;
constexpr std::uint32_t flow_control_requested = 1 << 1;
constexpr std::uint32_t with_tickets = 1 << 2;  // the handle is a WithTickets

struct WithTickets
{
  LogMessage *msg;
  Ticket *retained;
};

}

Message
pack_message(LogMessage *msg, const LogPathOptions &path_options, Ticket *retained)
{
  Message packed = {};

  packed.handle = retained ? static_cast<void *>(new WithTickets{msg, retained}) : msg;
  packed.flags = (path_options.ack_needed ? ack_needed : 0)
                 | (path_options.flow_control_requested ? flow_control_requested : 0) | (retained ? with_tickets : 0);
  return packed;
}

LogMessage *
peek_message(const Message &packed)
{
  return packed.flags & with_tickets ? static_cast<WithTickets *>(packed.handle)->msg
                                     : static_cast<LogMessage *>(packed.handle);
}

UnpackedMessage
unpack_message(const Message &packed)
{
  UnpackedMessage result = {};

  result.msg = peek_message(packed);
  result.path_options.ack_needed = !!(packed.flags & ack_needed);
  result.path_options.flow_control_requested = !!(packed.flags & flow_control_requested);
  if (packed.flags & with_tickets)
    {
      WithTickets *handle = static_cast<WithTickets *>(packed.handle);

      result.retained = handle->retained;
      delete handle;
    }
  return result;
}

}
