/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/version.h"
#include "messages.h"
#include "plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The dynamic linker compares only two numbers of the version: they are in the
 * name of syslog-ng's library.  Structures also change with the third number.
 * syslog-ng has no function that tells its version.  But it lists its modules,
 * and each module tells the version that it was built for.  The module for the
 * syslog format is part of every syslog-ng core.
 */
#define MODULE_OF_CORE "\nModule: syslogformat\n"
#define MODULE_VERSION "\nVersion: "

/* Returns a part of `text`, which it changes. */
static const gchar *
_find_version(gchar *text)
{
  gchar *version = strstr(text, MODULE_OF_CORE);

  if (version)
    version = strstr(version, MODULE_VERSION);
  if (!version)
    return NULL;
  version += strlen(MODULE_VERSION);
  version[strcspn(version, "\n")] = 0;
  return version;
}

static gboolean
_is_version(const gchar *running)
{
  if (!running || strcmp(running, SYSLOG_NG_VERSION) == 0)
    return TRUE;
  msg_error("The parallelize module was built for another version of the host, it is not loaded",
            evt_tag_str("built_for", SYSLOG_NG_VERSION),
            evt_tag_str("host", running));
  return FALSE;
}

gboolean
host_version_check(void)
{
  static gboolean matches;
  gchar *list = NULL;
  size_t length;
  FILE *stream;

  if (matches)
    return TRUE;
  stream = open_memstream(&list, &length);
  fputc('\n', stream);
  plugin_list_modules(stream, TRUE);
  fclose(stream);
  matches = _is_version(_find_version(list));
  free(list);
  return matches;
}
