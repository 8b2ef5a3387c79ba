// SPDX-License-Identifier: LGPL-2.1-or-later
// libFuzzer: any interleaving of calls of the engine, stepped in one thread, must
// keep every message once and in order.  The input is the choices.

#include "engine-model.hpp"

#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

class BytesAsDice : public Dice
{
public:
  BytesAsDice(const std::uint8_t *bytes, std::size_t size) : next_(bytes), end_(bytes + size) {}

  std::uint64_t
  any() override
  {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < sizeof value; i++)
      value = value << 8 | byte();
    return value;
  }

  unsigned
  below(unsigned limit) override
  {
    const unsigned value = limit > 256 ? byte() << 8 | byte() : byte();
    return value % limit;
  }

  bool exhausted() const override { return next_ == end_; }

private:
  unsigned byte() { return next_ == end_ ? 255 : *next_++; }

  const std::uint8_t *next_;
  const std::uint8_t *const end_;
};

std::uint64_t steps;

void
report()
{
  std::fprintf(stderr, "%" PRIu64 " engine steps\n", steps);
}

}

extern "C" int
LLVMFuzzerInitialize(int *, char ***)
{
  std::atexit(report);
  return 0;
}

extern "C" int
LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size)
{
  BytesAsDice dice(bytes, size);
  EngineModel model(dice, "");
  model.run();
  steps += model.steps();
  return 0;
}
