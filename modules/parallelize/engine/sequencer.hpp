// SPDX-License-Identifier: LGPL-2.1-or-later
// Tickets, and the messages that wait at a resequence() for theirs.
//
// A _ticket_ is the number of a message that has entered an engine with outlets.
// It is _done_ when no copy of the message can come to an outlet any more:
// forwarded to its end, and released by everybody that retained it.
#pragma once

#include "message.hpp"
#include "node.hpp"
#include "strand.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace parallelize {

// News of one thread for a Sequencer, collected without a lock.  Its own thread only.
class SequencerEvents
{
public:
  explicit SequencerEvents(SlabPool &slabs) : nodes_(slabs) {}

  // `copy`, with its ticket, has come to an outlet.
  void arrived(unsigned outlet, const Message &copy)
  {
    Node *node = nodes_.take();
    node->message = copy;
    // A parked copy has its ticket from the place where it is parked.
    node->message.ticket = outlet;
    arrivals_.push_back({node, copy.ticket});
  }

  // No more copies with this ticket will come from this thread.
  void done(std::uint32_t ticket) { done_.push_back(ticket); }

  bool empty() const { return arrivals_.empty() && done_.empty(); }

private:
  friend class Sequencer;

  struct Arrival
  {
    Node *node;
    std::uint32_t ticket;
  };

  NodeSource nodes_;
  std::vector<Arrival> arrivals_;
  std::vector<std::uint32_t> done_;
};

// Where messages leave the order of one resequence().  Its strand holds the
// messages whose turn has come.
struct Outlet
{
  Strand strand;

  // Under the sequencer's lock: about to be pushed to the strand
  Node *newest = nullptr;
  Node *oldest = nullptr;
};

// Gives out tickets, and parks the copies that come with them until all earlier
// tickets are done.
//
// Tickets are 32 bits that wrap around: only their distance from `head_`, the
// oldest ticket that is not done, counts.  Parked copies stand in pages of
// tickets from `head_` on.  A page whose tickets are all done without a parked
// copy is not kept, so that one slow message does not make messages that are
// dropped after it cost memory.
class Sequencer
{
public:
  Sequencer(unsigned outlets, SlabPool &slabs) : outlets_(std::make_unique<Outlet[]>(outlets)), foreign_(slabs)
  {
    for (unsigned i = 0; i < outlets; i++)
      outlets_[i].strand.outlet = i;
  }

  // The first of `count` consecutive tickets.  Any thread.
  std::uint32_t issue(std::uint32_t count) { return issued_.fetch_add(count); }

  // True if all tickets are done and all their copies are published.  Any thread.
  // In this order: a ticket that is done has its released copies counted.
  bool idle() const { return head_.load() == issued_.load() && released_.load() == 0; }

  // Copies that wait for their turn, and copies whose turn has come.  Any thread.
  std::uint64_t parked() const { return parked_.load(std::memory_order_relaxed); }
  std::uint64_t released() const { return released_.load(std::memory_order_relaxed); }

  // `count` released copies are published.  Any thread.
  void published(unsigned count) { released_.fetch_sub(count); }

  // Each of the following returns the strands that have got messages and were
  // idle: they are taken on behalf of the caller, who must see to it that a
  // runner runs them.

  // The news of one thread; nothing is left in `events`.  Any thread.
  StrandList take(SequencerEvents &events)
  {
    std::lock_guard lock(mutex_);
    park_all(events);
    for (const std::uint32_t ticket : events.done_)
      end(ticket);
    events.done_.clear();
    return advance();
  }

  // One end of a ticket: a thread that had retained it releases it.
  StrandList done(std::uint32_t ticket)
  {
    std::lock_guard lock(mutex_);
    end(ticket);
    return advance();
  }

  // From here on the ticket has one more end.  The copies that have come so far
  // on this thread come before those that will come on others.  The thread that
  // forwards the message, before the ticket's first end.
  void retain(std::uint32_t ticket, SequencerEvents &events)
  {
    std::lock_guard lock(mutex_);
    park_all(events);
    entry_of(ticket).page->more_ends[ticket % page_tickets] = true;
  }

  // One copy that has come to an outlet.  Any thread.
  void arrived(unsigned outlet, const Message &copy)
  {
    std::lock_guard lock(mutex_);
    Node *node = foreign_.take();
    node->message = copy;
    node->message.ticket = outlet;
    park(*node, copy.ticket);
  }

private:
  static constexpr std::uint32_t page_tickets = 256;
  // Wraps around soon: nothing that happens later happens for the first time.
  static constexpr std::uint32_t first_ticket = -8 * page_tickets;

  struct Page
  {
    Node *parked[page_tickets] = {};    // copies with one ticket, linked, the first to come in front
    bool done[page_tickets] = {};
    bool more_ends[page_tickets] = {};  // the ticket is retained, and has not come to one of its two ends
    unsigned done_count = 0;
    bool anything_parked = false;       // ever
  };

  struct Entry
  {
    std::unique_ptr<Page> page;         // nullptr: nothing has happened to its tickets, unless `over`
    bool over = false;                  // all of its tickets are done, nothing is parked
  };

  // All below: [locked]

  Entry &entry_of(std::uint32_t ticket)
  {
    const std::uint32_t first = head_.load(std::memory_order_relaxed) / page_tickets * page_tickets;
    const std::uint32_t index = (ticket - first) / page_tickets;
    while (pages_.size() <= index)
      pages_.emplace_back();
    Entry &entry = pages_[index];
    if (!entry.page)
      entry.page = std::make_unique<Page>();
    return entry;
  }

  void park(Node &node, std::uint32_t ticket)
  {
    Page &page = *entry_of(ticket).page;
    Node **end = &page.parked[ticket % page_tickets];
    while (*end)
      end = &(*end)->next;
    *end = &node;
    node.next = nullptr;
    page.anything_parked = true;
    parked_.store(parked_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  void park_all(SequencerEvents &events)
  {
    for (const auto &[node, ticket] : events.arrivals_)
      park(*node, ticket);
    events.arrivals_.clear();
  }

  void end(std::uint32_t ticket)
  {
    Entry &entry = entry_of(ticket);
    Page &page = *entry.page;
    const std::uint32_t slot = ticket % page_tickets;
    if (std::exchange(page.more_ends[slot], false))
      return;
    page.done[slot] = true;
    if (++page.done_count == page_tickets && !page.anything_parked)
      {
        entry.page.reset();
        entry.over = true;
      }
  }

  StrandList advance()
  {
    const std::uint32_t before = head_.load(std::memory_order_relaxed);
    std::uint32_t head = before;
    std::uint64_t ready = 0;
    while (!pages_.empty())
      {
        const Entry &entry = pages_.front();
        std::uint32_t slot = head % page_tickets;
        const std::uint32_t first = head - slot;
        if (entry.over)
          slot = page_tickets;
        else if (entry.page)
          while (slot < page_tickets && entry.page->done[slot])
            ready += unpark(entry.page->parked[slot++]);
        head = first + slot;
        if (slot < page_tickets)
          break;
        pages_.pop_front();
      }
    if (ready)
      {
        parked_.store(parked_.load(std::memory_order_relaxed) - ready, std::memory_order_relaxed);
        released_.fetch_add(ready);
      }
    if (head != before)
      head_.store(head);
    return push_ready();
  }

  // The copies with one ticket go to their outlets.  Returns their number.
  unsigned unpark(Node *copies)
  {
    unsigned count = 0;
    while (Node *node = copies)
      {
        copies = node->next;
        Outlet &outlet = outlets_[node->message.ticket];
        if (!outlet.newest)
          {
            outlet.oldest = node;
            ready_.push_back(&outlet);
          }
        node->next = outlet.newest;
        outlet.newest = node;
        count++;
      }
    return count;
  }

  StrandList push_ready()
  {
    StrandList taken;
    for (Outlet *outlet : ready_)
      {
        if (outlet->strand.push(outlet->newest, outlet->oldest))
          taken.push(&outlet->strand);
        outlet->newest = outlet->oldest = nullptr;
      }
    ready_.clear();
    return taken;
  }

  const std::unique_ptr<Outlet[]> outlets_;
  alignas(64) std::atomic<std::uint32_t> issued_{first_ticket};

  alignas(64) std::mutex mutex_;                    // guards the following
  std::atomic<std::uint32_t> head_{first_ticket};   // the oldest ticket that is not done; any thread reads it
  std::atomic<std::uint64_t> parked_{0};            // any thread reads it
  std::deque<Entry> pages_;                         // the first holds `head_`
  std::vector<Outlet *> ready_;                     // scratch of advance()
  NodeSource foreign_;                              // nodes for threads without SequencerEvents

  alignas(64) std::atomic<std::uint64_t> released_{0};
};

}
