// SPDX-License-Identifier: LGPL-2.1-or-later
// The life cycle of parallelize(), and the pipe that owns it.
#include "host/daemon-headers.hpp"

#include "pipes/parallelize-pipe.h"

#include "host/internal-source.h"
#include "host/path-search.h"
#include "host/pipe-methods.h"
#include "host/thread-ids.h"
#include "host/when-running.h"
#include "pipes/parallelize.hpp"
#include "pipes/path-warnings.hpp"
#include "pipes/resequence-pipe.h"

#include <string>

#include <unistd.h>

namespace parallelize {

namespace {

// File descriptors that must be left when workers are created: the loops of the
// daemon's own threads, which abort as well, and other parts need some.
constexpr unsigned spare_descriptors = 7;

std::string
id_of(const ParallelizeOptions *options, const char *location)
{
  if (options->id)
    return options->id;
  gchar *name = g_path_get_basename(location);
  std::string id = name;
  g_free(name);
  return id;
}

// A seed that can be guessed is as good as none.  g_random_int() can be: the
// daemon shows other numbers that it draws from it.
bool
draw_seed(std::uint64_t (&seed)[2])
{
  return getentropy(seed, sizeof seed) == 0;
}

// A limit as the option is written: 0 is none.
EVTTAG *
tag_limit(const char *option, int limit)
{
  return evt_tag_int(option, limit == G_MAXINT ? 0 : limit);
}

}

Parallelize::Parallelize(PairedPipe *pipe, ParallelizeOptions *options, const char *location)
  : pipe_(pipe), options_(options), location_(location), id_(id_of(options, location)),
    worker_count_(parallelize_options_get_workers(options))
{
  if (options->partition_key)
    key_.emplace(options, log_pipe_get_config(&pipe->super));
  pipe_->is_off = !worker_count_;
}

Parallelize::~Parallelize()
{
  parallelize_options_free(options_);
}

EVTTAG *
Parallelize::tag_key() const
{
  return evt_tag_str("worker-partition-key", options_->partition_key ? options_->partition_key : "");
}

EVTTAG *
Parallelize::tag_id() const
{
  return evt_tag_str("id", id_.c_str());
}

EVTTAG *
Parallelize::tag_location() const
{
  return evt_tag_str("location", location_.c_str());
}

const char *
Parallelize::key_advice() const
{
  const std::string_view key = options_->partition_key ? options_->partition_key : "";

  if (key.empty())
    return "";
  if (key == "$HOST" || key == "${HOST}")
    return "with keep-hostname(no) all messages of a relay or a file have the same HOST, "
           "consider keep-hostname(yes) or another worker-partition-key()";
  return "consider another worker-partition-key(), or round-robin where order does not matter";
}

/* -- The main thread: life cycle -- */

bool
Parallelize::create_engine()
{
  EngineOptions options = {};

  options.workers = worker_count_;
  options.keyed = key_.has_value();
  options.empty_key_round_robin = options_->empty_key_round_robin;
  // Without use-rcptid(yes) all are 0.
  options.message_ids = log_pipe_get_config(&pipe_->super)->use_uniqid;
  options.batch_size = parallelize_options_get_batch_size(options_);
  options.quantum = parallelize_options_get_log_fetch_limit(options_);
  options.prefetch = parallelize_options_get_prefetch(options_);
  options.outlets = pipe_->outlets->len;
  if (!draw_seed(options.seed))
    {
      msg_error("Error drawing the random seed of parallelize()", evt_tag_error("error"), tag_id(), tag_location());
      return false;
    }
  engine_.reset(new Engine(options, *this));
  return true;
}

void
Parallelize::free_engine()
{
  if (threads_)
    threads_->stop();
  threads_.reset();
  metrics_.reset();
  engine_.reset();
}

bool
Parallelize::create_workers()
{
  GError *error = nullptr;

  threads_ = std::make_unique<WorkerThreads>(*engine_, worker_count_);
  // If the daemon comes back to this configuration, it has no other.
  if (threads_->create(has_run_ ? 0 : spare_descriptors, &error))
    return true;

  msg_error("Error creating the worker threads of parallelize()",
            evt_tag_int("workers", worker_count_),
            evt_tag_str("error", error->message),
            tag_id(),
            tag_location());
  g_clear_error(&error);
  free_engine();
  return false;
}

bool
Parallelize::init()
{
  if (key_ && key_->is_literal())
    msg_warning("WARNING: the worker-partition-key() of parallelize() contains no macro, "
                "all messages have the same key and will be processed one at a time",
                tag_key(), tag_id(), tag_location());
  window_warned_ = false;
  if (!worker_count_)
    return true;
  host_internal_source_expect();
  // Until that is known: sources may start before post_config_init().
  upstream_retains_messages_ = true;

  pairing_run(log_pipe_get_config(&pipe_->super));
  return create_engine() && create_workers();
}

void
Parallelize::pre_config_init()
{
  // Once: when the daemon comes back to this configuration, drivers have pointers
  // to pipes that they have freed, until they are initialized again.
  if (!has_run_ && worker_count_ && host_path_shares_with_builtin(&pipe_->super))
    {
      msg_warning("WARNING: parallelize() is off, since it is in one path with builtin-parallelize(); remove one of the two",
                  tag_id(), tag_location());
      worker_count_ = 0;
      pipe_->is_off = TRUE;
    }
  host_thread_ids_announce_workers(worker_count_);
}

void
Parallelize::report_off()
{
  msg_notice("parallelize() is off, since workers() is 0", tag_id(), tag_location());
}

void
Parallelize::report_start()
{
  msg_notice("parallelize() started",
             evt_tag_int("workers", worker_count_),
             tag_key(),
             tag_limit("batch-size", parallelize_options_get_batch_size(options_)),
             tag_limit("log-fetch-limit", parallelize_options_get_log_fetch_limit(options_)),
             evt_tag_int("prefetch", parallelize_options_get_prefetch(options_)),
             tag_id(),
             tag_location());
  if (threads_->count_without_id())
    msg_notice("Workers of parallelize() have no place in the daemon's memory queues and use their locked path",
               evt_tag_int("workers", threads_->count_without_id()),
               evt_tag_str("reason", host_thread_ids_explain_missing()),
               tag_id(),
               tag_location());
  else if (host_thread_ids_count_missing())
    msg_warning("WARNING: with the workers of parallelize() the daemon may have more threads than it can number; "
                "those that start last have no place in its memory queues and use their locked path",
                evt_tag_int("workers", worker_count_),
                evt_tag_int("too_many", host_thread_ids_count_missing()),
                tag_id(),
                tag_location());
}

void
Parallelize::warn_about_path() const
{
  const ParallelElement element = {&pipe_->super, options_->partition_key, id_.c_str(), location_.c_str()};

  warn_about_destinations(element);
  warn_about_python_parsers(element);
  warn_about_filterx(element);
}

void
Parallelize::post_config_init()
{
  if (!parallelize_options_get_workers(options_))
    host_when_running([](gpointer self, gpointer) { static_cast<Parallelize *>(self)->report_off(); }, this);
  if (!worker_count_)
    return;
  upstream_retains_messages_ = host_path_upstream_retains_messages(&pipe_->super);
  warn_about_path();
  g_ptr_array_foreach(pipe_->outlets, resequence_pipe_check_path, nullptr);
  threads_->start();
  has_run_ = true;
  metrics_ = std::make_unique<Metrics>(*engine_, worker_count_, id_.c_str(), location_.c_str(),
                                       options_->partition_key, key_advice());
  host_when_running([](gpointer self, gpointer) { static_cast<Parallelize *>(self)->report_start(); }, this);
}

void
Parallelize::log_totals()
{
  const EngineCounters counters = engine_->counters();
  std::string per_worker;

  for (unsigned i = 0; i < worker_count_; i++)
    per_worker += (i ? " " : "") + std::to_string(engine_->processed_by(i));
  msg_notice("parallelize() stopped",
             evt_tag_str("processed_by_workers", per_worker.c_str()),
             evt_tag_printf("processed_by_helping_sources", "%" G_GUINT64_FORMAT, counters.worth_a_hand_over),
             evt_tag_printf("too_cheap_to_hand_over", "%" G_GUINT64_FORMAT, counters.too_cheap),
             evt_tag_printf("wakeups", "%" G_GUINT64_FORMAT, counters.wakeups),
             evt_tag_printf("stolen", "%" G_GUINT64_FORMAT, counters.stolen),
             tag_id(),
             tag_location());
}

void
Parallelize::deinit()
{
  if (engine_)
    log_totals();
  free_engine();
}

}

/* -- C wrappers -- */

using parallelize::Parallelize;

namespace {

struct ParallelizePipe
{
  PairedPipe super;
  Parallelize *cpp;
};

Parallelize &
cpp_of(LogPipe *s)
{
  return *reinterpret_cast<ParallelizePipe *>(s)->cpp;
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
  // An element that is off forwards.
  if (!reinterpret_cast<PairedPipe *>(s)->is_off)
    s->queue = _queue;
  return TRUE;
}

gboolean
_deinit(LogPipe *s) noexcept
{
  cpp_of(s).deinit();
  return TRUE;
}

gboolean
_pre_config_init(LogPipe *s) noexcept
{
  cpp_of(s).pre_config_init();
  return TRUE;
}

gboolean
_post_config_init(LogPipe *s) noexcept
{
  cpp_of(s).post_config_init();
  return TRUE;
}

LogPipe *
_clone(LogPipe *s) noexcept
{
  const Parallelize &self = cpp_of(s);

  return parallelize_pipe_new(parallelize_options_clone(self.options()), g_strdup(self.location().c_str()), s->cfg);
}

void
_destroy(PairedPipe *s) noexcept
{
  delete reinterpret_cast<ParallelizePipe *>(s)->cpp;
}

LogPipe *
_new(ParallelizeOptions *options, gchar *location, GlobalConfig *cfg) noexcept
{
  ParallelizePipe *self = g_new0(ParallelizePipe, 1);
  LogPipe *pipe = &self->super.super;

  paired_pipe_init_instance(&self->super, PAIRING_OPENS, _destroy, cfg);
  pipe->init = _init;
  pipe->deinit = _deinit;
  pipe->clone = _clone;
  self->cpp = new Parallelize(&self->super, options, location);
  g_free(location);
  host_pipe_mark_thread_boundary(pipe);
  host_pipe_set_config_methods(pipe, _pre_config_init, _post_config_init);
  return pipe;
}

}

LogPipe *
parallelize_pipe_new(ParallelizeOptions *options, gchar *location, GlobalConfig *cfg)
{
  return _new(options, location, cfg);
}
