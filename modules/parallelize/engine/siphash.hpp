// SPDX-License-Identifier: LGPL-2.1-or-later
// SipHash-1-3 (Aumasson, Bernstein): a keyed hash, so that a sender who
// chooses the keys cannot choose their strands.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace parallelize {

class SipHash
{
public:
  SipHash(std::uint64_t k0, std::uint64_t k1) : k0_(k0), k1_(k1) {}

  // `data`: `length` bytes of any content.  Any thread.
  std::uint64_t operator()(const char *data, std::size_t length) const
  {
    State s{k0_ ^ 0x736f6d6570736575u, k1_ ^ 0x646f72616e646f6du,
            k0_ ^ 0x6c7967656e657261u, k1_ ^ 0x7465646279746573u};

    const std::size_t whole = length & ~std::size_t{7};
    for (std::size_t i = 0; i < whole; i += 8)
      s.absorb(little_endian(data + i, 8));
    s.absorb(little_endian(data + whole, length - whole) | (std::uint64_t{length} << 56));

    s.v2 ^= 0xff;
    s.round();
    s.round();
    s.round();
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
  }

private:
  struct State
  {
    std::uint64_t v0, v1, v2, v3;

    void round()
    {
      v0 += v1; v1 = std::rotl(v1, 13) ^ v0; v0 = std::rotl(v0, 32);
      v2 += v3; v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3; v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1; v1 = std::rotl(v1, 17) ^ v2; v2 = std::rotl(v2, 32);
    }

    void absorb(std::uint64_t word)
    {
      v3 ^= word;
      round();
      v0 ^= word;
    }
  };

  static std::uint64_t little_endian(const char *bytes, std::size_t count)
  {
    if constexpr (std::endian::native == std::endian::little)
      {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes, count);
        return word;
      }
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < count; i++)
      word |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    return word;
  }

  std::uint64_t k0_, k1_;
};

}
