/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How messages get from producers to runners and outlets, for spin.
 *
 * A step of the model is a step that other threads may see between.  What the
 * engine does under one lock, or in one atomic access, is one step.  Comments
 * name the function of the engine.  Some steps of the engine are one step here
 * because no other thread can tell; a comment says so.
 *
 * Memory is sequentially consistent here.  ThreadSanitizer shows that the
 * engine's memory orders suffice.
 *
 * Where the engine decides by cost, count or time, the model does either: run a
 * message inline or hand it over, wake one sleeper or all, end a slice, take one
 * task or more, assist, end a batch.  Queues are sets: a runner takes any task.
 * A message takes time: other threads go on between its start and its end.
 *
 * Shown for all interleavings:
 *   - At most one runner has a strand, or an outlet.      [asserts in have(), have_outlet()]
 *   - For each producer and strand, messages are          [assert in start_message()]
 *     published in order and once.  A message starts only
 *     if all earlier ones are published, or unpublished
 *     on the same thread.
 *   - Each source's tickets have the order of its         [assert in run_inline(), hand_over()]
 *     messages.  Copies leave an outlet in the order of   [assert in run_outlet()]
 *     tickets, and once.
 *   - A worker falls asleep only while no queue has a     [assert in fall_asleep()]
 *     task.
 *   - A producer starts no message while it keeps         [assert in start_message(), run_outlet()]
 *     messages that it has not handed over.
 *   - When nothing more can happen, all is published: no  [asserts in Main]
 *     message is left behind.
 *   - After stop() every worker ends.                     [asserts in Main]
 *   - No wake-up comes to a worker that has ended.        [assert in WakeUps]
 *   - No run is endless.  A worker may look in vain as    [no cycle without a progress label]
 *     often as it likes while a thief moves its tasks.
 *
 * No message waits while a worker sleeps, except for its own strand.  The engine
 * wakes no more workers than messages are worth at their usual cost.  So this
 * holds only if rescan_sleepers() goes on being called.  Precisely, with BLOCKS,
 * where one message never returns:
 *   - When nothing more can happen, either no worker sleeps or no queue has a task.
 *     All pending messages are in strands, or in the outlet, that the blocked
 *     runner has: it has run them since its last publish.  [asserts in Main]
 *   - ltl taken: if strand 0 is in the run queue or in a local queue, some thread
 *     takes it out later.  All strands are alike.  Threads are weakly fair, and
 *     rescan_sleepers() is a thread that is always ready.  There are at least two
 *     workers, because one may be blocked.
 *
 * Left out: messages without a key, engines without workers' threads
 * (abandon_worker), more than one outlet, messages without a copy for it, the
 * size of a batch, nested engines.
 *
 * tests/model/run checks this with several sets of the following, and that each
 * MISTAKE_... is found:
 *   WORKERS PRODUCERS STRANDS MESSAGES (of each producer)
 *   INLINE           a producer may run a message inline although workers are alive
 *   ASSISTS          a producer may assist
 *   OUTLET           tickets, and an outlet to which each message sends a copy
 *   RETAINS          the ticket of one message is retained, and a foreign thread releases it; with OUTLET
 *   BEFORE_START     start() comes later, at any time
 *   STOP_AT_ANY_TIME stop() does not only come in the end
 *   ONE_TASK         workers take one task at a time: no local queues
 *   ONE_BATCH        each message of a producer has a strand of its own, and all are handed over at once
 *   BLOCKS           one message may take until nothing else can happen
 *   NAPS             each worker may get up once by itself, and wake-ups are under way for a while
 *   RESCAN           rescan_sleepers()
 *   ALWAYS_READY     it comes again and again, so that a blocked message never returns; for ltl taken
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef STRANDS
#define STRANDS 2
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif

#define FOREIGN (WORKERS + PRODUCERS)
#ifdef RETAINS
#define THREADS (FOREIGN + 1)
#else
#define THREADS FOREIGN
#endif
#define TOTAL (PRODUCERS * MESSAGES)
#define PAIRS (PRODUCERS * STRANDS)

#define BIT(i) (1 << (i))
#define ALL_STRANDS (BIT(STRANDS) - 1)
#define COUNT(set) (((set) & 1) + ((set) >> 1 & 1) + ((set) >> 2 & 1) + ((set) >> 3 & 1))
#define IS_WORKER(me) ((me) < WORKERS)

#if WORKERS == 1
#define LOCAL_TASKS local_queue[0]
#define BATCHES batch[0]
#elif WORKERS == 2
#define LOCAL_TASKS (local_queue[0] | local_queue[1])
#define BATCHES (batch[0] | batch[1])
#else
#define LOCAL_TASKS (local_queue[0] | local_queue[1] | local_queue[2])
#define BATCHES (batch[0] | batch[1] | batch[2])
#endif

/* -- The engine's state.  Sets of strands, workers and tickets are bits -- */

/* Strand: the messages of state_ and oldest_ together */
chan fifo[STRANDS] = [TOTAL] of { byte, byte, byte };   /* producer, number, ticket */
byte taken;                                             /* strands that are not idle */

/* Scheduler; `locked` is mutex_ */
bool locked;
byte run_queue;
byte local_queue[WORKERS];
byte batch[WORKERS];            /* stolen_batch */
byte local_queues_in_use;
byte asleep;                    /* idle_ */
#ifdef NAPS
byte on_the_way;                /* workers that were picked, and whose wake-up has not come */
byte may_nap = BIT(WORKERS) - 1;
#endif
byte alive;
bool outlet_queued;             /* outlets_ */

/* Core */
bool stopping = true;
byte open;
byte in_flight;

/* Sequencer, and the outlet's strand */
byte issued, head, released;
byte tickets_done, parked, more_ends;   /* tickets */
chan outlet = [TOTAL] of { byte };
bool outlet_taken;

/* Producer */
chan pending[PRODUCERS] = [MESSAGES] of { byte, byte };  /* strand, number */

/* Runner */
byte held[THREADS];             /* strands: the one that it runs, and kept_strands_ */
bool holds_outlet[THREADS];
byte events[THREADS];           /* SequencerEvents::done_ */
byte arrivals[THREADS];         /* SequencerEvents::arrivals_ */

/* -- What happens, for the assertions -- */

bool started;
byte ended;                     /* workers */
byte finished;                  /* producers */
byte blocked;                   /* the thread in a message that takes long + 1 */
bool unblocked;
byte retained;                  /* the ticket that a foreign thread has + 1 */
byte forwarded[THREADS * PAIRS];        /* by this thread, not published */
byte expected[PAIRS];                   /* the next to be published */
byte copies[THREADS];                   /* forwarded from the outlet by this thread, not published */
byte expected_copy;
byte published;

#define PAIR(p, s) (((p) - WORKERS) * STRANDS + (s))
#define ON(me, p, s) ((me) * PAIRS + PAIR(p, s))

/* Scratch: only within one step */
hidden byte i, to_wake;

/* -- Scheduler -- */

/* Section::wake(): sleepers are alike, so it is the first ones here.  The
 * wake-up comes after the lock is given back.  Without naps, no other thread can
 * tell. */
inline wake(count)
{
  to_wake = count;
  do
  :: to_wake > 0 && asleep ->
#ifdef NAPS
     on_the_way = on_the_way | (asleep ^ (asleep & (asleep - 1)));
#endif
     asleep = asleep & (asleep - 1);
     to_wake--
  :: else -> break
  od;
  to_wake = 0
}

inline wake_all()
{
#ifdef NAPS
  atomic { !locked -> on_the_way = on_the_way | asleep; asleep = 0 }
#else
  atomic { !locked -> asleep = 0 }
#endif
}

/* Some strand of a set */
inline pick(set, s)
{
  s = 0;
  do
  :: (set) & BIT(s) -> break
  :: (set) >> (s + 1) -> s++
  od
}

inline pick_first(set, s)
{
  s = 0;
  do
  :: (set) & BIT(s) -> break
  :: else -> s++
  od
}

/* The runner has the strand from here on. */
inline have(me, s)
{
  i = 0;
  do
  :: i < THREADS -> assert(!(held[i] & BIT(s))); i++
  :: else -> break
  od;
  i = 0;
  held[me] = held[me] | BIT(s)
}

inline have_outlet(me)
{
  i = 0;
  do
  :: i < THREADS -> assert(!holds_outlet[i]); i++
  :: else -> break
  od;
  i = 0;
  holds_outlet[me] = true
}

inline fall_asleep(me)
{
  assert(!run_queue && !LOCAL_TASKS && !BATCHES && !outlet_queued);
  asleep = asleep | BIT(me)
}

/* -- Runner -- */

#define NOTHING_PENDING(me) (IS_WORKER(me) || me == FOREIGN || len(pending[me - WORKERS]) == 0)

/* Order of message `n` of a producer and a strand */
inline start_message(me, p, s, n)
{
  assert(NOTHING_PENDING(me));
  assert(n == expected[PAIR(p, s)] + forwarded[ON(me, p, s)]);
  forwarded[ON(me, p, s)]++;
  ran = true
}

/* Between start and end of a message */
inline inside(me)
{
#ifdef BLOCKS
  if
  :: atomic { !blocked -> blocked = me + 1 }; unblocked
  :: true
  fi
#else
  skip
#endif
}

/* The end of a message that has sent a copy to the outlet.  If its ticket was
 * retained, the foreign thread sends the copy. */
inline end_message(me, t)
{
#ifdef OUTLET
#ifdef RETAINS
  if
  :: atomic { !retained -> retained = t + 1; more_ends = more_ends | BIT(t); events[me] = events[me] | BIT(t); t = 0 }
  :: atomic { true -> arrivals[me] = arrivals[me] | BIT(t); events[me] = events[me] | BIT(t); t = 0 }
  fi
#else
  atomic { arrivals[me] = arrivals[me] | BIT(t); events[me] = events[me] | BIT(t); t = 0 }
#endif
#else
  skip
#endif
}

/* run_strand(): until the strand is empty, or the slice or the limit is reached */
inline run_strand(me)
{
  do
  :: atomic
     {
       len(fifo[s]) > 0 ->
       fifo[s] ? p, n, t;
       start_message(me, p, s, n);
       tasks_ran++;
       p = 0; n = 0
     };
     inside(me);
     end_message(me, t);
     if :: true -> break :: true fi
  :: len(fifo[s]) == 0 -> break
  od;
  s = 0
}

/* The same, of the outlet */
inline run_outlet(me)
{
  do
  :: atomic
     {
       len(outlet) > 0 ->
       outlet ? t;
       assert(NOTHING_PENDING(me));
       assert(t == expected_copy + copies[me]);
       copies[me]++;
       ran = true;
       t = 0
     };
     inside(me);
     if :: true -> break :: true fi
  :: len(outlet) == 0 -> break
  od
}

/* Sequencer::advance(): copies of tickets up to the first that is not done go to the outlet */
inline advance(is_due)
{
  do
  :: tickets_done & BIT(head) ->
     tickets_done = tickets_done & ~BIT(head);
     if
     :: parked & BIT(head) -> parked = parked & ~BIT(head); outlet ! head; released++
     :: else
     fi;
     head++
  :: else -> break
  od;
  if
  :: len(outlet) > 0 && !outlet_taken -> outlet_taken = true; is_due = true
  :: else
  fi
}

/* resequence() */
inline resequence(me)
{
  atomic
  {
    parked = parked | arrivals[me];
    tickets_done = tickets_done | (events[me] & ~more_ends);
    more_ends = more_ends & ~events[me];
    arrivals[me] = 0;
    events[me] = 0;
    advance(is_due);
    if
    :: is_due -> have_outlet(me); is_due = false
    :: else
    fi
  };
  if
  :: holds_outlet[me] -> run_outlet(me)
  :: else
  fi
}

/* The daemon's batch callbacks, and with them the queues of destinations */
inline make_visible(me)
{
  d_step
  {
    i = 0;
    do
    :: i < PAIRS ->
       expected[i] = expected[i] + forwarded[me * PAIRS + i];
       published = published + forwarded[me * PAIRS + i];
       forwarded[me * PAIRS + i] = 0;
       i++
    :: else -> break
    od;
    i = 0;
    expected_copy = expected_copy + copies[me];
    copies_ran = copies_ran + copies[me];
    copies[me] = 0;
    ran = false
  }
}

inline release_outlet(me)
{
#ifdef OUTLET
  if
  :: holds_outlet[me] ->
     atomic
     {
       holds_outlet[me] = false;
       if
       :: len(outlet) == 0 -> outlet_taken = false
       :: else -> outlet_again = true
       fi
     }
  :: else
  fi
#else
  skip
#endif
}

/* Strand::release() of all, and Scheduler::requeue() */
inline release_or_requeue(me)
{
  do
  :: held[me] ->
     atomic
     {
       pick_first(held[me], s);
       held[me] = held[me] & ~BIT(s);
       if
#ifdef MISTAKE_NO_RECHECK
       :: true -> taken = taken & ~BIT(s)
#else
       :: len(fifo[s]) == 0 -> taken = taken & ~BIT(s)
       :: else -> again = again | BIT(s)
#endif
       fi;
       s = 0
     }
  :: else -> break
  od;
  release_outlet(me);
  if
  :: again || outlet_again ->
     atomic
     {
       !locked ->
       run_queue = run_queue | again;
       outlet_queued = outlet_queued || outlet_again;
       again = 0;
       outlet_again = false;
#ifdef MISTAKE_ASSIST_LEAVES
       wake(COUNT(run_queue) + outlet_queued - 1)
#else
       wake(COUNT(run_queue) + outlet_queued - IS_WORKER(me))
#endif
     }
  :: else
  fi
}

/* Runner::published() */
inline runner_published(me)
{
#ifndef MISTAKE_RELEASE_BEFORE_PUBLISH
  release_or_requeue(me);
#endif
  if
  :: tasks_ran || copies_ran ->
#ifdef OUTLET
     atomic { released = released - copies_ran };
#endif
     atomic { in_flight = in_flight - tasks_ran; tasks_ran = 0; copies_ran = 0; was_last = in_flight == 0 };
     if
     :: was_last && stopping -> wake_all()
     :: else
     fi;
     was_last = false
  :: else
  fi
}

#define HAS_ANYTHING(me) (ran || held[me] || holds_outlet[me])

/* Runner::publish(), if there is anything */
inline runner_publish(me)
{
#ifdef OUTLET
  if
  :: events[me] || holds_outlet[me] -> resequence(me)
  :: else
  fi;
#ifdef MISTAKE_OUTLET_BEFORE_PUBLISH
  release_outlet(me);
#endif
#endif
#ifdef MISTAKE_RELEASE_BEFORE_PUBLISH
  release_or_requeue(me);
#endif
  make_visible(me);
  runner_published(me)
}

inline take_outlet(me)
{
  outlet_queued = false;
  have_outlet(me)
}

/* drain_outlets() */
inline drain_outlets(me)
{
  do
  :: atomic { outlet_queued && !locked -> take_outlet(me) }; run_outlet(me)
  :: !outlet_queued ->
     if
     :: HAS_ANYTHING(me) -> runner_publish(me)
     :: else -> break
     fi
  od
}

/* -- Workers -- */

proctype Worker(byte me)
{
  byte s, p, n, t, k;
  byte again, tasks_ran, copies_ran;
  bool ran, was_last, is_due, outlet_again, emptied;

end_not_started:
  started;

find:
end_asleep:
#ifdef NAPS
  if
  :: !((asleep | on_the_way) & BIT(me))
  /* end_nap() */
#ifdef MISTAKE_NAPPER_DOES_NOT_WAIT
  :: atomic
     {
       !locked && ((asleep | on_the_way) & may_nap & BIT(me)) ->
       asleep = asleep & ~BIT(me);
       may_nap = may_nap & ~BIT(me)
     }
#else
  :: atomic { !locked && (asleep & may_nap & BIT(me)) -> asleep = asleep & ~BIT(me); may_nap = may_nap & ~BIT(me) }
#endif
  fi;
#else
  !(asleep & BIT(me));
#endif
#ifdef OUTLET
  if
  :: atomic { outlet_queued && !locked -> take_outlet(me) };
     run_outlet(me);
     goto publish
  :: !outlet_queued
  fi;
#endif
  /* take_local() */
  if
  :: atomic
     {
       local_queue[me] ->
       pick(local_queue[me], s);
       local_queue[me] = local_queue[me] & ~BIT(s);
       if
       :: !local_queue[me] -> local_queues_in_use--
       :: else
       fi;
       have(me, s);
       goto found
     }
  :: !local_queue[me]
  fi;
  /* take_share() */
  atomic
  {
    !locked ->
    if
    :: run_queue ->
       pick(run_queue, s);
       run_queue = run_queue & ~BIT(s);
#ifndef ONE_TASK
       k = 0;
       do
       :: k < STRANDS ->
          if
          :: run_queue & BIT(k) -> run_queue = run_queue & ~BIT(k); local_queue[me] = local_queue[me] | BIT(k)
          :: true
          fi;
          k++
       :: else -> break
       od;
       k = 0;
       local_queues_in_use = local_queues_in_use + (local_queue[me] != 0);
#endif
       have(me, s);
       if
       :: run_queue -> wake(1)
       :: true
       fi;
       goto found
    :: else
    fi
  };
#if WORKERS > 1
  /* steal(): one victim after the other */
  do
  :: k < WORKERS ->
     atomic
     {
       if
       :: k != me && local_queue[k] ->
          /* at least one task; half of them in the engine */
          pick(local_queue[k], s);
          local_queue[k] = local_queue[k] & ~BIT(s);
          p = 0;
          do
          :: p < STRANDS ->
             if
             :: local_queue[k] & BIT(p) -> local_queue[k] = local_queue[k] & ~BIT(p); batch[me] = batch[me] | BIT(p)
             :: true
             fi;
             p++
          :: else -> break
          od;
          p = 0;
          emptied = !local_queue[k];
          have(me, s);
#ifndef MISTAKE_COUNT_AFTER_STEALING
          local_queues_in_use++;
#endif
          /* the thief's own queue is counted: no other thread can tell when this comes */
          if
          :: emptied -> local_queues_in_use--
          :: else
          fi;
          emptied = false;
          k = 0;
          goto stolen
       :: else
       fi;
       k++
     }
  :: else -> break
  od;
  k = 0;
#endif
#ifdef MISTAKE_STEAL_RUNNING
  if
  :: atomic { len(fifo[0]) > 0 && held[1 - me] & 1 -> s = 0; have(me, s); goto found }
  :: true
  fi;
#endif
  goto nothing;

stolen:
#ifdef MISTAKE_COUNT_AFTER_STEALING
  local_queues_in_use++;
#endif
  /* take_over() */
  atomic
  {
    if
    :: batch[me] -> local_queue[me] = batch[me]; batch[me] = 0
    :: else -> local_queues_in_use--
    fi
  };

found:
  /* the end of take() */
  if
  :: atomic { local_queue[me] && asleep && !locked -> wake(1) }
  :: true
  fi;
  run_strand(me);
  /* the slice or the quantum is over, or not */
  if
  :: goto publish
  :: goto find
  fi;

nothing:
  if
  :: HAS_ANYTHING(me) -> goto publish
  :: else -> goto park
  fi;

publish:
  runner_publish(me);
  goto find;

park:
  /* try_park().  Unless the engine stops, it is one step: everybody who makes one
   * of its conditions false takes the lock afterwards. */
#ifdef MISTAKE_NEVER_RESTS
  goto find;
#endif
#ifdef MISTAKE_LOOK_BEFORE_LOCK
  if
  :: outlet_queued || run_queue || local_queues_in_use -> goto find
  :: else
  fi;
#endif
  atomic
  {
    !locked ->
    if
#ifndef MISTAKE_LOOK_BEFORE_LOCK
    :: outlet_queued || run_queue || local_queues_in_use ->
       if
       :: !outlet_queued && !run_queue && !LOCAL_TASKS -> goto thief_is_busy
       :: else -> goto find
       fi
#endif
    :: else ->
       if
       :: !stopping -> fall_asleep(me); goto find
       :: else -> locked = true
       fi
    fi
  };
  /* is_at_end(): each is one atomic access */
  if
#ifndef MISTAKE_END_WITH_OPEN_PRODUCERS
  :: open > 0 -> goto not_at_end
#endif
  :: else
  fi;
  if
  :: in_flight > 0 -> goto not_at_end
  :: else
  fi;
#ifdef OUTLET
  if
  :: head != issued -> goto not_at_end
  :: else
  fi;
  if
  :: released > 0 -> goto not_at_end
  :: else
  fi;
#endif
  atomic { alive--; ended = ended | BIT(me); locked = false; goto end_of_worker };

not_at_end:
  atomic { fall_asleep(me); locked = false; goto find };

thief_is_busy:
progress_thief:
  skip;
  goto find;

end_of_worker:
  skip
}

/* -- Producers -- */

/* hand_over().  The tickets are issued, and the messages counted, in two steps
 * that no other thread can tell from one: the producer is open. */
inline hand_over(me)
{
  if
  :: len(pending[me - WORKERS]) > 0 ->
     atomic
     {
       in_flight = in_flight + len(pending[me - WORKERS]);
#ifdef OUTLET
       assert(tickets + len(pending[me - WORKERS]) == number);
       t = issued;
       issued = issued + len(pending[me - WORKERS]);
       tickets = tickets + len(pending[me - WORKERS]);
#endif
     };
     do
     :: atomic
        {
          len(pending[me - WORKERS]) > 0 ->
          pending[me - WORKERS] ? s, n;
          fifo[s] ! me, n, t;
#ifdef OUTLET
          t++;
#endif
          if
          :: !(taken & BIT(s)) -> taken = taken | BIT(s); tasks = tasks | BIT(s)
          :: else
          fi;
          s = 0; n = 0
        }
     :: atomic { len(pending[me - WORKERS]) == 0 -> t = 0; break }
     od;
     if
     :: tasks ->
        atomic
        {
          !locked ->
          run_queue = run_queue | tasks;
          tasks = 0;
#ifndef MISTAKE_NO_WAKE_UP
          /* workers_worth_waking() */
          if
          :: wake(1)
          :: wake(COUNT(run_queue))
          fi
#endif
        }
     :: else
     fi
  :: else
  fi
}

/* Producer::publish() */
inline publish(me)
{
  if
  :: HAS_ANYTHING(me) -> runner_publish(me)
  :: else
  fi;
  unpublished = 0
}

/* Producer::run_inline(), of message `number` of all that the producer brings */
inline run_inline(me)
{
  atomic
  {
#ifdef OUTLET
    if
    :: early -> t = early_ticket; early_ticket = 0; early = false
    :: else ->
       assert(tickets == number);
       t = issued;
       issued++;
       tickets++
    fi;
#endif
    number++;
    p = me;
    s = strand;
    n = sent[strand];
    start_message(me, p, s, n);
    sent[strand]++;
    p = 0; s = 0; n = 0
  };
  inside(me);
#ifdef OUTLET
  end_message(me, t);
#ifndef MISTAKE_RESEQUENCE_LATER
  resequence(me);
#endif
#endif
  if
#if defined(OUTLET) && !defined(MISTAKE_NO_DRAIN)
  :: no_worker -> drain_outlets(me); unpublished = 0
#else
  :: no_worker
  :: no_worker -> publish(me)
#endif
  :: !no_worker
  :: !no_worker -> publish(me)
  fi
}

/* Batch: the daemon has invoked the callbacks of destinations, and then ours.  Engine::close() */
inline close(me)
{
  make_visible(me);
  unpublished = 0;
  runner_published(me);
  hand_over(me);
  atomic { open--; is_open = false; no_worker = false; was_last = open == 0 };
  if
  :: was_last && stopping -> wake_all()
  :: else
  fi;
  was_last = false
}

/* assist(): publish, then run tasks and publish; for as long as it likes */
inline assist(me)
{
  publish(me);
  do
#ifdef OUTLET
  :: atomic { outlet_queued && !locked -> take_outlet(me) };
     run_outlet(me);
     runner_publish(me);
     if :: true -> break :: true fi
#endif
  :: atomic
     {
       !outlet_queued && run_queue && !locked ->
       pick(run_queue, s);
       run_queue = run_queue & ~BIT(s);
       have(me, s)
     };
     run_strand(me);
     if
     :: true
     :: true -> runner_publish(me); if :: true -> break :: true fi
     fi
  :: atomic
     {
       !outlet_queued && !run_queue && LOCAL_TASKS ->
       pick(LOCAL_TASKS, s);
       k = 0;
       do
       :: local_queue[k] & BIT(s) -> break
       :: else -> k++
       od;
       local_queue[k] = local_queue[k] & ~BIT(s);
       local_queues_in_use = local_queues_in_use - !local_queue[k];
       k = 0;
       have(me, s)
     };
     run_strand(me);
     if
     :: true
     :: true -> runner_publish(me); if :: true -> break :: true fi
     fi
  :: !outlet_queued && !run_queue && !LOCAL_TASKS ->
     if
     :: HAS_ANYTHING(me) -> runner_publish(me)
     :: else -> break
     fi
  od
}

/* open() */
inline open_producer(me)
{
#ifdef MISTAKE_LOOK_BEFORE_OPEN
  if
  :: stopping -> atomic { !locked -> no_worker = alive == 0 }
  :: else
  fi;
#endif
  atomic { open++; is_open = true };
#ifndef MISTAKE_LOOK_BEFORE_OPEN
  if
#ifdef MISTAKE_NO_WORKER_WITHOUT_LOCK
  :: stopping -> no_worker = alive == 0
#else
  :: stopping -> atomic { !locked -> no_worker = alive == 0 }
#endif
  :: else
  fi
#endif
}

proctype Producer(byte me)
{
  byte s, p, n, t, k;
  byte again, tasks_ran, copies_ran;
  bool ran, was_last, is_due, outlet_again;

  byte number;                  /* messages that it has brought */
  byte tickets;                 /* that it has got */
  byte sent[STRANDS];
  byte strand, tasks, unpublished, early_ticket;
  bool is_open, no_worker, may, early;

  do
  :: number < MESSAGES ->
     if
     :: !is_open -> open_producer(me)
     :: else
     fi;
     atomic
     {
#ifdef ONE_BATCH
       strand = number;
#else
       strand = 0;
       do
       :: strand < STRANDS - 1 -> strand++
       :: true -> break
       od;
#endif
       /* allows_inline() */
       if
       :: no_worker -> may = true
       :: !no_worker -> may = false
#ifdef INLINE
       :: !no_worker -> may = true
#endif
       fi
     };

     /* submit(): no key is looked at */
     if
     :: no_worker -> goto inline_all
#ifdef INLINE
#ifdef MISTAKE_KEY_NOT_LOOKED_AT
     :: !no_worker && may -> goto inline_all
#else
     :: !no_worker && may && len(pending[me - WORKERS]) == 0 && in_flight == 0 -> goto inline_all
     :: !no_worker && !(may && len(pending[me - WORKERS]) == 0 && in_flight == 0)
#endif
#endif
     :: else
     fi;
#ifdef INLINE
     /* prepare_inline() */
     if
     :: may || unpublished & BIT(strand) ->
#ifdef MISTAKE_STRAND_NOT_IDLE
        hand_over(me);
        goto inline_one
#else
        if
        :: taken & BIT(strand)
        :: else ->
#ifdef MISTAKE_EARLY_TICKET
           atomic { early_ticket = issued; issued++; tickets++; early = true };
#endif
           hand_over(me);
           if
           :: taken & BIT(strand)
           :: else -> goto inline_one
           fi
        fi
#endif
     :: else
     fi;
#ifndef MISTAKE_HAND_OVER_UNPUBLISHED
     if
     :: unpublished & BIT(strand) -> hand_over(me); publish(me)
     :: else
     fi;
#endif
#endif
     /* collect() */
     atomic { pending[me - WORKERS] ! strand, sent[strand]; sent[strand]++; number++ };
     if
     :: true
#ifndef ONE_BATCH
     :: true -> hand_over(me)
#endif
#ifdef ASSISTS
     :: true -> hand_over(me); assist(me)
#endif
     fi;
     goto next;

inline_all:
     unpublished = ALL_STRANDS;
     goto inline_now;
#ifdef INLINE
inline_one:
     unpublished = unpublished | BIT(strand);
#endif
inline_now:
     run_inline(me);

next:
     atomic { may = false; strand = 0 };
     /* the end of the batch, or not yet */
     if
#ifdef ONE_BATCH
     :: number == MESSAGES -> close(me)
#else
     :: close(me)
#endif
     :: number < MESSAGES
     fi
  :: else -> break
  od;
  finished++
}

/* A thread that has retained a ticket: its copy comes, and then the ticket's last end */
#ifdef RETAINS
proctype Foreign(byte me)
{
  byte s, t;
  byte again, tasks_ran, copies_ran;
  bool ran, was_last, is_due, outlet_again, nobody;

end_nothing_retained:
  atomic { retained -> t = retained - 1 };
  /* Engine::arrived() */
  parked = parked | BIT(t);
  /* Engine::release_ticket() */
  atomic
  {
    if
    :: more_ends & BIT(t) -> more_ends = more_ends & ~BIT(t)
    :: else -> tickets_done = tickets_done | BIT(t)
    fi;
    t = 0;
    advance(is_due)
  };
  if
  :: is_due ->
     atomic { !locked -> outlet_queued = true; is_due = false; wake(1); nobody = alive == 0 };
     if
     :: nobody -> drain_outlets(me)
     :: else
     fi
  :: else
  fi;
  if
  :: stopping ->
     /* Sequencer::idle() */
     if
     :: head == issued ->
        if
        :: released == 0 -> wake_all()
        :: else
        fi
     :: else
     fi
  :: else
  fi
}
#endif

/* -- The main thread, and time -- */

#ifdef NAPS
/* A wake-up comes at any time after the lock was given back */
proctype WakeUps()
{
  byte worker;

end_none:
  do
  :: atomic
     {
       on_the_way ->
       pick(on_the_way, worker);
       assert(!(ended & BIT(worker)));
       on_the_way = on_the_way & ~BIT(worker);
       worker = 0
     }
  od
}
#endif

#ifdef RESCAN
/* rescan_sleepers(): it changes something only if there is a sleeper and a task */
proctype Rescan()
{
end_nothing_to_do:
  do
#if defined(ALWAYS_READY) && defined(MISTAKE_NO_RESCAN)
  :: !locked -> skip
#elif defined(MISTAKE_NO_RESCAN)
  :: false
#elif defined(ALWAYS_READY)
  :: atomic { !locked -> wake(COUNT(run_queue) + COUNT(LOCAL_TASKS) + outlet_queued) }
#else
  :: atomic
     {
       !locked && asleep && (run_queue || LOCAL_TASKS || outlet_queued) ->
       wake(COUNT(run_queue) + COUNT(LOCAL_TASKS) + outlet_queued)
     }
#endif
  od
}
#endif

inline assert_all_published()
{
  assert(published == TOTAL && in_flight == 0 && finished == PRODUCERS);
  assert(!run_queue && !LOCAL_TASKS && !local_queues_in_use && !taken);
#ifdef OUTLET
  assert(expected_copy == TOTAL && head == TOTAL && issued == TOTAL && released == 0);
  assert(!parked && !outlet_queued && !outlet_taken)
#endif
}

/* One thread is blocked: only what it has waits, or no worker sleeps. */
inline assert_nothing_waits_beside_a_sleeper()
{
  if
  :: asleep ->
     assert(!run_queue && !LOCAL_TASKS && !outlet_queued);
     i = 0;
     do
     :: i < STRANDS -> assert(len(fifo[i]) == 0 || held[blocked - 1] & BIT(i)); i++
     :: else -> break
     od;
     i = 0;
#ifdef OUTLET
     assert(len(outlet) == 0 || holds_outlet[blocked - 1])
#endif
  :: else
  fi
}

proctype Main()
{
  /* start() */
#ifdef BEFORE_START
  atomic { !locked -> alive = WORKERS };
  stopping = false;
  started = true;
#endif

  /* stop() */
#ifdef BLOCKS
  timeout ->
  if
  :: blocked -> atomic { assert_nothing_waits_beside_a_sleeper(); unblocked = true }
  :: else
  fi;
#endif
#if defined(STOP_AT_ANY_TIME)
  if
  :: true
  :: timeout -> assert_all_published()
  fi;
#else
  timeout -> assert_all_published();
#endif
  stopping = true;
  wake_all();
  timeout ->
  assert_all_published();
  assert(open == 0 && alive == 0 && ended == BIT(WORKERS) - 1)
}

#ifdef ALWAYS_READY
#define WAITS ((run_queue | LOCAL_TASKS) & 1)
ltl taken { [] (WAITS -> <> !WAITS) }
#endif

init
{
  atomic
  {
#ifndef BEFORE_START
    alive = WORKERS;
    stopping = false;
    started = true;
#endif
    i = 0;
    do
    :: i < WORKERS -> run Worker(i); i++
    :: i >= WORKERS && i < WORKERS + PRODUCERS -> run Producer(i); i++
    :: else -> break
    od;
    i = 0;
#ifdef RETAINS
    run Foreign(FOREIGN);
#endif
#ifdef RESCAN
    run Rescan();
#endif
#ifdef NAPS
    run WakeUps();
#endif
    run Main()
  }
}
