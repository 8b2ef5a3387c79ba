// SPDX-License-Identifier: LGPL-2.1-or-later
// Random numbers and distributions that are the same on every machine.
#pragma once

namespace simulation {

class Dice
{
public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}

  // splitmix64 (Steele, Lea, Flood)
  std::uint64_t next()
  {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }

  // Above 0, up to 1
  double uniform() { return (static_cast<double>(next() >> 11) + 1) * 0x1p-53; }
  std::uint64_t below(std::uint64_t end) { return static_cast<std::uint64_t>(std::ceil(uniform() * static_cast<double>(end))) - 1; }
  double exponential(double mean) { return -mean * std::log(uniform()); }
  double normal() { return std::sqrt(-2 * std::log(uniform())) * std::cos(2 * M_PI * uniform()); }

private:
  std::uint64_t state_;
};

// A distribution by its name and numbers, "name:number:number".
struct Spec
{
  explicit Spec(const std::string &text)
  {
    std::size_t begin = text.find(':');
    name = text.substr(0, begin);
    while (begin != std::string::npos)
      {
        const std::size_t end = text.find(':', begin + 1);
        numbers.push_back(std::stod(text.substr(begin + 1, end - begin - 1)));
        begin = end;
      }
  }

  double operator[](std::size_t index) const
  {
    if (index >= numbers.size())
      throw std::invalid_argument("'" + name + "' needs more numbers");
    return numbers[index];
  }

  std::string name;
  std::vector<double> numbers;
};

// How long messages take, in nanoseconds:
//   constant:N  exponential:MEAN  lognormal:MEAN:SIGMA  uniform:LEAST:MOST
//   rare:N:EVERY:SLOW   one in EVERY takes SLOW
class MessageCosts
{
public:
  explicit MessageCosts(const std::string &text) : spec_(text)
  {
    static const std::map<std::string, std::size_t> numbers = {
      {"constant", 1}, {"exponential", 1}, {"lognormal", 2}, {"uniform", 2}, {"rare", 3}};
    const auto known = numbers.find(spec_.name);
    if (known == numbers.end() || known->second != spec_.numbers.size())
      throw std::invalid_argument("no such distribution: " + text);
  }

  std::uint64_t roll(Dice &dice) const { return static_cast<std::uint64_t>(std::llround(value(dice))); }

private:
  double value(Dice &dice) const
  {
    if (spec_.name == "exponential")
      return dice.exponential(spec_[0]);
    if (spec_.name == "lognormal")
      return spec_[0] * std::exp(spec_[1] * dice.normal() - spec_[1] * spec_[1] / 2);
    if (spec_.name == "uniform")
      return spec_[0] + (spec_[1] - spec_[0]) * dice.uniform();
    if (spec_.name == "rare")
      return dice.below(static_cast<std::uint64_t>(spec_[1])) == 0 ? spec_[2] : spec_[0];
    return spec_[0];
  }

  Spec spec_;
};

// Which keys messages have:
//   none  one  uniform:KEYS  turn:KEYS (one after the other)  zipf:EXPONENT:KEYS
//   hot:SHARE:KEYS (one key has this share, the others the rest)
class Keys
{
public:
  explicit Keys(const std::string &text) : spec_(text)
  {
    static const std::map<std::string, std::size_t> numbers = {
      {"none", 0}, {"one", 0}, {"uniform", 1}, {"turn", 1}, {"zipf", 2}, {"hot", 2}};
    const auto known = numbers.find(spec_.name);
    if (known == numbers.end() || known->second != spec_.numbers.size())
      throw std::invalid_argument("no such distribution of keys: " + text);
    const auto keys = static_cast<std::size_t>(spec_.numbers.empty() ? 1 : spec_.numbers.back());
    double sum = 0;
    for (std::size_t key = 0; key < keys; key++)
      {
        names_.push_back("host-" + std::to_string(10000 + key));
        sum += weight(key);
        cumulated_.push_back(sum);
      }
  }

  bool any() const { return spec_.name != "none"; }
  std::size_t count() const { return names_.size(); }
  std::string_view name(std::size_t key) const { return names_[key]; }

  std::size_t roll(Dice &dice)
  {
    if (spec_.name == "turn")
      return turn_++ % count();
    const double point = dice.uniform() * cumulated_.back();
    const auto found = std::lower_bound(cumulated_.begin(), cumulated_.end(), point);
    return std::min<std::size_t>(static_cast<std::size_t>(found - cumulated_.begin()), count() - 1);
  }

private:
  double weight(std::size_t key) const
  {
    if (spec_.name == "zipf")
      return std::pow(static_cast<double>(key + 1), -spec_[0]);
    if (spec_.name == "hot")
      return key == 0 ? spec_[0] : (1 - spec_[0]) / (spec_[1] - 1);
    return 1;
  }

  Spec spec_;
  std::vector<std::string> names_;
  std::vector<double> cumulated_;
  std::size_t turn_ = 0;
};

}
