/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The word parallelize on a host that has a parallelize() of its own.
 */
#ifndef PARALLELIZE_CONFIG_KEYWORD_H_INCLUDED
#define PARALLELIZE_CONFIG_KEYWORD_H_INCLUDED 1

#include "syslog-ng.h"

/* When the module is loaded, any number of times.  Main thread. */
void parallelize_keyword_init(void);

/*
 * In the rest of the configuration that is being read the word means this
 * module, and the host's own is builtin-parallelize().  Main thread.
 */
void parallelize_keyword_take(void);

/* The word is the host's again; nothing happens if it is.  Main thread. */
void parallelize_keyword_give_back(void);

#endif
