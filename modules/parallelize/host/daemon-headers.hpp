// SPDX-License-Identifier: LGPL-2.1-or-later
// The headers of syslog-ng that C++ files need.
//
// Include this header before any other header of syslog-ng or of this module. The headers of syslog-ng are written in
// C, and those of 3.38 do not compile as C++ by themselves:
//
// - They use keywords of C++ as names. Such a name gets an underscore here. Do not use these names: other versions have
//   others in their place. Only four keywords are replaced, since macros of GLib that the headers expand use others.
// - Some of them include headers that contain templates in C++. These are included here first, outside of extern "C".
// - serialize.h converts void pointers implicitly. It is left out: C++ files see SerializeArchive only as a name.
//
// Headers of this module that are written in C declare extern "C" themselves.
#pragma once

#ifdef SERIALIZE_H_INCLUDED
#error "host/daemon-headers.hpp must be included before the headers of syslog-ng"
#endif

#include <cerrno>
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <glib.h>
#include <gmodule.h>

#define SERIALIZE_H_INCLUDED

#define new new_
#define protected protected_
#define template template_
#define this this_

extern "C" {

typedef struct _SerializeArchive SerializeArchive;

#include <iv.h>
#include <iv_event.h>

#include "cfg-tree.h"
#include "cfg-walker.h"
#include "cfg.h"
#include "control/control-commands.h"
#include "control/control-connection.h"
#include "logmsg/logmsg.h"
#include "logpipe.h"
#include "mainloop-worker.h"
#include "mainloop.h"
#include "messages.h"
#include "scratch-buffers.h"
#include "template/templates.h"
}

#undef new
#undef protected
#undef template
#undef this
