// SPDX-License-Identifier: LGPL-2.1-or-later
// The report on an element.
#pragma once

#include "engine/engine.hpp"
#include "monitor/verdict.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace parallelize {

// What the engine does not know of its element.
struct ElementDescription
{
  std::string_view id;
  std::string_view location;
  const char *key;              // the template; nullptr: none
};

// A JSON object on one line.  Any thread.
std::string format_report(const Engine &engine, const ElementDescription &element, const HotKeys::Report &by_messages,
                          const HotKeys::Report &by_time, const Verdict &verdict);

// A key as it is shown.
std::string shown_key(std::string_view key, bool cut);

// 0 if there is nothing.
double share(std::uint64_t part, std::uint64_t all);

}
