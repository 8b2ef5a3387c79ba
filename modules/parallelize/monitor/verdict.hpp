// SPDX-License-Identifier: LGPL-2.1-or-later
// What limits the throughput, judged by two looks at the counters.
#pragma once

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace parallelize {

// A look at the counters.
struct Snapshot
{
  std::uint64_t time_ns = 0;
  std::uint64_t entered = 0;
  std::uint64_t processed = 0;
  std::uint64_t waiting = 0;            // now
  std::uint64_t in_flight = 0;          // now; those that wait included
  std::uint64_t parked = 0;             // now, at a resequence(), for their turn
  std::uint64_t released = 0;           // now, whose turn there has come
  std::uint64_t ordered = 0;            // came while one before them on their strand was inside
  std::uint64_t too_cheap = 0;          // processed by the source's thread because a hand-over costs more
  std::uint64_t outrun = 0;             // times that a source gave way because too many waited
  std::uint64_t waited_ns = 0;          // the sum over all messages
  std::uint64_t sources_busy_ns = 0;
  std::uint64_t came = 0;               // messages of sources with a window
  std::uint64_t came_to_the_end = 0;    // of these: used up the window
  bool blocked_inside = false;          // now: a window is used up by what is still here
  bool blocked_beyond = false;          // now: by what was forwarded and is not acknowledged
  std::uint64_t looks_inside = 0;       // once a second, that found it so
  std::uint64_t looks_beyond = 0;
  std::uint64_t cpu_ns = 0;             // of the process
  std::vector<std::uint64_t> busy_ns;   // each worker
};

// What does not change, or only slowly.
struct Circumstances
{
  unsigned cores = 1;
  bool keyed = false;
  std::string hottest_key;
  double hottest_share = 0;             // of the processing time; 0: unknown
  unsigned distinct_keys = 0;           // at least so many
  bool distinct_keys_known = false;     // just so many
  std::size_t window = 0;               // messages of one connection; 0: unknown
  std::uint64_t stuck_ns = 0;           // for so long a worker has been with one message; 0: none is stuck
  std::string stuck_key;                // of that message
  bool stuck_behind_outlet = false;     // its key is not known
  std::uint64_t waiting_since_stuck = 0;        // messages, at least so many at each look
  std::string key_advice;               // what to do about a key with little in common
};

enum class Bottleneck
{
  source,
  worker,
  key,
  order,
  destination,
  balanced,
};

inline const char *
name_of(Bottleneck bottleneck)
{
  switch (bottleneck)
    {
    case Bottleneck::source:
      return "source-bound";
    case Bottleneck::worker:
      return "worker-bound";
    case Bottleneck::key:
      return "key-bound";
    case Bottleneck::order:
      return "order-bound";
    case Bottleneck::destination:
      return "destination-bound";
    case Bottleneck::balanced:
      break;
    }
  return "balanced";
}

struct Verdict
{
  Bottleneck bottleneck = Bottleneck::source;
  double seconds = 0;                   // that were judged
  double rate = 0;                      // messages a second
  double maximum_rate = 0;              // 0: unknown, nothing was processed
  double seconds_per_message = 0;       // of processing
  double effective_parallelism = 0;     // messages processed at the same time, on average
  double efficiency = 0;                // of what the workers and the keys allow
  double utilization = 0;               // busy share of the workers, on average
  double utilization_variance = 0;
  double ordering_constraint_ratio = 0; // messages that had to wait for another one of their key
  double waiting = 0;                   // messages, on average
  double cores_busy = 0;                // of the daemon
  std::string key;                      // if bound by one
  double key_share = 0;
  std::string explanation;
  std::string advice;
};

class Judge
{
public:
  Judge(const Snapshot &from, const Snapshot &to, const Circumstances &circumstances)
    : from_(from), to_(to), around_(circumstances)
  {
  }

  Verdict judge()
  {
    measure();
    if (blocked_by_destination())
      destination_bound();
    else if (verdict_.utilization >= saturated)
      worker_bound();
    else if (limited_by_resequence())
      resequence_bound();
    else if (held_by_one_message())
      around_.stuck_behind_outlet ? stuck_behind_outlet() : stuck();
    else if (limited_by_order())
      held_by_one_key() ? key_bound() : order_bound();
    else if (window_used_up())
      window_bound();
    else if (verdict_.utilization < half)
      source_bound();
    else
      balanced();
    return verdict_;
  }

private:
  static constexpr double saturated = 0.85;
  static constexpr double nearly_saturated = 0.75;
  static constexpr double half = 0.5;
  static constexpr const char *advice_for_stuck =
    "Find out what it waits for: a lookup without a time limit, a pattern that explodes. The daemon's log names the "
    "message.";

  static double difference(std::uint64_t from, std::uint64_t to) { return to > from ? static_cast<double>(to - from) : 0; }

  void measure()
  {
    const double nanoseconds = std::max(difference(from_.time_ns, to_.time_ns), 1.0);
    const double processed = difference(from_.processed, to_.processed);
    std::vector<double> busy;
    for (std::size_t i = 0; i < to_.busy_ns.size(); i++)
      busy.push_back(std::min(difference(from_.busy_ns.at(i), to_.busy_ns[i]) / nanoseconds, 1.0));
    workers_ = static_cast<double>(std::max<std::size_t>(busy.size(), 1));
    const double workers_busy = std::accumulate(busy.begin(), busy.end(), 0.0);
    const double sources_busy = difference(from_.sources_busy_ns, to_.sources_busy_ns) / nanoseconds;

    verdict_.seconds = nanoseconds / 1e9;
    verdict_.rate = processed / verdict_.seconds;
    verdict_.utilization = workers_busy / workers_;
    for (const double share : busy)
      verdict_.utilization_variance += (share - verdict_.utilization) * (share - verdict_.utilization) / workers_;
    verdict_.effective_parallelism = workers_busy + sources_busy;
    verdict_.cores_busy = difference(from_.cpu_ns, to_.cpu_ns) / nanoseconds;
    // Little's law, except where nothing has been started meanwhile
    verdict_.waiting = std::max(difference(from_.waited_ns, to_.waited_ns) / nanoseconds,
                                static_cast<double>(std::min(from_.waiting, to_.waiting)));
    if (around_.keyed && to_.entered > from_.entered)
      verdict_.ordering_constraint_ratio =
        std::min(difference(from_.ordered, to_.ordered) / difference(from_.entered, to_.entered), 1.0);

    // As many ordering scopes as the busiest key leaves room for: a key with a
    // third of the work can keep its runner busy while two others work.
    scopes_ = around_.keyed && around_.hottest_share > 0 ? 1 / around_.hottest_share : HUGE_VAL;
    const double allowed = std::min(workers_ + sources_busy, scopes_);
    verdict_.efficiency = std::min(verdict_.effective_parallelism / allowed, 1.0);
    if (processed > 0 && verdict_.effective_parallelism > 0)
      {
        verdict_.seconds_per_message = verdict_.effective_parallelism * verdict_.seconds / processed;
        verdict_.maximum_rate = allowed / verdict_.seconds_per_message;
      }
  }

  bool blocked_by_destination() const
  {
    return to_.came == from_.came ? to_.blocked_beyond && to_.entered == from_.entered
                                  : verdict_.utilization < saturated && windows_used_up() && mostly_beyond();
  }

  // The same by messages that are inside.
  bool window_used_up() const
  {
    return to_.came == from_.came ? to_.blocked_inside && to_.entered == from_.entered
                                  : windows_used_up() && !mostly_beyond();
  }

  // So often that most messages came through a window that was then used up.
  // What is acknowledged in bulk opens a window for many batches, and one
  // by one for hardly any: so batches are not what is counted.
  bool windows_used_up() const
  {
    return difference(from_.came_to_the_end, to_.came_to_the_end) >= half * difference(from_.came, to_.came);
  }

  // Most of the time: while messages come they are inside.
  bool mostly_beyond() const
  {
    const double inside = difference(from_.looks_inside, to_.looks_inside);
    const double beyond = difference(from_.looks_beyond, to_.looks_beyond);
    return beyond == inside ? to_.blocked_beyond : beyond > inside;
  }

  // Only order can keep messages waiting while there are workers.
  bool held_by_one_message() const
  {
    return around_.stuck_ns > 0
           && (around_.stuck_behind_outlet ? to_.released > 1 : around_.keyed && around_.waiting_since_stuck > 0);
  }

  // Messages wait though there are workers, and each runs as many as order lets it.
  bool limited_by_order() const
  {
    const bool held_up = verdict_.waiting >= 1 || to_.outrun > from_.outrun || window_used_up();
    return around_.keyed && held_up && scopes_ < workers_ * 0.9
           && verdict_.effective_parallelism >= nearly_saturated * scopes_;
  }

  // Most of what the windows allow has been processed and waits for its turn.
  bool limited_by_resequence() const
  {
    return window_used_up() && to_.parked > 0 && to_.parked >= to_.in_flight;
  }

  // The busiest key stands out among the others.
  bool held_by_one_key() const
  {
    return around_.hottest_share >= half
           || (around_.distinct_keys && around_.hottest_share * around_.distinct_keys >= 2);
  }

  void destination_bound()
  {
    verdict_.bottleneck = Bottleneck::destination;
    verdict_.explanation = "The sources' windows are used up by messages that have been processed and are not yet "
                           "delivered.";
    verdict_.advice = "Make the destination faster: more connections or threads of its own, larger batches, or a "
                      "disk-buffer() in front of it. More workers would not help.";
  }

  void worker_bound()
  {
    verdict_.bottleneck = Bottleneck::worker;
    verdict_.explanation = "All " + std::to_string(to_.busy_ns.size()) + " workers are busy nearly all the time.";
    verdict_.advice = verdict_.cores_busy >= saturated * around_.cores
                        ? "All cores are busy as well: make the path behind cheaper, or add cores."
                        : "This daemon uses only " + decimal(verdict_.cores_busy) + " of " + std::to_string(around_.cores)
                            + " cores: if others leave it the rest, what is processed waits for something; give it more "
                              "workers().";
  }

  void key_bound()
  {
    verdict_.bottleneck = Bottleneck::key;
    verdict_.key = around_.hottest_key;
    verdict_.key_share = around_.hottest_share;
    verdict_.explanation = "The messages of one key take " + percent(around_.hottest_share)
                           + " of the processing time; they are processed one at a time, and other workers are idle.";
    verdict_.advice = sentence(around_.key_advice);
  }

  void stuck()
  {
    const double busy = verdict_.effective_parallelism * verdict_.seconds * 1e9;
    verdict_.bottleneck = Bottleneck::key;
    verdict_.key = around_.stuck_key;
    verdict_.key_share = std::min(static_cast<double>(around_.stuck_ns) / std::max(busy, 1.0), 1.0);
    verdict_.explanation = "A worker has been processing one message for "
                           + std::to_string(around_.stuck_ns / 1'000'000'000) + " seconds; "
                           + std::to_string(around_.waiting_since_stuck) + " messages wait, those of its key behind it, and other workers "
                           + "are idle.";
    verdict_.advice = advice_for_stuck;
  }

  void stuck_behind_outlet()
  {
    verdict_.bottleneck = Bottleneck::order;
    verdict_.explanation = "A worker has been processing one message behind resequence() for "
                           + std::to_string(around_.stuck_ns / 1'000'000'000) + " seconds; all after it wait for it.";
    verdict_.advice = advice_for_stuck;
  }

  void order_bound()
  {
    verdict_.bottleneck = Bottleneck::order;
    verdict_.explanation = "The messages have " + std::string(around_.distinct_keys_known ? "" : "at least ")
                           + std::to_string(around_.distinct_keys) + " keys for "
                           + std::to_string(to_.busy_ns.size()) + " workers, and those of one key are processed one "
                           + "at a time.";
    verdict_.advice = sentence(around_.key_advice);
  }

  void resequence_bound()
  {
    verdict_.bottleneck = Bottleneck::order;
    verdict_.explanation = std::to_string(to_.parked) + " messages have been processed and wait at resequence() for "
                           "an earlier one; the sources' windows are used up, and workers are idle.";
    verdict_.advice = "Find what makes single messages slow, increase log-iw-size() of the source so that more may wait, "
                      "or do without resequence() where the order of each key suffices.";
  }

  void window_bound()
  {
    verdict_.bottleneck = Bottleneck::source;
    verdict_.explanation = "The sources' windows are used up while workers are idle"
                           + (around_.window ? ": " + std::to_string(around_.window) + " messages a connection." : ".");
    verdict_.advice = "Increase log-iw-size() of the source, which is divided by its max-connections().";
  }

  void source_bound()
  {
    verdict_.bottleneck = Bottleneck::source;
    const double entered = difference(from_.entered, to_.entered);
    if (entered == 0)
      {
        verdict_.explanation = to_.in_flight ? "No more messages come in, " + std::to_string(to_.in_flight)
                                                 + " are being processed or wait for one that is."
                                             : "No messages come in.";
        verdict_.advice = "Nothing to do.";
      }
    else if (difference(from_.too_cheap, to_.too_cheap) >= half * entered)
      {
        verdict_.explanation = "A message costs less than handing it over would, so the source's thread processes it.";
        verdict_.advice = "parallelize() neither helps nor harms here; several connections use several cores.";
      }
    else
      {
        verdict_.explanation = "The workers are idle most of the time: messages do not come in faster.";
        verdict_.advice = "If more are to be had: more connections, or a larger log-iw-size() of the source. "
                          "Otherwise fewer workers() would do.";
      }
  }

  void balanced()
  {
    verdict_.bottleneck = Bottleneck::balanced;
    verdict_.explanation = "The workers are well used and keep up.";
    verdict_.advice = "Nothing to do.";
  }

  static std::string sentence(std::string text)
  {
    if (!text.empty())
      text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
    return text + ".";
  }

  static std::string decimal(double value)
  {
    const long tenths = std::lround(value * 10);
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
  }

  static std::string percent(double share) { return std::to_string(std::lround(share * 100)) + "%"; }

  const Snapshot &from_;
  const Snapshot &to_;
  const Circumstances &around_;
  double workers_ = 1;
  double scopes_ = 1;
  Verdict verdict_;
};

// What limited the throughput between two looks.
inline Verdict
judge(const Snapshot &from, const Snapshot &to, const Circumstances &circumstances)
{
  return Judge(from, to, circumstances).judge();
}

}
