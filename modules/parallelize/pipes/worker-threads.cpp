// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pipes/worker-threads.hpp"

#include "host/internal-source.h"
#include "host/main-loop-call.h"
#include "host/worker-thread.h"

#include <cerrno>

#include <sys/eventfd.h>
#include <unistd.h>

namespace parallelize {

namespace {

constexpr long second_ns = 1'000'000'000;

}

class WorkerThreads::Thread
{
public:
  Thread(WorkerThreads &owner, unsigned index) : owner_(owner), index_(index)
  {
    IV_EVENT_INIT(&woken_);
    woken_.cookie = this;
    woken_.handler = run;
    IV_TASK_INIT(&run_again_);
    run_again_.cookie = this;
    run_again_.handler = run;
    IV_TIMER_INIT(&nap_);
    nap_.cookie = this;
    nap_.handler = nap_ended;
    IV_EVENT_INIT(&ended_);
    ended_.cookie = this;
    ended_.handler = [](void *self) noexcept { static_cast<Thread *>(self)->join(); };
    g_mutex_init(&mutex_);
    g_cond_init(&became_ready_);
  }
  ~Thread()
  {
    g_cond_clear(&became_ready_);
    g_mutex_clear(&mutex_);
  }
  Thread(const Thread &) = delete;

  // [main]
  bool create(unsigned spare_descriptors, GError **error);
  void join();
  bool is_created() const { return thread_; }
  bool has_id() const { return has_id_; }

  // [any]
  void wake() { iv_event_post(&woken_); }

private:
  static bool are_descriptors_left(unsigned spare, GError **error);
  void wait_until_ready();

  // [worker]
  void wait_for_main_loop_calls();
  static gpointer main(gpointer self) noexcept;
  static void run(void *self) noexcept;
  static void nap_ended(void *self) noexcept;
  void turn_ended(Turn turn);
  void nap();

  WorkerThreads &owner_;
  const unsigned index_;
  GThread *thread_ = nullptr;   // NULL: never created, or joined
  bool has_id_ = false;         // before ready_ is set; then it does not change

  GMutex mutex_;                // guards the next
  bool ready_ = false;
  GCond became_ready_;

  // The worker's thread
  iv_event woken_;              // posted by any thread
  iv_task run_again_;
  iv_timer nap_;

  // The main thread
  iv_event ended_;              // posted by the worker's thread at its very end
};

/* -- The worker's thread -- */

void
WorkerThreads::Thread::run(void *s) noexcept
{
  Thread *self = static_cast<Thread *>(s);

  if (iv_timer_registered(&self->nap_))
    iv_timer_unregister(&self->nap_);
  self->turn_ended(self->owner_.engine_.run(self->index_));
}

void
WorkerThreads::Thread::nap_ended(void *s) noexcept
{
  Thread *self = static_cast<Thread *>(s);

  self->turn_ended(self->owner_.engine_.run_after_nap(self->index_));
}

void
WorkerThreads::Thread::turn_ended(Turn turn)
{
  switch (turn)
    {
    case Turn::again:
      if (!iv_task_registered(&run_again_))
        iv_task_register(&run_again_);
      break;
    case Turn::sleeping:
      break;
    case Turn::napping:
      nap();
      break;
    case Turn::ended:
      iv_quit();
      break;
    }
  main_loop_worker_run_gc();
}

void
WorkerThreads::Thread::nap()
{
  iv_validate_now();
  nap_.expires = iv_now;
  nap_.expires.tv_nsec += long{nap_ns};
  if (nap_.expires.tv_nsec >= second_ns)
    {
      nap_.expires.tv_nsec -= second_ns;
      nap_.expires.tv_sec++;
    }
  iv_timer_register(&nap_);
}

// Either this thread waits for the main thread, or the main thread for this one.
//
// Started: this thread waits.  It may have forwarded messages, so a call may be
// pending.  The main thread is in its event loop: the thread is a job of
// syslog-ng, which deinitializes a configuration, and leaves the loop, only after
// the last job.  join() completes the job, and this thread posts `ended_` later
// than here.
//
// Not started: the main thread waits, in stop() after a start that
// failed.  Until the start, the threads that bring messages process them.  So
// this thread has forwarded none, and no call is pending.
void
WorkerThreads::Thread::wait_for_main_loop_calls()
{
  if (owner_.started_)
    host_wait_for_main_loop_calls();
}

gpointer
WorkerThreads::Thread::main(gpointer s) noexcept
{
  Thread *self = static_cast<Thread *>(s);

  iv_init();
  self->has_id_ = host_worker_thread_start();
  iv_event_register(&self->woken_);
  g_mutex_lock(&self->mutex_);
  self->ready_ = true;
  g_cond_signal(&self->became_ready_);
  g_mutex_unlock(&self->mutex_);

  // until the engine has ended this worker
  iv_main();

  iv_event_unregister(&self->woken_);
  self->wait_for_main_loop_calls();
  host_worker_thread_stop();
  iv_event_post(&self->ended_);
  iv_deinit();
  return nullptr;
}

/* -- The main thread -- */

void
WorkerThreads::Thread::join()
{
  if (!thread_)
    return;
  g_thread_join(thread_);
  thread_ = nullptr;
  iv_event_unregister(&ended_);
  if (owner_.started_)
    main_loop_worker_job_complete();
}

void
WorkerThreads::Thread::wait_until_ready()
{
  g_mutex_lock(&mutex_);
  while (!ready_)
    g_cond_wait(&became_ready_, &mutex_);
  g_mutex_unlock(&mutex_);
}

// ivykis takes one for the loop of a thread, and aborts the process if there is none.
bool
WorkerThreads::Thread::are_descriptors_left(unsigned spare, GError **error)
{
  const int descriptor = eventfd(0, EFD_CLOEXEC);

  if (descriptor < 0)
    {
      g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                  "no file descriptors left for the thread's event loop: %s", g_strerror(errno));
      return false;
    }
  const bool result = !spare || are_descriptors_left(spare - 1, error);
  close(descriptor);
  return result;
}

bool
WorkerThreads::Thread::create(unsigned spare_descriptors, GError **error)
{
  char name[16];

  if (!are_descriptors_left(spare_descriptors, error))
    return false;
  g_snprintf(name, sizeof name, "parallelize/%u", index_);
  thread_ = g_thread_try_new(name, main, this, error);
  if (!thread_)
    return false;
  iv_event_register(&ended_);
  wait_until_ready();
  return true;
}

WorkerThreads::WorkerThreads(Engine &engine, unsigned count) : engine_(engine)
{
  for (unsigned i = 0; i < count; i++)
    threads_.push_back(std::make_unique<Thread>(*this, i));
}

WorkerThreads::~WorkerThreads() = default;

void
WorkerThreads::stop()
{
  // Threads end by running a stopped engine.
  if (!started_)
    let_run();
  if (exit_request_)
    exit_request_->threads = nullptr;
  engine_.stop();
  for (const auto &thread : threads_)
    thread->join();
}

bool
WorkerThreads::create(unsigned spare_descriptors, GError **error)
{
  for (const auto &thread : threads_)
    if (!thread->create(spare_descriptors, error))
      return false;
  return true;
}

void
WorkerThreads::let_run()
{
  engine_.start();
  for (const auto &thread : threads_)
    if (thread->is_created())
      thread->wake();
    else
      engine_.abandon_worker();
}

void
WorkerThreads::exit_requested(gpointer r) noexcept
{
  ExitRequest *request = static_cast<ExitRequest *>(r);

  host_internal_source_disable_wakeup();
  if (request->threads)
    {
      request->threads->exit_request_ = nullptr;
      request->threads->engine_.stop();
    }
  delete request;
}

void
WorkerThreads::start()
{
  started_ = true;
  // Not before the configuration is up: when it is refused, the daemon is in the
  // middle of a reload.  It would take the end of the last job for the end of all
  // that it waits for, and let the next reload in while threads run.
  for (std::size_t i = 0; i < threads_.size(); i++)
    main_loop_worker_job_start();
  exit_request_ = new ExitRequest{this};
  main_loop_worker_register_exit_notification_callback(exit_requested, exit_request_);
  let_run();
}

void
WorkerThreads::wake(unsigned index)
{
  threads_[index]->wake();
}

unsigned
WorkerThreads::count_without_id() const
{
  unsigned result = 0;
  for (const auto &thread : threads_)
    result += !thread->has_id();
  return result;
}

}
