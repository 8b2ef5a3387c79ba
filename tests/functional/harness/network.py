# SPDX-License-Identifier: LGPL-2.1-or-later
"""The other ends of a daemon's connections, all on the loopback interface."""

import contextlib
import http.server
import socket
import threading

LOOPBACK = "127.0.0.1"
TAKEN_SECONDS = 90


def free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def connect(port):
    """A connection to send on; a send that is not taken for a long time raises an error."""
    return socket.create_connection((LOOPBACK, port), timeout=TAKEN_SECONDS)


def send_tcp(port, data):
    """Sends all data on one connection and closes it; blocks as long as the daemon does not read."""
    with connect(port) as connection:
        connection.sendall(data)


class BackgroundSender:
    """
    Sends chunks of bytes on one TCP connection from a thread of its own. A connection that is given stays open.

    Use as a context: leaving it waits until everything is sent and raises what went wrong.
    """

    def __init__(self, port, chunks, connection=None):
        self._port = port
        self._chunks = chunks
        self._connection = connection
        self._error = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, exception_type, *_):
        if exception_type is None:
            self.join()

    def sending(self):
        return self._thread.is_alive()

    def join(self):
        self._thread.join(TAKEN_SECONDS)
        assert not self.sending(), f"not everything was taken within {TAKEN_SECONDS} s"
        if self._error:
            raise self._error

    def _run(self):
        try:
            if self._connection:
                self._send(self._connection)
            else:
                with connect(self._port) as connection:
                    self._send(connection)
        except OSError as error:
            self._error = error

    def _send(self, connection):
        for chunk in self._chunks:
            connection.sendall(chunk)


class LineServer:
    """
    A TCP server for a destination: accepts a connection, reads nothing until told, then keeps every line.

    The small receive buffer makes a server that does not read soon a destination that does not move.
    """

    def __init__(self, port):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind((LOOPBACK, port))
        self._listener.listen(16)
        self._may_read = threading.Event()
        self._received = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def read(self):
        self._may_read.set()

    def lines(self):
        """All complete lines, connection by connection."""
        with self._lock:
            return [line for received in self._received for line in received.decode().split("\n")[:-1]]

    def line_count(self):
        with self._lock:
            return sum(received.count(b"\n") for received in self._received)

    def close(self):
        """Frees the port; connections go on."""
        self._listener.shutdown(socket.SHUT_RDWR)   # ends the accept() that waits, and would keep it
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            received = bytearray()
            with self._lock:
                self._received.append(received)
            threading.Thread(target=self._read, args=(connection, received), daemon=True).start()

    def _read(self, connection, received):
        self._may_read.wait()
        with connection:
            while data := connection.recv(65536):
                with self._lock:
                    received.extend(data)


class HttpServer:
    """An HTTP server for a destination: keeps the lines of all requests, and knows how many connections are open."""

    def __init__(self, port):
        self._received = []
        self._connections = 0
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer((LOOPBACK, port), self._handler_class())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def lines(self):
        with self._lock:
            return list(self._received)

    def line_count(self):
        return len(self.lines())

    def connections(self):
        with self._lock:
            return self._connections

    def close(self):
        """Frees the port."""
        self._server.shutdown()
        self._server.server_close()

    def _handler_class(owner):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # a client may keep its connection

            def handle(self):
                owner._count_connection(1)
                with contextlib.suppress(ConnectionError):
                    super().handle()
                owner._count_connection(-1)

            def do_POST(self):
                owner._keep(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        return Handler

    def _count_connection(self, step):
        with self._lock:
            self._connections += step

    def _keep(self, body):
        with self._lock:
            self._received += body.decode().splitlines()
