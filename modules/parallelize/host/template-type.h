/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The type before a template, as in string("$HOST").
 */
#ifndef PARALLELIZE_HOST_TEMPLATE_TYPE_H_INCLUDED
#define PARALLELIZE_HOST_TEMPLATE_TYPE_H_INCLUDED 1

#include "template/templates.h"

G_BEGIN_DECLS

/*
 * Give a compiled template its type.  Returns FALSE and sets `error` if there
 * is no such type, or if the options of this version of syslog-ng take none.
 * Main thread.
 */
gboolean host_template_set_type(LogTemplate *self, const gchar *type, GError **error);

G_END_DECLS

#endif
