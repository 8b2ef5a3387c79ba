/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hand-over of strands between producers, workers and helpers, for spin.
 *
 * Each step is one that other threads may see between: what the engine does
 * under one lock, or in one atomic access, is one step here; comments name the
 * function of engine.cpp or strand.hpp.  Memory is sequentially consistent
 * here; that the engine's memory orders suffice is ThreadSanitizer's to show.
 *
 * Where the engine decides by cost or count (how many to wake, when a slice is
 * over, whether to help, to hold, to go solo), the model does either.
 *
 * Shown for all interleavings:
 *   - at most one thread runs a strand, be it for the
 *     strand, for holding it or for being solo             asserts with `running`
 *   - what a producer sends to a strand is published in
 *     order, once                                          assert in make_visible
 *   - when nothing more can happen, all is published: no
 *     lost wake-up, no message left behind                 assert in Stop
 *   - after stop() every worker ends                       assert in Stop
 *   - no thread goes round for ever: no run is endless     no cycle of states
 *
 * tests/model/run checks it with several sets of these, and that each
 * MISTAKE_... is found:
 *   WORKERS PRODUCERS STRANDS MESSAGES (of each producer)
 *   HOLDS SOLO HELPS         what producers may do
 *   STOP_AT_ANY_TIME         stop() is not only called in the end
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

#define THREADS (WORKERS + PRODUCERS)
#define TOTAL (PRODUCERS * MESSAGES)
#define IS_WORKER(me) (me < WORKERS)
#define NUMBER_OF(producer) (producer - WORKERS)

/* Strand: state_ and rest_ together, and whether it is taken */
chan fifo[STRANDS] = [TOTAL] of { byte, byte };         /* producer, number */
bool taken[STRANDS];
bool running[STRANDS];                                  /* for the assertion */

/* parallelize_engine; `locked` is mutex_ */
bool locked;
chan run_queue = [STRANDS] of { byte };
chan group[WORKERS] = [STRANDS] of { byte };            /* each under its Worker::mutex */
bool idle[WORKERS];
byte alive = WORKERS;
byte solo;                                              /* the thread + 1 */
bool solo_taken;
bool stopping;
byte open;
byte in_flight;

bool woken[WORKERS];                                    /* iv_event */
bool ended[WORKERS];

/* what a thread has forwarded and not yet published: producer, strand, number */
chan unpublished[THREADS] = [TOTAL] of { byte, byte, byte };
byte expected[PRODUCERS * STRANDS];
byte published;

/* wake_locked(): `count` sleepers are taken out of idle_; with the lock held, within an atomic step */
inline wake_locked(count, sleepers)
{
  to_wake = count;
  i = 0;
  do
  :: i < WORKERS && to_wake > 0 ->
     if
     :: idle[i] -> idle[i] = false; sleepers = sleepers | (1 << i); to_wake--
     :: else
     fi;
     i++
  :: else -> break
  od;
  i = 0;
  to_wake = 0
}

/* wake(): after the lock is given back */
inline wake(sleepers)
{
  d_step
  {
    i = 0;
    do
    :: i < WORKERS -> if :: sleepers & (1 << i) -> woken[i] = true :: else fi; i++
    :: else -> break
    od;
    i = 0;
    sleepers = 0
  }
}

inline wake_all(sleepers)
{
  atomic { !locked -> wake_locked(WORKERS, sleepers) };
  wake(sleepers)
}

/* The host's batch callbacks, and with them the destination's queue. */
inline make_visible(me)
{
  d_step
  {
    do
    :: len(unpublished[me]) > 0 ->
       unpublished[me] ? p, s, n;
       assert(n == expected[NUMBER_OF(p) * STRANDS + s]);
       expected[NUMBER_OF(p) * STRANDS + s]++;
       published++
    :: else -> break
    od;
    p = 0; s = 0; n = 0
  }
}

/* give_up() and requeue(); Strand::release() is one compare-and-swap */
inline give_up(me, strands, again, sleepers)
{
  k = 0;
  do
  :: k < STRANDS ->
     atomic
     {
       if
       :: strands & (1 << k) ->
          running[k] = false;
          if
#ifdef MISTAKE_NO_RECHECK
          :: true -> taken[k] = false
#else
          :: len(fifo[k]) == 0 -> taken[k] = false
          :: else -> again = again | (1 << k)
#endif
          fi
       :: else
       fi;
       k++
     }
  :: else -> break
  od;
  strands = 0;
  k = 0;
  if
  :: again ->
     atomic
     {
       !locked ->
       do
       :: k < STRANDS -> if :: again & (1 << k) -> run_queue ! k :: else fi; k++
       :: else -> break
       od;
       k = 0;
       if
#ifdef MISTAKE_HELPER_LEAVES
       :: !solo -> wake_locked(len(run_queue) - 1, sleepers)
#else
       :: !solo -> wake_locked(len(run_queue) - IS_WORKER(me), sleepers)
#endif
       :: else
       fi
     };
     wake(sleepers)
  :: else
  fi
}

/* run_task(): pop() until the strand is empty, or the slice or quantum is over */
inline run_strand(me, strands, done)
{
  atomic
  {
    assert(!running[s]);
    running[s] = true
  };
  do
  :: atomic { len(fifo[s]) > 0 -> fifo[s] ? p, n; unpublished[me] ! p, s, n; done++; p = 0; n = 0 };
     if :: true -> break :: true fi
  :: len(fifo[s]) == 0 -> break
  od;
  atomic { strands = strands | (1 << s); s = 0 }
}

/* The part of publish() that comes after the callback */
inline after_publish(me, strands, done, again, sleepers)
{
#ifndef MISTAKE_RELEASE_BEFORE_PUBLISH
  give_up(me, strands, again, sleepers);
#endif
  atomic { in_flight = in_flight - done; was_last = done > 0 && in_flight == 0; done = 0 };
  if
  :: was_last && stopping -> wake_all(sleepers)
  :: else
  fi;
  was_last = false
}

proctype Worker(byte me)
{
  byte s, p, n, k, i, to_wake, victim;
  byte held, done, again, sleepers, loot;
  bool was_last;

asleep:
end_asleep:
  atomic { woken[me] -> woken[me] = false };

find:
  /* take_from_group() */
  if
  :: atomic { len(group[me]) > 0 -> group[me] ? s; goto found }
  :: len(group[me]) == 0
  fi;
  /* take_group(): one, perhaps another for the group; perhaps somebody is woken for the rest */
  atomic
  {
    !locked ->
    if
    :: !solo && len(run_queue) > 0 ->
       run_queue ? s;
       do
       :: len(run_queue) > 0 -> run_queue ? k; group[me] ! k; k = 0
       :: true -> break
       od;
       if
       :: len(run_queue) > 0 -> wake_locked(1, sleepers)
       :: true
       fi;
       goto taken_group
    :: else
    fi
  };
  /* steal_into(): some of a victim's group, never what it runs; seen by nobody until it is in our own group */
  victim = 0;
  do
  :: victim < WORKERS ->
     atomic
     {
       if
       :: victim != me && len(group[victim]) > 0 ->
          group[victim] ? s;
          do
          :: len(group[victim]) > 0 -> group[victim] ? k; loot = loot | (1 << k); k = 0
          :: true -> break
          od;
          goto stolen
       :: else
       fi;
       victim++
     }
  :: else -> break
  od;
#ifdef MISTAKE_STEAL_RUNNING
  atomic
  {
    if
    :: running[0] && len(fifo[0]) > 0 -> s = 0; goto found
    :: true
    fi
  };
#endif
  goto nothing;

stolen:
  atomic
  {
    do
    :: k < STRANDS -> if :: loot & (1 << k) -> group[me] ! k :: else fi; k++
    :: else -> break
    od;
    k = 0; loot = 0; victim = 0;
    goto found
  };

taken_group:
  wake(sleepers);

found:
  run_strand(me, held, done);
  /* run(): the slice or the quantum is over, or not */
  if
  :: true
  :: true -> goto find
  fi;
  goto publish;

nothing:
  victim = 0;
  if
  :: held || done -> goto publish
  :: else -> goto rest
  fi;

publish:
#ifdef MISTAKE_RELEASE_BEFORE_PUBLISH
  give_up(me, held, again, sleepers);
#endif
  make_visible(me);
  after_publish(me, held, done, again, sleepers);
  again = 0;
  goto find;      /* run() may return RUN_AGAIN; it is called again */

rest:
#ifdef MISTAKE_NEVER_RESTS
  goto find;
#endif
#ifdef MISTAKE_LOOK_BEFORE_LOCK
  if
  :: !solo && (len(run_queue) > 0 || len(group[0]) > 0 || len(group[WORKERS - 1]) > 0) -> goto find
  :: else
  fi;
  atomic { !locked -> locked = true };
#else
  atomic { !locked -> locked = true };
  if
  :: !solo && (len(run_queue) > 0 || len(group[0]) > 0 || len(group[WORKERS - 1]) > 0) -> locked = false; goto find
  :: else
  fi;
#endif
  /* sequentially consistent, one after the other */
  if
  :: stopping ->
#ifdef MISTAKE_END_WITH_OPEN_PRODUCERS
     if
     :: in_flight == 0 -> goto end_of_worker
     :: else
     fi
#else
     if
     :: open == 0 ->
        if
        :: in_flight == 0 -> goto end_of_worker
        :: else
        fi
     :: else
     fi
#endif
  :: else
  fi;
  atomic { idle[me] = true; locked = false; goto asleep };

end_of_worker:
  atomic { alive--; ended[me] = true; locked = false }
}

/* hand_over(): what is pending goes to its strands one by one; strands that were idle to the run queue, in one step */
inline hand_over(me)
{
  atomic { in_flight = in_flight + len(pending) };
  do
  :: atomic
     {
       len(pending) > 0 ->
       pending ? s, n;
       fifo[s] ! me, n;
       if
       :: !taken[s] -> taken[s] = true; tasks = tasks | (1 << s)
       :: else
       fi;
       s = 0; n = 0
     }
  :: len(pending) == 0 -> break
  od;
  if
  :: tasks ->
     atomic
     {
       !locked ->
       do
       :: k < STRANDS -> if :: tasks & (1 << k) -> run_queue ! k :: else fi; k++
       :: else -> break
       od;
       k = 0;
       tasks = 0;
       if
#ifndef MISTAKE_NO_WAKE_UP
       :: !solo -> wake_locked(1, sleepers)     /* workers_worth_waking(): at least one */
       :: !solo -> wake_locked(WORKERS, sleepers)
#endif
       :: else
       fi
     };
     wake(sleepers)
  :: else
  fi
}

/* close(); the thread has published */
inline close(me)
{
  /* release_held() */
  if
  :: holds ->
     give_up(me, holds, again, sleepers);
     again = 0;
     atomic { in_flight = in_flight - holds_count; holds_count = 0 }
  :: else
  fi;
  hand_over(me);
  if
  :: solo == me + 1 ->
     atomic
     {
       !locked ->
       solo = 0;
       solo_taken = false;
#ifndef MISTAKE_SOLO_ENDS_SILENTLY
       wake_locked(len(run_queue), sleepers)
#endif
     };
     wake(sleepers)
  :: else
  fi;
  is_open = false;
  atomic { open--; was_last = open == 0 };
  if
  :: was_last && stopping -> wake_all(sleepers)
  :: else
  fi;
  was_last = false
}

/* help(): run strands, publish, and thereby close the own batch; goes on for as long as it must */
inline help(me)
{
  do
  :: true ->
     /* take_one(), perhaps several times */
     do
     :: atomic { !locked && !solo && len(run_queue) > 0 -> run_queue ? s };
        run_strand(me, held, done);
        if :: true -> break :: true fi
     :: atomic { !solo && len(group[0]) > 0 -> group[0] ? s };
        run_strand(me, held, done);
        if :: true -> break :: true fi
     :: atomic { !solo && len(group[WORKERS - 1]) > 0 -> group[WORKERS - 1] ? s };
        run_strand(me, held, done);
        if :: true -> break :: true fi
     :: (solo || len(run_queue) == 0) && len(group[0]) == 0 && len(group[WORKERS - 1]) == 0 && !locked -> break
     od;
     if
     :: held ->
        make_visible(me);
        if
        :: is_open -> close(me)
        :: else
        fi;
        more = true;
        after_publish(me, held, done, again, sleepers);
        if
#ifdef MISTAKE_DIRECT_LEAVES
        :: again -> more = false
#elif defined(MISTAKE_HELPER_OUTLIVES_WORKERS)
        :: again -> more = direct
#else
        :: again ->
           /* nobody_is_alive() */
           atomic { !locked -> more = alive == 0 }
#endif
        :: else -> more = direct
        fi;
        again = 0;
        if
        :: more && in_flight > 0
        :: !more -> break
        :: !more        /* until_in_flight is not reached yet */
        :: more && in_flight == 0 -> break
        fi
     :: else -> break
     fi
  od;
  more = false
}

proctype Producer(byte me)
{
  chan pending = [MESSAGES] of { byte, byte };  /* strand, number */
  byte s, p, n, k, i, to_wake;
  byte left = MESSAGES;
  byte sent[STRANDS];
  byte tasks, held, done, again, sleepers, holds, holds_count;
  bool is_open, direct, was_last, more;
  byte strand;

  do
  :: left > 0 ->
     if
     :: !is_open ->
        /* open() */
#ifdef MISTAKE_LOOK_BEFORE_OPEN
        direct = false;
        if
        :: stopping -> atomic { !locked -> direct = alive == 0 }; atomic { open++; is_open = true }
        :: else -> atomic { open++; is_open = true }
        fi
#else
        atomic { open++; is_open = true; direct = false };
        if
        :: stopping -> atomic { !locked -> direct = alive == 0 }
        :: else
        fi
#endif
     :: else
     fi;
     atomic
     {
       left--;
       strand = 0;
       do
       :: strand < STRANDS - 1 -> strand++
       :: true -> break
       od
     };

#ifdef SOLO
     /* accept(): try_solo() */
     if
     :: !direct && solo != me + 1 && len(pending) == 0 ->
        atomic { !locked -> locked = true };
        if
        :: solo || stopping || len(run_queue) > 0
        :: else ->
           solo_taken = true;
           if
           :: in_flight == 0 -> solo = me + 1
           :: else -> solo_taken = false
           fi
        fi;
        locked = false
     :: true
     fi;
     if
     :: solo == me + 1 ->
        assert(!running[strand]);
        atomic { unpublished[me] ! me, strand, sent[strand]; sent[strand]++ };
        goto next
     :: else
     fi;
#endif
#ifdef HOLDS
     /* runs_here(): hold(), or a strand that is held already and quiet */
     if
     :: !direct && (holds & (1 << strand)) ->
        if
        :: atomic { len(fifo[strand]) == 0 -> unpublished[me] ! me, strand, sent[strand]; sent[strand]++; goto next }
        :: len(fifo[strand]) > 0
        fi
     :: !direct && !(holds & (1 << strand)) && !taken[strand] ->
#ifndef MISTAKE_HOLD_OVERTAKES
        hand_over(me);
#endif
        in_flight++;
        if
#ifndef MISTAKE_HOLD_BESIDE_SOLO
        :: solo_taken -> in_flight--
        :: else ->
#else
        :: true ->
#endif
           atomic
           {
             if
             :: !taken[strand] ->
                taken[strand] = true;
                assert(!running[strand] && !solo);
                running[strand] = true;
                holds = holds | (1 << strand);
                holds_count++;
                unpublished[me] ! me, strand, sent[strand];
                sent[strand]++;
                goto next
             :: else -> in_flight--
             fi
           }
        fi
     :: true
     fi;
#endif
     /* enqueue() */
     atomic { pending ! strand, sent[strand]; sent[strand]++ };
     if
     :: direct -> hand_over(me); help(me)
     :: !direct -> hand_over(me)
#ifdef HELPS
     :: !direct -> hand_over(me); help(me)
#endif
     :: !direct
     fi;

next:
     /* the end of the source's job, or not yet */
     if
     :: is_open -> make_visible(me); close(me)
     :: true
     fi
  :: else -> break
  od;
  if
  :: is_open -> make_visible(me); close(me)
  :: else
  fi
}

proctype Stop()
{
  byte i, to_wake, sleepers;

#ifdef STOP_AT_ANY_TIME
  if
  :: true
  :: timeout -> assert(published == TOTAL && in_flight == 0)
  fi;
#else
  timeout -> assert(published == TOTAL && in_flight == 0);
#endif
  /* stop() */
  stopping = true;
  wake_all(sleepers);
  timeout ->
  assert(published == TOTAL && in_flight == 0 && open == 0);
  assert(ended[0] && ended[WORKERS - 1] && alive == 0)
}

init
{
  byte i;

  atomic
  {
    for (i : 0 .. WORKERS - 1)
      {
        woken[i] = true;
        run Worker(i)
      }
    for (i : 0 .. PRODUCERS - 1)
      {
        run Producer(WORKERS + i)
      }
    run Stop()
  }
}
