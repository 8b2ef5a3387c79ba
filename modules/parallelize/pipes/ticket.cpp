// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pipes/ticket.hpp"

namespace parallelize {

namespace {

thread_local constinit Ticket *current = nullptr;

// The first reference is that of the ticket on the stack.
Ticket *
move_to_heap(const Ticket &ticket)
{
  ticket.runner->retain_ticket(ticket.number);
  return new Ticket{ticket.pipe, ticket.engine, ticket.number, retain_ticket(ticket.outer), nullptr, nullptr, 1};
}

}

Ticket *
current_ticket()
{
  return current;
}

Ticket *
retain_ticket(Ticket *ticket)
{
  if (!ticket)
    return nullptr;
  if (ticket->references.load(std::memory_order_relaxed) == 0)
    {
      if (!ticket->retained)
        ticket->retained = move_to_heap(*ticket);
      ticket = ticket->retained;
    }
  ticket->references.fetch_add(1, std::memory_order_relaxed);
  return ticket;
}

// acq_rel: the thread that drops the last reference must see that all others
// have finished.
void
release_ticket(Ticket *retained)
{
  while (retained && retained->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
    {
      Ticket *outer = retained->outer;

      retained->engine->release_ticket(retained->number);
      delete retained;
      retained = outer;
    }
}

TicketScope::TicketScope(Ticket *ticket) : before_(current)
{
  current = ticket;
}

TicketScope::~TicketScope()
{
  current = before_;
}

}
