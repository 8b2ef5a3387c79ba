// SPDX-License-Identifier: LGPL-2.1-or-later
// Writes JSON (RFC 8259), on one line.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace parallelize {

// Bytes of valid UTF-8 at the beginning of `text` that make up one character;
// 0: none.
inline std::size_t
utf8_length(std::string_view text)
{
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length > text.size())
    return 0;
  for (std::size_t i = 1; i < length; i++)
    if ((byte(i) & 0xc0) != 0x80)
      return 0;
  if (length > 2)
    {
      // overlong forms, surrogates, and what is beyond U+10FFFF
      const unsigned second = byte(1);
      if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) || (first == 0xf0 && second < 0x90)
          || (first == 0xf4 && second >= 0x90))
        return 0;
    }
  return length;
}

class JsonWriter
{
public:
  const std::string &text() const { return text_; }

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }

  void name(std::string_view name)
  {
    string(name);
    text_ += ':';
    first_ = true;
  }

  // Any bytes: what is not UTF-8 becomes \xNN.
  void string(std::string_view value)
  {
    separate();
    text_ += '"';
    for (std::size_t i = 0; i < value.size();)
      {
        const std::size_t length = utf8_length(value.substr(i));
        character(value.substr(i, length ? length : 1), length > 0);
        i += length ? length : 1;
      }
    text_ += '"';
  }

  void null() { raw("null"); }
  void boolean(bool value) { raw(value ? "true" : "false"); }
  void integer(std::uint64_t value) { raw(std::to_string(value)); }

  void number(double value)
  {
    char buffer[32];
    if (!std::isfinite(value))
      return null();
    std::snprintf(buffer, sizeof(buffer), "%.9g", value);
    raw(buffer);
  }

  // Nanoseconds as seconds.
  void seconds(std::uint64_t nanoseconds) { number(static_cast<double>(nanoseconds) / 1e9); }

private:
  void separate()
  {
    if (!first_)
      text_ += ',';
    first_ = false;
  }

  void raw(std::string_view value)
  {
    separate();
    text_ += value;
  }

  void open(char bracket)
  {
    separate();
    text_ += bracket;
    first_ = true;
  }

  void close(char bracket)
  {
    text_ += bracket;
    first_ = false;
  }

  void character(std::string_view bytes, bool valid)
  {
    char buffer[8];
    const unsigned code = static_cast<unsigned char>(bytes[0]);
    if (!valid)
      std::snprintf(buffer, sizeof(buffer), "\\\\x%02x", code);
    else if (code < 0x20 || code == 0x7f)
      std::snprintf(buffer, sizeof(buffer), "\\u%04x", code);
    else if (code == 0xc2 && static_cast<unsigned char>(bytes[1]) < 0xa0)
      // U+0080 to U+009F: control characters, too
      std::snprintf(buffer, sizeof(buffer), "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(bytes[1])));
    else
      {
        if (code == '"' || code == '\\')
          text_ += '\\';
        text_ += bytes;
        return;
      }
    text_ += buffer;
  }

  std::string text_;
  bool first_ = true;
};

}
