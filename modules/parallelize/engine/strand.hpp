// SPDX-License-Identifier: LGPL-2.1-or-later
// Messages that one thread at a time runs, in order.
#pragma once

#include "line-marks.hpp"
#include "node.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace parallelize {

// A FIFO that at most one runner runs at a time.  Each key has one, shared with
// the keys that hash to it; each outlet has one.
//
// All of its state is one word: idle; taken (scheduled, or a runner has it) with
// nothing new; or taken, with the newest of the messages that came since, each
// linked to the one before it.
class alignas(64) Strand
{
public:
  static constexpr unsigned no_outlet = ~0u;

  // Any thread.  True if the strand was idle: it is now taken on behalf of the
  // caller, who must see to it that a runner runs it.
  //
  // Release publishes the node.  Acquire, if the strand was idle: what the last
  // runner did happens before what the next one will do.
  bool push(Node *node) { return push(node, node); }

  // Several at once: each is linked to the one that comes before it.
  bool push(Node *newest, Node *oldest)
  {
    std::uintptr_t old = state_.load(std::memory_order_relaxed);
    do
      oldest->next = old > taken ? reinterpret_cast<Node *>(old) : nullptr;
    while (!state_.compare_exchange_weak(old, reinterpret_cast<std::uintptr_t>(newest),
                                         std::memory_order_acq_rel, std::memory_order_relaxed));
    return old == idle;
  }

  // Any thread.  True if no message is queued, running or unpublished here; other
  // threads may change that at once.
  //
  // Acquire pairs with release(): whoever finds the strand idle comes after
  // everything that its last runner has published.
  bool looks_idle() const { return state_.load(std::memory_order_acquire) == idle; }

  // The rest is for the one thread that has the strand.

  // The oldest message, or nullptr if there is none right now.
  Node *pop()
  {
    if (!oldest_)
      gather();
    Node *node = oldest_;
    if (node)
      {
        oldest_ = node->next;
        backlog_--;
      }
    return node;
  }

  // The message that pop() will return next, if that is known without popping.
  const Node *next_known() const { return oldest_; }

  // Append the new messages, which come newest first, to those from `oldest_` on.
  void gather()
  {
    if (state_.load(std::memory_order_relaxed) == taken)
      return;
    Node *newest = reinterpret_cast<Node *>(state_.exchange(taken, std::memory_order_acquire));
    Node *const last = newest;
    Node *oldest = nullptr;
    while (newest)
      {
        PARALLELIZE_READS_LINE("nodes", newest);
        Node *older = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = older;
        backlog_++;
      }
    (oldest_ ? last_->next : oldest_) = oldest;
    last_ = last;
  }

  // Pending messages, as of the last gather().
  std::size_t backlog() const
  {
    PARALLELIZE_READS_LINE("strands", this);
    return backlog_;
  }

  // Give the strand up.  False if messages are pending: the caller still has it.
  bool release()
  {
    std::uintptr_t expected = taken;
    return !oldest_ && state_.compare_exchange_strong(expected, idle, std::memory_order_acq_rel,
                                                      std::memory_order_relaxed);
  }

  // Some pending message of a strand that no runner has.
  const Node *peek() const
  {
    const std::uintptr_t state = state_.load(std::memory_order_acquire);
    return oldest_ ? oldest_ : state > taken ? reinterpret_cast<const Node *>(state) : nullptr;
  }

  Strand *next = nullptr;       // in a list of strands that its runner has
  unsigned outlet = no_outlet;  // which one; set once

private:
  static constexpr std::uintptr_t idle = 0;
  static constexpr std::uintptr_t taken = 1;

  std::atomic<std::uintptr_t> state_{idle};
  Node *oldest_ = nullptr;  // taken out of state_, oldest first
  Node *last_ = nullptr;    // of those, unless there is none
  std::size_t backlog_ = 0; // how many they are
};

// A list of strands that one runner has, linked by Strand::next.  Its thread only.
class StrandList
{
public:
  bool empty() const { return !first_; }
  Strand *first() const { return first_; }

  void push(Strand *strand)
  {
    strand->next = first_;
    first_ = strand;
  }

  // nullptr if there is none.
  Strand *pop()
  {
    Strand *strand = first_;
    if (strand)
      first_ = strand->next;
    return strand;
  }

private:
  Strand *first_ = nullptr;
};

}
