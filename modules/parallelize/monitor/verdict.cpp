// SPDX-License-Identifier: LGPL-2.1-or-later
#include "monitor/verdict.hpp"

#include "engine/path-cost.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numeric>

namespace parallelize {

namespace {

// Shares of the time that a worker is busy, or of the messages.
constexpr double saturated = 0.85;
constexpr double nearly_saturated = 0.75;
constexpr double half = 0.5;

constexpr const char *advice_for_stuck =
  "Find out what the message waits for: a lookup without a time limit, a pattern that explodes.";

double
difference(std::uint64_t from, std::uint64_t to)
{
  return to > from ? static_cast<double>(to - from) : 0;
}

std::string
sentence(std::string text)
{
  if (!text.empty())
    text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text + ".";
}

std::string
decimal(double value)
{
  const long tenths = std::lround(value * 10);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

std::string
percent(double share)
{
  return std::to_string(std::lround(share * 100)) + "%";
}

std::string
seconds(std::uint64_t nanoseconds)
{
  return std::to_string(nanoseconds / 1'000'000'000) + " seconds";
}

class Judge
{
public:
  Judge(const Snapshot &from, const Snapshot &to, const VerdictContext &context)
    : from_(from), to_(to), context_(context)
  {
  }

  Verdict judge()
  {
    measure();
    if (destination_is_slow())
      destination_bound();
    else if (verdict_.utilization >= saturated)
      worker_bound();
    else if (context_.source_stuck_ns > 0)
      source_stuck();
    else if (limited_by_resequence())
      resequence_bound();
    else if (limited_by_one_message())
      context_.stuck_after_outlet ? stuck_after_outlet() : stuck();
    else if (limited_by_order())
      one_key_stands_out() ? key_bound() : order_bound();
    else if (windows_limit_inside())
      window_bound();
    else if (fetch_limits())
      fetch_bound();
    else if (verdict_.utilization < half)
      source_bound();
    else
      balanced();
    return verdict_;
  }

private:
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
    // Little's law, except if no message was started meanwhile
    verdict_.pending = std::max(difference(from_.waited_ns, to_.waited_ns) / nanoseconds,
                                static_cast<double>(std::min(from_.pending, to_.pending)));
    if (context_.keyed && to_.entered > from_.entered)
      verdict_.ordering_constraint_ratio =
        std::min(difference(from_.ordered, to_.ordered) / difference(from_.entered, to_.entered), 1.0);

    // The hottest key limits how many ordering scopes there are: a key with a
    // third of the work keeps one thread busy while two others work.
    scopes_ = context_.keyed && context_.hottest_share > 0 ? 1 / context_.hottest_share : HUGE_VAL;
    const double allowed = std::min(workers_ + sources_busy, scopes_);
    verdict_.efficiency = std::min(verdict_.effective_parallelism / allowed, 1.0);
    if (processed > 0 && verdict_.effective_parallelism > 0)
      {
        verdict_.seconds_per_message = verdict_.effective_parallelism * verdict_.seconds / processed;
        verdict_.maximum_rate = allowed / verdict_.seconds_per_message;
      }
  }

  /* -- What limits -- */

  // True if messages that left the element use up the windows.
  bool destination_is_slow() const
  {
    return to_.came == from_.came ? to_.window_full_after && to_.entered == from_.entered
                                  : verdict_.utilization < saturated && windows_limit() && mostly_full_after();
  }

  // True if messages in flight use up the windows.
  bool windows_limit_inside() const
  {
    return to_.came == from_.came ? to_.window_full_inside && to_.entered == from_.entered
                                  : windows_limit() && !mostly_full_after();
  }

  // True if most messages came through a window that was then used up.  Batches
  // do not tell: a destination that acknowledges in bulk opens the window for many
  // batches at once, and one that acknowledges one by one for hardly any.
  bool windows_limit() const
  {
    return difference(from_.window_limited, to_.window_limited) >= half * difference(from_.came, to_.came);
  }

  // True for most of the time: messages that have just come are in flight.
  bool mostly_full_after() const
  {
    const double inside = difference(from_.seen_full_inside, to_.seen_full_inside);
    const double after = difference(from_.seen_full_after, to_.seen_full_after);
    return after == inside ? to_.window_full_after : after > inside;
  }

  // True if the message of a stuck worker holds up others.  Only order can keep
  // messages waiting while there are idle workers.
  bool limited_by_one_message() const
  {
    return context_.stuck_ns > 0
           && (context_.stuck_after_outlet ? to_.released > 1 : context_.keyed && context_.pending_since_stuck > 0);
  }

  // True if messages wait though workers are idle, and order allows no more of them at the same time.
  bool limited_by_order() const
  {
    const bool held_up = verdict_.pending >= 1 || to_.source_yields > from_.source_yields || windows_limit_inside();
    return context_.keyed && held_up && scopes_ < workers_ * 0.9
           && verdict_.effective_parallelism >= nearly_saturated * scopes_;
  }

  // True if most of the messages that the windows allow have been processed and wait for their turn.
  bool limited_by_resequence() const
  {
    return windows_limit_inside() && to_.parked > 0 && to_.parked >= to_.in_flight;
  }

  // True if most messages came in small batches of sources that have more, and
  // the workers could process more.
  bool fetch_limits() const
  {
    const double limited = difference(from_.fetch_limited, to_.fetch_limited);
    return context_.fetch_limit > 0 && limited > 0 && verdict_.utilization < nearly_saturated
           && limited >= half * difference(from_.entered, to_.entered)
           && !most_run_inline_as_cheap() && !(context_.blocks && most_are_cheap());
  }

  bool one_key_stands_out() const
  {
    return context_.hottest_share >= half
           || (context_.distinct_keys && context_.hottest_share * context_.distinct_keys >= 2);
  }

  bool most_run_inline_as_cheap() const
  {
    return difference(from_.too_cheap, to_.too_cheap) >= half * difference(from_.entered, to_.entered);
  }

  bool most_are_cheap() const
  {
    return most_run_inline_as_cheap() || (context_.median_ns > 0 && context_.median_ns < leave_cheap_ns);
  }

  /* -- Explanations -- */

  void destination_bound()
  {
    verdict_.bottleneck = Bottleneck::destination;
    verdict_.explanation = "The sources' windows are used up by messages that have been processed and are not yet "
                           "delivered.";
    verdict_.advice = "Make the destination faster: more connections or threads of its own, larger batches, or a "
                      "disk-buffer(). More workers would not help.";
  }

  void worker_bound()
  {
    verdict_.bottleneck = Bottleneck::worker;
    verdict_.explanation = "All " + std::to_string(to_.busy_ns.size()) + " workers are busy nearly all the time.";
    verdict_.advice = verdict_.cores_busy >= saturated * context_.cores
                        ? "All cores are busy as well: make the path after parallelize() cheaper, or add cores."
                        : "This daemon uses only " + decimal(verdict_.cores_busy) + " of " + std::to_string(context_.cores)
                            + " cores. If other processes leave it the rest, messages wait for something while they are "
                              "processed: give it more workers().";
  }

  void key_bound()
  {
    verdict_.bottleneck = Bottleneck::key;
    verdict_.key = context_.hottest_key;
    verdict_.key_share = context_.hottest_share;
    if (context_.hottest_is_empty)
      {
        empty_key();
        return;
      }
    verdict_.explanation = "The messages of one key take " + percent(context_.hottest_share)
                           + " of the processing time. They are processed one at a time, and other workers are idle.";
    verdict_.advice = sentence(context_.key_advice);
  }

  void empty_key()
  {
    const bool all = context_.distinct_keys == 1 && context_.distinct_keys_known;
    verdict_.explanation = all ? "The keys of all messages are empty."
                               : "Messages with an empty key take " + percent(context_.hottest_share)
                                   + " of the processing time.";
    verdict_.explanation += " They are processed one at a time, and other workers are idle.";
    verdict_.advice = "Check the names of the macros in worker-partition-key(\"" + context_.key
                      + "\"), or use empty-key(round-robin) if the order of these messages does not matter.";
  }

  void stuck()
  {
    const double busy = verdict_.effective_parallelism * verdict_.seconds * 1e9;
    verdict_.bottleneck = Bottleneck::key;
    verdict_.key = context_.stuck_key;
    verdict_.key_share = std::min(static_cast<double>(context_.stuck_ns) / std::max(busy, 1.0), 1.0);
    verdict_.explanation = "A worker has been processing one message for " + seconds(context_.stuck_ns) + "; "
                           + std::to_string(context_.pending_since_stuck)
                           + " messages wait. The messages of the same key wait for this one, and other workers are idle.";
    verdict_.advice = std::string(advice_for_stuck) + " The daemon's log names the message.";
  }

  void stuck_after_outlet()
  {
    verdict_.bottleneck = Bottleneck::order;
    verdict_.explanation = "A worker has been processing one message after resequence() for "
                           + seconds(context_.stuck_ns) + "; all later messages wait for it.";
    verdict_.advice = std::string(advice_for_stuck) + " The daemon's log names the message.";
  }

  void source_stuck()
  {
    verdict_.bottleneck = Bottleneck::source;
    verdict_.explanation = "A source's thread has been processing one message for " + seconds(context_.source_stuck_ns)
                           + ", and reads no messages meanwhile.";
    verdict_.advice = advice_for_stuck;
  }

  void order_bound()
  {
    verdict_.bottleneck = Bottleneck::order;
    verdict_.explanation = "The messages have " + std::string(context_.distinct_keys_known ? "" : "at least ")
                           + std::to_string(context_.distinct_keys) + " keys for " + std::to_string(to_.busy_ns.size())
                           + " workers, and messages of one key are processed one at a time.";
    verdict_.advice = sentence(context_.key_advice);
  }

  void resequence_bound()
  {
    verdict_.bottleneck = Bottleneck::order;
    verdict_.explanation = std::to_string(to_.parked) + " messages have been processed and wait at resequence() for "
                           "an earlier one. The sources' windows are used up, and workers are idle.";
    verdict_.advice = "Find what makes single messages slow, increase log-iw-size() of the source so that more may wait, "
                      "or do without resequence() where the order of each key suffices.";
  }

  void window_bound()
  {
    verdict_.bottleneck = Bottleneck::source;
    verdict_.explanation = "The sources' windows are used up while workers are idle"
                           + (context_.window ? ": " + std::to_string(context_.window) + " messages a connection." : ".");
    verdict_.advice = "Increase log-iw-size() of the source, which is divided by its max-connections().";
  }

  void fetch_bound()
  {
    verdict_.bottleneck = Bottleneck::source;
    verdict_.fetch_limit = context_.fetch_limit;
    verdict_.explanation = "The source " + context_.limited_source + " reads "
                           + std::to_string(context_.fetch_limit)
                           + " messages at a time. It has more, and workers are idle while it comes back for them.";
    verdict_.advice = "Increase log-fetch-limit() of the source, to 1000 for example, and log-iw-size() if its window is "
                      "smaller than that. log-iw-size() is divided by max-connections().";
  }

  void source_bound()
  {
    verdict_.bottleneck = Bottleneck::source;
    if (to_.entered <= from_.entered)
      no_messages();
    else if (context_.blocks && most_are_cheap())
      some_messages_block();
    else if (most_run_inline_as_cheap())
      too_cheap();
    else
      workers_idle();
  }

  void no_messages()
  {
    verdict_.explanation = to_.in_flight ? "No more messages come in, " + std::to_string(to_.in_flight)
                                             + " are being processed or wait for one that is."
                                         : "No messages come in.";
    verdict_.advice = "Nothing to do.";
  }

  void some_messages_block()
  {
    verdict_.explanation = "Most messages cost less than handing them over would, but some block their thread. "
                           "parallelize() hands over the messages of sources that had such a message, so that a "
                           "blocked message does not hold up others.";
    verdict_.advice = "workers() is how many messages may block at the same time: increase it if more of them do.";
  }

  void too_cheap()
  {
    verdict_.explanation = "A message costs less than handing it over would, so the source's thread processes it.";
    verdict_.advice = "parallelize() neither helps nor harms here; several connections use several cores.";
  }

  void workers_idle()
  {
    verdict_.explanation = "The workers are idle most of the time: messages do not come in faster.";
    verdict_.advice = "If there are more messages to read: more connections, or a larger log-iw-size() of the source. ";
    verdict_.advice += context_.blocks ? "Some messages block their thread: keep as many workers() as messages may "
                                         "block at the same time."
                                       : "Otherwise fewer workers() would do.";
  }

  void balanced()
  {
    verdict_.bottleneck = Bottleneck::balanced;
    verdict_.explanation = "The workers are well used and keep up.";
    verdict_.advice = "Nothing to do.";
  }

  const Snapshot &from_;
  const Snapshot &to_;
  const VerdictContext &context_;
  double workers_ = 1;
  double scopes_ = 1;           // messages that order allows to be processed at the same time
  Verdict verdict_;
};

}

const char *
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

Verdict
judge(const Snapshot &from, const Snapshot &to, const VerdictContext &context)
{
  return Judge(from, to, context).judge();
}

}
