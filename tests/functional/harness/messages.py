# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Messages that carry a key and the running number of their key, and the check that all of them arrive in order.

The check is the one of Confluent's parallel-consumer: per key the numbers are consecutive and as many as were
sent, so that one assertion finds loss, duplication and reordering.
"""

import itertools
import random
from collections import Counter

MAX_REPORTED = 10

# Sources and destinations for them; to be put in front of a log path.
TCP_SOURCE = """
source s_tcp {
    network(ip("127.0.0.1") port(`port`) transport("tcp") flags(syslog-protocol)
            log-iw-size(100000) max-connections(10));
};
"""
FILE_SOURCE = """
source s_file { file("`dir`/in" follow-freq(0.1) flags(syslog-protocol) log-iw-size(10000)); };
"""
# A filter that lets everything pass and takes ten microseconds of a processor: a message that costs next to nothing
# need not be handed over to a worker, one that costs so much must be.
HEAVY = """
filter f_heavy { "$(test-burn 10)" eq "" };
"""
LINES = """
destination d_lines { file("`dir`/out" template("$PROGRAM $MSG\\n")); };
"""


class Stream:
    """Produces numbered messages and knows what has been produced."""

    def __init__(self, prefix="k"):
        self._prefix = prefix
        self.sent = Counter()

    def take(self, keys):
        """Returns one message for each element of keys, as bytes that end in a newline each."""
        return b"".join(self._message(key) for key in keys)

    def chunks(self, keys, size=1000):
        """The same in pieces of `size` messages, produced as they are taken."""
        keys = iter(keys)
        while chunk := self.take(itertools.islice(keys, size)):
            yield chunk

    def _message(self, key):
        name = f"{self._prefix}{key}"
        number = self.sent[name]
        self.sent[name] = number + 1
        return b"<13>1 2024-01-01T00:00:00Z host %s - - - %d\n" % (name.encode(), number)

    def total(self):
        return sum(self.sent.values())


# Sequences of keys; the same ones in every run.


def in_turn(keys, count):
    return [number % keys for number in range(count)]


def zipf(keys, count, exponent=1.2):
    weights = [1 / rank**exponent for rank in range(1, keys + 1)]
    return random.Random(keys).choices(range(keys), weights, k=count)


def half_in_one(keys, count):
    return [0 if number % 2 else 1 + number // 2 % (keys - 1) for number in range(count)]


# Checks. A line is "KEY NUMBER", more words may follow.


def check_order(lines, sent):
    """Per key of `sent` (a Counter) the numbers are 0, 1, 2 ... and as many as were sent; no other keys."""
    faults = []
    next_number = Counter()
    for line in lines:
        key, number = line.split(" ", 2)[:2]
        if int(number) != next_number[key]:
            faults.append(f"{key}: {number} where {next_number[key]} was due")
        next_number[key] = int(number) + 1
    received = count_keys(lines)
    for key in sorted(sent.keys() | received.keys()):
        if sent[key] != received[key]:
            faults.append(f"{key}: {received[key]} received, {sent[key]} sent")
    _fail_if(faults)


def check_complete(lines, sent):
    """As check_order() for a transport that may repeat itself: every number of every key is there."""
    received = {tuple(line.split(" ", 2)[:2]) for line in lines}
    expected = {(key, str(number)) for key, count in sent.items() for number in range(count)}
    faults = [f"lost: {key} {number}" for key, number in sorted(expected - received)]
    faults += [f"never sent: {key} {number}" for key, number in sorted(received - expected)]
    _fail_if(faults)


def check_unordered(lines, sent):
    """As check_order() where order is not promised: every message exactly once."""
    check_complete(lines, sent)
    assert len(lines) == sum(sent.values()), f"{len(lines)} received, {sum(sent.values())} sent"


def count_keys(lines):
    return Counter(line.split(" ", 1)[0] for line in lines)


def _fail_if(faults):
    if faults:
        more = len(faults) - MAX_REPORTED
        shown = faults[:MAX_REPORTED] + ([f"and {more} more"] if more > 0 else [])
        raise AssertionError("\n".join(shown))
