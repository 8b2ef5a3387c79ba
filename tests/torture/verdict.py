# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whether what came out is what was promised."""

import dataclasses
import math
from collections import Counter, defaultdict

import traffic

MAX_REPORTED = 10
UNEXPECTED = "unexpected"       # a fault of the trial itself, as long as nobody knows better
ORDER_FAULTS_OF_A_SLIP = 2      # where it is missing, and where it comes


@dataclasses.dataclass
class Replay:
    """So many messages of one source, with numbers from `begin` to below `end`, may come again."""

    begin: int = 0
    end: float = math.inf
    most: float = math.inf
    ordered: bool = False               # then they come in order as well
    used: int = 0

    def allow(self, number):
        if not self.begin <= number < self.end or self.used >= min(self.most, self.end - self.begin):
            return False
        self.used += 1
        return True


@dataclasses.dataclass
class Promise:
    """What must hold for the output of one trial."""

    order: str = "by key"               # or "total", "none"
    empty_key_ordered: bool = True
    kills: int = 0                      # after each, every source may begin again somewhere
    repeats: int = 0                    # so many messages may come twice
    replays: dict = dataclasses.field(default_factory=lambda: defaultdict(list))    # of Replay, by source; beyond that
    slips: int = 0                      # so many messages may have changed their places
    torn_lines: int = 0                 # the host may have broken off a line so often
    tail_may_miss: frozenset = frozenset()  # sources of which only the last messages may be missing


@dataclasses.dataclass
class Fault:
    kind: str           # loss, duplicate, order, torn, ack, window, left behind, stuck, crash, unexpected
    text: str
    amount: int = 1     # of messages

    def __str__(self):
        return f"{self.kind}: {self.text}"


class Check:
    """Of one output: add lines, then finish(). `most`: messages of each source."""

    def __init__(self, promise, most, place):
        self.promise = promise
        self._place = place
        self._seen = {source: bytearray(count) for source, count in most.items()}
        self._last = {}
        self._jumps = Counter()
        self._torn = 0
        self._lost = 0
        self._last_torn = ""
        self._repeated = 0
        self._faults = defaultdict(list)

    def add(self, line):
        if not traffic.is_whole(line):
            self._torn += 1
            self._last_torn = line
        message = traffic.parse(line)
        if not message:
            return
        source, key, number, number_in_key = message
        seen = self._seen.get(source)
        if seen is None or number >= len(seen):
            self._faults["duplicate"].append(f"never sent: {source} number {number}")
            return
        if seen[number]:
            replay = self._find_replay(source, number)
            if not replay:
                self._faults["duplicate"].append(f"{source} number {number}, {key} {number_in_key}")
            elif not replay.ordered:
                return
        seen[number] = 1
        if self.promise.order == "total":
            self._check_next(source, number)
        elif self.promise.order == "by key" and (key or self.promise.empty_key_ordered):
            self._check_next((source, key), number_in_key)

    def missing(self, sent):
        """How many of the first messages of each source, so many as `sent` says, have not come yet."""
        return sum(sent[source] for source in sent) - sum(self._seen[source].count(1, 0, sent[source]) for source in sent)

    def complete_up_to(self, source):
        """The number of the first message that has not come yet."""
        first = self._seen[source].find(0)
        return len(self._seen[source]) if first < 0 else first

    def reach(self, source):
        """How far it has come: the number behind the last one."""
        return len(self._seen[source].rstrip(b"\0"))

    def describe(self):
        return f"{self._place}: {self._torn} torn lines, the last one: {self._last_torn[:200]!r}"

    def finish(self, sent):
        """Returns the list of faults; `sent`: as for missing()."""
        if self._torn > self.promise.torn_lines:
            self._faults["torn"].append(f"{self._torn} lines")
        if len(self._faults["order"]) <= ORDER_FAULTS_OF_A_SLIP * self.promise.slips:
            del self._faults["order"]
        for source, seen in self._seen.items():
            seen = seen[: sent[source]]
            if source in self.promise.tail_may_miss:
                seen = seen.rstrip(b"\0")
            missing = seen.count(0)
            if missing:
                self._faults["loss"].append(f"{source}: {missing} of {sent[source]}, first number {seen.index(0)}")
                self._lost += missing
        amounts = {"torn": self._torn, "loss": self._lost}
        return [Fault(kind, f"{self._place}: {_shorten(texts)}", amounts.get(kind, len(texts)))
                for kind, texts in self._faults.items()]

    def _find_replay(self, source, number):
        """The one that allows for this message, or None."""
        for replay in self.promise.replays.get(source, ()):
            if replay.allow(number):
                return replay
        self._repeated += 1
        return Replay() if self._repeated <= self.promise.repeats else None

    def _check_next(self, stream, number):
        last = self._last.get(stream, -1)
        if number <= last and self._jumps[stream] >= self.promise.kills:
            # late: what comes next is still compared with the one before
            self._faults["order"].append(f"{stream}: {number} after {last}")
            return
        self._last[stream] = number
        if number <= last:
            self._jumps[stream] += 1
        elif number != last + 1:
            self._faults["order"].append(f"{stream}: {number} after {last}")


def compare_reach(check, plain, sources):
    """What a source has brought is out on the plain path: it has to be on the other one. Returns a list of faults."""
    short = [f"{source}: {check.reach(source)}, and {plain.reach(source)} without parallelize()"
             for source in sources if check.reach(source) < plain.reach(source)]
    return [Fault("left behind", _shorten(short))] if short else []


def _shorten(texts):
    more = len(texts) - MAX_REPORTED
    return "; ".join(texts[:MAX_REPORTED] + ([f"and {more} more"] if more > 0 else []))
