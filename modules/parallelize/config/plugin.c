/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cfg-parser.h"
#include "config/generator.h"
#include "config/keyword.h"
#include "pipes/options.h"
#include "config/parser.h"
#include "host/thread-ids.h"
#include "host/version.h"
#include "pipes/metrics.h"
#include "plugin-types.h"
#include "plugin.h"

#include <gmodule.h>

#define GENERATOR(context, word)                        \
  {                                                     \
    .type = (context) | LL_CONTEXT_FLAG_GENERATOR,      \
    .name = #word,                                      \
    .parser = &word ## _options_parser,                 \
    .construct = parallelize_generator_construct,       \
  }

static void
_free_plugin(Plugin *plugin)
{
  /* the configuration that is thrown away may be one with an error */
  parallelize_keyword_give_back();
}

/* The context of the lexer is that of the enclosing statement, and every one
 * of these may hold a log path. */
static Plugin parallelize_plugins[] =
{
  GENERATOR(LL_CONTEXT_LOG, parallelize),
  GENERATOR(LL_CONTEXT_SOURCE, parallelize),
  GENERATOR(LL_CONTEXT_DESTINATION, parallelize),
  GENERATOR(LL_CONTEXT_PARSER, parallelize),
  GENERATOR(LL_CONTEXT_REWRITE, parallelize),
  {
    .type = LL_CONTEXT_PARSER,
    .name = "parallelize" PARALLELIZE_ELEMENT_SUFFIX,
    .parser = &parallelize_element_parser,
    .free_fn = _free_plugin,
  },
  GENERATOR(LL_CONTEXT_LOG, resequence),
  GENERATOR(LL_CONTEXT_SOURCE, resequence),
  GENERATOR(LL_CONTEXT_DESTINATION, resequence),
  GENERATOR(LL_CONTEXT_PARSER, resequence),
  GENERATOR(LL_CONTEXT_REWRITE, resequence),
  {
    .type = LL_CONTEXT_PARSER,
    .name = "resequence" PARALLELIZE_ELEMENT_SUFFIX,
    .parser = &resequence_element_parser,
  },
};

G_MODULE_EXPORT gboolean parallelize_module_init(PluginContext *context, CfgArgs *args);

gboolean
parallelize_module_init(PluginContext *context, CfgArgs *args)
{
  if (!host_version_check())
    return FALSE;
  host_thread_ids_init();
  parallelize_keyword_init();
  parallelize_metrics_init();
  plugin_register(context, parallelize_plugins, G_N_ELEMENTS(parallelize_plugins));
  /* only an @module line has arguments, be there none in it; after plugin_register(),
   * which frees plugins that are registered again */
  if (args)
    parallelize_keyword_take();
  return TRUE;
}

G_MODULE_EXPORT const ModuleInfo module_info =
{
  .canonical_name = "parallelize",
  .version = SYSLOG_NG_VERSION,
  .description = "The parallelize module processes the messages of one connection on several threads, in order per key.",
  .core_revision = SYSLOG_NG_SOURCE_REVISION,
  .plugins = parallelize_plugins,
  .plugins_len = G_N_ELEMENTS(parallelize_plugins),
};
