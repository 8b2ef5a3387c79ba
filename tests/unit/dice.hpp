// SPDX-License-Identifier: LGPL-2.1-or-later
// Where random choices come from, and the options of an engine as one of them.
#pragma once

#include "engine/options.hpp"

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <random>

class Dice
{
public:
  virtual ~Dice() = default;

  virtual std::uint64_t any() = 0;
  virtual unsigned below(unsigned limit) = 0;
  // Nothing more is to be begun.
  virtual bool exhausted() const { return false; }

  unsigned from_to(unsigned first, unsigned last) { return first + below(last - first + 1); }
  bool one_in(unsigned times) { return below(times) == 0; }

  template <typename T>
  T
  one_of(std::initializer_list<T> choices)
  {
    return choices.begin()[below(static_cast<unsigned>(choices.size()))];
  }
};

// The same numbers from the same seed everywhere.
class SeededDice : public Dice
{
public:
  explicit SeededDice(std::uint64_t seed) : random_(seed) {}

  std::uint64_t any() override { return random_(); }
  unsigned below(unsigned limit) override { return static_cast<unsigned>(random_() % limit); }

private:
  std::mt19937_64 random_;
};

// A number that the environment may give.
inline std::uint64_t
environment(const char *name, std::uint64_t otherwise)
{
  const char *value = std::getenv(name);
  return value && *value ? std::strtoull(value, nullptr, 10) : otherwise;
}

inline parallelize::EngineOptions
random_options(Dice &dice)
{
  return {
    .workers = dice.from_to(1, 5),
    .keyed = !dice.one_in(5),
    .empty_key_round_robin = dice.one_in(2),
    .message_ids = true,
    .batch_size = dice.one_of({1u, 2u, 5u, 20u, 100u}),
    .quantum = dice.one_of({1u, 2u, 7u, 40u, 1000u}),
    .prefetch = dice.one_of({1u, 3u, 10u, 50u, 1000u}),
    .outlets = dice.one_of({0u, 1u, 1u, 3u}),
    .seed = {dice.any(), dice.any()},
  };
}
