# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where messages go: files, and a TCP server that behaves badly. Each hands on whole lines as they come."""

import contextlib
import socket
import threading
import time

from harness.network import LOOPBACK

BLOCKED_SECONDS = (0.5, 3)
HANG_UP_SECONDS = (0.2, 2)
REFUSING_SECONDS = (0.3, 1.5)
SLOW_BYTES_PER_SECOND = (200_000, 2_000_000)
SLOW_SECONDS = 5                # then what is left of a large trial is taken at full speed
SLOW_READS_PER_SECOND = 50
SLOW_BUFFER_BYTES = 65536
READ_BYTES = 65536
DEAD_SECONDS = 10
BACKLOG = 16
LOOK_SECONDS = 0.02
STALLED_BUFFER_BYTES = 4096

# Queues in front of them.
MEMORY = ""
DISK = 'disk-buffer(disk-buf-size(500000000) mem-buf-length(2000) reliable(no) dir("`dir`"))'
RELIABLE_DISK = 'disk-buffer(disk-buf-size(500000000) mem-buf-size(1000000) reliable(yes) dir("`dir`"))'


def _text(line):
    """Of bytes that need not be any."""
    return line.decode(errors="backslashreplace")


class File:
    hang_ups = 0

    def __init__(self, path):
        self._path = path
        self._offset = 0
        self._rest = b""

    def take_lines(self):
        """The lines that have come since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [_text(line) for line in lines]

    def calm_down(self):
        pass

    def describe(self):
        return f"{self._path.name}: {self._offset} bytes read"

    def close(self):
        pass


class _Connection:
    def __init__(self, accepted):
        self.socket = accepted
        self.received = bytearray()
        self.ended = False
        self.hung_up = False
        self.waits_since = None     # for something to read


class Server:
    """
    Reads as fast as it can; after calm_down() every server does.

    What it hands on is in the order of its connections: all of one before the next one's.
    """

    receive_buffer_bytes = None

    def __init__(self, port, dice, record):
        self.hang_ups = 0
        self._dice = dice
        self._record = record.open("ab")    # of what is handed on
        self._lock = threading.Lock()
        self._connections = []
        self._calm = threading.Event()
        self._refusal = 0       # seconds; asked for
        self._listener = socket.create_server((LOOPBACK, port), backlog=BACKLOG)
        if self.receive_buffer_bytes:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer_bytes)
        self._listener.settimeout(LOOK_SECONDS)
        self._closing = threading.Event()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        threading.Thread(target=self.misbehave, daemon=True).start()

    def take_lines(self):
        lines = []
        with self._lock:
            while self._connections:
                first = self._connections[0]
                *whole, rest = first.received.split(b"\n")
                lines += whole
                first.received = rest
                if not first.ended and not self._is_dead(first):
                    break
                # a line that was broken off comes again on the next connection
                self._connections.pop(0)
        self._record.writelines(bytes(line) + b"\n" for line in lines)
        return [_text(line) for line in lines]

    def calm_down(self):
        self._calm.set()

    def describe(self):
        with self._lock:
            return "server: " + "; ".join(
                f"{len(connection.received)} bytes not handed on, {'ended' if connection.ended else 'open'}, "
                f"{'read' if connection.waits_since else 'not read'} now" for connection in self._connections)

    def close(self):
        # not before the thread is gone: it could go on with another file of the same number
        self._closing.set()
        self._accepting.join()
        self._listener.close()
        self._record.close()

    def misbehave(self):
        """A thread of its own."""

    def before_read(self):
        """Returns how many bytes may be read now."""
        return READ_BYTES

    def hang_up(self):
        """
        The client sees the end and closes; what it has sent until then is read. What the host has not quite written
        then comes on the next connection, and not always in its place.
        """
        with self._lock:
            for connection in self._connections:
                if not connection.ended and not connection.hung_up:
                    connection.hung_up = True
                    self.hang_ups += 1
                    with contextlib.suppress(OSError):      # it is gone already
                        connection.socket.shutdown(socket.SHUT_WR)

    def refuse(self, seconds):
        """Hangs up and takes no new connection for so long."""
        self._refusal = seconds

    def _is_dead(self, connection):
        """The kernel may give up what a killed daemon had not got rid of, and tell nobody."""
        waits = connection.waits_since
        return len(self._connections) > 1 and waits is not None and time.monotonic() - waits > DEAD_SECONDS

    def _accept(self):
        while not self._closing.is_set():
            try:
                accepted, _ = self._listener.accept()
            except TimeoutError:
                # Nobody waits to be accepted, who would lose what he has sent already.
                if self._refusal:
                    self._do_refuse()
                continue
            except OSError:
                continue        # this client has gone already
            connection = _Connection(accepted)
            with self._lock:
                self._connections.append(connection)
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _do_refuse(self):
        # still bound: nobody else takes the port meanwhile
        self._listener.shutdown(socket.SHUT_RDWR)
        self.hang_up()
        self._closing.wait(self._refusal)
        self._refusal = 0
        self._listener.listen(BACKLOG)

    def _read(self, connection):
        while True:
            most = self.before_read()
            connection.waits_since = time.monotonic()
            try:
                data = connection.socket.recv(most)
            except OSError:
                data = b""
            with self._lock:
                connection.received += data
                connection.waits_since = None
                connection.ended = not data
            if not data:
                connection.socket.close()
                return


class SlowServer(Server):
    """As a line of a few megabits."""

    receive_buffer_bytes = SLOW_BUFFER_BYTES

    def __init__(self, port, dice, record):
        self._bytes_per_read = int(dice.uniform(*SLOW_BYTES_PER_SECOND) / SLOW_READS_PER_SECOND)
        super().__init__(port, dice, record)

    def misbehave(self):
        self._calm.wait(SLOW_SECONDS)
        self._calm.set()

    def before_read(self):
        return READ_BYTES if self._calm.wait(1 / SLOW_READS_PER_SECOND) else self._bytes_per_read


class BlockedServer(Server):
    """Reads nothing for some time, now and then."""

    def __init__(self, port, dice, record):
        self._may_read = threading.Event()
        super().__init__(port, dice, record)

    def misbehave(self):
        while not self._calm.wait(self._dice.uniform(*BLOCKED_SECONDS) / 5):
            self._may_read.clear()
            self._calm.wait(self._dice.uniform(*BLOCKED_SECONDS))
            self._may_read.set()
        self._may_read.set()

    def before_read(self):
        self._may_read.wait()
        return READ_BYTES


class StalledServer(Server):
    """Takes nothing, and next to nothing into the kernel's buffers, before calm_down()."""

    receive_buffer_bytes = STALLED_BUFFER_BYTES

    def before_read(self):
        self._calm.wait()
        return READ_BYTES


class ReopenedServer(Server):
    """Closes its connections now and then, and sometimes takes no new one for a while."""

    def misbehave(self):
        while not self._calm.wait(self._dice.uniform(*HANG_UP_SECONDS)):
            if self._dice.random() < 0.5:
                self.hang_up()
            else:
                self.refuse(self._dice.uniform(*REFUSING_SECONDS))


SERVERS = {
    "fast server": Server,
    "slow server": SlowServer,
    "blocked server": BlockedServer,
    "stalled server": StalledServer,
    "reopened server": ReopenedServer,
}
