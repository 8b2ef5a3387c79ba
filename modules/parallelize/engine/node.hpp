// SPDX-License-Identifier: LGPL-2.1-or-later
// The nodes that messages wait in, and where they come from.
#pragma once

#include "line-marks.hpp"
#include "message.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>

namespace parallelize {

// A cache line: a thread that fills one node does not disturb the one that
// reads its neighbour.
struct alignas(64) Node
{
  Node *next;
  Message message;
  KeyHead key;                  // not for an outlet
  std::uint64_t key_hash;       // of the whole key
};
static_assert(sizeof(Node) == 64);

// A page of nodes.  One producer fills it from the front; any runner gives
// nodes back.  The slab is free again when all its nodes are back.
struct alignas(4096) Slab
{
  static constexpr unsigned capacity = (4096 - 64) / sizeof(Node);

  Slab *next_free = nullptr;
  // Nodes that are not back.  Starts at `capacity`, so that a slab that a
  // producer still fills cannot reach zero.
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

  // `count` nodes of `slab` will not be used again.  acq_rel: the last thread to
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
  static constexpr unsigned max_free = 256;   // one MiB: more goes back to the allocator after a burst

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
    PARALLELIZE_WRITES_LINE("nodes", node);
    if (used_ == Slab::capacity)
      slab_ = nullptr;
    return node;
  }

private:
  SlabPool &pool_;
  Slab *slab_ = nullptr;
  unsigned used_ = 0;
};

// Collects the nodes that a runner is done with.  Neighbours usually share a
// slab, so that the runner touches its counter once a run and not once a message.
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

}
