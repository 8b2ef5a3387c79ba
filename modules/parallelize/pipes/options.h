/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The options of parallelize() as they stand in the configuration.
 */
#ifndef PARALLELIZE_PIPES_OPTIONS_H_INCLUDED
#define PARALLELIZE_PIPES_OPTIONS_H_INCLUDED 1

#include "template/templates.h"

G_BEGIN_DECLS

#define PARALLELIZE_MAX_WORKERS 1024

/* What a generator expands WORD() to: WORD-element(), for which a parser plugin
 * of this name builds the pipe, in a buffer called "WORD() at FILE:LINE:COLUMN". */
#define PARALLELIZE_ELEMENT_SUFFIX "-element"
#define PARALLELIZE_BUFFER_INFIX "() at "

typedef struct _ParallelizeOptions
{
  gint workers;                 /* -1: one per available core; 0: off */
  gchar *partition_key;         /* template text; NULL: round-robin */
  gchar *partition_key_type;    /* as in string("$HOST"); NULL: none is given */
  gboolean empty_key_round_robin;
  gint batch_size;              /* -1: default; 0: no limit */
  gint log_fetch_limit;         /* the same */
  gint prefetch;                /* 0: default */
  gchar *id;                    /* NULL: derived from the location */
  guint32 given;                /* bit mask of ParallelizeOption */
} ParallelizeOptions;

typedef enum
{
  PARALLELIZE_OPTION_WORKERS = 1 << 0,
  PARALLELIZE_OPTION_PARTITION_KEY = 1 << 1,
  PARALLELIZE_OPTION_EMPTY_KEY = 1 << 2,
  PARALLELIZE_OPTION_BATCH_SIZE = 1 << 3,
  PARALLELIZE_OPTION_LOG_FETCH_LIMIT = 1 << 4,
  PARALLELIZE_OPTION_PREFETCH = 1 << 5,
  PARALLELIZE_OPTION_ID = 1 << 6,
} ParallelizeOption;

ParallelizeOptions *parallelize_options_new(void);
ParallelizeOptions *parallelize_options_clone(const ParallelizeOptions *self);
void parallelize_options_free(ParallelizeOptions *self);

/* FALSE: the option was given before. */
gboolean parallelize_options_mark_given(ParallelizeOptions *self, ParallelizeOption option);

/* FALSE: neither "ordered" nor "round-robin". */
gboolean parallelize_options_set_empty_key(ParallelizeOptions *self, const gchar *value);

/* `type` may be NULL. */
void parallelize_options_set_partition_key(ParallelizeOptions *self, const gchar *type, const gchar *text);

/* True if the template compiles.  On failure `error` is set. */
gboolean parallelize_options_check_partition_key(const ParallelizeOptions *self, GlobalConfig *cfg, GError **error);

/* True if syslog-ng takes the type before the template, which compiles.  On failure `error` is set. */
gboolean parallelize_options_check_partition_key_type(const ParallelizeOptions *self, GlobalConfig *cfg,
                                                      GError **error);

/* The key as a template; NULL: round-robin.  The caller owns it. */
LogTemplate *parallelize_options_create_partition_key(const ParallelizeOptions *self, GlobalConfig *cfg);

/* The options in the configuration's syntax, appended to `result`. */
void parallelize_options_format(const ParallelizeOptions *self, GString *result);

/* That the calling thread may use; g_get_num_processors() may count all that are online.  Any thread. */
guint parallelize_count_cores(void);

/* Values with the defaults filled in. */
gint parallelize_options_get_workers(const ParallelizeOptions *self);
gint parallelize_options_get_batch_size(const ParallelizeOptions *self);
gint parallelize_options_get_log_fetch_limit(const ParallelizeOptions *self);
gint parallelize_options_get_prefetch(const ParallelizeOptions *self);

G_END_DECLS

#endif
