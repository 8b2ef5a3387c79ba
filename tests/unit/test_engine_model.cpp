// SPDX-License-Identifier: LGPL-2.1-or-later
// Random schedules, stepped in one thread.
//
// Each round draws an engine, sources and messages from its seed, then steps
// random threads.  Inside a callback other threads may be stepped, as if they
// ran meanwhile; the thread that is called back goes on afterwards.
//
//   PARALLELIZE_SEED    the first round's seed; the next round's is one more
//   PARALLELIZE_ROUNDS  how many rounds

#include "engine-model.hpp"

#include <criterion/criterion.h>

#include <cinttypes>
#include <cstdio>
#include <random>
#include <string>

Test(model, random_schedules)
{
  const std::uint64_t seed = environment("PARALLELIZE_SEED", std::random_device()());
  const std::uint64_t rounds = environment("PARALLELIZE_ROUNDS", 3000);
  std::fprintf(stderr, "PARALLELIZE_SEED=%" PRIu64 " PARALLELIZE_ROUNDS=%" PRIu64 "\n", seed, rounds);

  for (std::uint64_t round = 0; round < rounds; round++)
    {
      SeededDice dice(seed + round);
      EngineModel(dice, "PARALLELIZE_SEED=" + std::to_string(seed + round) + " PARALLELIZE_ROUNDS=1").run();
    }
}
