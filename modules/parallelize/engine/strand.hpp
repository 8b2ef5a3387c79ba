// SPDX-License-Identifier: LGPL-2.1-or-later
// A strand and the nodes that its messages wait in.
#pragma once

#include "engine.h"
#include "running-message.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>

namespace parallelize {

// A cache line: a thread that fills one node does not disturb the one that
// reads its neighbour.
struct alignas(64) Node
{
  Node *next;
  ParallelizeMessage message;
  union
  {
    std::uint64_t parked_at;    // of an outlet's: since when, if that is watched; else 0
    std::uint64_t key_hash;     // of a key's: of all of it
  };
  KeyHead key;                  // of a key's
};
static_assert(sizeof(Node) == 64);

// A page of nodes.  One producer fills it from the front; any runner gives
// nodes back.  The slab is free again when all that were handed out are back.
struct alignas(4096) Slab
{
  static constexpr unsigned capacity = (4096 - 64) / sizeof(Node);

  Slab *next_free = nullptr;
  // Nodes not yet given back.  Starts at `capacity`, so that a slab which is
  // still being filled cannot reach zero.
  std::atomic<unsigned> outstanding{capacity};
  Node nodes[capacity];

  static Slab *of(Node *node)
  {
    return reinterpret_cast<Slab *>(reinterpret_cast<std::uintptr_t>(node) & ~std::uintptr_t{sizeof(Slab) - 1});
  }
};
static_assert(sizeof(Slab) == 4096);

// Free slabs.  Any thread; locked once per `Slab::capacity` messages.
class SlabPool
{
public:
  SlabPool() = default;
  SlabPool(const SlabPool &) = delete;
  SlabPool &operator=(const SlabPool &) = delete;

  ~SlabPool()
  {
    while (Slab *slab = free_)
      {
        free_ = slab->next_free;
        delete slab;
      }
  }

  Slab *take()
  {
    {
      std::lock_guard lock(mutex_);
      if (Slab *slab = free_)
        {
          free_ = slab->next_free;
          free_count_--;
          slab->outstanding.store(Slab::capacity, std::memory_order_relaxed);
          return slab;
        }
    }
    return new Slab;
  }

  // `count` nodes of `slab` will not be used again.  acq_rel: the last one to
  // give back must see that all others have finished reading their nodes.
  void give_back(Slab *slab, unsigned count)
  {
    if (slab->outstanding.fetch_sub(count, std::memory_order_acq_rel) != count)
      return;
    std::unique_lock lock(mutex_);
    if (free_count_ >= max_free)
      {
        lock.unlock();
        delete slab;
        return;
      }
    slab->next_free = free_;
    free_ = slab;
    free_count_++;
  }

private:
  static constexpr unsigned max_free = 256;   // one MiB: what a burst needed goes back to the allocator

  std::mutex mutex_;
  Slab *free_ = nullptr;
  unsigned free_count_ = 0;
};

// Hands out the nodes of one slab after the other.  One thread at a time.
class NodeSource
{
public:
  explicit NodeSource(SlabPool &pool) : pool_(pool) {}
  NodeSource(const NodeSource &) = delete;
  ~NodeSource()
  {
    if (slab_)
      pool_.give_back(slab_, Slab::capacity - used_);
  }

  Node *take()
  {
    if (!slab_)
      {
        slab_ = pool_.take();
        used_ = 0;
      }
    Node *node = &slab_->nodes[used_++];
    if (used_ == Slab::capacity)
      slab_ = nullptr;
    return node;
  }

private:
  SlabPool &pool_;
  Slab *slab_ = nullptr;
  unsigned used_ = 0;
};

// Collects the nodes that a runner is done with: neighbours usually share a
// slab, so that its counter is touched once a run and not once a message.
class NodeSink
{
public:
  explicit NodeSink(SlabPool &pool) : pool_(pool) {}
  NodeSink(const NodeSink &) = delete;
  ~NodeSink() { flush(); }

  void give_back(Node *node)
  {
    Slab *slab = Slab::of(node);
    if (slab != slab_)
      {
        flush();
        slab_ = slab;
      }
    count_++;
  }

  void flush()
  {
    if (count_)
      pool_.give_back(slab_, count_);
    slab_ = nullptr;
    count_ = 0;
  }

private:
  SlabPool &pool_;
  Slab *slab_ = nullptr;
  unsigned count_ = 0;
};

// A FIFO that at most one thread runs at a time.
//
// All of its state is one word: idle; taken (scheduled or being run) with
// nothing new; or taken with the newest of the messages that came since, each
// linked to the one before it.
class alignas(64) Strand
{
public:
  // Any thread.  True: the strand was idle and is now taken on behalf of the
  // caller, who must see to it that somebody runs it.
  //
  // Release publishes the node.  Acquire, for the case of an idle strand, makes
  // what the last runner did happen before what the next one will do.
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

  // Any thread.  True: the strand was idle and is now taken by `holder`, who
  // runs messages that never wait in it.
  bool take_if_idle(const void *holder)
  {
    std::uintptr_t expected = idle;
    if (!state_.compare_exchange_strong(expected, taken, std::memory_order_acq_rel, std::memory_order_relaxed))
      return false;
    holder_.store(holder, std::memory_order_relaxed);
    return true;
  }

  // Any thread; may have changed on return.
  bool looks_idle() const { return state_.load(std::memory_order_relaxed) == idle; }

  // Any thread, about itself: nobody else sets it to the caller.
  bool is_held_by(const void *holder) const { return holder_.load(std::memory_order_relaxed) == holder; }

  // The rest is for the one thread that runs the strand.

  void set_holder(const void *holder) { holder_.store(holder, std::memory_order_relaxed); }
  void forget_holder() { holder_.store(nullptr, std::memory_order_relaxed); }

  // Nothing has been pushed since the strand was taken.
  bool quiet() const { return !rest_ && state_.load(std::memory_order_relaxed) == taken; }

  // The oldest message, or nullptr when there is none right now.
  Node *pop()
  {
    if (!rest_)
      gather();
    Node *node = rest_;
    if (node)
      {
        rest_ = node->next;
        backlog_--;
      }
    return node;
  }

  // The message that will be popped next, as far as it is known without popping.
  const Node *next_known() const { return rest_; }

  // Append what is new, which comes newest first, to rest_, which is oldest first.
  void gather()
  {
    if (state_.load(std::memory_order_relaxed) == taken)
      return;
    Node *newest = reinterpret_cast<Node *>(state_.exchange(taken, std::memory_order_acquire));
    Node *const last = newest;
    Node *oldest = nullptr;
    while (newest)
      {
        Node *older = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = older;
        backlog_++;
      }
    (rest_ ? last_->next : rest_) = oldest;
    last_ = last;
  }

  // Messages that wait, as of the last gather().
  std::size_t backlog() const { return backlog_; }

  // Give the strand up.  False: messages wait, the caller still holds it.
  bool release()
  {
    std::uintptr_t expected = taken;
    return !rest_ && state_.compare_exchange_strong(expected, idle, std::memory_order_acq_rel,
                                                    std::memory_order_relaxed);
  }

  // Some message that waits, for one who holds a strand that nobody runs.
  const Node *peek() const
  {
    const std::uintptr_t state = state_.load(std::memory_order_acquire);
    return rest_ ? rest_ : state > taken ? reinterpret_cast<const Node *>(state) : nullptr;
  }

  Strand *next = nullptr;   // the runner's list of strands that wait for a publish

private:
  static constexpr std::uintptr_t idle = 0;
  static constexpr std::uintptr_t taken = 1;

  std::atomic<std::uintptr_t> state_{idle};
  std::atomic<const void *> holder_{nullptr};
  Node *rest_ = nullptr;    // taken out of state_, oldest first
  Node *last_ = nullptr;    // of rest_, unless that is empty
  std::size_t backlog_ = 0; // length of rest_
};

}
