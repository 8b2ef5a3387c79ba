# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Mistakes that somebody could make, each as one replacement in one file, and the tests that ought to find it, in the
order in which they are tried.

What is replaced has to be in its file exactly once: a mutant that no longer fits the code is an error.
"""

import dataclasses

ENGINE = "modules/parallelize/engine/engine.cpp"
STRAND = "modules/parallelize/engine/strand.hpp"
PIPE = "modules/parallelize/pipes/parallelize-pipe.c"
MESSAGE = "modules/parallelize/pipes/message.c"
SEQUENCER = "modules/parallelize/engine/sequencer.hpp"
TICKET = "modules/parallelize/pipes/ticket.c"
RESEQUENCE = "modules/parallelize/pipes/resequence-pipe.c"
PAIRING = "modules/parallelize/pipes/pairing.c"
WORKER = "modules/parallelize/pipes/worker-threads.c"
BATCH_CALLBACKS = "modules/parallelize/host/batch-callbacks.c"
FORWARD = "modules/parallelize/host/forward.c"
OWNERSHIP = "modules/parallelize/host/message-ownership.c"
STATS = "modules/parallelize/host/stats.c"
THREAD_IDS = "modules/parallelize/host/thread-ids.c"
METRICS = "modules/parallelize/pipes/metrics.c"
JSON = "modules/parallelize/monitor/json.hpp"
TOP = "tools/parallelize-top"

RESEQUENCED = ("test_resequence", "test_engine_model", "test_engine_threads")
UNIT = ("test_engine", "test_engine_model", "test_engine_threads")
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
    # the engine
    Mutant("release a strand before what it forwarded is published", ENGINE, """\
  runner.nodes.flush();
  callbacks_.publish(user_data_, runner.on);
""", """\
  runner.nodes.flush();
  const bool requeued_early = give_up(std::exchange(runner.held, nullptr), runner.on);
  callbacks_.publish(user_data_, runner.on);
  if (requeued_early && in_flight_.fetch_sub(std::exchange(runner.done, 0)))
    return true;
""", UNIT + ("torture load 8",)),
    Mutant("release a strand without looking again", STRAND, """\
    return !rest_ && state_.compare_exchange_strong(expected, idle, std::memory_order_acq_rel,
                                                    std::memory_order_relaxed);
""", """\
    (void) expected;
    state_.store(idle);
    return true;
""", UNIT),
    Mutant("forget what was not run of a strand", STRAND, "    return !rest_ && state_.compare", "    return state_.compare", UNIT),
    Mutant("schedule a strand that is taken already", ENGINE, "if (strand->push(node))", "if (strand->push(node) || true)", UNIT),
    Mutant("wake nobody at a hand-over", ENGINE, """\
      wake_locked(std::min(run_queue_.size(), std::size_t{workers_worth_waking(count)}), sleepers);
""", """\
      (void) count;
""", UNIT),
    Mutant("fall asleep without looking", ENGINE, "if (!run_queue_.empty() || somebody_has_a_group())", "if (false)", UNIT),
    Mutant("nobody looks for what waits beside sleepers", METRICS,
           "      parallelize_engine_wake_for_what_waits(self->engine);\n", "", ("functional test_dispatch.py",)),
    # Not here: that this look counts groups as well. A group without anything in the run queue, beside sleepers, takes a
    # source's thread that has helped, and brought nothing but messages for strands that run.
    Mutant("warn of a hot key that nothing waits for", ENGINE,
           "<= std::min(cost_.per_wake_up(), hot_key_backlog))", "< std::min(0u, hot_key_backlog))", UNIT),
    Mutant("a helper leaves what it queues again to nobody", ENGINE,
           "wake_locked(tasks - std::min<std::size_t>(tasks, on == PARALLELIZE_ON_WORKER), sleepers)",
           "wake_locked(tasks - std::min<std::size_t>(tasks, 1), sleepers), (void) on", UNIT),
    Mutant("help for as long as it takes", ENGINE, " && now() - started < longest_help_ns;", "; (void) started;", UNIT),
    # Not here: the look at nobody_is_alive() in help(). It takes three threads, each stopped between two steps where it
    # calls nothing of ours: only the model shows it, MISTAKE_HELPER_OUTLIVES_WORKERS.
    Mutant("end with messages inside", ENGINE, " && in_flight_.load() == 0)\n    {\n      alive_--;", ")\n    {\n      alive_--;",
           UNIT + ("torture reload-storm 8",)),
    Mutant("end while a producer is open", ENGINE, "stopping_.load() && open_.load() == 0 && ", "stopping_.load() && ", UNIT),
    Mutant("the last producer ends silently", ENGINE, "if (open_.fetch_sub(1) == 1 && stopping_.load())",
           "if (open_.fetch_sub(1) == 0 && stopping_.load())", UNIT),
    Mutant("a thief keeps one task too many in its pocket", ENGINE, "thief.loot.move_front(thief.loot.size(), thief.group)",
           "thief.loot.move_front(thief.loot.size() / 2, thief.group)", UNIT),
    Mutant("take one task too few off the run queue", ENGINE, "    task = run_queue_.pop_front();\n    const bool hot",
           "    task = run_queue_.front();\n    const bool hot", UNIT),
    Mutant("a thief leaves the last task of a group", ENGINE, "victim.group.move_front((victim.group.size() + 1) / 2, thief.loot);",
           "victim.group.move_front(victim.group.size() / 2, thief.loot);", UNIT),
    Mutant("a group takes a task more than its share", ENGINE, "run_queue_.move_front(std::min(share, max_group) - 1, worker.group);",
           "run_queue_.move_front(std::min(share, max_group), worker.group);", UNIT),
    Mutant("leave a strand that runs to thieves", ENGINE, "  task = worker.group.pop_front();\n",
           "  task = worker.group.front();\n  if (worker.group.size() > 1 || !task.strand)\n    worker.group.pop_front();\n", UNIT),
    Mutant("hold a strand without handing over what came before", ENGINE, """\
  hand_over(producer);
  in_flight_.fetch_add(1);
""", """\
  in_flight_.fetch_add(1);
""", UNIT),
    Mutant("hold a strand while another thread is solo", ENGINE, "if (solo_taken_.load() || !strand", "if (!strand", UNIT),
    Mutant("go solo with messages inside", ENGINE, "  if (in_flight_.load() != 0)\n", "  if (false)\n", UNIT),
    Mutant("solo ends silently", ENGINE, "        wake_locked(run_queue_.size(), sleepers);\n      }\n      producer.solo",
           "      }\n      producer.solo", UNIT),
    Mutant("forget to count what is handed over", ENGINE, "in_flight_.fetch_add(count, std::memory_order_relaxed);", "", UNIT),
    Mutant("reverse what came while a strand ran", STRAND, "        newest->next = oldest;\n        oldest = newest;",
           "        if (!oldest)\n          oldest = newest;", UNIT),
    Mutant("give nodes back too early", ENGINE, "runner.nodes.give_back(node);", "runner.nodes.give_back(node); runner.nodes.give_back(node);",
           UNIT + ASAN),
    # memory orders
    Mutant("push without release", STRAND, "std::memory_order_acq_rel, std::memory_order_relaxed));\n    return old == idle;",
           "std::memory_order_relaxed, std::memory_order_relaxed));\n    return old == idle;", TSAN),
    Mutant("gather without acquire", STRAND, "state_.exchange(taken, std::memory_order_acquire)",
           "state_.exchange(taken, std::memory_order_relaxed)", TSAN),
    Mutant("release of a strand without release", STRAND, "compare_exchange_strong(expected, idle, std::memory_order_acq_rel,",
           "compare_exchange_strong(expected, idle, std::memory_order_relaxed,", TSAN),
    Mutant("give nodes back without acquire and release", STRAND, "fetch_sub(count, std::memory_order_acq_rel)",
           "fetch_sub(count, std::memory_order_relaxed)", TSAN),
    Mutant("a group without its lock", ENGINE, """\
    return false;
  std::lock_guard lock(worker.mutex);
""", """\
    return false;
""", TSAN),
    # the engine with outlets
    Mutant("release an outlet before what it forwarded is published", ENGINE, """\
  if (!runner.events.empty())
    resequence(runner);

""", """\
  if (!runner.events.empty())
    {
      resequence(runner);
      give_up(std::exchange(runner.held, nullptr), runner.on);
    }

""", RESEQUENCED),
    Mutant("tickets in another order than messages are forwarded in", ENGINE,
           "  hand_over(producer);\n  return sequencer_->issue(1);", "  (void) producer;\n  return sequencer_->issue(1);",
           RESEQUENCED),
    Mutant("a held ticket is done when it was forwarded", SEQUENCER, "    if (std::exchange(page.more_ends[slot], false))\n      return;\n",
           "    if (std::exchange(page.more_ends[slot], false))\n      page.more_ends[slot] = false;\n"
           "    else if (page.done[slot])\n      return;\n", RESEQUENCED),
    Mutant("what came before the hold comes later", SEQUENCER, """\
    std::lock_guard lock(mutex_);
    park_all(events);
    entry_of(ticket)""", """\
    std::lock_guard lock(mutex_);
    (void) events;
    entry_of(ticket)""", RESEQUENCED),
    Mutant("pass while others wait in the outlet", SEQUENCER, "      return strand.quiet();", "      return true;",
           RESEQUENCED + ("torture load 16",)),
    Mutant("pass before an earlier copy", SEQUENCER, "    if (anything_parked_at_head())\n      return false;\n", "", RESEQUENCED),
    Mutant("copies in the opposite order", SEQUENCER, """\
    while (*end)
      end = &(*end)->next;
    *end = &node;
    node.next = nullptr;
""", """\
    node.next = *end;
    *end = &node;
""", RESEQUENCED),
    Mutant("throw a page away in which something is parked", SEQUENCER, "if (++page.done_count == page_tickets && !page.anything_parked)",
           "if (++page.done_count == page_tickets)", RESEQUENCED),
    Mutant("end with what was released inside", SEQUENCER, "head_.load() == issued_.load() && released_.load() == 0",
           "head_.load() == issued_.load()", RESEQUENCED),
    Mutant("end with a ticket that is held", ENGINE, "open_.load() == 0 && (!sequencer_ || sequencer_->idle()) &&",
           "open_.load() == 0 &&", RESEQUENCED),
    Mutant("the last ticket ends silently", ENGINE, "if (stopping_.load() && sequencer_->idle())", "if (false)", RESEQUENCED),
    Mutant("leave outlets to workers that have ended", ENGINE, "  if (!somebody_is_alive)\n    run_scheduled_outlets();",
           "  (void) somebody_is_alive;", RESEQUENCED),
    Mutant("fall asleep with an outlet in the queue", ENGINE, "  if (!outlet_queue_.empty())\n    return false;\n  if (!solo_)",
           "  if (!solo_)", RESEQUENCED),
    Mutant("what is parked stops the workers", ENGINE, "&& in_flight_.load(std::memory_order_relaxed) + producer.pending.size() > options_.prefetch",
           "&& in_flight_.load(std::memory_order_relaxed) + producer.pending.size()\n"
           "                + (sequencer_ ? sequencer_->parked() : 0) > options_.prefetch", RESEQUENCED),
    Mutant("run an outlet to its end, however long that takes", ENGINE, "      if (slice_is_over(runner))\n        break;\n    }\n  task.strand->next",
           "      if (outlet == Sequencer::none && slice_is_over(runner))\n        break;\n    }\n  task.strand->next", RESEQUENCED),
    Mutant("park without a lock", SEQUENCER, """\
    std::lock_guard lock(mutex_);
    park_all(events);
    for (""", """\
    park_all(events);
    std::lock_guard lock(mutex_);
    for (""", TSAN),
    # the host half
    Mutant("drop the clone", PIPE, "  host_message_take_ownership(&msg, path_options, self->upstream_retains_messages);\n", "",
           ("functional test_branches.py", "torture load 8", "torture change 8")),
    Mutant("acknowledge twice", PIPE, "  host_forward_detached(pipe, msg, path_options);\n",
           "  log_msg_ack(msg, path_options, AT_PROCESSED);\n  host_forward_detached(pipe, msg, path_options);\n",
           ("functional test_flow_control.py", "torture load 8")),
    Mutant("never acknowledge", MESSAGE, "path_options->ack_needed = !!(self->flags & MESSAGE_ACK_NEEDED);",
           "path_options->ack_needed = FALSE;", ("functional test_flow_control.py", "torture load 8")),
    Mutant("forget that flow control was asked for", MESSAGE,
           "path_options->flow_control_requested = !!(self->flags & MESSAGE_FLOW_CONTROL_REQUESTED);", "",
           ("functional test_log_path_flags.py", "functional test_messages.py", "functional test_flow_control.py")),
    Mutant("do not publish", PIPE, "  if (host_batch_callbacks_are_invoked())\n    main_loop_worker_invoke_batch_callbacks();",
           "  (void) s;", ("functional test_dispatch.py", "torture load 8")),
    Mutant("close the batch before the destination's queue is published", BATCH_CALLBACKS,
           "  iv_list_del(&callback->list);\n  iv_list_add_tail(&callback->list, list);", "  (void) list;",
           ("functional test_several_in_one_path.py",)),
    Mutant("give up a batch in the middle of a message", PIPE, "  if (batch->forwarding)\n", "  if (FALSE)\n",
           ("functional test_several_in_one_path.py", "torture change 16")),
    Mutant("give up keys before an inner element has its messages", PIPE,
           "    parallelize_producer_flush(other->producer);", "    (void) other;",
           ("functional test_several_in_one_path.py",)),
    Mutant("ask what a parser has made for its source", PIPE,
           "  if (path_options->ack_needed && G_UNLIKELY(!g_atomic_int_get(&self->window_warned)))\n",
           "  if (G_UNLIKELY(!g_atomic_int_get(&self->window_warned)))\n", ("functional test_source_is_gone.py",)),
    Mutant("ask for the source of a message that another thread has read", PIPE,
           "  if (path_options->ack_needed && !running)\n", "  if (path_options->ack_needed)\n",
           ("functional test_source_is_gone.py",)),
    Mutant("do not wait for the workers", WORKER, "  for (guint i = 0; i < self->count; i++)\n    _join(&self->items[i]);", "",
           ("functional test_worker_threads.py",)),
    Mutant("count threads that never ran as the host's jobs", WORKER, "  if (!self->started)\n    _run_first_time(self);\n",
           "  if (!self->started)\n    parallelize_workers_start(self);\n",
           ("functional test_worker_threads.py",)),
    Mutant("do not tell the workers to stop", WORKER, "      parallelize_engine_stop(request->workers->engine);", "",
           ("functional test_stop.py",)),
    # Not here: that what a grouping-by() keeps is not changed. It takes a host from 4.2 on.
    Mutant("share the table of values with other branches", OWNERSHIP, "  if ((*msg)->flags & LF_STATE_OWN_PAYLOAD)", "  if (TRUE)",
           ("functional test_branches.py",)),
    Mutant("wake internal() when its thread has ended", WORKER, "  host_internal_source_disable_wakeup();\n", "",
           ("functional test_internal_source.py",)),
    Mutant("let the host believe that no time passes", PIPE, "  host_cached_time_forget();\n", "", ("functional test_time.py",)),
    Mutant("spare descriptors at the expense of the configuration before", PIPE, "self->has_run ? 0 : SPARE", "SPARE",
           ("functional test_thread_limit.py",)),
    Mutant("do not come back after the quantum", WORKER, "        iv_task_register(&self->run_again);", "        {}",
           ("functional test_dispatch.py",)),
    Mutant("two threads with one id", THREAD_IDS, "          own_id = thread_ids.first + i;", "          own_id = thread_ids.first;",
           ("functional test_worker_threads.py", "torture load 8")),
    Mutant("let the path behind decide whether a message has matched", FORWARD,
           "  detached.flow_control_requested = path_options->flow_control_requested;",
           "  detached.flow_control_requested = path_options->flow_control_requested;\n  detached.matched = path_options->matched;",
           ("functional test_log_path_flags.py",)),
    Mutant("forget the tickets of a message that goes on elsewhere", PIPE,
           "parallelize_ticket_hold(parallelize_ticket_current()));", "NULL);", ("functional test_resequence.py",)),
    Mutant("take the tickets of the message that is interrupted", PIPE,
           "  ParallelizeTicket *before = parallelize_ticket_enter(ticket);",
           "  ParallelizeTicket *before = parallelize_ticket_enter(ticket ? ticket : parallelize_ticket_current());",
           ("functional test_resequence.py",)),
    Mutant("forget the outer tickets at an inner resequence()", RESEQUENCE, "parallelize_ticket_hold(ticket->outer));", "NULL);",
           ("functional test_resequence.py",)),
    Mutant("never release a held ticket", TICKET, "      parallelize_engine_release_ticket(held->engine, held->number);", "",
           ("functional test_resequence.py",)),
    Mutant("park a message that others hold", RESEQUENCE, "  host_message_take_ownership(&msg, path_options, is_retained);\n", "  (void) is_retained;\n",
           ("functional test_resequence.py",)),
    Mutant("every resequence() belongs to every parallelize() before it", PAIRING, "if (step.open == 0)", "if (step.open != CLOSED)",
           ("functional test_resequence.py",)),
    Mutant("print a key as it is", PIPE, "gchar *printable = g_strescape(unescaped, NULL);", "gchar *printable = g_strdup(unescaped);",
           ("functional test_security.py",)),
    Mutant("print the key of a stuck worker as it is", METRICS, "gchar *printable = g_strescape(bytes, NULL);",
           "gchar *printable = g_strdup(bytes);", ("functional test_security.py",)),
    Mutant("leave eight-bit control characters in JSON", JSON, "else if (code == 0xc2 &&", "else if (false &&",
           ("test_metrics", "functional test_security.py")),
    Mutant("leave control characters in Prometheus' labels", TOP, "result[printable(hot[\"key\"])]", "result[hot[\"key\"]]",
           ("functional test_security.py",)),
    Mutant("leave control characters on the terminal", TOP, "character if character.isprintable() else", "character if True else",
           ("functional test_security.py",)),
    Mutant("the same seed for every element", PIPE, "  if (getentropy(seed, 2 * sizeof(seed[0])) == 0)",
           "  seed[0] = seed[1] = 1;\n  if (seed[0])", ("functional test_security.py",)),
    Mutant("any seed where the system gives none", PIPE, "  if (getentropy(seed, 2 * sizeof(seed[0])) == 0)",
           "  if (getentropy(seed, 2 * sizeof(seed[0])) <= 0)", ("functional test_security.py",)),

    # what nothing misses until the memory is full
    Mutant("keep an element's options", PIPE, "  parallelize_options_free(self->options);\n  g_free(self->location);",
           "  g_free(self->location);", LEAKS),
    Mutant("keep the engine", PIPE, "    parallelize_engine_free(self->engine);\n", "    ;\n", LEAKS),
    Mutant("keep a counter", STATS, "  g_free(self->key.reason);\n  g_free(self);", "  g_free(self->key.reason);", LEAKS),
    Mutant("keep a batch", PIPE, "  g_slice_free(ParallelizeBatch, batch);\n", "", LEAKS),
    Mutant("keep what held a message and its ticket", MESSAGE, "      g_slice_free(WithTickets, with_tickets);\n", "", LEAKS),
    Mutant("keep a held ticket", TICKET, "      g_slice_free(ParallelizeTicket, held);\n", "", LEAKS),
]
