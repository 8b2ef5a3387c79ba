/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lexer that reads the configuration.  Main thread.
 */
#ifndef PARALLELIZE_HOST_LEXER_H_INCLUDED
#define PARALLELIZE_HOST_LEXER_H_INCLUDED 1

#include "cfg-lexer.h"

G_BEGIN_DECLS

/* Returns the name of the file or buffer that the lexer reads.  The lexer owns the result. */
const gchar *host_lexer_get_name(CfgLexer *lexer);

G_END_DECLS

#endif
