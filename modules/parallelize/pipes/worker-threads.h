/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads that run an engine, each with an ivykis loop of its own.
 */
#ifndef PARALLELIZE_PIPES_WORKER_THREADS_H_INCLUDED
#define PARALLELIZE_PIPES_WORKER_THREADS_H_INCLUDED 1

#include "engine/engine.h"
#include "syslog-ng.h"

G_BEGIN_DECLS

typedef struct _ParallelizeWorkers ParallelizeWorkers;

/* The caller owns the result; the engine must outlive it.  Main thread. */
ParallelizeWorkers *parallelize_workers_new(ParallelizeEngine *engine, guint count);

/* Create the threads, which wait for the start, as long as `spare_descriptors`
 * file descriptors would be left.  FALSE: not all of them could be created;
 * `error` is set, and all that is left is to free.  Main thread, once. */
gboolean parallelize_workers_create(ParallelizeWorkers *self, guint spare_descriptors, GError **error);

/*
 * Start the engine.  From then on the host's request to its worker threads to
 * exit stops it.  Main thread, once.
 */
void parallelize_workers_start(ParallelizeWorkers *self);

/* Stop the engine, unless that has happened, and wait for the threads.  Main thread. */
void parallelize_workers_free(ParallelizeWorkers *self);

/* The engine's wake().  Any thread, once started. */
void parallelize_workers_wake(ParallelizeWorkers *self, guint index);

/* How many threads have to use the locked path of memory queues. */
guint parallelize_workers_count_without_id(ParallelizeWorkers *self);

G_END_DECLS

#endif
