# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rows of the benchmark, and what they are to reach."""

import dataclasses
import fnmatch

# CPU microseconds a message of filters behind parallelize().
PATHS = {"light": 0, "medium": 3, "heavy": 8, "very-heavy": 40}
DISTRIBUTIONS = ("round-robin", "uniform", "zipf", "half")
WORKERS = (1, 2, 4)

# A very heavy message takes so long that fewer give as good a figure.
MESSAGES_SHARE = {"very-heavy": 0.25}

BLOCKING_WORKERS = (10, 100)
BLOCKING_MESSAGES = 1000
BLOCKING_MILLISECONDS = 10


@dataclasses.dataclass(frozen=True)
class Row:
    """One path, one distribution of keys, one number of workers: off against on."""
    path: str
    distribution: str
    workers: int

    @property
    def name(self):
        return f"{self.path}/{self.distribution}/{self.workers}"

    @property
    def keyed(self):
        return self.distribution != "round-robin"

    @property
    def traffic(self):
        return self.distribution if self.keyed else "uniform"


@dataclasses.dataclass(frozen=True)
class BlockingRow:
    """Many workers, each message makes one of them wait; timed from first in to last out."""
    workers: int

    @property
    def name(self):
        return f"blocking/{self.workers}"

    @property
    def ideal_seconds(self):
        return BLOCKING_MESSAGES * BLOCKING_MILLISECONDS / 1000 / self.workers


ALL_ROWS = [Row(*combination) for combination in (
    (path, distribution, workers)
    for path in PATHS for distribution in DISTRIBUTIONS for workers in WORKERS)]
BLOCKING_ROWS = [BlockingRow(workers) for workers in BLOCKING_WORKERS]

DEFAULT = ("light/round-robin/*", "light/uniform/2", "medium/round-robin/2", "medium/uniform/*",
           "heavy/round-robin/*", "heavy/uniform/*", "heavy/zipf/2", "heavy/half/2",
           "very-heavy/round-robin/2", "very-heavy/uniform/2", "very-heavy/half/2", "blocking/*")
QUICK = ("light/round-robin/2", "light/uniform/2", "heavy/*/2", "blocking/*")


def select(patterns, path_names):
    """The rows whose name matches one of the patterns and whose path is one of path_names."""
    rows = [row for row in ALL_ROWS if row.path in path_names]
    if "blocking" in path_names:
        rows += BLOCKING_ROWS
    return [row for row in rows
            if any(fnmatch.fnmatchcase(row.name, pattern) for pattern in patterns)]


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
        return self.column != "memory_ratio"

    def reached(self, value):
        return value >= self.bound if self.at_least else value <= self.bound

    def worst(self, values):
        return min(values) if self.at_least else max(values)


TARGET_CORES = 2
TARGETS = (
    Target("heavy/round-robin/2", "of_limit", 0.95, True, "share of the limit"),
    Target("heavy/uniform/2", "of_limit", 0.93, True, "share of the limit"),
    Target("heavy/zipf/2", "of_limit", 0.93, True, "share of the limit"),
    Target("heavy/half/2", "of_limit", 0.93, True, "share of the limit"),
    Target("light/*", "speedup", 1.0, True, "speed against off"),
    Target("blocking/10", "seconds", 1.06, False, "seconds"),
    Target("blocking/100", "seconds", 0.14, False, "seconds"),
    Target("*/*/*", "memory_ratio", 1.2, False, "peak memory against off"),
)
