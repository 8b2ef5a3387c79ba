// SPDX-License-Identifier: LGPL-2.1-or-later
// The keyed hash that chooses a key's strand.

#include "engine/siphash.hpp"

#include <criterion/criterion.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <set>
#include <string>
#include <vector>

using parallelize::SipHash;

namespace {

// SipHash-1-3 of the bytes 0, 1 .. length-1 with the key 0, 1 .. 15, by length.
// From an independent implementation, which agrees with the one that Python
// uses for bytes.
constexpr std::array<std::uint64_t, 64> known = {
  0xabac0158050fc4dc, 0xc9f49bf37d57ca93, 0x82cb9b024dc7d44d, 0x8bf80ab8e7ddf7fb,
  0xcf75576088d38328, 0xdef9d52f49533b67, 0xc50d2b50c59f22a7, 0xd3927d989bb11140,
  0x369095118d299a8e, 0x25a48eb36c063de4, 0x79de85ee92ff097f, 0x70c118c1f94dc352,
  0x78a384b157b4d9a2, 0x306f760c1229ffa7, 0x605aa111c0f95d34, 0xd320d86d2a519956,
  0xcc4fdd1a7d908b66, 0x9cf2689063dbd80c, 0x8ffc389cb473e63e, 0xf21f9de58d297d1c,
  0xc0dc2f46a6cce040, 0xb992abfe2b45f844, 0x7ffe7b9ba320872e, 0x525a0e7fdae6c123,
  0xf464aeb267349c8c, 0x45cd5928705b0979, 0x3a3e35e3ca9913a5, 0xa91dc74e4ade3b35,
  0xfb0bed02ef6cd00d, 0x88d93cb44ab1e1f4, 0x540f11d643c5e663, 0x2370dd1f8c21d1bc,
  0x81157b6c16a7b60d, 0x4d54b9e57a8ff9bf, 0x759f12781f2a753e, 0xcea1a3bebf186b91,
  0x2cf508d3ada26206, 0xb6101c2da3c33057, 0xb3f47496ae3a36a1, 0x626b57547b108392,
  0xc1d2363299e41531, 0x667cc1923f1ad944, 0x65704ffec8138825, 0x24f280d1c28949a6,
  0xc2ca1cedfaf8876b, 0xc2164bfc9f042196, 0xa16e9c9368b1d623, 0x49fb169c8b5114fd,
  0x9f3143f8df074c46, 0xc6fdaf2412cc86b3, 0x7eaf49d10a52098f, 0x1cf313559d292f9a,
  0xc44a30dda2f41f12, 0x36fae98943a71ed0, 0x318fb34c73f0bce6, 0xa27abf3670a7e980,
  0xb4bcc0db243c6d75, 0x23f8d852fdb71513, 0x8f035f4da67d8a08, 0xd89cd0e5b7e8f148,
  0xf6f4e6bcf7a644ee, 0xaec59ad80f1837f2, 0xc3b2f6154b6694e0, 0x9d199062b7bbb3a8,
};

constexpr std::uint64_t k0 = 0x0706050403020100;
constexpr std::uint64_t k1 = 0x0f0e0d0c0b0a0908;

std::string
first_bytes(std::size_t length)
{
  std::string bytes(length, 0);
  std::iota(bytes.begin(), bytes.end(), 0);
  return bytes;
}

std::uint64_t
hash_of(const SipHash &hash, const std::string &text)
{
  return hash(text.data(), text.size());
}

// How many of `keys` come to each of `count` strands; `count` is a power of two.
std::vector<unsigned>
strands_of(const std::vector<std::string> &keys, const SipHash &hash, std::size_t count)
{
  std::vector<unsigned> strands(count);
  for (const std::string &key : keys)
    strands[hash_of(hash, key) & (count - 1)]++;
  return strands;
}

// For strands that are chosen evenly this is near to 1.
double
chi_squared_per_strand(const std::vector<unsigned> &strands)
{
  const double expected = static_cast<double>(std::accumulate(strands.begin(), strands.end(), 0u)) / strands.size();
  double sum = 0;
  for (const unsigned count : strands)
    sum += (count - expected) * (count - expected) / expected;
  return sum / strands.size();
}

void
assert_evenly_spread(const std::vector<std::string> &keys)
{
  for (const std::size_t count : {128u, 512u, 2048u})
    {
      const double chi_squared = chi_squared_per_strand(strands_of(keys, SipHash(k0, k1), count));
      cr_assert(chi_squared > 0.6 && chi_squared < 1.4, "%zu strands: %f", count, chi_squared);
    }
}

}

Test(siphash, known_answers)
{
  const SipHash hash(k0, k1);
  for (std::size_t length = 0; length < known.size(); length++)
    cr_assert_eq(hash_of(hash, first_bytes(length)), known[length], "length %zu", length);
}

Test(siphash, known_answers_without_a_key)
{
  const SipHash hash(0, 0);
  cr_assert_eq(hash_of(hash, "a"), 0x407448d2b89b1813);
  cr_assert_eq(hash_of(hash, "localhost"), 0x0aaaefd65b65939a);
  cr_assert_eq(hash_of(hash, "192.168.0.1"), 0x5c6000f93cd14122);
}

Test(siphash, lengths_beyond_a_byte)
{
  const SipHash hash(0, 0);
  cr_assert_eq(hash_of(hash, first_bytes(255)), 0x5dc1f93ea135eb43);
  cr_assert_eq(hash_of(hash, std::string(256, '\xff')), 0x4ce0ed31f80124c7);
}

Test(siphash, does_not_depend_on_alignment)
{
  const SipHash hash(k0, k1);
  for (std::size_t offset = 0; offset < 8; offset++)
    {
      const std::string padded = std::string(offset, 'x') + first_bytes(63);
      cr_assert_eq(hash(padded.data() + offset, 63), known[63], "offset %zu", offset);
    }
}

Test(siphash, zero_bytes_count)
{
  const SipHash hash(k0, k1);
  std::set<std::uint64_t> hashes;
  for (std::size_t length = 0; length <= 64; length++)
    hashes.insert(hash_of(hash, std::string(length, 0)));
  cr_assert_eq(hashes.size(), 65);
}

Test(strands, numbered_hosts_are_evenly_spread)
{
  std::vector<std::string> hosts;
  for (unsigned i = 0; i < 20'000; i++)
    hosts.push_back("host-" + std::to_string(i) + ".example.com");
  assert_evenly_spread(hosts);
}

Test(strands, addresses_are_evenly_spread)
{
  std::vector<std::string> addresses;
  for (unsigned i = 0; i < 20'000; i++)
    addresses.push_back("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250));
  assert_evenly_spread(addresses);
}

// Who knows the strands of one seed knows nothing of another's.
Test(strands, keys_that_share_one_part_with_another_seed)
{
  constexpr std::size_t count = 512;
  std::vector<std::string> aimed;
  for (unsigned i = 0; aimed.size() < 2'000; i++)
    if (const std::string key = "key" + std::to_string(i); (hash_of(SipHash(1, 2), key) & (count - 1)) == 7)
      aimed.push_back(key);

  for (const SipHash &other : {SipHash(3, 2), SipHash(1, 4), SipHash(0, 0)})
    {
      const std::vector<unsigned> strands = strands_of(aimed, other, count);
      cr_assert_leq(*std::max_element(strands.begin(), strands.end()), 25, "on one strand of %zu", count);
    }
}
