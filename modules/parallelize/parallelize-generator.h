/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PARALLELIZE_GENERATOR_H_INCLUDED
#define PARALLELIZE_GENERATOR_H_INCLUDED 1

#include "plugin.h"

/* Plugin method: a CfgBlockGenerator that expands parallelize(). */
gpointer parallelize_generator_construct(Plugin *plugin);

#endif
