// SPDX-License-Identifier: LGPL-2.1-or-later
// One run of the engine alone; prints the results, in JSON.
#include "counts.hpp"
#include "stress.hpp"

#include <cstdio>
#include <functional>
#include <map>
#include <stdexcept>

namespace stress {

namespace {

Settings
parse(int argc, char **argv)
{
  Settings result;
  const std::map<std::string, std::function<void(unsigned long)>> options = {
    {"--steps", [&](unsigned long value) { result.steps = value; }},
    {"--workers", [&](unsigned long value) { result.workers = static_cast<unsigned>(value); }},
    {"--producers", [&](unsigned long value) { result.producers = static_cast<unsigned>(value); }},
    {"--messages", [&](unsigned long value) { result.messages = value; }},
    {"--batch", [&](unsigned long value) { result.batch = static_cast<unsigned>(value); }},
    {"--keys", [&](unsigned long value) { result.keys = static_cast<unsigned>(value); }},
    {"--inlined", [&](unsigned long value) { result.inlined = value; }},
    {"--resequence", [&](unsigned long value) { result.resequence = value; }},
    {"--work", [&](unsigned long value) { result.work = value; }},
  };
  for (int i = 1; i < argc; i += 2)
    {
      const auto option = options.find(argv[i]);
      if (option == options.end() || i + 1 == argc)
        throw std::invalid_argument(std::string("no such option, or no value: ") + argv[i]);
      option->second(std::stoul(argv[i + 1]));
    }
  return result;
}

void
run(const Settings &settings)
{
  Stress stress(settings);
  begin_counting(settings.steps ? &stress.engine() : nullptr);
  const std::uint64_t nanoseconds = stress.run();
  const auto messages = static_cast<double>(settings.messages);
  const parallelize::EngineCounters counters = stress.engine().counters();

  if (counters.processed != settings.messages / settings.producers * settings.producers || counters.in_flight != 0)
    throw std::runtime_error("not all messages have been processed");
  std::printf("{\"nanoseconds\": %.2f, \"inlined\": %.4f, \"stolen\": %.4f, \"wakeups\": %.4f",
              static_cast<double>(nanoseconds) / messages,
              static_cast<double>(counters.worth_a_hand_over + counters.too_cheap) / messages,
              static_cast<double>(counters.stolen) / messages, static_cast<double>(counters.wakeups) / messages);
  for (const auto &[name, count] : counts())
    std::printf(", \"%s\": %.4f", name.c_str(), static_cast<double>(count) / messages);
  std::printf("}\n");
}

}

}

int
main(int argc, char **argv)
{
  try
    {
      stress::run(stress::parse(argc, argv));
    }
  catch (const std::exception &error)
    {
      std::fprintf(stderr, "%s\n", error.what());
      return 1;
    }
}
