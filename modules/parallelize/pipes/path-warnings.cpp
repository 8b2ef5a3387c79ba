// SPDX-License-Identifier: LGPL-2.1-or-later
#include "host/daemon-headers.hpp"

#include "pipes/path-warnings.hpp"

#include "host/destination-workers.h"
#include "host/path-search.h"
#include "pipes/pairing.h"

#include <string>
#include <vector>

namespace parallelize {

namespace {

std::vector<LogPipe *>
find_after(LogPipe *pipe, HostPipePredicate matches, HostPipePredicate is_end = nullptr)
{
  GPtrArray *found = host_path_find_after(pipe, matches, is_end);
  LogPipe **const first = reinterpret_cast<LogPipe **>(found->pdata);
  std::vector<LogPipe *> result(first, first + found->len);

  g_ptr_array_free(found, TRUE);
  return result;
}

// Where another element follows, the order after it is that element's matter.
std::vector<LogPipe *>
find_reordering_destinations(LogPipe *pipe)
{
  return find_after(pipe, host_destination_reorders, pairing_is_active);
}

}

void
warn_about_destinations(const ParallelElement &element)
{
  if (!element.key)
    return;
  std::string hint = "write workers(1) in the destination";
  if (host_destination_has_key_option())
    hint += ", or worker-partition-key(\"" + std::string(element.key) + "\")";

  for (LogPipe *destination : find_reordering_destinations(element.pipe))
    msg_warning("WARNING: a destination after parallelize() has several workers, which may send the messages of a key "
                "in another order",
                evt_tag_str("destination", host_destination_get_id(destination)),
                evt_tag_int("workers", host_destination_get_workers(destination)),
                evt_tag_str("hint", hint.c_str()),
                evt_tag_str("worker-partition-key", element.key),
                evt_tag_str("id", element.id),
                evt_tag_str("location", element.location));
}

void
warn_about_destinations(LogPipe *resequence, const char *location)
{
  std::string hint = "write workers(1) in the destination";
  if (host_destination_has_key_option())
    hint += ", or worker-partition-key() if the order of each key is enough";

  for (LogPipe *destination : find_reordering_destinations(resequence))
    msg_warning("WARNING: a destination after resequence() has several workers, which may send messages in another order",
                evt_tag_str("destination", host_destination_get_id(destination)),
                evt_tag_int("workers", host_destination_get_workers(destination)),
                evt_tag_str("hint", hint.c_str()),
                evt_tag_str("location", location));
}

}
