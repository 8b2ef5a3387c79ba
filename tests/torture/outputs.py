# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where messages go: files, and a TCP server that behaves badly. Each hands on whole lines as they come."""

import socket
import threading
import time

from harness.network import LOOPBACK

BLOCKED_SECONDS = (0.5, 3)
HANG_UP_SECONDS = (0.2, 2)
SLOW_BYTES_PER_SECOND = 20_000_000
READ_BYTES = 65536
DEAD_SECONDS = 10
STALLED_BUFFER_BYTES = 4096

# Queues in front of them.
MEMORY = ""
DISK = 'disk-buffer(disk-buf-size(500000000) mem-buf-length(2000) reliable(no) dir("`dir`"))'
RELIABLE_DISK = 'disk-buffer(disk-buf-size(500000000) mem-buf-size(1000000) reliable(yes) dir("`dir`"))'


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
        return [line.decode() for line in lines]

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
        self.read_at = time.monotonic()


class Server:
    """
    Reads as fast as it can; after calm_down() every server does.

    What it hands on is in the order of its connections: all of one before the next one's.
    """

    def __init__(self, port, dice):
        self.hang_ups = 0
        self._dice = dice
        self._lock = threading.Lock()
        self._connections = []
        self._calm = threading.Event()
        self._listener = self.listen(port)
        self._closing = False
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
        return [bytes(line).decode() for line in lines]

    def calm_down(self):
        self._calm.set()

    def describe(self):
        with self._lock:
            return "server: " + "; ".join(
                f"{len(connection.received)} bytes not handed on, {'ended' if connection.ended else 'open'}, "
                f"idle for {time.monotonic() - connection.read_at:.1f} s" for connection in self._connections)

    def close(self):
        # not before the thread is gone: it could go on with another file of the same number
        self._closing = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()

    def listen(self, port):
        return socket.create_server((LOOPBACK, port), backlog=16)

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
        self.hang_ups += 1
        with self._lock:
            for connection in self._connections:
                if not connection.ended:
                    try:
                        connection.socket.shutdown(socket.SHUT_WR)
                    except OSError:
                        pass    # it is gone already

    def _is_dead(self, connection):
        """The kernel may give up what a killed daemon had not got rid of, and tell nobody."""
        return len(self._connections) > 1 and time.monotonic() - connection.read_at > DEAD_SECONDS

    def _accept(self):
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                if self._closing:
                    return
                continue        # this client has gone already
            connection = _Connection(accepted)
            with self._lock:
                self._connections.append(connection)
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        while True:
            try:
                data = connection.socket.recv(self.before_read())
            except OSError:
                data = b""
            with self._lock:
                connection.received += data
                connection.read_at = time.monotonic()
                connection.ended = not data
            if not data:
                connection.socket.close()
                return


class SlowServer(Server):
    def before_read(self):
        if not self._calm.is_set():
            time.sleep(READ_BYTES / SLOW_BYTES_PER_SECOND)
        return READ_BYTES


class BlockedServer(Server):
    """Reads nothing for some time, now and then."""

    def __init__(self, port, dice):
        self._may_read = threading.Event()
        super().__init__(port, dice)

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
    """Takes nothing, not even into the kernel's buffers, before calm_down()."""

    def listen(self, port):
        listener = super().listen(port)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_BUFFER_BYTES)
        return listener

    def before_read(self):
        self._calm.wait()
        return READ_BYTES


class ReopenedServer(Server):
    """Closes its connections now and then."""

    def misbehave(self):
        while not self._calm.wait(self._dice.uniform(*HANG_UP_SECONDS)):
            self.hang_up()


SERVERS = {
    "fast server": Server,
    "slow server": SlowServer,
    "blocked server": BlockedServer,
    "stalled server": StalledServer,
    "reopened server": ReopenedServer,
}
