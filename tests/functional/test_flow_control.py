# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The source's window bounds what is in flight, prefetch() bounds what waits inside the element, and nothing is lost
while a destination is slow, stopped or away.
"""

import re

import pytest

from harness.messages import HEAVY, check_order, in_turn
from harness.network import BackgroundSender, LineServer, send_tcp
from harness.trace import Hold, most_at_once, parse_trace, threads, work_and_trace
from harness.waiting import poll

WINDOW = 1000
ONE_CONNECTION = HEAVY + """
options { stats-level(4); };
source s_tcp {
    network(ip("127.0.0.1") port(`port`) flags(syslog-protocol) max-connections(1) log-iw-size(WINDOW));
};
"""
PATH = """
log {
    source(s_tcp);
    parallelize(workers(2) worker-partition-key("$PROGRAM") prefetch(200));
    filter(f_heavy);
    DESTINATION
    flags(flow-control);
};
"""
TO_SERVER = """
    destination {
        network("127.0.0.1" port(`port2`) template("$PROGRAM $MSG\\n") so-sndbuf(4096) log-fifo-size(10000) DISK);
    };
"""
DISK_BUFFERS = {
    "memory": "",
    "disk-buffer": 'disk-buffer(disk-buf-size(10485760) mem-buf-length(2000) reliable(no) dir("`dir`"))',
    "reliable disk-buffer": 'disk-buffer(disk-buf-size(10485760) mem-buf-size(1048576) reliable(yes) dir("`dir`"))',
}


def to_server(disk_buffer=""):
    return TO_SERVER.replace("DISK", disk_buffer)


def config(destination, window=WINDOW):
    return ONE_CONNECTION.replace("WINDOW", str(window)) + PATH.replace("DESTINATION", destination)


def received(daemon):
    return daemon.counter("center;;received;")


def in_flight(daemon):
    """Received from the source and not yet written to the server."""
    stats = daemon.stats()
    written = (number for name, number in stats.items() if re.match(r"dst\.network;.*;written$", name))
    return stats["center;;received;processed"] - sum(written)


def window_is_full(daemon):
    stats = daemon.stats()
    return any(name.endswith("free_window") and number == 0 for name, number in stats.items())


def test_fast_destination(syslog_ng, stream):
    syslog_ng.start(config('destination { file("`dir`/out" template("$PROGRAM $MSG\\n")); };'))
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(20, 50_000))):
        check_order(syslog_ng.wait_for_lines(50_000), stream.sent)


def test_slow_path(syslog_ng, stream):
    syslog_ng.start(work_and_trace(microseconds=100) + config("rewrite(r_work); destination(d_trace);"))
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(20, 10_000))):
        check_order(syslog_ng.wait_for_lines(10_000), stream.sent)


def run_against_a_stopped_server(daemon, stream, exceeds_its_bound, seconds=2):
    """The server reads nothing for some time, in which the bound must hold; then everything arrives."""
    server = LineServer(daemon.port2)
    daemon.start(config(to_server()))
    with BackgroundSender(daemon.port, stream.chunks(in_turn(20, 200_000))) as sender:
        daemon.wait_for(lambda: window_is_full(daemon), "the full window")
        assert not poll(exceeds_its_bound, seconds)
        assert sender.sending()
        server.read()
    daemon.wait_for(lambda: server.line_count() == 200_000, lambda: f"lines at the server: {server.line_count()}")
    check_order(server.lines(), stream.sent)
    server.close()


@pytest.mark.asan
def test_stopped_destination_fills_the_window_and_no_more(syslog_ng, stream):
    run_against_a_stopped_server(syslog_ng, stream, lambda: in_flight(syslog_ng) > WINDOW)


ENOUGH_KIB = 32 * 1024


def test_stopped_destination_takes_no_memory(syslog_ng, stream):
    run_against_a_stopped_server(syslog_ng, stream, lambda: syslog_ng.resident_kib() > ENOUGH_KIB)


def test_destination_that_blocks_for_a_minute(syslog_ng, stream):
    """No timeout of anything on the way gives up, or makes room for more."""

    def exceeds_its_bound():
        return in_flight(syslog_ng) > WINDOW or syslog_ng.resident_kib() > ENOUGH_KIB

    run_against_a_stopped_server(syslog_ng, stream, exceeds_its_bound, seconds=60)


@pytest.mark.parametrize("queue", DISK_BUFFERS)
@pytest.mark.asan
def test_destination_that_comes_late(syslog_ng, stream, queue):
    """Nobody listens while the messages come; then all of them are delivered."""
    count = 900 if queue == "memory" else 5000
    syslog_ng.start(config(to_server(DISK_BUFFERS[queue])))
    send_tcp(syslog_ng.port, stream.take(in_turn(20, count)))
    syslog_ng.wait_for(lambda: received(syslog_ng) == count, lambda: f"received {received(syslog_ng)}")
    server = LineServer(syslog_ng.port2)
    server.read()
    syslog_ng.wait_for(lambda: server.line_count() == count, lambda: f"lines at the server: {server.line_count()}")
    check_order(server.lines(), stream.sent)
    server.close()


HELD = """
    rewrite { set("$(test-hold `dir`/hold)" value(".test.held")); };
    destination { file("`dir`/out" template("$PROGRAM $MSG\\n")); };
"""
BATCHES = 1000


def test_prefetch_bounds_what_waits_inside(syslog_ng, stream):
    """
    Both workers are held, then the source's thread, too, when it helps: from then on nothing is read.

    What was read until then is prefetch() and what was on its way in batches, far from the window.
    """
    syslog_ng.start(config(HELD, window=100_000))
    with Hold(syslog_ng.path("hold")).held() as hold:
        with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(20, 50_000))):
            syslog_ng.wait_for(lambda: hold.waiting() == 3, lambda: f"{hold.waiting()} threads are held")
            assert received(syslog_ng) <= 200 + BATCHES
            hold.release()
    check_order(syslog_ng.wait_for_lines(50_000), stream.sent)


def test_one_worker_and_the_source_share_the_work(syslog_ng, stream):
    path = """
    log {
        source(s_tcp);
        parallelize(workers(1) worker-partition-key("$PROGRAM") prefetch(100));
        rewrite(r_work);
        destination(d_trace);
        flags(flow-control);
    };
    """
    syslog_ng.start(ONE_CONNECTION.replace("WINDOW", "10000") + work_and_trace(microseconds=500) + path)
    send_tcp(syslog_ng.port, stream.take(in_turn(50, 3000)))
    work = parse_trace(syslog_ng.wait_for_lines(3000))
    assert most_at_once(work) == 2
    by_the_worker = max(threads(work).values())
    assert 0.3 * 3000 < by_the_worker < 0.7 * 3000
    check_order(syslog_ng.lines(), stream.sent)
