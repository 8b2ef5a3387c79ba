# SPDX-License-Identifier: LGPL-2.1-or-later
"""Generated syslog traffic, and the check that all of it came out again.

The sender ($HOST) is the key. Every message carries its number within its key,
and all messages have the same length, so that the size of an output file tells
how many messages it holds.
"""

import collections
import copy
import itertools
import random

KEYS = 1000
BODIES = 1009
BODY_LENGTH = 100
ZIPF_EXPONENT = 1.2

# What a destination has to write so that check() understands it.
OUTPUT_TEMPLATE = "$HOST $MSG\\n"
KEY_TEMPLATE = "${HOST}"

# What the messages that are to take longer than the others have as $PROGRAM.
SLOW_PROGRAM = b"slow"

_KEY_LENGTH = len(b"host-00000")
_LINE_LENGTH = _KEY_LENGTH + len(b" 0000000 ") + BODY_LENGTH + len(b"\n")

_SENTENCES = (
    "Accepted publickey for {name} from 10.{a}.{b}.{c} port {port} ssh2: ED25519 session={hex}",
    "Failed password for invalid user {name} from 192.168.{a}.{b} port {port} ssh2 attempt={c}",
    "GET /api/v2/items/{port}?page={a} HTTP/1.1 status=200 bytes={hex} agent={name}/5.{b}",
    "type=AVC audit({port}.{a}:{b}): denied {{ read }} for pid={c} comm={name} ino={hex}",
    "query[A] cdn-{a}.example.com from 10.0.{b}.{c} forwarded id={hex} client={name}",
    "IN=eth0 OUT= SRC=172.16.{a}.{b} DST=10.0.0.{c} LEN=60 TTL=64 PROTO=TCP SPT={port} MARK={hex}",
)
_NAMES = ("alice", "bob", "carol", "deploy", "backup", "nagios", "postgres", "www-data")


def _bodies(rng):
    for _ in range(BODIES):
        text = rng.choice(_SENTENCES).format(
            name=rng.choice(_NAMES), a=rng.randrange(256), b=rng.randrange(256),
            c=rng.randrange(1, 255), port=rng.randrange(1024, 65536),
            hex=f"{rng.getrandbits(64):016x}")
        padding = f" trace={rng.getrandbits(512):0128x}"
        yield (text + padding)[:BODY_LENGTH].encode()


def _weights(distribution, keys):
    if distribution == "uniform":
        return [1] * keys
    if distribution == "zipf":
        return [1 / rank ** ZIPF_EXPONENT for rank in range(1, keys + 1)]
    if distribution == "half":
        return [keys - 1] + [1] * (keys - 1)
    if distribution == "one":
        return [1] + [0] * (keys - 1)
    raise ValueError(f"unknown distribution: {distribution}")


class Traffic:
    """The same messages for the same arguments, on every machine.

    distribution: 'uniform' over KEYS keys, 'zipf' (exponent 1.2), 'half' (one
    key has half of the messages, the others share the rest evenly), or 'one'
    (it has all of them). is_slow: true for the positions of the messages whose
    $PROGRAM is SLOW_PROGRAM. keys: how many there are. name: what they begin
    with, of four letters. label: what each body begins with.

    'distinct' gives every message a key of its own, however many keys there are.
    """

    def __init__(self, distribution, messages, seed=20380119, is_slow=lambda position: False, keys=KEYS, name=b"host",
                 label=b""):
        rng = random.Random(f"{distribution} {seed}")
        if distribution == "distinct":
            names = [b"%s%06d" % (name, number) for number in range(messages)]
        else:
            names = [b"%s-%05d" % (name, number) for number in range(keys)]
            rng.shuffle(names)
            cumulated = list(itertools.accumulate(_weights(distribution, keys)))
        bodies = [(label + body)[:BODY_LENGTH] for body in _bodies(rng)]
        next_number = collections.Counter()
        self.messages = messages
        self.is_slow = is_slow
        self.label = label
        self.lines = []
        chosen = names if distribution == "distinct" else rng.choices(names, cum_weights=cumulated, k=messages)
        for position, key in enumerate(chosen):
            self.lines.append(b"%s %07d %s" % (key, next_number[key], bodies[position % BODIES]))
            next_number[key] += 1
        self._sorted = {}

    def first(self, messages):
        """The same, but the first so many messages only."""
        part = copy.copy(self)
        part.messages, part.lines, part._sorted = messages, self.lines[:messages], {}
        return part

    def plain(self):
        """Yield the messages as a source reads them (RFC 3164, one a line)."""
        for position, line in enumerate(self.lines):
            yield (b"<134>Oct 11 22:14:15 %s %s[1234]: %s\n"
                   % (line[:_KEY_LENGTH], self._program(position), line[_KEY_LENGTH + 1:]))

    def write(self, path):
        with open(path, "wb") as file:
            file.writelines(self.plain())

    def framed(self):
        """Yield the messages as a TCP connection carries them (RFC 5424, octet counting)."""
        for position, line in enumerate(self.lines):
            message = (b"<134>1 2025-10-11T22:14:15Z %s %s 1234 - - %s"
                       % (line[:_KEY_LENGTH], self._program(position), line[_KEY_LENGTH + 1:]))
            yield b"%d %s" % (len(message), message)

    def labelled(self, data):
        """Those of the lines that have this traffic's label."""
        begin = _KEY_LENGTH + len(b" 0000000 ")
        end = begin + len(self.label)
        return [line for line in data.splitlines(keepends=True) if line[begin:end] == self.label]

    def _program(self, position):
        return SLOW_PROGRAM if self.is_slow(position) else b"app"

    def write_framed(self, path):
        with open(path, "wb") as file:
            file.writelines(self.framed())

    @property
    def line_length(self):
        """Bytes that a destination with OUTPUT_TEMPLATE writes for each message."""
        return _LINE_LENGTH

    @property
    def output_size(self):
        return self.messages * _LINE_LENGTH

    @staticmethod
    def messages_in(size):
        """Number of messages in an output file of this size."""
        return size // _LINE_LENGTH

    def check(self, path, order):
        """Compare an output file with what was sent; return a list of faults."""
        with open(path, "rb") as file:
            return self.check_data(file.read(), order)

    def check_data(self, data, order):
        """The same for what would be in the file.

        order: 'arrival' (as sent), 'key' (as sent within each key) or 'any'.
        Loss, duplication and damage are faults with each of them.
        """
        received = data.splitlines()
        sort = _ORDERS[order]
        if order not in self._sorted:
            self._sorted[order] = sort(self.lines)
        if sort(received) == self._sorted[order]:
            return []
        return self._explain(received, order)

    def _explain(self, received, order):
        sent, arrived = collections.Counter(self.lines), collections.Counter(received)
        lost = (sent - arrived).total()
        extra = arrived - sent
        twice = sum(count for line, count in extra.items() if line in sent)
        damaged = extra.total() - twice
        disordered = 0 if order == "any" else _disordered(received)
        faults = [f"{count} messages {what}" for count, what in (
            (lost, "lost"), (twice, "twice"), (damaged, "damaged"),
            (disordered, "out of order within their key")) if count]
        return faults or ["messages out of order between keys"]


def _key_of(line):
    return line[:_KEY_LENGTH]


def _by_key(lines):
    """Stable: the order within a key stays what it was."""
    return sorted(lines, key=_key_of)


def _disordered(lines):
    """How often a message's number is smaller than that of the one before with its key."""
    numbered = (line[:_KEY_LENGTH + len(b" 0000000")] for line in _by_key(lines))
    return sum(_key_of(earlier) == _key_of(later) and later < earlier
               for earlier, later in itertools.pairwise(numbered))


_ORDERS = {"arrival": list, "key": _by_key, "any": sorted}


