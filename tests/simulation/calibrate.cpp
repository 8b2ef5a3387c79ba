// SPDX-License-Identifier: LGPL-2.1-or-later
// Measures the costs of this machine, and prints them for the option --costs of the simulation.
//
// The daemon's own costs (key, pack, message, read, write and the like) are not among them.
#include "engine/engine.hpp"
#include "engine/siphash.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace {

std::uint64_t
clock_ns(clockid_t clock = CLOCK_MONOTONIC)
{
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

double
median(std::vector<double> &values)
{
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Nanoseconds of one call.  The median of a few rounds.
template <typename Call>
double
time_of(unsigned calls, const Call &call)
{
  std::vector<double> rounds;
  for (int round = 0; round < 9; round++)
    {
      const std::uint64_t started = clock_ns();
      for (unsigned i = 0; i < calls; i++)
        call(i);
      rounds.push_back(static_cast<double>(clock_ns() - started) / calls);
    }
  return median(rounds);
}

void
print(const char *name, double nanoseconds)
{
  std::printf("%s=%.0f%s", name, std::max(nanoseconds, 0.0), std::string(name) == "inlined" ? "\n" : ",");
}

void
stay_on(unsigned core)
{
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  pthread_setaffinity_np(pthread_self(), sizeof cores, &cores);
}

double
line_once()
{
  constexpr unsigned turns = 200;
  alignas(64) std::atomic<unsigned> word{0};
  std::thread other([&]
  {
    stay_on(1);
    for (unsigned i = 0; i < turns; i++)
      {
        while (word.load(std::memory_order_acquire) != 2 * i + 1)
          ;
        word.fetch_add(1);
      }
  });
  stay_on(0);
  const std::uint64_t started = clock_ns();
  for (unsigned i = 0; i < turns; i++)
    {
      word.fetch_add(1);
      while (word.load(std::memory_order_acquire) != 2 * i + 2)
        ;
    }
  const double each = static_cast<double>(clock_ns() - started) / (2 * turns);
  other.join();
  return each;
}

// Both threads need their cores all the time: the best of the rounds of a second.
double
line()
{
  const std::uint64_t until = clock_ns() + 1'000'000'000;
  double best = line_once();
  while (clock_ns() < until)
    best = std::min(best, line_once());
  return best;
}

struct WakeUp
{
  double call;          // of the thread that wakes
  double delay;         // until the other one runs
};

// Another thread sleeps in `wait()`, and `wake()` wakes it.
template <typename Wait, typename Wake>
WakeUp
wake_up(unsigned core_of_other, const Wait &wait, const Wake &wake)
{
  constexpr unsigned turns = 500;
  std::atomic<std::uint64_t> woken_at{0};
  std::vector<double> calls, delays;
  std::thread other([&]
  {
    stay_on(core_of_other);
    for (unsigned i = 0; i < turns; i++)
      {
        wait();
        woken_at.store(clock_ns());
      }
  });
  stay_on(0);
  for (unsigned i = 0; i < turns; i++)
    {
      usleep(200);
      woken_at.store(0);
      const std::uint64_t started = clock_ns();
      wake();
      calls.push_back(static_cast<double>(clock_ns() - started));
      while (woken_at.load() == 0)
        sched_yield();
      delays.push_back(static_cast<double>(woken_at.load() - started));
    }
  other.join();
  return {median(calls), median(delays)};
}

long
futex(std::uint32_t *word, int operation, std::uint32_t value)
{
  return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
}

// Two threads on one core give way to each other.
double
context_switch()
{
  constexpr unsigned turns = 20'000;
  std::thread other([]
  {
    stay_on(0);
    for (unsigned i = 0; i < turns; i++)
      sched_yield();
  });
  stay_on(0);
  const double each = time_of(turns / 9, [](unsigned) { sched_yield(); });
  other.join();
  return each / 2;
}

// An engine on one thread, whose messages do nothing.
class Host : private parallelize::Callbacks
{
public:
  Host() : engine_({1, true, false, false, 128, 1000, 1536, 0, {1, 2}}, *this) { engine_.start(); }

  // Nanoseconds of the thread that brings messages, and of the runner, a message.
  std::pair<double, double> handed_over()
  {
    std::vector<double> bringing, running;
    for (unsigned batch = 0; batch < batches; batch++)
      {
        const std::uint64_t started = clock_ns();
        parallelize::Producer &producer = engine_.open(0, 1);
        for (unsigned i = 0; i < batch_size; i++)
          producer.submit(this);
        engine_.close(producer);
        const std::uint64_t brought = clock_ns();
        while (engine_.run(0) == parallelize::Turn::again)
          ;
        bringing.push_back(static_cast<double>(brought - started));
        running.push_back(static_cast<double>(clock_ns() - brought));
      }
    return {median(bringing) / batch_size, median(running) / batch_size};
  }

  // The path is cheap by now.
  double inlined()
  {
    std::vector<double> times;
    for (unsigned batch = 0; batch < batches; batch++)
      {
        const std::uint64_t started = clock_ns();
        parallelize::Producer &producer = engine_.open(parallelize::Producer::publishes, 1);
        for (unsigned i = 0; i < batch_size; i++)
          producer.submit(this);
        producer.published();
        engine_.close(producer);
        times.push_back(static_cast<double>(clock_ns() - started));
      }
    return median(times) / batch_size;
  }

private:
  static constexpr unsigned batches = 2'000;
  static constexpr unsigned batch_size = 128;

  std::string_view key(void *) noexcept override { return keys_[number_++ % keys_.size()]; }
  parallelize::Message pack(void *arrival) noexcept override { return {arrival, 0, 0, 0}; }
  void forward_inline(parallelize::Runner &, void *, std::uint32_t) noexcept override {}
  void forward(parallelize::Runner &, const parallelize::Message &) noexcept override {}
  void forward_from_outlet(unsigned, const parallelize::Message &) noexcept override {}
  void publish(parallelize::OnThread) noexcept override {}
  void wake(unsigned) noexcept override {}
  std::uint64_t now() noexcept override { return time_ += 25; }
  std::uint64_t coarse_now() noexcept override { return time_ / 4'000'000 * 4'000'000; }
  parallelize::ThreadUsage thread_usage() noexcept override { return {}; }
  std::uint64_t message_id(const parallelize::Message &) noexcept override { return 0; }
  std::uint64_t age(const parallelize::Message &) noexcept override { return 0; }
  std::uint64_t age_of_arrival(void *) noexcept override { return 0; }
  void hot_key(std::string_view, unsigned) noexcept override {}

  static std::vector<std::string> make_keys()
  {
    std::vector<std::string> result;
    for (int i = 0; i < 10007; i++)
      result.push_back("host-" + std::to_string(10000 + i));
    return result;
  }

  const std::vector<std::string> keys_ = make_keys();
  std::size_t number_ = 0;
  std::uint64_t time_ = 1'000'000'000;
  parallelize::Engine engine_;
};

void
engine(double rmw)
{
  const parallelize::SipHash hash(1, 2);
  const std::string key = "host-12345";
  std::uint64_t sum = 0;
  const double hash_ns = time_of(100'000, [&](unsigned i) { sum += hash(key.data(), key.size() - (sum + i) % 2); });
  Host host;
  host.handed_over();
  const auto [bringing, running] = host.handed_over();
  print("hash", hash_ns);
  // Of the atomic operations, those that each message costs.
  print("submit", bringing - hash_ns - rmw);
  print("run", running - 5 * rmw);
  print("inlined", host.inlined());
}

}

int
main()
{
  const bool several = std::thread::hardware_concurrency() > 1;
  rusage usage;
  alignas(64) std::atomic<std::uint64_t> word{0};

  if (several)
    print("line", line());
  const double rmw = time_of(1'000'000, [&](unsigned) { word.fetch_add(1); });
  print("rmw", rmw);
  print("clock", time_of(100'000, [](unsigned) { clock_ns(); }));
  print("coarse_clock", time_of(100'000, [](unsigned) { clock_ns(CLOCK_MONOTONIC_COARSE); }));
  print("thread_usage", time_of(10'000, [&](unsigned) { getrusage(RUSAGE_THREAD, &usage); }));
  print("yield", time_of(10'000, [](unsigned) { sched_yield(); }));
  print("context_switch", context_switch());
  if (several)
    {
      const int descriptor = eventfd(0, 0);
      const WakeUp event = wake_up(1, [&] { eventfd_t value; eventfd_read(descriptor, &value); },
                                   [&] { eventfd_write(descriptor, 1); });
      print("wake", event.call);
      print("wake_delay", event.delay);
      alignas(64) std::uint32_t lock = 0;
      const WakeUp futex_event = wake_up(1, [&] { futex(&lock, FUTEX_WAIT, 0); }, [&] { futex(&lock, FUTEX_WAKE, 1); });
      print("futex_wake", futex_event.call);
      print("futex_delay", futex_event.delay);
      print("futex_wait", time_of(10'000, [&](unsigned) { futex(&lock, FUTEX_WAIT, 1); }));
    }
  engine(rmw);
}
