// SPDX-License-Identifier: LGPL-2.1-or-later
// Compiled and never run: C++ can use the headers of syslog-ng, and the module's own headers that are written in C.

#include "host/daemon-headers.hpp"

#include "pipes/options.h"
#include "host/batch-callbacks.h"
#include "host/cached-time.h"
#include "host/forward.h"
#include "host/internal-source.h"
#include "host/message-ownership.h"
#include "host/path-search.h"
#include "host/pipe-methods.h"
#include "host/source-window.h"
#include "host/stats.h"
#include "host/thread-ids.h"
#include "host/version.h"
#include "host/when-running.h"
#include "host/worker-thread.h"
#include "pipes/metrics.h"
#include "pipes/pairing.h"
#include "pipes/parallelize-pipe.h"
#include "pipes/resequence-pipe.h"

#include <string>
#include <string_view>
#include <vector>

namespace {

// What the class of a pipe looks like: a thin C struct owns it.
class Element
{
public:
  explicit Element(LogPipe *pipe) : pipe_(pipe), key_(log_template_new(log_pipe_get_config(pipe), nullptr)) {}
  Element(const Element &) = delete;
  Element &operator=(const Element &) = delete;
  ~Element() { log_template_unref(key_); }

  bool compile(const char *text)
  {
    GError *error = nullptr;

    if (log_template_compile(key_, text, &error))
      return true;
    msg_error("Error compiling the key", evt_tag_str("template", text), evt_tag_str("error", error->message),
              evt_tag_int("length", 1), evt_tag_long("number", 1), evt_tag_printf("ratio", "%.1f", 0.5),
              evt_tag_error("errno"));
    g_clear_error(&error);
    return false;
  }

  std::string expand(LogMessage *msg)
  {
    if (log_template_is_trivial(key_))
      {
        gssize length = 0;
        const gchar *value = log_template_get_trivial_value(key_, msg, &length);

        return std::string(value, length);
      }

    ScratchBuffersMarker mark;
    scratch_buffers_mark(&mark);
    GString *buffer = scratch_buffers_alloc();
    LogTemplateEvalOptions options = DEFAULT_TEMPLATE_EVAL_OPTIONS;
    options.opts = &log_pipe_get_config(pipe_)->template_options;
    log_template_format(key_, msg, &options, buffer);
    std::string result(buffer->str, buffer->len);
    scratch_buffers_reclaim_marked(mark);
    return result;
  }

  void forward(LogMessage *msg, const LogPathOptions *path_options)
  {
    LogPathOptions detached = LOG_PATH_OPTIONS_INIT;

    detached.ack_needed = path_options->ack_needed;
    msg_set_context(msg);
    if (msg->flags & LF_INTERNAL)
      log_msg_ack(msg, path_options, AT_PROCESSED);
    host_message_take_ownership(&msg, path_options, FALSE);
    host_forward_detached(pipe_, msg, &detached);
    msg_set_context(nullptr);
  }

  void expect_end_of_batch()
  {
    worker_batch_callback_init(&finished_);
    finished_.func = [](gpointer self) -> gpointer {
      static_cast<Element *>(self)->finished_.user_data = nullptr;
      return nullptr;
    };
    finished_.user_data = this;
    if (host_batch_callbacks_are_invoked())
      host_batch_callbacks_register_last(&finished_);
  }

  void wake()
  {
    IV_EVENT_INIT(&event_);
    event_.cookie = this;
    event_.handler = [](void *) {};
    iv_event_register(&event_);
    iv_event_post(&event_);
    IV_TASK_INIT(&task_);
    if (!iv_task_registered(&task_))
      iv_task_register(&task_);
  }

private:
  LogPipe *pipe_;
  LogTemplate *key_;
  WorkerBatchCallback finished_;
  iv_event event_;
  iv_task task_;
};

struct ElementPipe
{
  PairedPipe super;
  Element *cpp;
};

} // namespace

extern "C" LogPipe *
daemon_headers_pipe_new(GlobalConfig *cfg)
{
  ElementPipe *self = g_new0(ElementPipe, 1);

  paired_pipe_init_instance(
      &self->super, PAIRING_OPENS, [](PairedPipe *s) { delete reinterpret_cast<ElementPipe *>(s)->cpp; }, cfg);
  self->super.super.queue = [](LogPipe *s, LogMessage *msg, const LogPathOptions *path_options) {
    Element *element = reinterpret_cast<ElementPipe *>(s)->cpp;

    element->expect_end_of_batch();
    msg_notice("A message", evt_tag_str("key", element->expand(msg).c_str()));
    element->forward(msg, path_options);
    element->wake();
  };
  self->cpp = new Element(&self->super.super);
  if (!self->cpp->compile("${HOST}"))
    msg_warning("WARNING: no key", evt_tag_str("id", cfg->use_uniqid ? "unique" : "none"));
  host_pipe_mark_thread_boundary(&self->super.super);
  return &self->super.super;
}
