/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What kind of element a pipe of a log path is.
 *
 * All functions: main thread, after the configuration was compiled.
 */
#ifndef PARALLELIZE_HOST_PIPE_KIND_H_INCLUDED
#define PARALLELIZE_HOST_PIPE_KIND_H_INCLUDED 1

#include "logpipe.h"

G_BEGIN_DECLS

/* The name of the plugin that has made the pipe, as "kv-parser"; NULL: it is no plugin's. */
const gchar *host_pipe_get_plugin_name(LogPipe *pipe);

/* Write where the pipe is in the configuration, as "file:line:column", to `buffer`, which is returned. */
const gchar *host_pipe_format_location(LogPipe *pipe, gchar *buffer, gsize size);

/* True if the pipe is a parser that is written in Python. */
gboolean host_pipe_is_python_parser(LogPipe *pipe);

/*
 * True if the pipe is a parser that may give messages names that no message had
 * before.  That is any parser that is not known to add none; Python parsers do
 * not count.
 */
gboolean host_pipe_adds_names(LogPipe *pipe);

/* True if the pipe is a filterx block whose objects several threads share, and count without protection. */
gboolean host_pipe_is_unprotected_filterx(LogPipe *pipe);

G_END_DECLS

#endif
