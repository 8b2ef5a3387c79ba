# SPDX-License-Identifier: LGPL-2.1-or-later
"""Numbered messages, and the threads that bring them to the daemon.

A message says, in its header, which source it is of (HOST), its key (PROGRAM)
and what it is to cost: processor microseconds (PID) and idle ones (MSGID). Its
text has its number in its source, its number in its key, and how much filling
follows.

A brief one, of ten bytes and some, has no HOST, no idle cost and no filling: the
number of its source is in its PRI.
"""

import array
import contextlib
import random
import re
import socket
import threading
import time
from pathlib import Path

from harness.network import LOOPBACK, connect
from harness.waiting import POLL_SECONDS

CHUNK_BYTES = 32 * 1024
LARGEST_MESSAGE = 65536     # bytes: log-msg-size()
LARGEST_DATAGRAM = 65507    # of UDP, with a line feed
FIRST_PRI = 8               # what has a lower one is a message of the kernel to the host
STUCK_SECONDS = 120
OUTPUT_TEMPLATE = "$HOST/$PROGRAM $MSG\\n"
OUTPUT_TEMPLATE_OF_BRIEF = f"s$(- $PRI {FIRST_PRI})/$PROGRAM $MSG 0 \\n"
FILLING = "x" * 65536
TO_THE_LIMIT = -1       # a size: as much filling as the message takes


class Stream:
    """
    The messages of one source, the same ones for the same seed; counts what was produced.

    largest: bytes of a message without its line feed, if its size is TO_THE_LIMIT.
    """

    def __init__(self, name, seed, count, keys, hot_percent, sizes, burns, works, largest=LARGEST_MESSAGE, brief=False):
        self.name = name
        self.count = count
        self.produced = 0
        self._random = random.Random(seed)
        self._keys = keys
        self._hot_percent = hot_percent
        self._sizes = sizes
        self._burns = burns
        self._works = works
        self._largest = largest
        self._pri = FIRST_PRI + int(name.removeprefix("s")) if brief else None
        self._next_in_key = array.array("I", bytes(4 * min(keys, 1000))) if keys <= 1000 else {}

    def messages(self, give_up):
        """Until all are produced or `give_up` is set."""
        for number in range(self.count):
            if give_up.is_set():
                return
            message = self._message(number)
            self.produced = number + 1
            yield message

    def one_more(self):
        """After messages() has ended, be it because of `give_up`."""
        self.produced += 1
        return self._message(self.produced - 1)

    def _message(self, number):
        draw = self._random
        key = 1 % self._keys if draw.randrange(100) < self._hot_percent else draw.randrange(self._keys)
        in_key = self._next_in_key[key] if self._keys <= 1000 else self._next_in_key.get(key, 0)
        self._next_in_key[key] = in_key + 1
        burn = draw.choice(self._burns)
        if self._pri:
            return f"<{self._pri}>k{key}{f'[{burn}]' if burn else ''}:{number} {in_key}\n".encode()
        # key 0 is the empty one
        program = f"k{key}" if key else "-"
        head = f"<13>1 2024-01-01T00:00:00Z {self.name} {program} {burn} {draw.choice(self._works)} - {number} {in_key} "
        size = draw.choice(self._sizes)
        if size == TO_THE_LIMIT:
            size = self._largest - len(head) - len("65432 ")
        return f"{head}{size} {FILLING[:size]}\n".encode()


class Sender(threading.Thread):
    """Brings the messages of one stream; join() waits until all are taken or have failed."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream = stream
        self.error = None
        self.give_up = threading.Event()

    def run(self):
        try:
            self.send_all()
        except OSError as error:
            if not self.give_up.is_set():
                self.error = f"{self.stream.name}: {error}"

    def chunks(self):
        chunk = bytearray()
        for message in self.stream.messages(self.give_up):
            if len(chunk) + len(message) > CHUNK_BYTES and chunk:
                yield bytes(chunk)
                chunk.clear()
            chunk += message
        yield bytes(chunk)


class ConnectionSender(Sender):
    """On a connection that stays open until close()."""

    def __init__(self, stream, open_connection):
        super().__init__(stream)
        self._open = open_connection
        self._connection = None

    def send_all(self):
        self._connection = self._open()
        for chunk in self.chunks():
            self._connection.sendall(chunk)

    def close(self):
        if not self._connection:
            return
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        # not before the thread is gone: it could go on with another file of the same number
        self.join()
        self._connection.close()


def tcp_sender(stream, port):
    return ConnectionSender(stream, lambda: connect(port))


def unix_stream_sender(stream, path):
    def open_connection():
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(STUCK_SECONDS)
        connection.connect(str(path))
        return connection

    return ConnectionSender(stream, open_connection)


class UnixDatagramSender(Sender):
    """The kernel holds a sender up as long as the queue is full: nothing is dropped."""

    def __init__(self, stream, path):
        super().__init__(stream)
        self._path = path

    def send_all(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(STUCK_SECONDS)
            sender.connect(str(self._path))
            for message in self.stream.messages(self.give_up):
                sender.send(message)

    def close(self):
        pass


class UdpSender(Sender):
    """Sends only as long as the daemon's socket has room, or the kernel would drop messages."""

    def __init__(self, stream, port):
        super().__init__(stream)
        self._port = port

    def send_all(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect((LOOPBACK, self._port))
            for message in self.stream.messages(self.give_up):
                self._wait_for_room()
                sender.send(message)

    def close(self):
        pass

    def _wait_for_room(self):
        deadline = time.monotonic() + STUCK_SECONDS
        while udp_waiting(self._port) > CHUNK_BYTES:
            if time.monotonic() > deadline:
                raise OSError("the daemon does not read its UDP socket")
            time.sleep(POLL_SECONDS / 10)


def udp_waiting(port):
    """Bytes that the kernel keeps for the UDP socket bound to `port`."""
    local = f"{int.from_bytes(socket.inet_aton(LOOPBACK), 'little'):08X}:{port:04X}"
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == local:
            return int(words[4].split(":")[1], 16)
    return 0


class FileSender(Sender):
    """Appends to a file that the daemon follows."""

    def __init__(self, stream, path):
        super().__init__(stream)
        self._path = path

    def send_all(self):
        with self._path.open("ab", buffering=0) as file:
            for chunk in self.chunks():
                file.write(chunk)

    def close(self):
        pass

    def send_one_more(self):
        with self._path.open("ab", buffering=0) as file:
            file.write(self.stream.one_more())


# What comes out. A torn line is the beginning of one and a whole one, or the end of one.
LINE = re.compile(r"(s\d+)/(k\d+|) (\d+) (\d+) (\d+) (x*)$")


def parse(line):
    """Returns (source, key, number, number in key), or None if there is no whole message at the end of the line."""
    found = LINE.search(line)
    if not found or len(found[6]) != int(found[5]):
        return None
    return found[1], found[2], int(found[3]), int(found[4])


def is_whole(line):
    found = LINE.match(line)
    return found is not None and len(found[6]) == int(found[5])
