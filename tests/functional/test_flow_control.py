# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The source's window bounds what is in flight, prefetch() bounds what waits inside the element, and nothing is lost
while a destination is slow, stopped or away.
"""

import re

import pytest

from harness.messages import HEAVY, check_order, check_unordered, in_turn
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
    parallelize(workers(2) KEY prefetch(200));
    filter(f_heavy);
    DESTINATION
    flags(flow-control);
};
"""
BY_KEY = 'worker-partition-key("$PROGRAM")'
ROUND_ROBIN = ""
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


def config(destination, window=WINDOW, key=BY_KEY):
    path = PATH.replace("KEY", key).replace("DESTINATION", destination)
    return ONE_CONNECTION.replace("WINDOW", str(window)) + path


def received(daemon):
    return daemon.counter("center;;received;")


WRITTEN = r"dst\.(file|network);.*;written$"


def in_flight(daemon):
    """Received from the source and not yet written by the destination."""
    stats = daemon.stats()
    written = (number for name, number in stats.items() if re.match(WRITTEN, name))
    return stats["center;;received;processed"] - sum(written)


def window_is_full(daemon):
    return any(free == 0 for free, whole in daemon.windows().values())


def test_fast_destination(syslog_ng, stream):
    syslog_ng.start(config('destination { file("`dir`/out" template("$PROGRAM $MSG\\n")); };'))
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(20, 50_000))):
        check_order(syslog_ng.wait_for_lines(50_000), stream.sent)


def test_slow_path(syslog_ng, stream):
    syslog_ng.start(work_and_trace(microseconds=100) + config("rewrite(r_work); destination(d_trace);"))
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(20, 10_000))):
        check_order(syslog_ng.wait_for_lines(10_000), stream.sent)


def run_against_a_stopped_server(daemon, stream, exceeds_its_bound, seconds=2, key=BY_KEY):
    """The server reads nothing for some time, in which the bound must hold; then everything arrives."""
    server = LineServer(daemon.port2)
    daemon.start(config(to_server(), key=key))
    with BackgroundSender(daemon.port, stream.chunks(in_turn(20, 200_000))) as sender:
        daemon.wait_for(lambda: window_is_full(daemon), "the full window")
        assert not poll(exceeds_its_bound, seconds)
        assert sender.sending()
        server.read()
    daemon.wait_for(lambda: server.line_count() == 200_000, lambda: f"lines at the server: {server.line_count()}")
    check = check_order if key else check_unordered
    check(server.lines(), stream.sent)
    server.close()


@pytest.mark.parametrize("key", [BY_KEY, ROUND_ROBIN], ids=["keyed", "round-robin"])
@pytest.mark.asan
def test_stopped_destination_fills_the_window_and_no_more(syslog_ng, stream, key):
    run_against_a_stopped_server(syslog_ng, stream, lambda: in_flight(syslog_ng) > WINDOW, key=key)


def queued(daemon):
    return daemon.counter(r"dst\.(file|network);.*;queued$")


def moving_in_flight(daemon):
    """
    As in_flight(), while messages move: what was in flight for certain at some moment between two looks, and what the
    destination's queue holds of it.
    """
    came = received(daemon)
    return max(came - daemon.counter(WRITTEN), queued(daemon))


MOVING = {
    "fast": ('destination { file("`dir`/out" template("$PROGRAM $MSG\\n")); };', 100_000),
    "slow": ('destination { file("`dir`/out" template("$PROGRAM $MSG$(test-burn 200)\\n")); };', 5000),
}


@pytest.mark.parametrize("key", [BY_KEY, ROUND_ROBIN], ids=["keyed", "round-robin"])
@pytest.mark.parametrize("destination", MOVING)
def test_destination_that_takes_messages_has_no_more_than_the_window(syslog_ng, stream, destination, key):
    text, count = MOVING[destination]
    samples = []
    syslog_ng.start(config(text, key=key))
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(20, count))):
        while received(syslog_ng) < count:
            samples.append(moving_in_flight(syslog_ng))
    assert len(samples) >= 5
    assert max(samples) <= WINDOW
    if destination == "slow":
        assert max(samples) > WINDOW / 2
    check = check_order if key else check_unordered
    check(syslog_ng.wait_for_lines(count), stream.sent)
    syslog_ng.wait_for(lambda: in_flight(syslog_ng) == 0, lambda: f"in flight: {in_flight(syslog_ng)}")


# A buffer is full with what it has room for on disk, and what it keeps in memory meanwhile.
PADDING = 1024
SMALL_DISK_BUFFERS = {
    "disk-buffer": (
        'disk-buffer(disk-buf-size(1048576) mem-buf-length(2000) reliable(no) dir("`dir`"))',
        1048576 // PADDING + 1000,
    ),
    "reliable disk-buffer": (
        'disk-buffer(disk-buf-size(4194304) mem-buf-size(3145728) reliable(yes) dir("`dir`"))',
        4194304 // PADDING + 1000,
    ),
}


@pytest.mark.parametrize("queue", SMALL_DISK_BUFFERS)
@pytest.mark.asan
def test_full_disk_buffer_fills_the_window_and_no_more(syslog_ng, stream, queue):
    """What is on disk has been acknowledged. When there is no more room, the window bounds the rest."""
    count = 20_000
    disk_buffer, room = SMALL_DISK_BUFFERS[queue]
    padding = f'rewrite {{ set("{"x" * PADDING}" value(".test.padding")); }};'
    server = LineServer(syslog_ng.port2)
    syslog_ng.start(config(padding + to_server(disk_buffer)))
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(20, count))):
        syslog_ng.wait_for(lambda: received(syslog_ng) > WINDOW and window_is_full(syslog_ng), "the full window")
        assert not poll(lambda: in_flight(syslog_ng) > WINDOW + room, seconds=2)
        assert received(syslog_ng) < count
        server.read()
    syslog_ng.wait_for(lambda: server.line_count() == count, lambda: f"lines at the server: {server.line_count()}")
    check_order(server.lines(), stream.sent)
    server.close()


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
