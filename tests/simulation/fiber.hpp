// SPDX-License-Identifier: LGPL-2.1-or-later
// A stack of its own for code that is suspended and resumed.
#pragma once

#include <ucontext.h>

namespace simulation {

class Fiber
{
public:
  // The code that runs on the program's own stack.
  Fiber() = default;
  // `body` must not return.
  explicit Fiber(std::function<void()> body) : body_(std::move(body)), stack_(std::make_unique<char[]>(stack_size))
  {
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack_.get();
    context_.uc_stack.ss_size = stack_size;
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    makecontext(&context_, reinterpret_cast<void (*)()>(start), 2, static_cast<unsigned>(self >> 32),
                static_cast<unsigned>(self));
  }
  Fiber(const Fiber &) = delete;

  // Suspends this one, which runs, and resumes the other.
  void switch_to(Fiber &other) { swapcontext(&context_, &other.context_); }

private:
  static constexpr std::size_t stack_size = 128 * 1024;

  static void start(unsigned high, unsigned low)
  {
    const std::uintptr_t self = std::uintptr_t{high} << 32 | low;
    reinterpret_cast<Fiber *>(self)->body_();
    std::abort();
  }

  std::function<void()> body_;
  std::unique_ptr<char[]> stack_;
  ucontext_t context_ = {};
};

}
