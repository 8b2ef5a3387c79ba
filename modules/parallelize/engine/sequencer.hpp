// SPDX-License-Identifier: LGPL-2.1-or-later
// Tickets, and the messages that wait at a resequence() for theirs.
#pragma once

#include "engine.h"
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

// What one thread has to tell a Sequencer, collected without a lock.  Its own
// thread only.
class SequencerEvents
{
public:
  explicit SequencerEvents(SlabPool &slabs) : nodes_(slabs) {}

  // `copy`, which carries its ticket, has come to an outlet; `time` if it is
  // watched how long it waits there.
  void arrived(unsigned outlet, const ParallelizeMessage &copy, std::uint64_t time = 0)
  {
    Node *node = nodes_.take();
    node->parked_at = time;
    node->message = copy;
    // While it is parked the place where it is parked tells the ticket.
    node->message.ticket = outlet;
    arrivals_.push_back({node, copy.ticket});
  }

  // From this thread no more copies with this ticket will come.
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

// Where the messages behind one resequence() leave.  Its strand holds those
// whose turn has come.
struct Outlet
{
  Strand strand;

  // Under the sequencer's lock: what is about to be pushed to the strand
  Node *newest = nullptr;
  Node *oldest = nullptr;
};

// Gives out tickets and parks what comes with them until all earlier tickets
// are done.
//
// Tickets are 32 bits that wrap around: only their distance from `head_`, the
// oldest that is not done, counts.  What is parked stands in pages of tickets
// from `head_` on.  A page whose tickets are all done without a message parked
// is not kept, so that one slow message does not make what is dropped behind
// it cost memory.
class Sequencer
{
public:
  Sequencer(unsigned outlets, SlabPool &slabs)
    : count_(outlets), outlets_(std::make_unique<Outlet[]>(outlets)), foreign_(slabs)
  {
  }

  // The first of `count` consecutive tickets.  Any thread.
  std::uint32_t issue(std::uint32_t count) { return issued_.fetch_add(count); }

  // All tickets issued are done, and all that came with them is published.  Any
  // thread.  In this order: what a ticket that is done has released is counted.
  bool idle() const { return head_.load() == issued_.load() && released_.load() == 0; }

  // Messages that wait for their turn, and those whose turn has come.  Any thread.
  std::uint64_t parked() const { return parked_.load(std::memory_order_relaxed); }
  std::uint64_t released() const { return released_.load(std::memory_order_relaxed); }

  // So many of the released are.  Any thread.
  void published(unsigned count) { released_.fetch_sub(count); }

  // The index of the outlet that a strand belongs to, or `none`.
  static constexpr unsigned none = ~0u;
  unsigned outlet_of(const Strand *strand) const
  {
    const auto offset = reinterpret_cast<std::uintptr_t>(strand) - reinterpret_cast<std::uintptr_t>(outlets_.get());
    return offset < count_ * sizeof(Outlet) ? static_cast<unsigned>(offset / sizeof(Outlet)) : none;
  }
  Strand &strand(unsigned outlet) { return outlets_[outlet].strand; }

  // Each of the following returns the strands that have got messages and were
  // idle, linked by Strand::next: they are taken on behalf of the caller, who
  // must see to it that somebody runs them.

  // What a thread has collected; nothing is left in `events`.  Any thread.
  Strand *take(SequencerEvents &events)
  {
    std::lock_guard lock(mutex_);
    park_all(events);
    for (const std::uint32_t ticket : events.done_)
      end(ticket);
    events.done_.clear();
    return advance();
  }

  // One end of a ticket: it was forwarded, or who had held it has released it.
  Strand *done(std::uint32_t ticket)
  {
    std::lock_guard lock(mutex_);
    end(ticket);
    return advance();
  }

  // From here on the ticket has one more end.  Any thread, before its first.
  void hold(std::uint32_t ticket)
  {
    std::lock_guard lock(mutex_);
    entry_of(ticket).page->more_ends[ticket % page_tickets] = true;
  }

  // The same; and what has come so far on this thread comes before what will
  // come on others.
  void hold(std::uint32_t ticket, SequencerEvents &events)
  {
    std::lock_guard lock(mutex_);
    park_all(events);
    entry_of(ticket).page->more_ends[ticket % page_tickets] = true;
  }

  // One message that has come to an outlet.  Any thread.
  void arrived(unsigned outlet, const ParallelizeMessage &copy, std::uint64_t time = 0)
  {
    std::lock_guard lock(mutex_);
    Node *node = foreign_.take();
    node->parked_at = time;
    node->message = copy;
    node->message.ticket = outlet;
    park(*node, copy.ticket);
  }

  // Whether a message may leave an outlet at once: it is its turn, and `holder`
  // runs the outlet, or does so from now on (`taken`).  By the thread that
  // forwards the message.
  bool may_pass(unsigned outlet, std::uint32_t ticket, const void *holder, bool &taken)
  {
    taken = false;
    // Nobody else moves the head on from this thread's own ticket.
    if (ticket != head_.load(std::memory_order_acquire))
      return false;
    std::lock_guard lock(mutex_);
    if (anything_parked_at_head())
      return false;
    Strand &strand = outlets_[outlet].strand;
    if (strand.is_held_by(holder))
      return strand.quiet();
    taken = strand.take_if_idle(holder);
    return taken;
  }

private:
  static constexpr std::uint32_t page_tickets = 256;
  // Wraps around soon: nothing that happens later happens for the first time.
  static constexpr std::uint32_t first_ticket = -8 * page_tickets;

  struct Page
  {
    Node *parked[page_tickets] = {};    // copies with one ticket, linked, the first to come in front
    bool done[page_tickets] = {};
    bool more_ends[page_tickets] = {};  // it is held, and has not come to one of its two ends
    unsigned done_count = 0;
    bool anything_parked = false;       // ever
  };

  struct Entry
  {
    std::unique_ptr<Page> page;         // nullptr: nothing has happened to its tickets, unless `over`
    bool over = false;                  // all of its tickets are done, nothing is parked
  };

  // All below: the lock is held.

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

  bool anything_parked_at_head() const
  {
    const Page *page = pages_.empty() ? nullptr : pages_.front().page.get();
    return page && page->parked[head_.load(std::memory_order_relaxed) % page_tickets];
  }

  Strand *advance()
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

  // The copies with one ticket go to their outlets.  How many they are.
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

  Strand *push_ready()
  {
    Strand *taken = nullptr;
    for (Outlet *outlet : ready_)
      {
        if (outlet->strand.push(outlet->newest, outlet->oldest))
          {
            outlet->strand.next = taken;
            taken = &outlet->strand;
          }
        outlet->newest = outlet->oldest = nullptr;
      }
    ready_.clear();
    return taken;
  }

  const unsigned count_;
  const std::unique_ptr<Outlet[]> outlets_;
  alignas(64) std::atomic<std::uint32_t> issued_{first_ticket};

  alignas(64) std::mutex mutex_;            // guards what follows
  std::atomic<std::uint32_t> head_{first_ticket};   // the oldest ticket that is not done; read by anybody
  std::atomic<std::uint64_t> parked_{0};    // read by anybody
  std::deque<Entry> pages_;                 // the first holds `head_`
  std::vector<Outlet *> ready_;             // scratch of advance()
  NodeSource foreign_;                      // nodes for threads without SequencerEvents

  alignas(64) std::atomic<std::uint64_t> released_{0};
};

}
