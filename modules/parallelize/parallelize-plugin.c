/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cfg-parser.h"
#include "host-compat.h"
#include "parallelize-generator.h"
#include "parallelize-keyword.h"
#include "parallelize-metrics.h"
#include "parallelize-options.h"
#include "parallelize-parser.h"
#include "plugin.h"
#include "plugin-types.h"

#include <gmodule.h>

#define PARALLELIZE_GENERATOR(context)                  \
  {                                                     \
    .type = (context) | LL_CONTEXT_FLAG_GENERATOR,      \
    .name = "parallelize",                              \
    .parser = &parallelize_options_parser,              \
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
  PARALLELIZE_GENERATOR(LL_CONTEXT_LOG),
  PARALLELIZE_GENERATOR(LL_CONTEXT_SOURCE),
  PARALLELIZE_GENERATOR(LL_CONTEXT_DESTINATION),
  PARALLELIZE_GENERATOR(LL_CONTEXT_PARSER),
  PARALLELIZE_GENERATOR(LL_CONTEXT_REWRITE),
  {
    .type = LL_CONTEXT_PARSER,
    .name = PARALLELIZE_ELEMENT,
    .parser = &parallelize_element_parser,
    .free_fn = _free_plugin,
  },
};

G_MODULE_EXPORT gboolean parallelize_module_init(PluginContext *context, CfgArgs *args);

gboolean
parallelize_module_init(PluginContext *context, CfgArgs *args)
{
  if (!host_compat_check_version())
    return FALSE;
  host_compat_module_init();
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
