// SPDX-License-Identifier: LGPL-2.1-or-later
// Asks for a message before it is needed: it comes from another core's cache.
#pragma once

#include "task-ring.hpp"

#include <cstddef>

namespace parallelize {

inline void
prefetch_message(const Message &message)
{
  constexpr std::size_t bytes = 1024;           // of a message
  constexpr std::size_t cache_line = 64;
  const char *start = static_cast<const char *>(message.handle);
  for (std::size_t offset = 0; offset < bytes; offset += cache_line)
    __builtin_prefetch(start + offset, 1);
}

// A task of a queue whose lock the caller has.
inline void
prefetch_task(const Task &task)
{
  if (!task.strand)
    prefetch_message(task.message);
  else if (const Node *node = task.strand->peek())
    prefetch_message(node->message);
}

}
