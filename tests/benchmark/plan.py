# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rows of the benchmark, and what they are to reach."""

import dataclasses
import fnmatch

# CPU microseconds a message of filters behind parallelize().
PATHS = {"light": 0, "medium": 3, "heavy": 8, "very-heavy": 40}
DISTRIBUTIONS = ("round-robin", "uniform", "zipf", "half")
# The worst case: all messages have one key. Only measured when asked for.
ONE_KEY = "one"
WORKERS = (1, 2, 4)

# Of the source: a usual one where somebody has tuned it, and what the host's documents propose.
FETCH_LIMITS = (1000, 100000)

# A path on which every message takes another time, from nothing up to so many CPU microseconds.
RANDOM_PATH = "random"
RANDOM_MICROSECONDS = 100

# A very heavy message takes so long that fewer give as good a figure.
MESSAGES_SHARE = {"very-heavy": 0.25, RANDOM_PATH: 0.25}

BLOCKING_WORKERS = (10, 16, 100)
BLOCKING_MESSAGES = 1000
BLOCKING_MILLISECONDS = 10

# (one message in so many blocks, for so many milliseconds)
RARE_BLOCKING = ((500, 50), (200, 20))
RARE_MESSAGES = 30000       # of a burst
RARE_BURSTS = 3
RARE_PAUSE_SECONDS = 3      # between them

JUMP_CHEAP_MESSAGES = 100000
JUMP_SLOW_MESSAGES = 60     # after them
JUMP_MILLISECONDS = 100
JUMP_FIRST = 20             # how long it takes until so many slow ones are out

LATE_USUAL_MESSAGES = 5000
LATE_USUAL_MICROSECONDS = 100
LATE_SLOW_MESSAGES = 60     # after them
LATE_SLOW_MILLISECONDS = 150
LATE_PREFETCH = 16          # less than wait, so that the source's thread processes messages, too

NEIGHBOUR_RATE = 1000       # messages a second of the connection whose latency is measured
NEIGHBOUR_SECONDS = 10
NEIGHBOUR_KEYS = 50         # of each of the two connections
NEIGHBOUR_WINDOW = 10000    # too
# The other one sends as fast as it can; of its messages one in so many blocks.
NEIGHBOUR_SLOW_EVERY = 2000
NEIGHBOUR_SLOW_MILLISECONDS = 500

CONNECTIONS_MESSAGES = 400000   # of all connections together
CONNECTIONS_FETCH_LIMIT = 1000
CONNECTIONS_WINDOW = 20000      # of each
CONNECTIONS_SHARED_KEYS = 50
CONNECTIONS_KEYS = ("round-robin", str(CONNECTIONS_SHARED_KEYS), "distinct")

WIDTH_USUAL_WORKERS = 2

THREADED_SHARE = 5          # a Python source takes so much longer for a message

# What --paths knows.
PATH_NAMES = (*PATHS, RANDOM_PATH, "blocking", "rare", "jump", "late", "neighbour", "connections")

# With --quick the rows that take longest are this much shorter.
QUICK_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class Row:
    """One path, one distribution of keys, one number of workers: off against on."""
    path: str
    distribution: str
    workers: int
    fetch_limit: int | None = None      # of the source; None: the host's default

    @property
    def name(self):
        suffix = f"/fetch-{self.fetch_limit}" if self.fetch_limit else ""
        return f"{self.path}/{self.distribution}/{self.workers}{suffix}"

    @property
    def keyed(self):
        return self.distribution != "round-robin"

    @property
    def traffic(self):
        return self.distribution if self.keyed else "uniform"


@dataclasses.dataclass(frozen=True)
class CeilingRow:
    """Two daemons without the element at the same time: what the machine itself allows."""
    path: str

    @property
    def name(self):
        return f"ceiling/{self.path}"


@dataclasses.dataclass(frozen=True)
class LatencyRow(Row):
    """How long messages take at half the rate that the slowest element sustains."""

    @property
    def name(self):
        return f"latency/{super().name}"


@dataclasses.dataclass(frozen=True)
class ResequenceRow(Row):
    """With resequence() at the end of the path, against the same without it."""

    @property
    def name(self):
        return f"resequence/{super().name}"


@dataclasses.dataclass(frozen=True)
class BlockingRow:
    """Many workers, each message makes one of them wait; timed from first in to last out."""
    workers: int
    path = "blocking"

    @property
    def name(self):
        return f"blocking/{self.workers}"

    @property
    def ideal_seconds(self):
        return BLOCKING_MESSAGES * BLOCKING_MILLISECONDS / 1000 / self.workers


@dataclasses.dataclass(frozen=True)
class RareRow:
    """A cheap path on which one message in `every` blocks; bursts of messages, from their arrival to the last one out."""
    every: int
    milliseconds: int
    distribution: str
    workers: int
    path = "rare"

    @property
    def name(self):
        return f"rare/{self.every}x{self.milliseconds}ms/{self.distribution}/{self.workers}"

    @property
    def keyed(self):
        return self.distribution != "round-robin"


@dataclasses.dataclass(frozen=True)
class JumpRow:
    """A path that has been cheap for long, and on which from one message on all of them block."""
    distribution: str
    workers: int
    fetch_limit: int | None = None
    path = "jump"

    @property
    def name(self):
        suffix = f"/fetch-{self.fetch_limit}" if self.fetch_limit else ""
        return f"{self.path}/{self.distribution}/{self.workers}{suffix}"

    @property
    def keyed(self):
        return self.distribution != "round-robin"


@dataclasses.dataclass(frozen=True)
class LateRow(JumpRow):
    """How long a message that is done waits until the destination has it, when others have begun to block."""
    path = "late"


@dataclasses.dataclass(frozen=True)
class NeighbourRow:
    """What the messages of one connection do to the latency of another's, on a cheap path with keys."""
    workers: int
    fetch_limit: int | None = None
    path = "neighbour"
    keyed = True

    @property
    def name(self):
        suffix = f"/fetch-{self.fetch_limit}" if self.fetch_limit else ""
        return f"neighbour/{self.workers}{suffix}"


@dataclasses.dataclass(frozen=True)
class ConnectionsRow:
    """Several TCP connections to one source of a path that costs nothing."""
    connections: int
    keys: str           # round-robin, 50 or distinct
    workers: int = 2
    path = "connections"

    @property
    def name(self):
        return f"connections/{self.connections}/{self.keys}"

    @property
    def keyed(self):
        return self.keys != "round-robin"


@dataclasses.dataclass(frozen=True)
class WidthRow(Row):
    """More workers than cores, against WIDTH_USUAL_WORKERS."""

    @property
    def name(self):
        return f"width/{super().name}"


@dataclasses.dataclass(frozen=True)
class ThreadedRow(Row):
    """From a source that has a thread of its own and closes its batch after each message."""

    @property
    def name(self):
        return f"threaded/{super().name}"


ALL_ROWS = [Row(*combination) for combination in (
    (path, distribution, workers)
    for path in PATHS for distribution in (*DISTRIBUTIONS, ONE_KEY) for workers in WORKERS)]
FETCH_ROWS = [Row(path, distribution, 2, fetch_limit)
              for path in ("light", "heavy") for distribution in DISTRIBUTIONS for fetch_limit in FETCH_LIMITS]
CEILING_ROWS = [CeilingRow(path) for path in PATHS]
LATENCY_ROWS = [LatencyRow("heavy", distribution, 2) for distribution in DISTRIBUTIONS]
RESEQUENCE_ROWS = [ResequenceRow(path, distribution, workers)
                   for path in (*PATHS, RANDOM_PATH) for distribution in ("round-robin", "uniform")
                   for workers in WORKERS]
BLOCKING_ROWS = [BlockingRow(workers) for workers in BLOCKING_WORKERS]
RARE_ROWS = [RareRow(every, milliseconds, distribution, 10)
             for every, milliseconds in RARE_BLOCKING for distribution in ("round-robin", "uniform")]
JUMP_ROWS = [JumpRow(distribution, 10, fetch_limit)
             for distribution in ("round-robin", "uniform") for fetch_limit in (None, 1000)]
LATE_ROWS = [LateRow(distribution, 2, fetch_limit)
             for distribution in ("round-robin", "uniform") for fetch_limit in (None, 1000)]
NEIGHBOUR_ROWS = [NeighbourRow(workers, fetch_limit) for workers in (2, 10) for fetch_limit in (None, 1000)]
CONNECTIONS_ROWS = [ConnectionsRow(connections, keys)
                    for connections in (1, 2, 4, 8) for keys in CONNECTIONS_KEYS]
WIDTH_ROWS = [WidthRow(path, distribution, 8, fetch_limit)
              for path in PATHS for distribution in DISTRIBUTIONS for fetch_limit in (None, 1000)]
THREADED_ROWS = [ThreadedRow(path, distribution, 2) for path in PATHS for distribution in DISTRIBUTIONS]

DEFAULT = ("light/round-robin/[124]", "light/uniform/2", "light/[ru]*/2/fetch-1000",
           "medium/round-robin/2", "medium/uniform/[124]",
           "heavy/round-robin/[124]", "heavy/uniform/[124]", "heavy/zipf/2", "heavy/half/2",
           "very-heavy/round-robin/2", "very-heavy/uniform/2", "very-heavy/half/2",
           "heavy/*/2/fetch-*", "ceiling/heavy", "latency/*",
           "resequence/heavy/*/2", "resequence/random/round-robin/2", "blocking/*",
           "rare/500x50ms/*", "jump/*/10", "late/round-robin/2", "neighbour/10*", "connections/[18]/[r5]*",
           "width/heavy/[ru]*/8", "threaded/light/uniform/2", "threaded/[hv]*/[ru]*/2")
QUICK = ("light/round-robin/2", "light/uniform/2", *(f"heavy/{distribution}/2" for distribution in DISTRIBUTIONS),
         "ceiling/heavy", "latency/heavy/uniform/2", "resequence/heavy/uniform/2", "blocking/*",
         "rare/500x50ms/uniform/10", "jump/uniform/10", "late/round-robin/2", "neighbour/10", "connections/4/50",
         "width/heavy/uniform/8", "threaded/heavy/uniform/2")


def select(patterns, path_names):
    """The rows whose name matches one of the patterns and whose path is one of path_names."""
    rows = [*ALL_ROWS, *FETCH_ROWS, *CEILING_ROWS, *LATENCY_ROWS, *RESEQUENCE_ROWS, *BLOCKING_ROWS,
            *RARE_ROWS, *JUMP_ROWS, *LATE_ROWS, *NEIGHBOUR_ROWS,
            *CONNECTIONS_ROWS, *WIDTH_ROWS, *THREADED_ROWS]
    return [row for row in rows if row.path in path_names
            and any(fnmatch.fnmatchcase(row.name, pattern) for pattern in patterns)]


def in_turn(variants, number):
    """The order of a round: each comes first as often as the others, and as often before another as behind it."""
    turn = number // 2 % len(variants)
    order = [*variants[turn:], *variants[:turn]]
    return order[::-1] if number % 2 else order


def without_host_faults(rows, syslog_ng):
    """(rows that the host can run, the others)"""
    left_out = [row for row in rows
                if (getattr(row, "fetch_limit", None) or 0) > syslog_ng.largest_batch]
    return [row for row in rows if row not in left_out], left_out


@dataclasses.dataclass(frozen=True)
class Target:
    """rows: a pattern, all of which have to reach it. at_least says in which direction."""
    rows: str
    column: str
    bound: float
    at_least: bool
    text: str

    @property
    def timed(self):
        return self.column not in ("memory_ratio", "memory_of_builtin", "on_by_source_worst")

    def reached(self, value):
        return value >= self.bound if self.at_least else value <= self.bound

    def worst(self, values):
        return min(values) if self.at_least else max(values)


TARGET_CORES = 2
TARGETS = (
    *(Target(f"heavy/{distribution}/2{fetch}", "of_limit", bound, True, "share of the limit")
      for fetch in ("", "/fetch-1000")
      for distribution, bound in (("round-robin", 0.96), ("uniform", 0.96), ("zipf", 0.95), ("half", 0.94))),
    Target("light/*", "speedup", 0.98, True, "speed against off"),
    Target("blocking/10", "seconds", 1.06, False, "seconds"),
    Target("blocking/100", "seconds", 0.14, False, "seconds"),
    Target("*/*/*", "memory_ratio", 1.15, False, "peak memory against off"),
    Target("resequence/heavy/*/2", "of_without", 0.9, True, "speed against the same without resequence()"),
    *(Target(f"heavy/{distribution}/2{fetch}", "of_builtin", bound, True, "speed against the built-in")
      for fetch in ("", *(f"/fetch-{limit}" for limit in FETCH_LIMITS))
      for distribution, bound in (("round-robin", 1.2), ("uniform", 1.2), ("zipf", 1.2), ("half", 1.05))),
    Target("rare/*", "on_of_ideal", 2.0, False, "seconds against the ideal"),
    Target("jump/*", "on_by_source_worst", 2, False, "blocking messages on the source's thread"),
    Target("late/*", "on_slow_worst", 5, False, "milliseconds until a blocking message that is done is published"),
    Target("late/*", "on_usual_worst", 20, False, "milliseconds until a usual message that is done is published"),
    Target("neighbour/*", "on_p90", 5, False, "p90 of the neighbour in milliseconds"),
    Target("connections/*", "on_speedup", 0.98, True, "speed against off"),
    Target("width/*", "of_usual", 0.97, True, "speed against two workers"),
    Target("threaded/light/*", "on_speedup", 1.0, True, "speed against off"),
    *(Target(f"threaded/{path}/*", "on_of_limit", 0.9, True, "share of the limit") for path in ("heavy", "very-heavy")),
    Target("blocking/10", "of_builtin", 4.5, True, "speed against the built-in"),
    Target("latency/*", "p99_of_builtin", 1.0, False, "p99 latency against the built-in's"),
    *(Target(rows, "memory_of_builtin", 1.0, False, "peak memory against the built-in's")
      for rows in ("*/*/2", *(f"*/*/2/fetch-{limit}" for limit in FETCH_LIMITS), "blocking/*")),
)
