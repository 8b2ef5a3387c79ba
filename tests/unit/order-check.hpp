// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether all messages left once and in order.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

// parallel-consumer's check: of each (source, key), the numbers that are
// published are consecutive, and in the end as many as were sent.  Together
// they find loss, duplicates and wrong order.  One thread at a time.
class OrderCheck
{
public:
  enum Order
  {
    kept,
    free_choice         // of the engine: each number once, in any order
  };

  // One more message of `source` and `key`.  Its number.
  std::uint64_t
  sent(unsigned source, const std::string &key)
  {
    return streams_[{source, key}].sent++;
  }

  // What is wrong with the message that has now been published, or "".
  std::string
  published(unsigned source, const std::string &key, std::uint64_t number, Order order = kept)
  {
    Stream &stream = streams_[{source, key}];
    if (stream.seen.size() <= number)
      stream.seen.resize(number + 1);
    if (stream.seen[number])
      return describe(source, key) + "message " + std::to_string(number) + " is published twice";
    if (order == kept && number != stream.published)
      return describe(source, key) + "message " + std::to_string(number) + " is published, "
             + std::to_string(stream.published) + " was next";
    stream.seen[number] = true;
    stream.published++;
    return "";
  }

  // What is wrong when nothing more will be published, or "".
  std::string
  finished() const
  {
    for (const auto &[name, stream] : streams_)
      if (stream.published != stream.sent)
        return describe(name.first, name.second) + std::to_string(stream.published) + " of "
               + std::to_string(stream.sent) + " messages are published";
    return "";
  }

private:
  struct Stream
  {
    std::uint64_t sent = 0;
    std::uint64_t published = 0;
    std::vector<bool> seen;
  };

  static std::string
  describe(unsigned source, const std::string &key)
  {
    return "source " + std::to_string(source) + ", key '" + key + "': ";
  }

  std::map<std::pair<unsigned, std::string>, Stream> streams_;
};
