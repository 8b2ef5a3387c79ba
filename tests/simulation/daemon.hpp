// SPDX-License-Identifier: LGPL-2.1-or-later
// A daemon with one log path: sources, an element that may run messages on other
// threads, and a destination.
#pragma once

#include "caches.hpp"
#include "settings.hpp"
#include "world.hpp"

namespace simulation {

struct Source;

struct SimulatedMessage
{
  Source *source;
  std::uint64_t number;         // of its source
  std::uint64_t number_of_key;  // of its source and key
  std::size_t key;
  Time cost;
  Time arrived;
  unsigned core;                // that had its memory last
};

// A thread that forwards messages: they become visible when it publishes.
struct Forwarder
{
  std::vector<SimulatedMessage *> collected;
};

struct Source : Forwarder
{
  unsigned index;
  Thread *thread = nullptr;
  std::uint64_t left = 0;       // messages that it has not brought
  std::uint64_t window = 0;     // room in it
  bool waits_for_window = false;
  std::uint64_t next_number = 0;
  std::vector<std::uint64_t> next_of_key;       // messages brought
  // To check the order of what comes out
  std::uint64_t out = 0;
  std::vector<std::uint64_t> out_of_key;
};

class Daemon;

// parallelize(), or something in its place.
class Element
{
public:
  virtual ~Element() = default;
  // On the source's thread.
  virtual void batch_begins(Source &source) = 0;
  virtual void submit(Source &source, SimulatedMessage &message) = 0;
  virtual void batch_ends(Source &source) = 0;
  // Threads of its own.
  virtual void spawn_workers() = 0;
  virtual void stop() = 0;
  // Once a second.
  virtual void look() {}
};

class Daemon
{
public:
  Daemon(const Settings &settings, World &world, Caches &caches);
  Daemon(const Daemon &) = delete;

  // Everything, to the end.  False if a thread waits for ever.
  bool run(Element &element);

  // For elements, on the thread that runs.

  // The message's own work.  `inlined`: on the thread that brought it.
  void process(SimulatedMessage &message, bool inlined);
  // It has come to its end, on this thread.
  void forward(SimulatedMessage &message, Forwarder &forwarder) { forwarder.collected.push_back(&message); }
  // Make all of that visible.
  void publish(Forwarder &forwarder);

  const Settings &settings() const { return settings_; }
  // True if this is memory of its own.
  bool has(const void *address) const { return address == &queue_lock_; }
  const Keys &keys() const { return keys_; }

  // Results
  Time first_arrival() const { return first_arrival_; }
  Time last_out() const { return last_out_; }
  std::vector<Time> &waits() { return waits_; }         // from arrival to start
  std::vector<Time> &latencies() { return latencies_; } // from arrival to the end
  std::uint64_t out_of_order() const { return out_of_order_; }
  std::uint64_t out() const { return out_; }
  std::uint64_t inlined() const { return inlined_; }
  Time work() const { return work_; }                   // of all messages
  Time longest_chain() const;                           // the most work of one key; without keys of one message

private:
  void source_main(Source &source);
  std::uint64_t wait_for_messages(Source &source);
  void wait_for_window(Source &source);
  SimulatedMessage &bring(Source &source);
  void writer_main();
  void main_main();
  void complete(const std::vector<SimulatedMessage *> &messages);
  void check_order(const SimulatedMessage &message);

  const Settings &settings_;
  World &world_;
  Caches &caches_;
  Element *element_ = nullptr;
  Dice dice_;
  Keys keys_;
  MessageCosts costs_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::deque<SimulatedMessage> storage_;
  std::vector<SimulatedMessage *> free_;
  // Arrivals by a rate
  std::vector<Time> next_arrival_;              // of each source
  std::vector<std::deque<Time>> arrived_;       // and not brought

  // The destination
  alignas(64) const char queue_lock_[64] = {};  // as the caches know it
  std::vector<SimulatedMessage *> queue_;
  Thread *writer_ = nullptr;
  bool writer_waits_ = false;
  bool closed_ = false;
  Thread *main_ = nullptr;

  Time first_arrival_ = ~Time{0};
  Time last_out_ = 0;
  std::vector<Time> waits_;
  std::vector<Time> latencies_;
  std::vector<Time> work_of_key_;               // longest_chain() is the longest of these
  Time work_ = 0;
  std::uint64_t out_ = 0;
  std::uint64_t out_of_order_ = 0;
  std::uint64_t inlined_ = 0;
};

}
