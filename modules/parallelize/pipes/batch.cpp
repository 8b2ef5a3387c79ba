// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pipes/batch.hpp"

#include "host/batch-callbacks.h"

#include <sched.h>

namespace parallelize {

namespace {

// A thread that reads no source itself is a source of its own.
std::uint64_t
number_of(const HostSource *source, const void *thread)
{
  return reinterpret_cast<std::uintptr_t>(source ? static_cast<const void *>(source) : thread);
}

}

thread_local constinit Batch::ThreadState Batch::here;

Batch::Batch(Engine &engine, const Origin &origin, ThreadState &thread)
  : engine_(engine), thread_(thread), producer_(engine.open(origin.flags, number_of(origin.source, &thread))),
    source_(origin.source), has_callback_(host_batch_callbacks_are_invoked()), next_(thread.open)
{
  thread_.open = this;
  worker_batch_callback_init(&callback_);
  callback_.func = callback_invoked;
  callback_.user_data = this;
  expect_callback();
}

Batch::~Batch()
{
  Batch **link = &thread_.open;
  while (*link != this)
    link = &(*link)->next_;
  *link = next_;

  producer_.report_batch(came_);
  if (source_)
    report_source();
  engine_.close(producer_);
}

// What the source has read, and what it may read.
void
Batch::report_source()
{
  gsize window, left;
  if (host_source_get_window(source_, &window, &left))
    producer_.report_window(window, left, came_);

  gboolean full = FALSE;
  if (const gsize limit = host_source_get_fetch_limit(source_, &full))
    producer_.report_fetch({.came = came_, .limit = limit, .full = !!full, .source = host_source_get_name(source_)});
}

Batch *
Batch::find(const Engine &engine)
{
  Batch *batch = here.open;
  while (batch && &batch->engine_ != &engine)
    batch = batch->next_;
  return batch;
}

Batch &
Batch::open(Engine &engine, const Origin &origin)
{
  return *new Batch(engine, origin, here);
}

void
Batch::submit(void *arrival)
{
  came_++;
  thread_.submitting++;
  const Producer::Submitted result = producer_.submit(arrival);
  thread_.submitting--;
  if (result == Producer::Submitted::source_yields)
    sched_yield();
  if (!has_callback_)
    delete this;
}

// After all callbacks of other parts of the daemon, which publish: then
// everything that the thread has forwarded is visible.
void
Batch::expect_callback()
{
  if (!has_callback_ || expects_callback_)
    return;
  host_batch_callbacks_register_last(&callback_);
  expects_callback_ = true;
}

gpointer
Batch::callback_invoked(gpointer self) noexcept
{
  Batch *batch = static_cast<Batch *>(self);

  // A message that one element has forwarded to another one has to be in a strand
  // of that before its key may go to another thread.
  for (Batch *other = batch->thread_.open; other; other = other->next_)
    other->producer_.flush();

  batch->expects_callback_ = false;
  if (batch->thread_.submitting)
    batch->producer_.published();
  else
    delete batch;
  return nullptr;
}

void
Batch::publish_thread()
{
  if (!host_batch_callbacks_are_invoked())
    return;
  main_loop_worker_invoke_batch_callbacks();
  // Not within a callback: the daemon's list is being walked then.
  for (Batch *batch = here.open; batch; batch = batch->next_)
    batch->expect_callback();
}

}
