/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/parser.h"
#include "cfg-args.h"
#include "config/parallelize-grammar.h"
#include "host/lexer.h"
#include "logpipe.h"
#include "messages.h"

#include <string.h>

int parallelize_parse(CfgLexer *lexer, gpointer *instance, gpointer arg);

static CfgLexerKeyword parallelize_keywords[] =
{
  { "parallelize_element",  KW_PARALLELIZE_ELEMENT },
  { "resequence_element",   KW_RESEQUENCE_ELEMENT },
  { "workers",              KW_ELEMENT_WORKERS },
  { "partitions",           KW_ELEMENT_PARTITIONS },
  { "worker_partition_key", KW_ELEMENT_WORKER_PARTITION_KEY },
  { "partition_key",        KW_ELEMENT_PARTITION_KEY },
  { "empty_key",            KW_ELEMENT_EMPTY_KEY },
  { "batch_size",           KW_ELEMENT_BATCH_SIZE },
  { "log_fetch_limit",      KW_ELEMENT_LOG_FETCH_LIMIT },
  { "prefetch",             KW_ELEMENT_PREFETCH },
  { "id",                   KW_ELEMENT_ID },
  { NULL }
};

CfgParser parallelize_options_parser =
{
  .name = "parallelize()",
  /* a context without plugins: no word in here is a generator */
  .context = LL_CONTEXT_BLOCK_REF,
  .keywords = parallelize_keywords,
  .parse = (gint (*)(CfgLexer *, gpointer *, gpointer)) parallelize_parse,
  .cleanup = (void (*)(gpointer)) cfg_args_unref,
};

static CfgLexerKeyword no_keywords[] =
{
  { NULL }
};

CfgParser resequence_options_parser =
{
  .name = "resequence()",
  .context = LL_CONTEXT_BLOCK_REF,
  .keywords = no_keywords,
  .parse = (gint (*)(CfgLexer *, gpointer *, gpointer)) parallelize_parse,
  .cleanup = (void (*)(gpointer)) cfg_args_unref,
};

CfgParser resequence_element_parser =
{
  .name = "resequence" PARALLELIZE_ELEMENT_SUFFIX,
  .keywords = parallelize_keywords,
  .parse = (gint (*)(CfgLexer *, gpointer *, gpointer)) parallelize_parse,
  .cleanup = (void (*)(gpointer)) log_pipe_unref,
};

CfgParser parallelize_element_parser =
{
  .name = "parallelize" PARALLELIZE_ELEMENT_SUFFIX,
  .keywords = parallelize_keywords,
  .parse = (gint (*)(CfgLexer *, gpointer *, gpointer)) parallelize_parse,
  .cleanup = (void (*)(gpointer)) log_pipe_unref,
};

CFG_PARSER_IMPLEMENT_LEXER_BINDING(parallelize_, PARALLELIZE_, gpointer *)

void
parallelize_parser_reset_options(ParallelizeOptions **options)
{
  if (*options)
    parallelize_options_free(*options);
  *options = parallelize_options_new();
}

gchar *
parallelize_parser_location(CfgLexer *lexer, const CFG_LTYPE *yylloc)
{
  const gchar *name = host_lexer_get_name(lexer);

  const gchar *infix = name ? strstr(name, PARALLELIZE_BUFFER_INFIX) : NULL;

  if (infix)
    return g_strdup(infix + strlen(PARALLELIZE_BUFFER_INFIX));
  return g_strdup_printf("%s:%d:%d", name ? : "#buffer", yylloc->first_line, yylloc->first_column);
}

/* cfg_lexer_format_location_tag() of 3.38 names the place that the lexer has reached. */
static EVTTAG *
_tag_location(CfgLexer *lexer, const CFG_LTYPE *yylloc)
{
  gchar *location = parallelize_parser_location(lexer, yylloc);
  EVTTAG *tag = evt_tag_str("location", location);

  g_free(location);
  return tag;
}

void
parallelize_parser_mark_given(ParallelizeOptions *options, ParallelizeOption option, const gchar *name,
                              CfgLexer *lexer, const CFG_LTYPE *yylloc)
{
  if (!parallelize_options_mark_given(options, option))
    msg_warning("WARNING: an option of parallelize() is given more than once, the last one counts",
                evt_tag_str("option", name),
                _tag_location(lexer, yylloc));
}

gint64
parallelize_parser_clamp(gint64 value, gint64 maximum, const gchar *name, CfgLexer *lexer,
                         const CFG_LTYPE *yylloc)
{
  if (value <= maximum)
    return value;
  msg_warning("WARNING: the value of an option of parallelize() is too large, its maximum is used",
              evt_tag_str("option", name),
              evt_tag_printf("value", "%" G_GINT64_FORMAT, value),
              evt_tag_printf("maximum", "%" G_GINT64_FORMAT, maximum),
              _tag_location(lexer, yylloc));
  return maximum;
}
