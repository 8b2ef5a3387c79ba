/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/template-type.h"
#include "host/features.h"

#if HOST_IS_4

gboolean
host_template_set_type(LogTemplate *self, const gchar *type, GError **error)
{
  return log_template_set_type_hint(self, type, error);
}

#else

gboolean
host_template_set_type(LogTemplate *self, const gchar *type, GError **error)
{
  g_set_error(error, LOG_TEMPLATE_ERROR, LOG_TEMPLATE_ERROR_FAILED,
              "options take a type in syslog-ng 4.0 and later, write \"%s\" without %s()", self->template, type);
  return FALSE;
}

#endif
