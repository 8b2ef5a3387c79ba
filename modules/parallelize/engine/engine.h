/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine behind parallelize() and resequence(): strands, run queue,
 * batching, backpressure, tickets.
 *
 * The C ABI between the host half (C, host headers) and the engine (C++20, no
 * host header).  The engine starts no thread, reads no clock and keeps no
 * global: the host half drives it and lends it callbacks.
 *
 * Words: a _message_ is an opaque handle.  A _worker_ is one of the N threads
 * that the host half runs parallelize_engine_run() on.  A _producer_ is one
 * open batch of a thread that brings messages.  A _strand_ is the FIFO of the
 * messages whose keys hash to it; at most one thread runs it at a time.
 * An _outlet_ is a resequence() behind the engine.  A _ticket_ is the number
 * under which a message has entered an engine with outlets; it is _done_ when
 * no copy of the message can come to an outlet any more: when it was forwarded,
 * and wherever else it has gone.
 *
 * No function blocks on anything but short internal locks, and no internal
 * lock is held while a callback runs.
 */
#ifndef PARALLELIZE_ENGINE_H_INCLUDED
#define PARALLELIZE_ENGINE_H_INCLUDED 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct parallelize_engine ParallelizeEngine;
typedef struct parallelize_producer ParallelizeProducer;
typedef struct parallelize_runner ParallelizeRunner;

/* A message in the engine's care: owned by it from enqueue until forward(), or
 * from its arrival at an outlet until forward_from_outlet(). */
typedef struct ParallelizeMessage
{
  void *handle;
  uint32_t flags;               /* the host half's, handed back untouched; without the engine's */
  uint32_t ticket;              /* only with outlets: set by the engine, and by the host half for an arrival */
} ParallelizeMessage;

/* Of the flags of a message: the engine's. */
#define PARALLELIZE_ENGINE_FLAGS UINT32_C(0x80000000)

/* On which thread a message is forwarded. */
typedef enum
{
  PARALLELIZE_ON_WORKER,        /* a worker: nothing else is on its stack */
  PARALLELIZE_ON_PRODUCER,      /* inside parallelize_producer_enqueue() of the thread that brings messages */
} ParallelizeThread;

/*
 * What the engine needs from the host half.  All are called without a lock
 * held; user_data is the one given to parallelize_engine_new().
 */
typedef struct ParallelizeCallbacks
{
  /* Process one message to its end; takes over the handle.  Any runner's thread.
   * Until it returns, `runner` tells of what becomes of the ticket. */
  void (*forward)(void *user_data, ParallelizeRunner *runner, ParallelizeThread on,
                  const ParallelizeMessage *message);

  /* Process what has come to an outlet, one message at a time in the order of
   * their tickets; takes over the handle.  Any runner's thread, and inside
   * parallelize_producer_return_ticket(). */
  void (*forward_from_outlet)(void *user_data, unsigned outlet, const ParallelizeMessage *message);

  /* Make visible, in order, everything that this thread has forwarded so far:
   * only then may a strand or an outlet go on elsewhere.  Any runner's thread. */
  void (*publish)(void *user_data, ParallelizeThread on);

  /* Call parallelize_engine_run(worker) soon on that worker's thread.  Any thread. */
  void (*wake)(void *user_data, unsigned worker);

  /* Monotonic nanoseconds.  Any thread. */
  uint64_t (*now)(void *user_data);

  /* A number by which a human would find the message, or 0.  NULL: there are
   * none.  The thread that is about to forward it, from an outlet as well. */
  uint64_t (*message_id)(void *user_data, const ParallelizeMessage *message);

  /* One key holds nearly all traffic while workers are idle; rate-limited.  A producer's thread. */
  void (*hot_key)(void *user_data, const char *key, size_t key_length, unsigned percent);
} ParallelizeCallbacks;

typedef struct ParallelizeEngineOptions
{
  unsigned workers;             /* at least 1 */
  bool keyed;                   /* false: round-robin, order is not kept */
  bool empty_key_round_robin;   /* messages with an empty key need no order */
  unsigned batch_size;          /* at most so many messages are handed over at once; at least 1 */
  unsigned quantum;             /* at most so many messages before other work gets its turn; at least 1 */
  unsigned prefetch;            /* beyond so many waiting messages the producer's thread helps; at least 1 */
  unsigned outlets;             /* 0: no tickets */
  uint64_t seed[2];             /* of the keyed hash: random, or a sender could aim at one strand */
} ParallelizeEngineOptions;

/* The caller owns the engine. */
ParallelizeEngine *parallelize_engine_new(const ParallelizeEngineOptions *options,
                                          const ParallelizeCallbacks *callbacks, void *user_data);

/* Only when drained: no worker alive, no producer open, no message inside. */
void parallelize_engine_free(ParallelizeEngine *self);

/*
 * From here on `workers` threads answer wake().  Until then, and after the
 * last of them has ended, producers process their messages themselves.
 */
void parallelize_engine_start(ParallelizeEngine *self);

/* Workers end as soon as nothing is left to do.  Any thread, any number of times. */
void parallelize_engine_stop(ParallelizeEngine *self);

/* After start(): one of the workers has no thread and will never run.  Any thread. */
void parallelize_engine_abandon_worker(ParallelizeEngine *self);

/* Once in a while: wakes sleeping workers if something waits that they may run.  A hand-over wakes no more of them than
 * messages of the usual cost are worth; if one then takes much longer, the rest must not wait for it.  Any thread. */
void parallelize_engine_wake_for_what_waits(ParallelizeEngine *self);

typedef enum
{
  PARALLELIZE_RUN_AGAIN,        /* the quantum is used up: call again after other work had its turn */
  PARALLELIZE_RUN_SLEEPING,     /* nothing to do: call again after wake() */
  PARALLELIZE_RUN_ENDED,        /* stopped and drained: do not call again */
} ParallelizeRun;

/* Run strands.  Thread of worker `worker` (0 .. workers-1) only. */
ParallelizeRun parallelize_engine_run(ParallelizeEngine *self, unsigned worker);

/* Flags of parallelize_producer_open() */
enum
{
  PARALLELIZE_PRODUCER_BATCHES = 1,   /* close() will follow soon after the thread's own publish: it may be asked to
                                       * forward messages, and has the strands and outlets of these until then */
  PARALLELIZE_PRODUCER_HELPS = 2,     /* the thread may run strands inside enqueue() */
};

/*
 * Open a batch on this thread.  Every open is followed by exactly one close,
 * on the same thread.  An engine may not be freed in between.
 */
ParallelizeProducer *parallelize_producer_open(ParallelizeEngine *self, unsigned flags);

typedef enum
{
  PARALLELIZE_ACCEPT_ENQUEUE,       /* call parallelize_producer_enqueue() */
  PARALLELIZE_ACCEPT_FORWARD,       /* cheaper than a hand-over: process it here and now */
  PARALLELIZE_ACCEPT_FORWARD_TIMED, /* the same, and report the time with parallelize_producer_timed() */
  PARALLELIZE_ACCEPT_PUBLISH,       /* publish this thread's batch (which closes the producer), then open again */
} ParallelizeAccept;

/* What to do with the next message.  Producer's thread. */
ParallelizeAccept parallelize_producer_accept(ParallelizeProducer *self);

/* How long the message took of which this was to be reported.  Producer's thread, before anything else of it is called. */
void parallelize_producer_timed(ParallelizeProducer *self, uint64_t nanoseconds);

typedef enum
{
  PARALLELIZE_ENQUEUED,
  /* The same; and more than prefetch() messages wait, and this thread can run
   * none of them because others are at it.  It had better leave them the
   * processor. */
  PARALLELIZE_ENQUEUED_OUTRUN,
  /* The message is still the caller's, who must process it here and now: so
   * many wait that this thread had better do something itself, and nothing
   * with this key is under way. */
  PARALLELIZE_ENQUEUE_FORWARD,
  /* The same, and report the time with parallelize_producer_timed(). */
  PARALLELIZE_ENQUEUE_FORWARD_TIMED,
} ParallelizeEnqueue;

/*
 * Hand a message to the engine.  `key` is read before return; ignored by an
 * engine without a key.
 *
 * May help, that is forward other messages and publish on this thread, so
 * that close() may have been called by the time it returns: do not touch
 * `self` afterwards, unless it is to be forwarded or has no batches.
 */
ParallelizeEnqueue parallelize_producer_enqueue(ParallelizeProducer *self, const ParallelizeMessage *message,
                                                const char *key, size_t key_length);

/*
 * Only with outlets: a message that the producer's thread forwards itself takes
 * a ticket before, and gives it back afterwards.
 *
 * return_ticket() may forward, on this thread, what has come to outlets.
 */
uint32_t parallelize_producer_take_ticket(ParallelizeProducer *self);
void parallelize_producer_return_ticket(ParallelizeProducer *self, uint32_t ticket);

/*
 * A copy of a message, which carries its ticket, has come to an outlet: takes
 * over the handle.  Inside forward(), on its thread.
 */
void parallelize_runner_arrived(ParallelizeRunner *self, unsigned outlet, const ParallelizeMessage *copy);

/* The same for a message that the producer's thread forwards itself.  True: it
 * is the copy's turn, it must be forwarded from the outlet here and now.  Else
 * parallelize_engine_arrived() must be called. */
bool parallelize_producer_may_pass(ParallelizeProducer *self, unsigned outlet, uint32_t ticket);

/*
 * The message goes on elsewhere as well: its ticket will not be done before it
 * is also released, later and by any thread.  Once a ticket; inside forward(),
 * or by the thread that forwards the message itself.
 */
void parallelize_runner_hold_ticket(ParallelizeRunner *self, uint32_t ticket);
void parallelize_producer_hold_ticket(ParallelizeProducer *self, uint32_t ticket);

/* For a ticket that is held, or the producer's own.  Any thread, also inside the callbacks of another
 * engine.  release_ticket() may forward from outlets if no worker is alive. */
void parallelize_engine_arrived(ParallelizeEngine *self, unsigned outlet, const ParallelizeMessage *copy);
void parallelize_engine_release_ticket(ParallelizeEngine *self, uint32_t ticket);

/* Hand over what the batch has collected so far.  Never forwards.  Producer's thread. */
void parallelize_producer_flush(ParallelizeProducer *self);

/* End of the batch.  The thread has published what it forwarded itself.  Never forwards. */
void parallelize_producer_close(ParallelizeProducer *self);

/*
 * The source has read `came` messages in one go.  It may have `window`
 * unacknowledged ones at a time, so many more could come now.  Producer's
 * thread, before close.
 */
void parallelize_producer_report_window(ParallelizeProducer *self, size_t window, size_t left, size_t came);

/* ------------------------------------------------------------------------
 * Metrics.  Any thread; each number is right by itself, and all of them agree
 * when nothing happens meanwhile.
 * ------------------------------------------------------------------------ */

/* Why a message was processed by a thread that brings messages. */
typedef enum
{
  PARALLELIZE_INLINE_TOO_CHEAP, /* cheaper than a hand-over */
  PARALLELIZE_INLINE_CROWDED,   /* more than prefetch() messages waited */
  PARALLELIZE_INLINE_NO_WORKER, /* no worker was alive */
  PARALLELIZE_INLINE_REASONS
} ParallelizeInlineReason;

/* entered = processed + not yet processed; what is handed over waits, is started, and is processed when published. */
typedef struct ParallelizeEngineCounters
{
  uint64_t entered;
  uint64_t processed;
  uint64_t in_flight;           /* handed over and not yet published */
  uint64_t waiting;             /* of these: not started */
  uint64_t batches;             /* handed over */
  uint64_t ordered;             /* messages that came while one before them on their strand was inside */
  uint64_t inlined[PARALLELIZE_INLINE_REASONS];
  uint64_t helped;              /* inlined, though worth a hand-over */
  uint64_t forwarded_directly;  /* inlined: messages that were not worth a hand-over */
  uint64_t sources_busy_ns;     /* processing them, partly estimated */
  uint64_t outrun;              /* times that a source gave way to the workers */
  uint64_t parked;              /* copies that have come to an outlet before their turn */
  uint64_t released;            /* copies whose turn has come, and that are not published */
  uint64_t wakeups;
  uint64_t stolen;              /* tasks taken from another worker */
} ParallelizeEngineCounters;

typedef struct ParallelizeWorkerCounters
{
  uint64_t assigned;            /* started */
  uint64_t processed;           /* of these: published */
  uint64_t waiting;             /* for this very worker: its group, and the strand that it runs when it last looked */
  uint64_t busy_ns;
  uint64_t idle_ns;
  uint64_t stolen;              /* tasks, by this worker */
  uint64_t wakeups;
} ParallelizeWorkerCounters;

void parallelize_engine_get_counters(ParallelizeEngine *self, ParallelizeEngineCounters *counters);
void parallelize_engine_get_worker_counters(ParallelizeEngine *self, unsigned worker,
                                            ParallelizeWorkerCounters *counters);
uint64_t parallelize_engine_processed_by(ParallelizeEngine *self, unsigned worker);

#ifdef __cplusplus
}
#endif
#endif
