# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long single messages take at a steady rate, from one TCP connection to another."""

import dataclasses
import socket
import threading
import time

TICK_SECONDS = 0.001
WARM_UP_SHARE = 0.2
DEADLINE_SECONDS = 60
RECEIVE_BYTES = 1 << 20

_KEY_AND_NUMBER = len(b"host-00000 0000000")


@dataclasses.dataclass
class Latency:
    """Milliseconds from the time a message was due at the sender to its arrival at the receiver.

    A sender that the daemon keeps waiting is late, and that counts.
    """
    p50: float
    p90: float
    p99: float
    p999: float
    worst: float


class Receiver:
    """Accepts one connection and keeps what comes, with the time at which each piece came."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pieces = []
        self._size = 0
        threading.Thread(target=self._run, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _run(self):
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection:
            while piece := self._receive(connection):
                self._pieces.append((time.monotonic(), piece))
                self._size += len(piece)

    @staticmethod
    def _receive(connection):
        """Acknowledges at once, time and again: else Nagle's algorithm at the daemon waits for it, a dozen milliseconds."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return connection.recv(RECEIVE_BYTES)

    @property
    def size(self):
        return self._size

    def data(self):
        return b"".join(piece for _, piece in self._pieces)

    def arrivals(self, length):
        """The time at which each message, `length` bytes of the stream, was complete."""
        times, size = [], 0
        for when, piece in self._pieces:
            size += len(piece)
            times += [when] * (size // length - len(times))
        return times


def send(connection, messages, rate):
    """Send `messages` (bytes each), `rate` a second; return when each was due."""
    start = time.monotonic()
    due = []
    while len(due) < len(messages):
        tick = start + (len(due) + 1) / rate
        tick = start + -(-(tick - start) // TICK_SECONDS) * TICK_SECONDS
        time.sleep(max(0, tick - time.monotonic()))
        until = min(len(messages), max(len(due) + 1, int((tick - start) * rate)))
        connection.sendall(b"".join(messages[len(due):until]))
        due += [tick] * (until - len(due))
    return due


def of(traffic, due, receiver):
    """The Latency of all messages but the first ones."""
    lines = receiver.data().splitlines()
    arrived = dict(zip((line[:_KEY_AND_NUMBER] for line in lines),
                       receiver.arrivals(traffic.line_length)))
    measured = range(int(len(due) * WARM_UP_SHARE), len(due))
    times = sorted((arrived[traffic.lines[number][:_KEY_AND_NUMBER]] - due[number]) * 1000
                   for number in measured)
    return Latency(*(times[min(len(times) - 1, int(len(times) * share))]
                     for share in (0.5, 0.9, 0.99, 0.999, 1)))
