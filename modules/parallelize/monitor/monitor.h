/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches an engine: what limits it, and which worker is stuck.
 *
 * All functions are to be called on one thread, which need not be one that the
 * engine knows.
 */
#ifndef PARALLELIZE_MONITOR_H_INCLUDED
#define PARALLELIZE_MONITOR_H_INCLUDED 1

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct parallelize_monitor ParallelizeMonitor;

typedef struct ParallelizeStuckWorker
{
  unsigned worker;
  uint64_t nanoseconds;         /* so far, or altogether */
  unsigned stuck_workers;       /* at the same time, this one included */
  uint64_t waiting;             /* messages, for whatever worker */
  bool identified;              /* the rest is known */
  bool behind_outlet;           /* the key is not */
  const char *key;              /* its beginning */
  size_t key_length;
  bool key_cut;                 /* it is longer */
  uint64_t message_id;          /* 0: none */
} ParallelizeStuckWorker;

typedef struct ParallelizeMonitorOptions
{
  unsigned cores;               /* that the process may use */
  const char *key_advice;       /* what to do about a key with little in common; kept by the caller */

  /* A worker has been processing one message for longer than stuck_ns; and it
   * has come to the end of that message.  At most one such pair a minute. */
  uint64_t stuck_ns;
  void (*stuck)(void *user_data, const ParallelizeStuckWorker *stuck);
  void (*stuck_no_more)(void *user_data, const ParallelizeStuckWorker *stuck);
  void *user_data;
} ParallelizeMonitorOptions;

/* The engine must outlive it.  `cpu_ns`, here and below: processor time of the process so far. */
ParallelizeMonitor *parallelize_monitor_new(ParallelizeEngine *engine, const ParallelizeMonitorOptions *options,
                                            uint64_t cpu_ns);
void parallelize_monitor_free(ParallelizeMonitor *self);

/* To be called once a second. */
void parallelize_monitor_tick(ParallelizeMonitor *self, uint64_t cpu_ns);

/* What is known of the element only outside of the engine. */
typedef struct ParallelizeElementDescription
{
  const char *id;
  const char *location;
  const char *key;              /* the template; NULL: none */
} ParallelizeElementDescription;

/* Everything as a JSON object on one line, judged by the last ten seconds.  `append` is called on this thread. */
void parallelize_monitor_report(ParallelizeMonitor *self, const ParallelizeElementDescription *element,
                                uint64_t cpu_ns, void (*append)(void *data, const char *text, size_t length),
                                void *data);

#ifdef __cplusplus
}
#endif
#endif
