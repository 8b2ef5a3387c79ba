// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs one simulation and prints the results, in JSON.
#include "engine-element.hpp"
#include "hooks.hpp"
#include "names.hpp"
#include "other-elements.hpp"

namespace simulation {

namespace {

double
quantile(std::vector<Time> &values, double share)
{
  if (values.empty())
    return 0;
  const auto index = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(index), values.end());
  return static_cast<double>(values[index]);
}

double
mean(const std::vector<Time> &values)
{
  double sum = 0;
  for (const Time value : values)
    sum += static_cast<double>(value);
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

void
print_spent(const World &world, std::uint64_t messages)
{
  std::printf("  \"spent_ns_per_message\": {");
  for (std::size_t kind = 0; kind < kinds_of_spent; kind++)
    {
      Time sum = 0;
      for (const auto &thread : world.threads())
        sum += thread->spent(static_cast<Spent>(kind));
      std::printf("%s\"%s\": %.2f", kind ? ", " : "", spent_names[kind], static_cast<double>(sum) / static_cast<double>(messages));
    }
  std::printf("},\n");
}

void
print_caches(const Caches &caches)
{
  const char *separator = "\n";
  std::printf("  \"lines\": {");
  for (const auto &[name, counts] : caches.lines())
    {
      std::printf("%s    \"%s\": {\"accesses\": %" PRIu64 ", \"read_modify_writes\": %" PRIu64 ", \"transfers\": %" PRIu64
                  ", \"waited_ns\": %" PRIu64 "}", separator, name.c_str(), counts.accesses, counts.read_modify_writes,
                  counts.transfers, counts.waited);
      separator = ",\n";
    }
  std::printf("},\n  \"locks\": {");
  separator = "\n";
  for (const auto &[name, counts] : caches.locks())
    {
      std::printf("%s    \"%s\": {\"taken\": %" PRIu64 ", \"transfers\": %" PRIu64 ", \"contended\": %" PRIu64
                  ", \"waited_ns\": %" PRIu64 ", \"held_ns\": %" PRIu64 "}", separator, name.c_str(), counts.taken,
                  counts.transfers, counts.contended, counts.waited, counts.held);
      separator = ",\n";
    }
  std::printf("},\n");
}

void
print(const World &world, const Caches &caches, Daemon &daemon)
{
  const double seconds = static_cast<double>(daemon.last_out() - daemon.first_arrival()) * 1e-9;
  std::printf("{\n  \"seconds\": %.9f,\n  \"messages_per_second\": %.1f,\n", seconds, static_cast<double>(daemon.out()) / seconds);
  std::printf("  \"messages\": %" PRIu64 ",\n  \"out_of_order\": %" PRIu64 ",\n  \"inlined\": %" PRIu64 ",\n", daemon.out(),
              daemon.out_of_order(), daemon.inlined());
  std::printf("  \"work_seconds\": %.9f,\n  \"longest_chain_seconds\": %.9f,\n", static_cast<double>(daemon.work()) * 1e-9,
              static_cast<double>(daemon.longest_chain()) * 1e-9);
  std::printf("  \"wait_mean_ns\": %.1f,\n", mean(daemon.waits()));
  std::printf("  \"latency_ns\": {\"mean\": %.1f, \"p50\": %.0f, \"p99\": %.0f},\n", mean(daemon.latencies()),
              quantile(daemon.latencies(), 0.5), quantile(daemon.latencies(), 0.99));
  print_spent(world, daemon.out());
  print_caches(caches);
  std::printf("  \"cores\": %zu\n}\n", world.cores());
}

int
simulate(const Settings &settings)
{
  World world(settings.costs, settings.cores);
  Caches caches(world, settings.contention);
  Daemon daemon(settings, world, caches);
  const Observed observed(world, caches);
  std::unique_ptr<Element> element;

  if (settings.element == "parallelize")
    {
      auto engine_element = std::make_unique<EngineElement>(daemon, world);
      caches.set_names([&engine = engine_element->engine(), &daemon](const void *address)
      {
        return daemon.has(address) ? "destination: lock" : name_in(engine, address);
      });
      element = std::move(engine_element);
    }
  else if (settings.element == "static-hash")
    element = std::make_unique<StaticHash>(daemon, world, caches);
  else if (settings.element == "off")
    element = std::make_unique<NoElement>(daemon);
  else
    throw std::invalid_argument("no such element: " + settings.element);

  if (!daemon.run(*element) || daemon.out() != settings.messages)
    {
      std::fprintf(stderr, "stopped after %" PRIu64 " of %" PRIu64 " messages: a thread waits for ever\n", daemon.out(),
                   settings.messages);
      return 1;
    }
  print(world, caches, daemon);
  return 0;
}

}

}

int
main(int argc, char **argv)
{
  try
    {
      return simulation::simulate(simulation::Settings::parse(argc, argv));
    }
  catch (const std::exception &error)
    {
      std::fprintf(stderr, "%s\n", error.what());
      return 2;
    }
}
