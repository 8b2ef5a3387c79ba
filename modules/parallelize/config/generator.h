/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PARALLELIZE_CONFIG_GENERATOR_H_INCLUDED
#define PARALLELIZE_CONFIG_GENERATOR_H_INCLUDED 1

#include "cfg-args.h"
#include "pipes/options.h"
#include "plugin.h"

/* Plugin method: a CfgBlockGenerator that expands parallelize() or resequence(). */
gpointer parallelize_generator_construct(Plugin *plugin);

/* What generate() gets: the options, as text in the configuration's syntax. */
CfgArgs *parallelize_generator_args_new(const ParallelizeOptions *options);

#endif
