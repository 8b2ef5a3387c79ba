// SPDX-License-Identifier: LGPL-2.1-or-later
#include "settings.hpp"

namespace simulation {

namespace {

constexpr unsigned most_threads = 300;
constexpr std::uint64_t default_prefetch = 1536;
constexpr std::uint64_t default_prefetch_per_worker = 128;

void
parse_costs(Costs &costs, const std::string &text)
{
  for (std::size_t begin = 0; begin < text.size();)
    {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      const std::string part = text.substr(begin, end - begin);
      const std::size_t equals = part.find('=');
      if (equals == std::string::npos || !costs.set(part.substr(0, equals), std::stoull(part.substr(equals + 1))))
        throw std::invalid_argument("no such cost: " + part);
      begin = end + 1;
    }
}

}

Settings
Settings::parse(int argc, char **argv)
{
  Settings result;
  const auto number = [](auto &field) -> std::function<void(const std::string &)>
  {
    return [&field](const std::string &text) { field = static_cast<std::remove_reference_t<decltype(field)>>(std::stod(text)); };
  };
  const auto words = [](std::string &field) -> std::function<void(const std::string &)>
  {
    return [&field](const std::string &text) { field = text; };
  };
  const std::map<std::string, std::function<void(const std::string &)>> options = {
    {"--costs", [&](const std::string &text) { parse_costs(result.costs, text); }},
    {"--contention", number(result.contention)},
    {"--element", words(result.element)},
    {"--workers", number(result.workers)},
    {"--cores", number(result.cores)},
    {"--batch-size", number(result.batch_size)},
    {"--quantum", number(result.quantum)},
    {"--prefetch", number(result.prefetch)},
    {"--resequence", number(result.resequence)},
    {"--sources", number(result.sources)},
    {"--messages", number(result.messages)},
    {"--rate", number(result.rate)},
    {"--regular", number(result.regular)},
    {"--fetch", number(result.fetch)},
    {"--window", number(result.window)},
    {"--cost", words(result.cost)},
    {"--blocks", number(result.blocks)},
    {"--keys", words(result.keys)},
    {"--seed", number(result.seed)},
  };

  for (int i = 1; i < argc; i += 2)
    {
      const auto option = options.find(argv[i]);
      if (option == options.end() || i + 1 == argc)
        throw std::invalid_argument(std::string("no such option, or no value: ") + argv[i]);
      option->second(argv[i + 1]);
    }
  if (result.workers == 0 || result.sources == 0 || result.workers + result.sources > most_threads)
    throw std::invalid_argument("too many threads, or none");
  if (result.prefetch == 0)
    result.prefetch = std::max(default_prefetch, result.workers * default_prefetch_per_worker);
  return result;
}

}
