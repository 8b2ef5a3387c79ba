# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Mistakes that somebody could make, each as one replacement in one file, and the tests that ought to find it, in the
order in which they are tried.

What is replaced has to be in its file exactly once: a mutant that no longer fits the code is an error.
"""

import dataclasses

ENGINE = "modules/parallelize/engine/engine.cpp"
CORE = "modules/parallelize/engine/core.hpp"
SOURCE_COST = "modules/parallelize/engine/source-cost.hpp"
PATH_COST = "modules/parallelize/engine/path-cost.hpp"
NODE = "modules/parallelize/engine/node.hpp"
PRODUCER = "modules/parallelize/engine/producer.cpp"
HAND_OVER = "modules/parallelize/engine/producer-hand-over.cpp"
PRODUCER_CLASS = "modules/parallelize/engine/producer.hpp"
RUNNER = "modules/parallelize/engine/runner.cpp"
STEP = "modules/parallelize/engine/runner.hpp"
SCHEDULER = "modules/parallelize/engine/scheduler.cpp"
SCHEDULER_TAKE = "modules/parallelize/engine/scheduler-take.cpp"
PARK = "modules/parallelize/engine/scheduler.hpp"
SEQUENCER = "modules/parallelize/engine/sequencer.hpp"
SLOWNESS = "modules/parallelize/engine/slowness.hpp"
STRAND = "modules/parallelize/engine/strand.hpp"
TASK_RING = "modules/parallelize/engine/task-ring.hpp"
WORKER = "modules/parallelize/engine/worker.cpp"
BATCH = "modules/parallelize/pipes/batch.cpp"
MESSAGES = "modules/parallelize/pipes/parallelize.cpp"
PIPE = "modules/parallelize/pipes/parallelize-pipe.cpp"
PACKED = "modules/parallelize/pipes/packed-message.cpp"
TICKET = "modules/parallelize/pipes/ticket.cpp"
RESEQUENCE = "modules/parallelize/pipes/resequence-pipe.cpp"
PAIRING = "modules/parallelize/pipes/pairing.c"
OPTIONS = "modules/parallelize/pipes/options.c"
PATH_WARNINGS = "modules/parallelize/pipes/path-warnings.cpp"
THREADS = "modules/parallelize/pipes/worker-threads.cpp"
METRICS = "modules/parallelize/pipes/metrics.cpp"
BATCH_CALLBACKS = "modules/parallelize/host/batch-callbacks.c"
DESTINATION_WORKERS = "modules/parallelize/host/destination-workers.c"
FORWARD = "modules/parallelize/host/forward.c"
OWNERSHIP = "modules/parallelize/host/message-ownership.c"
PIPE_KIND = "modules/parallelize/host/pipe-kind.c"
STATS = "modules/parallelize/host/stats.c"
THREAD_IDS = "modules/parallelize/host/thread-ids.c"
FETCH_LIMIT = "modules/parallelize/engine/fetch-limit.hpp"
MONITOR_CPP = "modules/parallelize/monitor/monitor.cpp"
JSON = "modules/parallelize/monitor/json.hpp"
VERDICT = "modules/parallelize/monitor/verdict.cpp"
TOP = "tools/parallelize-top"

RESEQUENCED = ("test_resequence", "test_engine_model", "test_engine_threads")
UNIT = ("test_engine", "test_engine_model", "test_engine_threads")
BOTH = ("test_engine", "test_resequence", "test_engine_model", "test_engine_threads")
MONITOR = ("test_monitor",)
TSAN = ("tsan test_engine_threads",)
LEAKS = ("leaks",)
ASAN = ("asan test_engine", "asan test_engine_threads")


@dataclasses.dataclass
class Mutant:
    name: str
    file: str
    old: str
    new: str
    tests: tuple


MUTANTS = [
    # strands and their tasks
    Mutant("release a strand before its messages are published", RUNNER, """\
  core_.callbacks.publish(on_);
  published();
""", """\
  while (Strand *strand = kept_strands_.pop())
    if (StrandList again; !strand->release())
      {
        again.push(strand);
        core_.scheduler.requeue(again, on_);
      }
  core_.callbacks.publish(on_);
  published();
""", UNIT + ("torture load 8",)),
    Mutant("release a strand without looking again", STRAND, """\
    return !oldest_ && state_.compare_exchange_strong(expected, idle, std::memory_order_acq_rel,
                                                      std::memory_order_relaxed);
""", """\
    (void) expected;
    state_.store(idle);
    return true;
""", UNIT),
    Mutant("forget what was not run of a strand", STRAND,
           "    return !oldest_ && state_.compare", "    return state_.compare", UNIT),
    Mutant("schedule a strand that is taken already", HAND_OVER,
           "else if (strand->push(node))", "else if (strand->push(node) || true)", UNIT),
    Mutant("forget to count what is handed over", HAND_OVER,
           "  core_.in_flight.fetch_add(count, std::memory_order_relaxed);\n", "", UNIT),
    Mutant("reverse what came while a strand ran", STRAND, """\
        newest->next = oldest;
        oldest = newest;
""", """\
        if (!oldest)
          oldest = newest;
""", UNIT),
    Mutant("give nodes back too early", RUNNER, "      nodes_.give_back(node);\n", """\
      nodes_.give_back(node);
      nodes_.give_back(node);
""", UNIT + ASAN),
    Mutant("hand over to workers that have ended", ENGINE,
           "core_.stopping.load() && !core_.scheduler.any_worker_alive()", "false", UNIT),
    Mutant("a batch ends without the hand-over of the rest", PRODUCER, """\
  published();
  hand_over();
}""", """\
  published();
}""", UNIT),
    Mutant("the quantum is for each strand", WORKER, "core_.options.quantum - used", "core_.options.quantum", UNIT),
    Mutant("a worker does not come back after a slice", WORKER, """\
        case Runner::Step::slice_ended:
          return Turn::again;
""", """\
        case Runner::Step::slice_ended:
          break;
""", UNIT),
    Mutant("believe a lucky trial", PRODUCER,
           "      || (way_ == SourceCost::Way::inline_cheap && !cost_->is_sure())\n", "", UNIT),
    # the scheduler
    Mutant("wake nobody at a hand-over", SCHEDULER,
           "  section.wake(std::min(run_queue_.size(), workers_worth_waking(messages)));\n",
           "  (void) messages;\n", UNIT),
    Mutant("single messages wake nobody while a worker naps", SCHEDULER,
           "napper_ == no_worker ? 1 : std::min(each, most_unannounced)", "napper_ == no_worker ? 1 : SIZE_MAX", UNIT),
    Mutant("each single message wakes a worker", SCHEDULER, "unannounced_ < worth || ", "", UNIT),
    Mutant("workers that are under way are no reason to wait", SCHEDULER,
           " || run_queue_.size() <= waking_ * each)", ")", UNIT),
    Mutant("messages of one key wake nobody from a nap", HAND_OVER,
           "if (flags_ & single && count == 1)", "if (flags_ & single && tasks_.size() == 1)", UNIT),
    Mutant("a worker that gets up leaves the rest to itself", SCHEDULER,
           "  if (singles_ != locals_[worker].singles_before && napper_ == no_worker && run_queue_.size() > 1)\n"
           "    section.wake(1);\n", "", UNIT),
    Mutant("workers that are under way do not count", SCHEDULER, "      scheduler_.waking_++;\n", "", UNIT),
    Mutant("forget that the napper was woken", SCHEDULER,
           "      if (idle.back() == scheduler_.napper_)\n        scheduler_.napper_ = no_worker;\n", "", UNIT),
    Mutant("forget that the napper got up by itself", SCHEDULER,
           "  napper_ = no_worker;\n  wake_for_the_rest", "  wake_for_the_rest", UNIT),
    Mutant("a napper gets up though somebody is about to wake it", SCHEDULER,
           "  if (found == idle_.end())\n    return false;\n", "  if (found == idle_.end())\n    return true;\n", UNIT),
    Mutant("a napper stays among the sleepers", SCHEDULER, "  idle_.erase(found);\n", "", UNIT),
    Mutant("nap for ever", SCHEDULER, "singles < singles_worth_a_nap || ", "", UNIT),
    Mutant("a worker sleeps instead of napping", THREADS, "      nap();\n", "",
           ("functional test_threaded_source.py",)),
    Mutant("fall asleep without looking", PARK,
           "if (!outlets_.empty() || !run_queue_.empty() || local_queues_in_use_.load(std::memory_order_relaxed) > 0)",
           "if (false)", UNIT),
    Mutant("fall asleep with an outlet in the queue", PARK,
           "if (!outlets_.empty() || !run_queue_.empty()", "if (!run_queue_.empty()", RESEQUENCED),
    Mutant("fall asleep beside tasks that a worker has not started", PARK,
           " || local_queues_in_use_.load(std::memory_order_relaxed) > 0)", ")", UNIT),
    Mutant("nobody looks for what waits beside sleepers", METRICS,
           "      metrics->engine_.rescan_sleepers();\n", "", ("functional test_dispatch.py",)),
    # Not here: that this look counts local queues as well.  One that is not empty beside sleepers, with an empty run
    # queue, takes a source's thread that has assisted, and brought nothing but messages for strands that run.
    Mutant("warn of a hot key that nothing waits for", HAND_OVER,
           "<= std::min(core_.cost.per_wake_up(), hot_key_backlog))", "< std::min(0u, hot_key_backlog))", UNIT),
    Mutant("a producer wakes nobody for what it puts back", SCHEDULER,
           "  section.wake(tasks - std::min<std::size_t>(tasks, on == OnThread::worker));\n",
           "  section.wake(tasks - std::min<std::size_t>(tasks, 1)), (void) on;\n", UNIT),
    Mutant("a hot strand goes last", SCHEDULER, """\
        run_queue_.push_front(task);
      else
""", """\
        run_queue_.push_back(task);
      else
""", UNIT),
    Mutant("a hot strand goes last when others have had no turn", SCHEDULER,
           "run_queue_.push_second(task);", "run_queue_.push_back(task);", UNIT),
    Mutant("a hot strand always goes first", SCHEDULER,
           "run_queue_.push_second(task);", "run_queue_.push_front(task);", UNIT),
    Mutant("forget that other strands had a turn", SCHEDULER_TAKE, "  others_had_a_turn_ |= !hot;\n", "", UNIT),
    Mutant("put a task first rather than second", TASK_RING, """\
    push_front(task);
    push_front(first);
""", """\
    push_front(first);
    push_front(task);
""", UNIT),
    Mutant("take other strands together with a hot one", SCHEDULER_TAKE,
           "if (share > 1 && !hot && !is_hot(run_queue_.front()))", "if (share > 1)", UNIT),
    Mutant("wake nobody for the rest of the run queue", SCHEDULER_TAKE,
           "  if (run_queue_.size() >= cost_.per_wake_up())\n", "  if (false)\n", UNIT),
    Mutant("wake nobody for the rest of a local queue", SCHEDULER_TAKE,
           "  if (anybody_sleeps() && local.size.load(std::memory_order_relaxed) >= cost_.per_wake_up())\n",
           "  if (false)\n", UNIT),
    Mutant("a thief keeps a task in its pocket", SCHEDULER_TAKE,
           "take_over(locals_[thief], batch, batch.size());",
           "take_over(locals_[thief], batch, batch.size() / 2);", UNIT),
    Mutant("take one task too few off the run queue", SCHEDULER_TAKE, """\
  task = run_queue_.pop_front();
  const bool hot""", """\
  task = run_queue_.front();
  const bool hot""", UNIT),
    Mutant("a thief leaves the last task", SCHEDULER_TAKE,
           "victim.tasks.move_front((victim.tasks.size() + 1) / 2, batch);",
           "victim.tasks.move_front(victim.tasks.size() / 2, batch);", UNIT),
    Mutant("a worker takes a task more than its share", SCHEDULER_TAKE,
           "std::min(share, max_share) - 1);", "std::min(share, max_share));", UNIT),
    Mutant("leave a strand that runs to thieves", SCHEDULER_TAKE, "  task = local.tasks.pop_front();\n", """\
  task = local.tasks.front();
  if (local.tasks.size() > 1 || !task.strand)
    local.tasks.pop_front();
""", UNIT),
    Mutant("a thief of one task counts its local queue for ever", SCHEDULER_TAKE, """\
      if (batch.empty())
        local_queues_in_use_.fetch_sub(1, std::memory_order_relaxed);
      else
""", "      if (!batch.empty())\n", UNIT),
    Mutant("a thief counts its victim's empty queue for ever", SCHEDULER_TAKE, """\
        if (victim.tasks.empty())
          local_queues_in_use_.fetch_sub(1, std::memory_order_relaxed);
""", "", UNIT),
    Mutant("a thief does not count its own queue", SCHEDULER_TAKE, """\
        // Before the victim's queue becomes empty: try_park() must not find both unused.
        local_queues_in_use_.fetch_add(1, std::memory_order_relaxed);
""", "", UNIT),
    Mutant("a worker does not count its own queue", SCHEDULER_TAKE, """\
      local_queues_in_use_.fetch_add(1, std::memory_order_relaxed);
      take_over(""", "      take_over(", UNIT),
    # Not here: that a thief counts its own queue before its victim's becomes empty.  Another worker would have to look
    # between the two, where the thief calls nothing of ours, and would then only sleep while the thief is busy.
    # the end
    Mutant("end with messages inside", CORE,
           "return in_flight.load() == 0 && (!sequencer || sequencer->idle());",
           "return !sequencer || sequencer->idle();", UNIT + ("torture reload-storm 8",)),
    Mutant("end while a producer is open", WORKER, "core_.open.load() == 0 && ", "", UNIT),
    Mutant("the last producer ends silently", ENGINE,
           "if (core_.open.fetch_sub(1) == 1 && core_.stopping.load())",
           "if (core_.open.fetch_sub(1) == 0 && core_.stopping.load())", UNIT),
    Mutant("the last message is published silently", RUNNER,
           "core_.in_flight.fetch_sub(tasks) == tasks && core_.stopping.load())",
           "core_.in_flight.fetch_sub(tasks) == tasks && false)", UNIT),
    Mutant("end with a ticket that is retained", CORE,
           "return in_flight.load() == 0 && (!sequencer || sequencer->idle());",
           "return in_flight.load() == 0;", RESEQUENCED),
    Mutant("end with what was released inside", SEQUENCER,
           "head_.load() == issued_.load() && released_.load() == 0", "head_.load() == issued_.load()", RESEQUENCED),
    Mutant("the last ticket ends silently", ENGINE,
           "if (core_.stopping.load() && core_.sequencer->idle())", "if (false)", RESEQUENCED),
    # inline messages and order
    Mutant("hand over without publishing first", PRODUCER, """\
          hand_over();
          publish();
""", "          hand_over();\n", UNIT + ("torture load 8",)),
    Mutant("collected messages wait for a publish", PRODUCER, """\
          hand_over();
          publish();
""", "          publish();\n", UNIT),
    Mutant("inline beside messages of the strand", PRODUCER, """\
  if (key.strand && !key.strand->looks_idle())
    return false;
  // Messages that came before this one go first.
  hand_over();
  return !key.strand || key.strand->looks_idle();
""", """\
  hand_over();
  return true;
""", UNIT),
    Mutant("inline without another look at the strand after the hand-over", PRODUCER,
           "  return !key.strand || key.strand->looks_idle();\n", "  return true;\n", UNIT),
    Mutant("inline before messages that the batch has collected", PRODUCER, """\
  // Messages that came before this one go first.
  hand_over();
""", "", BOTH),
    Mutant("inline in an engine that is not empty without a look at the key", PRODUCER,
           "pending_.empty() && core_.in_flight.load(std::memory_order_acquire) == 0", "pending_.empty()", UNIT),
    Mutant("inline in an empty engine before messages that the batch has collected", PRODUCER,
           "(pending_.empty() && core_.in_flight.load(std::memory_order_acquire) == 0)",
           "core_.in_flight.load(std::memory_order_acquire) == 0", UNIT),
    Mutant("tickets in another order than messages come in", PRODUCER, """\
      hand_over();
      inline_strands_.add_all();
""", "      inline_strands_.add_all();\n", RESEQUENCED),
    Mutant("forget the strands of inline messages whose key was not looked at", PRODUCER,
           "      inline_strands_.add_all();\n", "", UNIT),
    Mutant("forget the strand of an inline message", PRODUCER,
           "            inline_strands_.add(core_.strand_of(key.hash));\n", "            ;\n", UNIT),
    Mutant("publish rather than go on inline", PRODUCER,
           "  if (!allowed && !(key.strand && inline_strands_.contains(core_.strand_of(key.hash))))\n", "  if (!allowed)\n", UNIT),
    Mutant("remember strands that the thread has published by itself", PRODUCER, """\
  inline_strands_.clear();
  runner.published();
""", "  runner.published();\n", UNIT),
    Mutant("remember strands that the engine has published", PRODUCER, """\
  runner.publish();
  inline_strands_.clear();
  decide();
""", """\
  runner.publish();
  decide();
""", UNIT),
    Mutant("remember for ever that all strands are unpublished", PRODUCER_CLASS,
           "    any_ = all_ = false;\n", "    any_ = false;\n", UNIT),
    Mutant("take a message that is on its way for published", PRODUCER, """\
  if (counters.inside_since.get())
    return;
""", "", UNIT),
    Mutant("do not tell that the thread is inside a message", PRODUCER_CLASS,
           "      counter_.set(std::max<std::uint64_t>(since, 1));\n", "      (void) counter_;\n", MONITOR + UNIT),
    Mutant("inline on a thread that does not publish soon", PRODUCER,
           "  way_ = flags_ & publishes ? cost_->decide(", "  way_ = true ? cost_->decide(", UNIT),
    Mutant("inline over the mark on a thread that does not publish soon", PRODUCER,
           "(flags_ & assists) && (flags_ & publishes) && is_over", "(flags_ & assists) && is_over", UNIT),
    Mutant("inline over the mark on a thread that may not assist", PRODUCER,
           "(flags_ & assists) && (flags_ & publishes) && is_over", "(flags_ & publishes) && is_over", UNIT),
    Mutant("inline for long without publishing", PRODUCER,
           "  else if (leaves || runner.slice_is_over() || runner.ran() >= max_unpublished)\n",
           "  else if (leaves)\n", UNIT),
    Mutant("strands stay inline when the path is not cheap any more", PRODUCER,
           "  else if (leaves || ", "  else if (", UNIT),
    Mutant("inline for long without publishing while messages are cheap", PRODUCER,
           "runner.slice_is_over() || runner.ran() >= max_unpublished", "runner.slice_is_over()", UNIT),
    # what is cheap, and what harms
    Mutant("a long message counts as an outlier", PATH_COST,
           "std::min(nanoseconds, longest_ns);", "std::min<std::uint64_t>(nanoseconds, 10'000);", UNIT),
    Mutant("inline messages never become expensive", PRODUCER,
           "      cost_->add(now, nanoseconds, weight);\n", "", UNIT),
    Mutant("a source is never harmed", PRODUCER,
           "      if (cost_->is_harmed_by(now, nanoseconds))\n", "      if (false)\n", UNIT),
    Mutant("a source is harmed by any long message", SOURCE_COST, """\
    if (!long_.is_at_least(32))
      return false;
""", "", UNIT),
    Mutant("a message that computes for long does not harm", PRODUCER,
           "slowness == Slowness::computed && way_ == SourceCost::Way::hand_over;",
           "slowness == Slowness::computed;", UNIT),
    Mutant("a message over the mark that computes for long harms", PRODUCER,
           "slowness == Slowness::computed && way_ == SourceCost::Way::hand_over;", "false;", UNIT),
    Mutant("a message that is not timed cannot harm", PRODUCER,
           "if (runner.tick() - before >= long_by_coarse_clock_ns)", "if (false)", UNIT),
    Mutant("harm is not remembered", SOURCE_COST, "    harmed_until_.store(now + next, relaxed);\n", "", UNIT),
    Mutant("harm changes nothing now", SOURCE_COST, "    hand_over_until(now + next);\n", "", UNIT),
    Mutant("a source that was harmed goes inline as soon as the path is cheap", SOURCE_COST, """\
    if (now < not_before_.load(relaxed))
      return Way::hand_over;
""", "", UNIT),
    Mutant("harm adds up while the source hands over", SOURCE_COST, """\
    if (harmed(now))
      return true;
""", "", UNIT),
    Mutant("a source is found expensive only after a number of messages", SOURCE_COST,
           "mean_.messages() < trial_messages && !too_long", "mean_.messages() < trial_messages + 0 * too_long", UNIT),
    Mutant("each thread of a source has a watch of its own", PRODUCER, "  runner.share_watch(cost.watch);\n", "", UNIT),
    Mutant("the wait after harm is not doubled", SOURCE_COST,
           "long_ago ? 4 * took : 2 * wait,", "long_ago ? 4 * took : wait,", UNIT),
    Mutant("the wait after harm has no limit", SOURCE_COST,
           "2 * wait, first_wait_ns, longest_wait_ns)", "2 * wait, first_wait_ns, 1000 * longest_wait_ns)", UNIT),
    Mutant("harm is never forgotten", SOURCE_COST,
           "long_ago ? 4 * took", "!wait && long_ago ? 4 * took", UNIT),
    Mutant("all sources share one cost", ENGINE,
           ">> (64 - source_cost_bits)];", ">> (64 - source_cost_bits) >> source_cost_bits];", UNIT),
    Mutant("a trial never ends", SOURCE_COST,
           "    if (cheap)\n", "    if (cheap || !inline_.load(relaxed))\n", UNIT),
    Mutant("a trial in a path that does not block", SOURCE_COST,
           "const bool blocks = path.blocks(now) && ", "const bool blocks = ", UNIT),
    Mutant("a trial measures what was before it", SOURCE_COST, """\
    if (mean_.messages() == 0)
      busy_.restart(now - nanoseconds);
""", "", UNIT),
    Mutant("never a trial", SOURCE_COST, "(!path.may_be_cheap() && !blocks) || ", "true || ", UNIT),
    Mutant("trials of all sources at the same time", SOURCE_COST, " || !path.may_try(this, now))", ")", UNIT),
    Mutant("a trial though all messages block", SOURCE_COST, " && path.usually_cheap() && ", " && ", UNIT),
    Mutant("no hard mark while messages block", PRODUCER,
           "hard_marks * std::uint64_t{core_.options.prefetch}", "1000 * hard_marks * std::uint64_t{core_.options.prefetch}",
           UNIT),
    Mutant("workers that are stuck do not make the path block", ENGINE,
           "        core_.cost.note_blocking(now, std::min(now - since, stuck_ns));\n", "        ;\n", UNIT),
    Mutant("a trial as soon as a source is new", SOURCE_COST,
           " && now - first_seen_.load(relaxed) >= first_trial_ns;", ";", UNIT),
    Mutant("hand over messages of a thread that is hardly busy", SOURCE_COST,
           "mean < leave_cheap_ns || (mean < idle_cheap_ns && !busy_.is_at_least(8))", "mean < leave_cheap_ns", UNIT),
    Mutant("keep expensive messages inline, however busy the thread is", SOURCE_COST,
           "(mean < idle_cheap_ns && !busy_.is_at_least(8))", "mean < idle_cheap_ns", UNIT),
    Mutant("inline over the mark while the path blocks", PRODUCER,
           " && is_over_high_water_mark() && !is_blocking();", " && is_over_high_water_mark();", UNIT),
    Mutant("inline over the mark until the mark", PRODUCER,
           "(over_high_water_mark_ ? mark - mark / 4 : mark)", "mark", UNIT),
    Mutant("assist while the path blocks", HAND_OVER,
           "if (is_blocking() || !core_.scheduler", "if (!core_.scheduler", UNIT),
    Mutant("a path that blocks workers does not block sources", PRODUCER,
           "cost_->harmed(now) || core_.cost.blocks(now)", "cost_->harmed(now)", UNIT),
    Mutant("a source that was harmed goes on inline over the mark", PRODUCER,
           "cost_->harmed(now) || core_.cost.blocks(now)", "core_.cost.blocks(now)", UNIT),
    Mutant("a preempted thread counts as blocked", SLOWNESS, """\
        else
          result = Slowness::none;
""", """\
        else
          result = Slowness::blocked;
""", UNIT),
    Mutant("a switch by itself does not count as blocked", SLOWNESS,
           "if (usage.voluntary_switches != usage_.voluntary_switches && idle)", "if (idle && false)", UNIT),
    Mutant("a very long message without a watch counts as nothing", SLOWNESS,
           "took >= surely_blocked_ns ? Slowness::blocked : Slowness::none", "Slowness::none", UNIT),
    Mutant("no watch after a long message", SLOWNESS,
           "    watch_->until.store(now + watch_ns, std::memory_order_relaxed);\n    return", "    return", UNIT),
    Mutant("the time before a message counts as its own", SLOWNESS,
           "cpu_ns > before + harmful_ns", "cpu_ns > harmful_ns + 0 * before", UNIT),
    Mutant("a path blocks as soon as one message did", PATH_COST, """\
    if (!blocked_.is_at_least(8))
      return;
""", "", UNIT),
    Mutant("only the time of messages that block counts", PATH_COST, "    blocked_.add(nanoseconds, 0);\n", "", UNIT),
    Mutant("a worker that a message blocks tells nobody", RUNNER,
           "(on_ == OnThread::worker || ran_tasks_) && took > harmful_ns",
           "on_ != OnThread::worker && ran_tasks_ && took > harmful_ns", UNIT),
    Mutant("a message that blocks a thread that assists is not noticed", RUNNER,
           "(on_ == OnThread::worker || ran_tasks_) && took > harmful_ns",
           "on_ == OnThread::worker && took > harmful_ns", UNIT),
    Mutant("look at the clock after each cheap message", RUNNER, """\
  if (expects_cheap_)
    return messages_per_look;
""", "", UNIT),
    Mutant("expect cheap messages while assisting", HAND_OVER, "  runner.expect_cheap(false);\n", "", UNIT),
    Mutant("slices are not shorter while messages block", RUNNER,
           "(core_.cost.blocks(now) ? slice_with_blocking_ns : slice_ns)", "slice_ns", UNIT),
    Mutant("a slice never ends", RUNNER, "    slice_over_ = true;\n", "    slice_over_ = false;\n", UNIT),
    Mutant("notice a long message only after a number of messages", RUNNER,
           "--until_look_ == 0 || before != tick_", "--until_look_ == 0 || before == 1", UNIT),
    # assisting
    Mutant("assist for as long as it takes", HAND_OVER,
           " && core_.callbacks.now() - started < longest_assist_ns && !is_blocking();\n", """\
 && !is_blocking();
      (void) started;
""", UNIT),
    Mutant("assist on though a message blocks", HAND_OVER,
           " && core_.callbacks.now() - started < longest_assist_ns && !is_blocking();\n",
           " && core_.callbacks.now() - started < longest_assist_ns;\n", UNIT),
    Mutant("assist before its own messages are published", HAND_OVER, """\
  publish();
  runner.expect_cheap(false);
""", "  runner.expect_cheap(false);\n", UNIT),
    Mutant("assist only with the run queue", SCHEDULER_TAKE,
           "    if (take_local(locals_[i], task))\n", "    if (false && take_local(locals_[i], task))\n", UNIT),
    # Not here: that open() asks for workers only after it has counted the producer.  It takes threads that are stopped
    # between two steps where they call nothing of ours: only the model shows it.
    # memory orders
    Mutant("push without release", STRAND, """\
std::memory_order_acq_rel, std::memory_order_relaxed));
    return old == idle;
""", """\
std::memory_order_relaxed, std::memory_order_relaxed));
    return old == idle;
""", TSAN),
    Mutant("gather without acquire", STRAND,
           "state_.exchange(taken, std::memory_order_acquire)",
           "state_.exchange(taken, std::memory_order_relaxed)", TSAN),
    Mutant("release of a strand without release", STRAND,
           "compare_exchange_strong(expected, idle, std::memory_order_acq_rel,",
           "compare_exchange_strong(expected, idle, std::memory_order_relaxed,", TSAN),
    Mutant("inline without acquire of the strand", STRAND,
           "state_.load(std::memory_order_acquire) == idle", "state_.load(std::memory_order_relaxed) == idle", TSAN),
    Mutant("inline without acquire of the empty engine", PRODUCER,
           "core_.in_flight.load(std::memory_order_acquire) == 0",
           "core_.in_flight.load(std::memory_order_relaxed) == 0", TSAN),
    Mutant("give nodes back without acquire and release", NODE,
           "fetch_sub(count, std::memory_order_acq_rel)", "fetch_sub(count, std::memory_order_relaxed)", TSAN),
    Mutant("a local queue without its lock", SCHEDULER_TAKE, """\
    return false;
  std::lock_guard lock(local.mutex);
""", "    return false;\n", TSAN),
    Mutant("park without a lock", SEQUENCER, """\
    std::lock_guard lock(mutex_);
    park_all(events);
    for (""", """\
    park_all(events);
    std::lock_guard lock(mutex_);
    for (""", TSAN),
    # outlets
    Mutant("release an outlet before its copies are published", RUNNER, """\
  core_.callbacks.publish(on_);
  published();
""", """\
  while (Strand *outlet = outlets_.pop())
    if (StrandList again; !outlet->release())
      {
        again.push(outlet);
        core_.scheduler.requeue(again, on_);
      }
  core_.callbacks.publish(on_);
  published();
""", RESEQUENCED),
    Mutant("a retained ticket is done when its message was forwarded", SEQUENCER, """\
    if (std::exchange(page.more_ends[slot], false))
      return;
""", """\
    if (std::exchange(page.more_ends[slot], false))
      page.more_ends[slot] = false;
    else if (page.done[slot])
      return;
""", RESEQUENCED),
    Mutant("copies from before the ticket was retained come later", SEQUENCER, """\
    std::lock_guard lock(mutex_);
    park_all(events);
    entry_of(ticket)""", """\
    std::lock_guard lock(mutex_);
    (void) events;
    entry_of(ticket)""", RESEQUENCED),
    Mutant("copies in the opposite order", SEQUENCER, """\
    while (*end)
      end = &(*end)->next;
    *end = &node;
    node.next = nullptr;
""", """\
    node.next = *end;
    *end = &node;
""", RESEQUENCED),
    Mutant("throw a page away in which something is parked", SEQUENCER,
           "if (++page.done_count == page_tickets && !page.anything_parked)",
           "if (++page.done_count == page_tickets)", RESEQUENCED),
    Mutant("leave outlets to workers that have ended", ENGINE,
           "  if (!due.empty() && !core_.scheduler.schedule_outlets(due))\n",
           "  if (!due.empty() && !core_.scheduler.schedule_outlets(due) && false)\n", BOTH),
    Mutant("leave the outlets of inline messages to workers that have ended", PRODUCER, """\
  if (no_worker_ && core_.sequencer)
    drain_outlets();
  else if""", "  if", BOTH),
    Mutant("run the outlets only once where no worker is alive", RUNNER,
           "  while (publish());\n", "  while (publish() && false);\n", RESEQUENCED),
    Mutant("wake nobody for an outlet", SCHEDULER, "  section.wake(outlets_.size());\n", "", RESEQUENCED),
    Mutant("put an outlet back where nobody looks", SCHEDULER, """\
  if (!outlets_.empty())
    outlets_wait_.store(true, std::memory_order_relaxed);
""", "", RESEQUENCED),
    Mutant("what is parked counts for prefetch", PRODUCER, """\
core_.in_flight.load(std::memory_order_relaxed) + pending_.size();
  over_high""", """\
core_.in_flight.load(std::memory_order_relaxed) + pending_.size()
                               + (core_.sequencer ? core_.sequencer->parked() : 0);
  over_high""", RESEQUENCED),
    Mutant("run an outlet to its end, however long that takes", RUNNER,
           "i < limit && !slice_over_; i++)",
           "i < limit && (strand.outlet != Strand::no_outlet || !slice_over_); i++)", RESEQUENCED),
    Mutant("go on after an outlet without publishing", STEP,
           "    if (!outlet && !slice_over_)\n", "    if (!slice_over_)\n", RESEQUENCED),
    Mutant("tell of inline messages only when they are published", RUNNER, """\
  events_.done(ticket);
  resequence();
""", "  events_.done(ticket);\n", RESEQUENCED),
    Mutant("run only outlets that have just become due", RUNNER, """\
  while (Strand *outlet = due.pop())
    outlets_.push(outlet);
  for (Strand *outlet = outlets_.first(); outlet; outlet = outlet->next)
    run_strand(*outlet, core_.options.quantum);
""", """\
  while (Strand *outlet = due.pop())
    {
      outlets_.push(outlet);
      run_strand(*outlet, core_.options.quantum);
    }
""", RESEQUENCED),
    # the monitor
    Mutant("nobody watches the threads of sources", ENGINE,
           "producer->counters.inside_since.get()});", "0});", MONITOR),
    Mutant("no verdict about a source that is stuck", VERDICT,
           "else if (context_.source_stuck_ns > 0)", "else if (false)", ("test_verdict",)),
    # the host half
    Mutant("drop the clone", MESSAGES,
           "  host_message_take_ownership(&arrival->msg, arrival->path_options, upstream_retains_messages_);\n",
           "", ("functional test_branches.py", "torture load 8", "torture change 8")),
    Mutant("acknowledge twice", MESSAGES, "  host_forward_detached(pipe, message.msg, &message.path_options);\n", """\
  log_msg_ack(message.msg, &message.path_options, AT_PROCESSED);
  host_forward_detached(pipe, message.msg, &message.path_options);
""", ("functional test_flow_control.py", "torture load 8")),
    Mutant("never acknowledge", PACKED,
           "result.path_options.ack_needed = !!(packed.flags & ack_needed);",
           "result.path_options.ack_needed = FALSE;", ("functional test_flow_control.py", "torture load 8")),
    Mutant("forget that flow control was asked for", PACKED,
           "  result.path_options.flow_control_requested = !!(packed.flags & flow_control_requested);\n",
           "", ("functional test_log_path_flags.py", "functional test_messages.py", "functional test_flow_control.py")),
    Mutant("do not publish", BATCH,
           "  main_loop_worker_invoke_batch_callbacks();\n", "", ("functional test_dispatch.py", "torture load 8")),
    Mutant("close the batch before the destination's queue is published", BATCH_CALLBACKS, """\
  iv_list_del(&callback->list);
  iv_list_add_tail(&callback->list, list);
""", "  (void) list;\n", ("functional test_several_in_one_path.py",)),
    Mutant("end a batch in the middle of a message", BATCH,
           "  if (batch->thread_.submitting)\n", "  if (false)\n", ("functional test_several_in_one_path.py", "torture change 16")),
    Mutant("give up keys before an inner element has its messages", BATCH,
           "    other->producer_.flush();\n", "    (void) other;\n", ("functional test_several_in_one_path.py",)),
    Mutant("do not expect another callback after a publish", BATCH,
           "    batch->expect_callback();\n",
           "    (void) batch;\n",
           ("functional test_dispatch.py", "functional test_several_in_one_path.py", "torture load 8")),
    Mutant("expect the callback that has come", BATCH,
           "  batch->expects_callback_ = false;\n",
           "", ("functional test_dispatch.py", "functional test_several_in_one_path.py", "torture load 8")),
    Mutant("keep the batch of a thread without callbacks open", BATCH, """\
  if (!has_callback_)
    delete this;
""", "", ("functional test_any_thread.py", "functional test_dispatch.py")),
    Mutant("a thread that runs messages of another element may keep outlets", MESSAGES,
           " && !(has_outlets() && forwarding))\n",
           ")\n", ("functional test_several_in_one_path.py", "functional test_resequence.py")),
    Mutant("ask what a parser has made for its source", MESSAGES,
           "if (path_options->ack_needed && !window_warned_.load(std::memory_order_relaxed))",
           "if (!window_warned_.load(std::memory_order_relaxed))", ("functional test_source_is_gone.py",)),
    Mutant("ask for the source of a message that another thread has read", MESSAGES,
           "  if (path_options->ack_needed && !forwarding)\n",
           "  if (path_options->ack_needed)\n", ("functional test_source_is_gone.py",)),
    Mutant("do not wait for the workers", THREADS, """\
  for (const auto &thread : threads_)
    thread->join();
""", "", ("functional test_worker_threads.py",)),
    Mutant("count threads that never ran as the host's jobs", THREADS, """\
  if (!started_)
    let_run();
""", """\
  if (!started_)
    start();
""", ("functional test_worker_threads.py",)),
    Mutant("do not tell the workers to stop", THREADS,
           "      request->threads->engine_.stop();\n", "", ("functional test_stop.py",)),
    Mutant("end a worker before its calls to the main thread", THREADS,
           "  self->wait_for_main_loop_calls();\n", "", ("functional test_pending_calls.py",)),
    Mutant("wait for the main thread while it waits", THREADS, """\
  if (owner_.started_)
    host_wait_for_main_loop_calls();
""", "  host_wait_for_main_loop_calls();\n", ("functional test_worker_threads.py",)),
    # Not here: that what a grouping-by() keeps is not changed.  It takes a host from 4.2 on.
    Mutant("share the table of values with other branches", OWNERSHIP,
           "  if ((*msg)->flags & LF_STATE_OWN_PAYLOAD)", "  if (TRUE)", ("functional test_branches.py",)),
    Mutant("wake internal() when its thread has ended", THREADS,
           "  host_internal_source_disable_wakeup();\n", "", ("functional test_internal_source.py",)),
    Mutant("let the host believe that no time passes", MESSAGES,
           "  host_cached_time_forget();\n", "", ("functional test_time.py",)),
    Mutant("spare descriptors at the expense of the configuration before", PIPE,
           "has_run_ ? 0 : spare_descriptors", "spare_descriptors", ("functional test_thread_limit.py",)),
    Mutant("do not come back after the quantum", THREADS,
           "        iv_task_register(&run_again_);\n", "        {}\n", ("functional test_dispatch.py",)),
    Mutant("two threads with one id", THREAD_IDS,
           "          own_id = thread_ids.first + i;",
           "          own_id = thread_ids.first;", ("functional test_worker_threads.py", "torture load 8")),
    Mutant("let the path behind decide whether a message has matched", FORWARD,
           "  detached.ack_needed = path_options->ack_needed;\n", """\
  detached.ack_needed = path_options->ack_needed;
  detached.matched = path_options->matched;
""", ("functional test_log_path_flags.py",)),
    Mutant("forget the tickets of a message that goes on elsewhere", MESSAGES,
           "retain_ticket(current_ticket()));", "nullptr);", ("functional test_resequence.py",)),
    Mutant("take the tickets of the message that is interrupted", MESSAGES,
           "  TicketScope scope(ticket);\n",
           "  TicketScope scope(ticket ? ticket : current_ticket());\n", ("functional test_resequence.py",)),
    Mutant("forget the outer tickets of an inline message", MESSAGES,
           "engine_.get(), number, current_ticket(), &runner};",
           "engine_.get(), number, nullptr, &runner};", ("functional test_resequence.py",)),
    Mutant("retain the ticket of an inline message for ever", MESSAGES, """\
  release_ticket(ticket.retained);
}

/* -- Any runner""", """\
}

/* -- Any runner""", ("functional test_resequence.py",)),
    Mutant("forget the outer tickets at an inner resequence()", RESEQUENCE,
           "retain_ticket(ticket->outer));", "nullptr);", ("functional test_resequence.py",)),
    Mutant("never release a retained ticket", TICKET,
           "      retained->engine->release_ticket(retained->number);\n", "", ("functional test_resequence.py",)),
    Mutant("park a message that others hold", RESEQUENCE,
           "    host_message_take_ownership(&msg, path_options, upstream_retains_messages_);\n",
           "", ("functional test_resequence.py",)),
    Mutant("every resequence() belongs to every parallelize() before it", PAIRING,
           "if (step.open == 0)", "if (step.open != CLOSED)", ("functional test_resequence.py",)),
    Mutant("print a key as it is", MESSAGES,
           "gchar *printable = g_strescape(unescaped, nullptr);",
           "gchar *printable = g_strdup(unescaped);", ("functional test_security.py",)),
    Mutant("print the key of a stuck worker as it is", METRICS,
           "gchar *escaped = g_strescape(thread.key.c_str(), nullptr);",
           "gchar *escaped = g_strdup(thread.key.c_str());", ("functional test_security.py",)),
    Mutant("leave eight-bit control characters in JSON", JSON,
           "else if (code == 0xc2 &&", "else if (false &&", ("test_metrics", "functional test_security.py")),
    Mutant("leave control characters in Prometheus' labels", TOP,
           "result[printable(hot[\"key\"])]", "result[hot[\"key\"]]", ("functional test_security.py",)),
    Mutant("leave control characters on the terminal", TOP,
           "character if character.isprintable() else", "character if True else", ("functional test_security.py",)),
    Mutant("the same seed for every element", PIPE, "  return getentropy(seed, sizeof seed) == 0;\n", """\
  seed[0] = seed[1] = 1;
  return true;
""", ("functional test_security.py",)),
    Mutant("any seed where the system gives none", PIPE,
           "  return getentropy(seed, sizeof seed) == 0;\n",
           "  return getentropy(seed, sizeof seed) <= 0;\n", ("functional test_security.py",)),

    # advice
    Mutant("bursts are a source that has more to read", FETCH_LIMIT,
           "(now > last ? now - last : 0) + ", "", ("test_metrics",)),
    Mutant("a source that has more to read though most batches are not full", FETCH_LIMIT,
           "(full ? 0 : 2 * longest_round_ns)", "0", ("test_metrics",)),
    Mutant("small fetches are to blame though workers are busy", VERDICT,
           " && verdict_.utilization < nearly_saturated\n           && limited", "\n           && limited",
           ("test_verdict",)),
    Mutant("a source that was limited once is to blame for ever", VERDICT, " && limited > 0", "", ("test_verdict",)),
    Mutant("small fetches are to blame though messages are cheap", VERDICT,
           "&& !most_run_inline_as_cheap() && !(context_.blocks && most_are_cheap())", "", ("test_verdict",)),
    Mutant("warn of empty keys though one message has a key", MONITOR_CPP, "counters.saw_key || ", "", MONITOR),
    Mutant("warn of empty keys again and again", MONITOR_CPP, "  told_empty_keys_ = true;\n", "", MONITOR),
    Mutant("the latency from the receipt ends before resequence()", RUNNER,
           "  if (!core_.sequencer)\n    unpublished_samples_", "  if (true)\n    unpublished_samples_", MONITOR),

    # options, and warnings about what is after an element
    Mutant("the first key counts", OPTIONS, "  self->partition_key = g_strdup(text);\n", """\
  if (!self->partition_key)
    self->partition_key = g_strdup(text);
""", ("functional test_compatible_options.py",)),
    Mutant("a destination with one worker loses the order", DESTINATION_WORKERS,
           "->num_workers > 1", "->num_workers > 0", ("functional test_destination_order.py",)),
    Mutant("the order after another element is the first one's matter", PATH_WARNINGS,
           "host_destination_has_workers, pairing_is_active", "host_destination_has_workers, nullptr",
           ("functional test_destination_order.py",)),
    Mutant("an element that is off is active", PAIRING,
           "(_has_role(pipe, PAIRING_OPENS) && !self->is_off)", "_has_role(pipe, PAIRING_OPENS)",
           ("functional test_destination_order.py",)),
    Mutant("each partner of a resequence() warns", RESEQUENCE, "    is_path_checked_ = true;\n", "",
           ("functional test_destination_order.py",)),
    Mutant("a clone of a pipe has no kind", PIPE_KIND,
           "expression->content == ENC_PIPE && expression->object", "FALSE", ("functional test_daemon_faults.py",)),
    Mutant("no parser before the element matters", PATH_WARNINGS, "if (python && !other)", "if (false)",
           ("functional test_daemon_faults.py",)),

    # what nothing misses until the memory is full
    Mutant("keep an element's options", PIPE, "  parallelize_options_free(options_);\n", "", LEAKS),
    Mutant("keep the engine", PIPE, """\
  engine_.reset();
}""", """\
  (void) engine_.release();
}""", LEAKS),
    Mutant("keep a counter", STATS, """\
  g_free((gchar *) self->key.type);
  g_free(self);
""", "  g_free((gchar *) self->key.type);\n", LEAKS),
    Mutant("keep a batch", BATCH, "    delete batch;\n", "    batch->~Batch();\n", LEAKS),
    Mutant("keep what held a message and its ticket", PACKED, "      delete handle;\n", "", LEAKS),
    Mutant("keep a retained ticket", TICKET, "      delete retained;\n", "", LEAKS),
]
