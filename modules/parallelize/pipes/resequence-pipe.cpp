// SPDX-License-Identifier: LGPL-2.1-or-later
#include "host/daemon-headers.hpp"

#include "pipes/resequence-pipe.h"

#include "host/forward.h"
#include "host/message-ownership.h"
#include "host/path-search.h"
#include "host/pipe-methods.h"
#include "pipes/packed-message.hpp"
#include "pipes/pairing.h"
#include "pipes/path-warnings.hpp"
#include "pipes/ticket.hpp"

#include <string>

namespace parallelize {

namespace {

// The log path element resequence().
class Resequence
{
public:
  Resequence(PairedPipe *pipe, const char *location) : pipe_(pipe), location_(location) {}
  Resequence(const Resequence &) = delete;

  const std::string &location() const { return location_; }

  // [main]
  bool init()
  {
    pairing_run(log_pipe_get_config(&pipe_->super));
    if (!pipe_->is_reached)
      {
        msg_error("Error: resequence() without a parallelize() of this module before it",
                  evt_tag_str("location", location_.c_str()));
        return false;
      }
    upstream_retains_messages_ = true;  // until that is known
    is_path_checked_ = false;
    return true;
  }

  // [main]  Each partner calls it; the first call does everything.
  void check_path()
  {
    if (is_path_checked_)
      return;
    is_path_checked_ = true;
    upstream_retains_messages_ = host_path_upstream_retains_messages(&pipe_->super);
    warn_about_destinations(&pipe_->super, location_.c_str());
  }

  // Any thread that forwards messages
  void queue(LogMessage *msg, const LogPathOptions *path_options)
  {
    Ticket *ticket = current_ticket();
    const PairingInlet *inlet = nullptr;

    while (ticket && !(inlet = pairing_find_inlet(pipe_, ticket->pipe)))
      ticket = ticket->outer;
    // A message that a parser has made waits for no other: no window bounds how many of them there are.
    if (!ticket || !path_options->ack_needed)
      {
        log_pipe_forward_msg(&pipe_->super, msg, path_options);
        return;
      }

    // Another branch may hold the message as well, and the thread that will
    // forward this copy may not queue the same message.
    host_message_take_ownership(&msg, path_options, upstream_retains_messages_);
    Message copy = pack_message(msg, *path_options, retain_ticket(ticket->outer));
    copy.ticket = ticket->number;
    if (ticket->runner)
      ticket->runner->arrived(inlet->outlet, copy);
    else
      ticket->engine->arrived(inlet->outlet, copy);
  }

private:
  PairedPipe *const pipe_;
  const std::string location_;
  bool upstream_retains_messages_ = true;       // see host/path-search.h
  bool is_path_checked_ = false;        // since the last init()
};

}

}

/* -- C wrappers -- */

using parallelize::Resequence;

namespace {

struct ResequencePipe
{
  PairedPipe super;
  Resequence *cpp;
};

Resequence &
cpp_of(gpointer s)
{
  return *static_cast<ResequencePipe *>(s)->cpp;
}

void
_queue(LogPipe *s, LogMessage *msg, const LogPathOptions *path_options) noexcept
{
  cpp_of(s).queue(msg, path_options);
}

gboolean
_init(LogPipe *s) noexcept
{
  if (!cpp_of(s).init())
    return FALSE;
  s->queue = reinterpret_cast<PairedPipe *>(s)->inlets->len ? _queue : log_pipe_forward_msg;
  return TRUE;
}

LogPipe *
_clone(LogPipe *s) noexcept
{
  return resequence_pipe_new(g_strdup(cpp_of(s).location().c_str()), s->cfg);
}

void
_destroy(PairedPipe *s) noexcept
{
  delete reinterpret_cast<ResequencePipe *>(s)->cpp;
}

LogPipe *
_new(gchar *location, GlobalConfig *cfg) noexcept
{
  ResequencePipe *self = g_new0(ResequencePipe, 1);
  LogPipe *pipe = &self->super.super;

  paired_pipe_init_instance(&self->super, PAIRING_CLOSES, _destroy, cfg);
  pipe->init = _init;
  pipe->clone = _clone;
  self->cpp = new Resequence(&self->super, location);
  g_free(location);
  host_pipe_mark_thread_boundary(pipe);
  return pipe;
}

}

void
resequence_pipe_check_path(gpointer s, gpointer)
{
  cpp_of(s).check_path();
}

LogPipe *
resequence_pipe_new(gchar *location, GlobalConfig *cfg)
{
  return _new(location, cfg);
}
