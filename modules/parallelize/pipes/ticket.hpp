// SPDX-License-Identifier: LGPL-2.1-or-later
// The tickets of the message that a thread is forwarding.
//
// A message has a ticket of each parallelize() that it has entered and that has a
// resequence() after it, until that resequence().  While a thread forwards the
// message, its tickets are on the stack of the thread.  If the message goes on to
// other threads, its tickets are retained on the heap.
#pragma once

#include "host/daemon-headers.hpp"

#include "engine/engine.hpp"

#include <atomic>
#include <cstdint>

namespace parallelize {

struct Ticket
{
  gconstpointer pipe;           // the parallelize() that has issued the ticket
  Engine *engine;
  std::uint32_t number;
  Ticket *outer;                // of the parallelize() before that, or NULL

  // On the stack
  Runner *runner = nullptr;     // that forwards the message
  Ticket *retained = nullptr;   // the same ticket on the heap, or NULL

  // On the heap
  std::atomic<int> references{0};       // 0: the ticket is on the stack
};

// The innermost ticket of the message that this thread is forwarding, or NULL.
Ticket *current_ticket();

// Retain `ticket` and the tickets outside of it, until release_ticket(), which any
// thread may call.  Returns the retained ticket.  NULL stays NULL.  Only for
// tickets of the message that this thread is forwarding.
Ticket *retain_ticket(Ticket *ticket);
void release_ticket(Ticket *retained);

// While it lives, `ticket` is the innermost one of this thread.
class TicketScope
{
public:
  explicit TicketScope(Ticket *ticket);
  ~TicketScope();
  TicketScope(const TicketScope &) = delete;

private:
  Ticket *const before_;
};

}
