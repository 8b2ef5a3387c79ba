# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages that tell which thread processed them and when it was done, and a receiver that knows when they came."""

import dataclasses

import host
import latency
import paths
import trial

THREAD_AND_TIME = "$(test-thread) $(test-now)"
VALUE = "trace"
_WIDTH = 36     # of both together: all messages have the same length
_OUTPUT_TEMPLATE = f"$HOST $MSG $(padding ${{{VALUE}}} {_WIDTH})\\n"
_WORKER_PREFIX = "parallelize/"


@dataclasses.dataclass
class Traced:
    """done, arrived: seconds, on the clock of time.monotonic(). Without a trace, thread is empty."""
    is_slow: bool
    thread: str
    done: float
    arrived: float

    @property
    def by_worker(self):
        return self.thread.startswith(_WORKER_PREFIX)


def run(bench, traffic, element, order, work, window, fetch_limit=None):
    """All messages arrive at once at a TCP source; (trial.Result, [Traced])."""
    port = host.free_port()
    with latency.Receiver() as receiver:
        config = paths.config(paths.network_source(port, window, fetch_limit=fetch_limit),
                              paths.tcp_destination(receiver.port, _OUTPUT_TEMPLATE), window, element, work=work)
        data = b"".join(traffic.plain())
        length = traffic.line_length + len(" ") + _WIDTH
        with bench.daemon(config) as daemon, trial.connect_tcp(daemon, port) as sender:
            meter = trial.Meter(daemon)
            sender.sendall(data)
            daemon.wait_for(lambda: receiver.size >= traffic.messages * length,
                            latency.DEADLINE_SECONDS, "all messages at the receiver")
            result = meter.read(traffic.messages)
        lines = [line[:traffic.line_length - 1] for line in receiver.data().splitlines()]
        result.faults = traffic.check_data(b"\n".join(lines), order)
        return result, [] if result.faults else _traced(traffic, receiver, length)


def _traced(traffic, receiver, length):
    slow = {line for position, line in enumerate(traffic.lines) if traffic.is_slow(position)}
    return [_parse(line, traffic.line_length - 1, slow, arrived)
            for line, arrived in zip(receiver.data().splitlines(), receiver.arrivals(length))]


def _parse(line, length, slow, arrived):
    words = line[length:].decode().split()
    thread, nanoseconds = words if words else ("", 0)
    return Traced(line[:length] in slow, thread, int(nanoseconds) / 1e9, arrived)
