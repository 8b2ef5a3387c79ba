/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The words parallelize and resequence in the configuration.
 *
 * The host's grammar for a log path knows no plugin, but its lexer expands
 * generators anywhere.  So parallelize(...) expands to
 * parser { parallelize-element(...) } where a log path element is expected,
 * and to parallelize-element(...) within parser { } itself.
 */
#include "config/generator.h"
#include "cfg-block-generator.h"
#include "cfg-lexer.h"
#include "cfg.h"
#include "plugin-types.h"

#include <string.h>

#define ARGS_OPTIONS "options"

typedef struct _ParallelizeGenerator
{
  CfgBlockGenerator super;
  gchar *reference;
} ParallelizeGenerator;

/* -- Where in the configuration are we? -- */

#define MAX_WORD 16

typedef struct _Brackets
{
  GArray *in_parser;            /* of gboolean, one per open bracket */
  gchar statement[MAX_WORD];    /* the first word since the last ; { or } */
  gboolean has_statement;
} Brackets;

static const gchar *
_skip_quoted(const gchar *p)
{
  gchar quote = *p++;

  for (; *p && *p != quote; p++)
    {
      if (quote == '"' && *p == '\\' && p[1])
        p++;
    }
  return p;
}

static const gchar *
_skip_word(Brackets *self, const gchar *p)
{
  const gchar *end = p;

  while (g_ascii_isalnum(end[1]) || end[1] == '_' || end[1] == '-' || end[1] == '.')
    end++;
  if (!self->has_statement)
    {
      gsize length = MIN((gsize) (end - p + 1), sizeof(self->statement) - 1);

      memcpy(self->statement, p, length);
      self->statement[length] = 0;
      self->has_statement = TRUE;
    }
  return end;
}

static void
_bracket(Brackets *self, gchar bracket)
{
  gboolean is_parser = self->has_statement && strcmp(self->statement, "parser") == 0;

  if (bracket == '{')
    g_array_append_val(self->in_parser, is_parser);
  else if (bracket == '}' && self->in_parser->len)
    g_array_set_size(self->in_parser, self->in_parser->len - 1);
  self->has_statement = FALSE;
}

/* Whether the end of `text` stands directly within parser { }, as opposed to
 * a log path of any kind within it. */
static gboolean
_ends_within_parser(const gchar *text)
{
  Brackets brackets = { .in_parser = g_array_new(FALSE, FALSE, sizeof(gboolean)) };
  gboolean result;

  for (const gchar *p = text; *p; p++)
    {
      /* a comment or a pragma: neither ends with a ; */
      if (*p == '#' || *p == '@')
        p += strcspn(p, "\n");
      else if (*p == '"' || *p == '\'')
        p = _skip_quoted(p);
      else if (*p == '{' || *p == '}' || *p == ';')
        _bracket(&brackets, *p);
      else if (g_ascii_isalpha(*p))
        p = _skip_word(&brackets, p);
      if (!*p)
        break;
    }
  result = brackets.in_parser->len > 0
           && g_array_index(brackets.in_parser, gboolean, brackets.in_parser->len - 1);
  g_array_free(brackets.in_parser, TRUE);
  return result;
}

static gboolean
_is_within_parser(CfgBlockGenerator *s, GlobalConfig *cfg)
{
  if (s->context != LL_CONTEXT_PARSER)
    return FALSE;
  /* Only a preprocessed file knows what came before; a snippet in a buffer
   * has no log path. */
  if (!cfg->lexer || !cfg->lexer->preprocess_output)
    return TRUE;
  return _ends_within_parser(cfg->lexer->preprocess_output->str);
}

/* -- The generator -- */

static gboolean
_generate(CfgBlockGenerator *s, GlobalConfig *cfg, gpointer args, GString *result, const gchar *reference)
{
  ParallelizeGenerator *self = (ParallelizeGenerator *) s;
  gboolean within_parser = _is_within_parser(s, cfg);

  g_free(self->reference);
  self->reference = g_strdup(reference);

  g_string_append_printf(result, "%s%s" PARALLELIZE_ELEMENT_SUFFIX "(", within_parser ? "" : "parser { ", s->name);
  g_string_append(result, cfg_args_get(args, ARGS_OPTIONS));
  g_string_append_printf(result, ")%s", within_parser ? "" : "; }");
  return TRUE;
}

static const gchar *
_format_name(CfgBlockGenerator *s, gchar *buf, gsize buf_len)
{
  ParallelizeGenerator *self = (ParallelizeGenerator *) s;

  g_snprintf(buf, buf_len, "%s" PARALLELIZE_BUFFER_INFIX "%s", s->name, self->reference ? : "");
  return buf;
}

static void
_free(CfgBlockGenerator *s)
{
  ParallelizeGenerator *self = (ParallelizeGenerator *) s;

  g_free(self->reference);
  cfg_block_generator_free_instance(s);
}

CfgArgs *
parallelize_generator_args_new(const ParallelizeOptions *options)
{
  CfgArgs *args = cfg_args_new();
  GString *text = g_string_new(NULL);

  parallelize_options_format(options, text);
  cfg_args_set(args, ARGS_OPTIONS, text->str);
  g_string_free(text, TRUE);
  return args;
}

gpointer
parallelize_generator_construct(Plugin *plugin)
{
  ParallelizeGenerator *self = g_new0(ParallelizeGenerator, 1);

  cfg_block_generator_init_instance(&self->super, plugin->type & ~LL_CONTEXT_FLAGS, plugin->name);
  self->super.generate = _generate;
  self->super.format_name = _format_name;
  self->super.free_fn = _free;
  /* the user's backticks were resolved when the options were parsed */
  self->super.suppress_backticks = TRUE;
  return &self->super;
}
