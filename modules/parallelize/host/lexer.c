/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/lexer.h"
#include "host/features.h"

const gchar *
host_lexer_get_name(CfgLexer *lexer)
{
  const CfgIncludeLevel *level = &lexer->include_stack[lexer->include_depth];

#if HOST_IS_4
  return level->lloc.name;
#else
  return level->name;
#endif
}
