/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host with a parallelize() of its own has the word in the keyword table of
 * its main grammar, and its lexer looks there before it looks for plugins.  So
 * the entry is renamed while a configuration is read that asks for this module.
 *
 * The table belongs to the process, the choice to a configuration: the entry
 * gets its name back when the configuration has been read, and if it is thrown
 * away because of an error.  Both happen before the next one is read.
 */
#include "config/keyword.h"
#include "apphook.h"
#include "cfg-parser.h"
#include "host/when-running.h"
#include "messages.h"

#include <string.h>

#define OUR_WORD "parallelize"
#define HOST_WORD_MEANWHILE "builtin_parallelize"

static CfgLexerKeyword *host_keyword;   /* NULL: the host has none */

typedef enum
{
  NOBODY,
  HOST,
  MODULE,
} Owner;

static const gchar *owner_messages[] =
{
  [HOST] = "parallelize() is the host's own; \"@module parallelize\" in the configuration makes it this module's",
  [MODULE] = "parallelize() is this module's, the host's own is builtin-parallelize()",
};

static Owner owner = HOST;
static Owner reported_owner = NOBODY;

static CfgLexerKeyword *
_find_host_keyword(void)
{
  for (CfgLexerKeyword *keyword = main_parser.keywords; keyword->kw_name; keyword++)
    {
      if (strcmp(keyword->kw_name, OUR_WORD) == 0)
        return keyword;
    }
  return NULL;
}

void
parallelize_keyword_take(void)
{
  if (!host_keyword)
    return;
  host_keyword->kw_name = HOST_WORD_MEANWHILE;
  owner = MODULE;
}

void
parallelize_keyword_give_back(void)
{
  if (!host_keyword)
    return;
  host_keyword->kw_name = OUR_WORD;
  owner = HOST;
}

static void
_report_owner(gpointer reported, gpointer user_data)
{
  msg_info(owner_messages[GPOINTER_TO_INT(reported)]);
}

/* A configuration has been read, and is about to be initialized. */
static void
_config_read(gint type, gpointer user_data)
{
  if (owner != reported_owner)
    host_when_running(_report_owner, GINT_TO_POINTER(owner));
  reported_owner = owner;
  parallelize_keyword_give_back();
}

void
parallelize_keyword_init(void)
{
  static gboolean initialized;

  if (initialized)
    return;
  initialized = TRUE;
  host_keyword = _find_host_keyword();
  if (host_keyword)
    register_application_hook(AH_CONFIG_STOPPED, _config_read, NULL, AHM_RUN_REPEAT);
}
