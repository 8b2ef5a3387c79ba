// SPDX-License-Identifier: LGPL-2.1-or-later
#include "host/daemon-headers.hpp"

#include "pipes/path-warnings.hpp"

#include "host/destination-workers.h"
#include "host/path-search.h"
#include "host/pipe-kind.h"
#include "pipes/pairing.h"

#include <string>
#include <string_view>
#include <vector>

namespace parallelize {

namespace {

using Pipes = std::vector<LogPipe *>;

Pipes
take(GPtrArray *found)
{
  LogPipe **const first = reinterpret_cast<LogPipe **>(found->pdata);
  Pipes result(first, first + found->len);

  g_ptr_array_free(found, TRUE);
  return result;
}

// The first pipe; nullptr: there is none.
LogPipe *
first_of(const Pipes &pipes)
{
  return pipes.empty() ? nullptr : pipes.front();
}

std::string
location_of(LogPipe *pipe)
{
  char buffer[1024];

  return host_pipe_format_location(pipe, buffer, sizeof buffer);
}

// Where another element follows, the order after it is that element's matter.
Pipes
find_destinations_with_workers(LogPipe *pipe)
{
  return take(host_path_find_after(pipe, host_destination_has_workers, pairing_is_active));
}

// What to write in a destination so that it keeps an order; `key`: what it says about a key.
std::string
hint_for_destination(const std::string &key)
{
  const char *hint = "write workers(1) in the destination";
  return host_destination_has_key_option() ? hint + (", or " + key) : hint;
}

}

void
warn_about_destinations(const ParallelElement &element)
{
  if (!element.key)
    return;
  const std::string hint = hint_for_destination("worker-partition-key(\"" + std::string(element.key) + "\")");

  for (LogPipe *destination : find_destinations_with_workers(element.pipe))
    {
      const char *key = host_destination_get_key(destination);
      if (key && std::string_view(key) == element.key)
        continue;
      msg_warning("WARNING: a destination after parallelize() has several workers, which may send the messages of a key "
                  "in another order",
                  evt_tag_str("destination", host_destination_get_id(destination)),
                  evt_tag_int("workers", host_destination_get_workers(destination)),
                  evt_tag_str("hint", hint.c_str()),
                  evt_tag_str("worker-partition-key", element.key),
                  evt_tag_str("id", element.id),
                  evt_tag_str("location", element.location),
                  key ? evt_tag_str("key_of_destination", key) : nullptr);
    }
}

// A Python parser may read the names of all values, keys(), without the lock under
// which other parsers add names. It takes two threads: one of both parsers is
// after the element.
void
warn_about_python_parsers(const ParallelElement &element)
{
  LogPipe *python = first_of(take(host_path_find_after(element.pipe, host_pipe_is_python_parser, nullptr)));
  LogPipe *other = first_of(take(host_path_find_after(element.pipe, host_pipe_adds_names, nullptr)));

  if (python && !other)
    other = first_of(take(host_path_find_before(element.pipe, host_pipe_adds_names)));
  else if (other && !python)
    python = first_of(take(host_path_find_before(element.pipe, host_pipe_is_python_parser)));
  if (!python || !other)
    return;
  msg_warning("WARNING: syslog-ng may crash when a Python parser reads the names of a message while another parser adds "
              "names on another thread",
              evt_tag_str("hint", "put both parsers before parallelize()"),
              evt_tag_str("python_parser", location_of(python).c_str()),
              evt_tag_str("other_parser", host_pipe_get_plugin_name(other)),
              evt_tag_str("other_parser_location", location_of(other).c_str()),
              evt_tag_str("versions", "syslog-ng 3.38 to 4.12, AxoSyslog before 4.26"),
              evt_tag_str("id", element.id),
              evt_tag_str("location", element.location));
}

void
warn_about_filterx(const ParallelElement &element)
{
  LogPipe *filterx = first_of(take(host_path_find_after(element.pipe, host_pipe_is_unprotected_filterx, nullptr)));

  if (!filterx)
    return;
  msg_warning("WARNING: syslog-ng may crash when several threads run a filterx block",
              evt_tag_str("hint", "put the block before parallelize()"),
              evt_tag_str("filterx", location_of(filterx).c_str()),
              evt_tag_str("versions", "syslog-ng 4.7 to 4.9"),
              evt_tag_str("id", element.id),
              evt_tag_str("location", element.location));
}

void
warn_about_destinations(LogPipe *resequence, const char *location)
{
  const std::string hint = hint_for_destination("worker-partition-key() if the order of each key is enough");

  for (LogPipe *destination : find_destinations_with_workers(resequence))
    if (!host_destination_get_key(destination))
      msg_warning("WARNING: a destination after resequence() has several workers, which may send messages in another order",
                  evt_tag_str("destination", host_destination_get_id(destination)),
                  evt_tag_int("workers", host_destination_get_workers(destination)),
                  evt_tag_str("hint", hint.c_str()),
                  evt_tag_str("location", location));
}

}
