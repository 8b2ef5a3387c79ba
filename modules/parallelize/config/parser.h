/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PARALLELIZE_CONFIG_PARSER_H_INCLUDED
#define PARALLELIZE_CONFIG_PARSER_H_INCLUDED 1

#include "cfg-parser.h"
#include "pipes/options.h"

#define PARALLELIZE_MAX_MESSAGES 100000000

/* '(' options ')' in the user's file; results in the CfgArgs of the generator */
extern CfgParser parallelize_options_parser;

/* '(' ')', with the same result */
extern CfgParser resequence_options_parser;

/* the element in a generated buffer; results in a LogPipe */
extern CfgParser parallelize_element_parser;
extern CfgParser resequence_element_parser;

/* Start with fresh options, whatever a failed parse has left. */
void parallelize_parser_reset_options(ParallelizeOptions **options);

/* Note that the option is given.  If it was given before, warn that the last one counts. */
void parallelize_parser_mark_given(ParallelizeOptions *options, ParallelizeOption option, const gchar *name,
                                   CfgLexer *lexer, const CFG_LTYPE *yylloc);

/* Returns the smaller one of `value` and `maximum`.  If it is `maximum`, warn. */
gint64 parallelize_parser_clamp(gint64 value, gint64 maximum, const gchar *name, CfgLexer *lexer,
                                const CFG_LTYPE *yylloc);

/* "file:line:column" of the element that the token belongs to; caller frees. */
gchar *parallelize_parser_location(CfgLexer *lexer, const CFG_LTYPE *yylloc);

CFG_PARSER_DECLARE_LEXER_BINDING(parallelize_, PARALLELIZE_, gpointer *)

#endif
