// SPDX-License-Identifier: LGPL-2.1-or-later
// The messages of parallelize(): how they come in, and the callbacks of the engine.
#include "pipes/parallelize.hpp"

#include "host/batch-callbacks.h"
#include "host/cached-time.h"
#include "host/forward.h"
#include "host/internal-source.h"
#include "host/message-ownership.h"
#include "host/source-window.h"
#include "pipes/packed-message.hpp"
#include "pipes/ticket.hpp"

#include <ctime>

#include <sys/resource.h>

namespace parallelize {

namespace {

// A window of this many messages for each worker keeps the workers busy.
constexpr std::size_t window_per_worker = 32;

constexpr std::uint64_t second_ns = 1'000'000'000;

// How many calls of forward_unpacked() are on this thread's stack, for whatever element.
thread_local constinit unsigned forwarding = 0;

std::uint64_t
clock_ns(clockid_t clock)
{
  timespec time;

  clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * second_ns + static_cast<std::uint64_t>(time.tv_nsec);
}

std::uint64_t
nanoseconds(const timeval &time)
{
  return static_cast<std::uint64_t>(time.tv_sec) * second_ns + static_cast<std::uint64_t>(time.tv_usec) * 1000;
}

std::uint64_t
age_of(const LogMessage *msg)
{
  const UnixTime &received = msg->timestamps[LM_TS_RECVD];
  const std::uint64_t now = clock_ns(CLOCK_REALTIME);
  const std::uint64_t then = static_cast<std::uint64_t>(received.ut_sec) * second_ns
                             + static_cast<std::uint64_t>(received.ut_usec) * 1000;

  return received.ut_sec > 0 && now > then ? now - then : 0;
}

// Forward a message that was handed over, or that waited at an outlet.  `ticket`
// is its innermost one.
//
// Without the daemon's reference cache.  A producer's thread has it running for
// the message that it brings.  A consumer's is right only as long as no other
// thread can drop a reference before the cache is stopped: after us another
// parallelize(), a disk-buffer or the locked path of a memory queue hand a
// message on at once.
void
forward_unpacked(LogPipe *pipe, const UnpackedMessage &message, Ticket *ticket)
{
  // This thread may be in the middle of another message, whose tickets are not this one's.
  TicketScope scope(ticket);
  ScratchBuffersMarker mark;

  msg_set_context(message.msg);
  scratch_buffers_mark(&mark);
  forwarding++;
  host_forward_detached(pipe, message.msg, &message.path_options);
  forwarding--;
  scratch_buffers_reclaim_marked(mark);
  msg_set_context(nullptr);
}

}

/* -- The key -- */

PartitionKey::PartitionKey(const ParallelizeOptions *options, GlobalConfig *cfg)
  : template_key_(parallelize_options_create_partition_key(options, cfg)), cfg_(cfg)
{
}

PartitionKey::~PartitionKey()
{
  log_template_unref(template_key_);
}

bool
PartitionKey::is_literal() const
{
  return log_template_is_literal_string(template_key_);
}

bool
PartitionKey::is_trivial() const
{
  return log_template_is_trivial(template_key_);
}

std::string_view
PartitionKey::expand(LogMessage *msg, GString *buffer) const
{
  if (is_trivial())
    {
      gssize length;
      const gchar *value = log_template_get_trivial_value(template_key_, msg, &length);

      return {value, static_cast<std::size_t>(length)};
    }

  LogTemplateEvalOptions options = DEFAULT_TEMPLATE_EVAL_OPTIONS;

  options.opts = &cfg_->template_options;
  log_template_format(template_key_, msg, &options, buffer);
  return {buffer->str, buffer->len};
}

/* -- The thread that brings messages -- */

Batch::Origin
Parallelize::origin_of(LogMessage *msg, const LogPathOptions *path_options) const
{
  Batch::Origin origin = {};

  // A message that this thread runs for others was read by another thread, whose
  // source may be gone before the batch ends.  Of the rest, only an
  // unacknowledged message keeps its source alive.
  if (path_options->ack_needed && !forwarding)
    {
      origin.source = host_source_of_batch(msg);
      if (msg->flags & LF_INTERNAL)
        host_internal_source_note(msg);
    }
  // A thread that runs messages of another parallelize() may be busy for long with
  // messages that do not come here.  It would keep the outlets of one that did.
  if (host_batch_callbacks_are_invoked() && !(has_outlets() && forwarding))
    origin.flags |= Producer::publishes;
  if (!host_batch_callbacks_are_invoked() || (origin.source && host_source_closes_each_batch(origin.source)))
    origin.flags |= Producer::single;
  // An internal message must not lend its context to others.
  if (!main_loop_is_main_thread() && !(msg->flags & LF_INTERNAL))
    origin.flags |= Producer::assists;
  return origin;
}

void
Parallelize::check_source_window(LogMessage *msg)
{
  const std::size_t window = host_source_get_maximum_window(msg);
  const std::size_t wanted = worker_count_ * window_per_worker;

  if (window == 0 || window >= wanted || window_warned_.exchange(true))
    return;
  msg_warning("WARNING: window too small for parallelize(), one connection cannot keep the workers busy; "
              "increase log-iw-size() of the source, which is divided by its max-connections()",
              evt_tag_str("source", host_source_get_name_of_message(msg)),
              evt_tag_long("window_per_connection", window),
              evt_tag_long("wanted_per_connection", wanted),
              evt_tag_int("workers", worker_count_),
              tag_id(),
              tag_location());
}

void
Parallelize::queue(LogMessage *msg, const LogPathOptions *path_options)
{
  Batch *batch = Batch::find(*engine_);
  if (!batch)
    {
      if (path_options->ack_needed && !window_warned_.load(std::memory_order_relaxed))
        check_source_window(msg);
      batch = &Batch::open(*engine_, origin_of(msg, path_options));
    }

  // What the daemon logs about its own messages must not go round for ever: it
  // looks at the context, and the engine may run other messages here.
  LogMessage *context = msg->flags & LF_INTERNAL ? log_msg_ref(msg) : nullptr;
  Arrival arrival = {msg, path_options, {}, false};

  batch->submit(&arrival);
  if (arrival.is_marked)
    scratch_buffers_reclaim_marked(arrival.mark);
  if (context)
    {
      msg_set_context(context);
      log_msg_unref(context);
    }
}

std::string_view
Parallelize::key(void *a) noexcept
{
  Arrival *arrival = static_cast<Arrival *>(a);

  if (key_->is_trivial())
    return key_->expand(arrival->msg, nullptr);
  scratch_buffers_mark(&arrival->mark);
  arrival->is_marked = true;
  return key_->expand(arrival->msg, scratch_buffers_alloc());
}

Message
Parallelize::pack(void *a) noexcept
{
  Arrival *arrival = static_cast<Arrival *>(a);

  // Another branch may hold the message as well.  The queue nodes in a message are
  // not locked, so two threads may not queue the same one.
  host_message_take_ownership(&arrival->msg, arrival->path_options, upstream_retains_messages_);
  return pack_message(arrival->msg, *arrival->path_options, retain_ticket(current_ticket()));
}

void
Parallelize::forward_inline(Runner &runner, void *a, std::uint32_t number) noexcept
{
  Arrival *arrival = static_cast<Arrival *>(a);

  // A message that has entered has matched, whatever becomes of it later.
  if (!has_outlets())
    {
      host_forward_detached(&pipe_->super, arrival->msg, arrival->path_options);
      return;
    }
  Ticket ticket = {pipe_, engine_.get(), number, current_ticket(), &runner};
  {
    TicketScope scope(&ticket);
    host_forward_detached(&pipe_->super, arrival->msg, arrival->path_options);
  }
  release_ticket(ticket.retained);
}

/* -- Any runner -- */

void
Parallelize::forward(Runner &runner, const Message &packed) noexcept
{
  const UnpackedMessage message = unpack_message(packed);

  if (has_outlets())
    {
      Ticket ticket = {pipe_, engine_.get(), packed.ticket, message.retained, &runner};

      forward_unpacked(&pipe_->super, message, &ticket);
      release_ticket(ticket.retained);
    }
  else
    forward_unpacked(&pipe_->super, message, message.retained);
  release_ticket(message.retained);
}

void
Parallelize::forward_from_outlet(unsigned outlet, const Message &copy) noexcept
{
  const UnpackedMessage message = unpack_message(copy);

  forward_unpacked(static_cast<LogPipe *>(g_ptr_array_index(pipe_->outlets, outlet)), message, message.retained);
  release_ticket(message.retained);
}

void
Parallelize::publish(OnThread) noexcept
{
  Batch::publish_thread();
  // With slow messages it will be long before this thread is back in its event loop.
  host_cached_time_forget();
}

void
Parallelize::wake(unsigned worker) noexcept
{
  threads_->wake(worker);
}

std::uint64_t
Parallelize::now() noexcept
{
  return clock_ns(CLOCK_MONOTONIC);
}

std::uint64_t
Parallelize::coarse_now() noexcept
{
  return clock_ns(CLOCK_MONOTONIC_COARSE);
}

ThreadUsage
Parallelize::thread_usage() noexcept
{
  rusage usage;

  getrusage(RUSAGE_THREAD, &usage);
  return {nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime), static_cast<std::uint64_t>(usage.ru_nvcsw)};
}

std::uint64_t
Parallelize::message_id(const Message &message) noexcept
{
  return peek_message(message)->rcptid;
}

std::uint64_t
Parallelize::age(const Message &message) noexcept
{
  return age_of(peek_message(message));
}

std::uint64_t
Parallelize::age_of_arrival(void *arrival) noexcept
{
  return age_of(static_cast<Arrival *>(arrival)->msg);
}

void
Parallelize::hot_key(std::string_view key, unsigned percent) noexcept
{
  gchar *unescaped = g_strndup(key.data(), key.size());
  gchar *printable = g_strescape(unescaped, nullptr);

  msg_warning("WARNING: one key holds nearly all traffic of parallelize() while other workers are idle",
              evt_tag_str("key", printable),
              evt_tag_int("percent", percent),
              tag_key(),
              evt_tag_str("hint", key_advice()),
              tag_id(),
              tag_location());
  g_free(printable);
  g_free(unescaped);
}

}
