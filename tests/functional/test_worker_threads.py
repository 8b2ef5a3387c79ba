# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Any number of workers goes with any number of the daemon's own I/O threads, also next to paths without an element.

A memory queue of this daemon has room for as many threads as it knew of when the queue was made: more of them,
or a thread that comes later, end in `log_queue_fifo_push_tail: assertion failed`. A thread without a place takes a
locked path, which is slower, and the daemon says so: nothing of the kind where there could be a place.
"""

import os
import signal
from collections import Counter
from contextlib import ExitStack

import pytest

from harness.environment import host_version
from harness.messages import FILE_SOURCE, HEAVY, Stream, check_order, in_turn
from harness.network import BackgroundSender, LineServer

NUMBERED_BY_THE_MODULE = host_version().startswith("3.")
NO_PLACE = r"Workers of parallelize\(\) have no place in the daemon's memory queues"
CONNECTIONS = 12
SOURCE = HEAVY + """
source s_tcp {
    network(ip("127.0.0.1") port(`port`) flags(syslog-protocol) log-iw-size(120000) max-connections(20));
};
"""
PLAIN = """
log { source(s_tcp); destination { file("`dir`/plain" template("$PROGRAM $MSG\\n")); }; flags(flow-control); };
"""
PARALLEL = """
log {
    source(s_tcp);
    parallelize(workers(WORKERS) worker-partition-key("$PROGRAM"));
    filter(f_heavy);
    destination { file("`dir`/parallel" template("$PROGRAM $MSG\\n")); };
    flags(flow-control);
};
"""


def parallel(workers):
    return PARALLEL.replace("WORKERS", str(workers))


def send_on_many_connections(port, per_connection):
    """Returns how many of each key were sent."""
    streams = [Stream(f"connection{number}.") for number in range(CONNECTIONS)]
    with ExitStack() as connections:
        for stream in streams:
            connections.enter_context(BackgroundSender(port, stream.chunks(in_turn(10, per_connection), size=100)))
    return sum((stream.sent for stream in streams), Counter())


@pytest.mark.parametrize("io_threads", [1, 2, 8, 64])
@pytest.mark.parametrize("workers", [1, 3, 40, 100])
@pytest.mark.asan
def test_beside_an_ordinary_path(syslog_ng, workers, io_threads):
    syslog_ng.start(SOURCE + PLAIN + parallel(workers), arguments=["--stderr", f"--worker-threads={io_threads}"])
    assert not syslog_ng.logged(NO_PLACE)
    sent = send_on_many_connections(syslog_ng.port, 500)
    for name in ("plain", "parallel"):
        check_order(syslog_ng.wait_for_lines(sent.total(), name), sent)


def test_two_elements_with_many_workers(syslog_ng):
    second = parallel(70).replace("/parallel", "/second")
    syslog_ng.start(SOURCE + PLAIN + parallel(70) + second)
    assert not syslog_ng.logged(NO_PLACE)
    sent = send_on_many_connections(syslog_ng.port, 500)
    for name in ("plain", "parallel", "second"):
        check_order(syslog_ng.wait_for_lines(sent.total(), name), sent)


def test_more_workers_than_the_host_numbers(syslog_ng):
    """Version 4 numbers 256 threads, of all kinds; for version 3 the module numbers its own, however many."""
    syslog_ng.start(SOURCE + PLAIN + parallel(300))
    assert len(syslog_ng.logged(NO_PLACE + ".*more threads than it can number")) == (not NUMBERED_BY_THE_MODULE)
    assert len(syslog_ng.logged(NO_PLACE)) == (not NUMBERED_BY_THE_MODULE)
    sent = send_on_many_connections(syslog_ng.port, 500)
    for name in ("plain", "parallel"):
        check_order(syslog_ng.wait_for_lines(sent.total(), name), sent)


def test_workers_that_a_reload_adds(syslog_ng):
    """Version 3 has room for them in its queues only when it was started with them."""
    syslog_ng.start(SOURCE + PLAIN)
    assert syslog_ng.reload(SOURCE + PLAIN + parallel(10))
    assert len(syslog_ng.logged(NO_PLACE + ".*a restart would make them faster")) == NUMBERED_BY_THE_MODULE
    assert len(syslog_ng.logged(NO_PLACE)) == NUMBERED_BY_THE_MODULE
    sent = send_on_many_connections(syslog_ng.port, 500)
    for name in ("plain", "parallel"):
        check_order(syslog_ng.wait_for_lines(sent.total(), name), sent)


SPARE = 64  # as many workers more than at the start find a place in version 3


def test_workers_that_a_reload_adds_to_others(syslog_ng):
    """Places are kept for some more than the daemon was started with, and those of workers that end are free again."""
    syslog_ng.start(SOURCE + PLAIN + parallel(2))
    for workers in (60, 1, 2 + SPARE, 60):
        assert syslog_ng.reload(SOURCE + PLAIN + parallel(workers))
        assert not syslog_ng.logged(NO_PLACE)
    assert syslog_ng.reload(SOURCE + PLAIN + parallel(2 + SPARE + 10))
    notice = NO_PLACE + ".*; workers='10', .*a restart would make them faster"
    assert len(syslog_ng.logged(notice)) == NUMBERED_BY_THE_MODULE
    assert len(syslog_ng.logged(NO_PLACE)) == NUMBERED_BY_THE_MODULE
    sent = send_on_many_connections(syslog_ng.port, 500)
    for name in ("plain", "parallel"):
        check_order(syslog_ng.wait_for_lines(sent.total(), name), sent)


QUEUE_TO_A_SERVER = """
destination d_server {
    network("127.0.0.1" port(`port2`) template("$PROGRAM $MSG\\n") log-fifo-size(100000) time-reopen(1));
};
"""
TO_THE_SERVER = "log { source(s_tcp); destination(d_server); flags(flow-control); };"
PARALLEL_TO_THE_SERVER = """
log {
    source(s_tcp);
    parallelize(workers(WORKERS) worker-partition-key("$PROGRAM"));
    filter(f_heavy);
    destination(d_server);
    flags(flow-control);
};
"""


def send_part(daemon, streams, count):
    with ExitStack() as connections:
        for stream in streams:
            connections.enter_context(BackgroundSender(daemon.port, stream.chunks(in_turn(10, count), size=100)))


def queued(daemon):
    return daemon.counter(r"dst\.network;.*;queued")


@pytest.mark.parametrize("before, after", [(None, 40), (2, 100), (100, 2), (40, None)])
@pytest.mark.asan
def test_reload_with_live_memory_queues(syslog_ng, before, after):
    """The queue of a destination that nobody serves yet lives on across the reload, with messages in it."""

    def config(workers):
        path = PARALLEL_TO_THE_SERVER.replace("WORKERS", str(workers)) if workers else TO_THE_SERVER
        return SOURCE + PLAIN + QUEUE_TO_A_SERVER + path

    first, second = ([Stream(f"{part}{number}.") for number in range(CONNECTIONS)] for part in ("first", "second"))
    syslog_ng.start(config(before))
    send_part(syslog_ng, first, 200)
    syslog_ng.wait_for(lambda: queued(syslog_ng) == 200 * CONNECTIONS, lambda: f"queue: {queued(syslog_ng)}")
    assert syslog_ng.reload(config(after))
    assert queued(syslog_ng) == 200 * CONNECTIONS
    send_part(syslog_ng, second, 200)

    server = LineServer(syslog_ng.port2)
    server.read()
    sent = sum((stream.sent for stream in first + second), Counter())
    syslog_ng.wait_for(lambda: server.line_count() == sent.total(), lambda: f"lines: {server.line_count()}")
    check_order(server.lines(), sent)
    check_order(syslog_ng.wait_for_lines(sent.total(), "plain"), sent)
    server.close()


# Of no interface: the daemon cannot listen there.
FAILING = """
log { source { network(ip("192.0.2.1") port(`port2`)); }; destination { file("`dir`/none"); }; };
"""
SIXTEEN_STOPPED = r"parallelize\(\) stopped; processed_by_workers='0( 0){15}'"
FREED_IS_GARBAGE = {"MALLOC_PERTURB_": "165"}


def test_workers_of_a_configuration_that_fails(syslog_ng):
    """They have been created when something else cannot be initialized, and end before what they use is freed."""
    syslog_ng.launch(SOURCE + parallel(16) + FAILING, variables=FREED_IS_GARBAGE)
    assert syslog_ng.wait_for_exit() > 0
    assert syslog_ng.logged("Error binding socket"), syslog_ng.log()

    syslog_ng.start(SOURCE + PLAIN + parallel(2), variables=FREED_IS_GARBAGE)
    threads = len(syslog_ng.thread_names())
    for reverts in range(1, 11):
        syslog_ng.reload(SOURCE + PLAIN + parallel(16) + FAILING)
        syslog_ng.wait_for(lambda: len(syslog_ng.logged("reverting to old config")) == reverts, "the old configuration")
        assert len(syslog_ng.logged(SIXTEEN_STOPPED)) == reverts
    assert len(syslog_ng.thread_names()) <= threads
    sent = send_on_many_connections(syslog_ng.port, 500)
    for name in ("plain", "parallel"):
        check_order(syslog_ng.wait_for_lines(sent.total(), name), sent)


def test_reload_that_is_wanted_while_another_one_is_refused(syslog_ng, stream):
    """
    The threads of the one that is refused are no jobs that the host waits for: it would take their end for the end of all
    threads, and apply the next configuration while the old one's run.
    """
    good = HEAVY + FILE_SOURCE + (PLAIN + parallel(60)).replace("s_tcp", "s_file")
    other = parallel(16).replace("s_tcp", "s_file").replace("/parallel", "/other")
    count = 300_000
    syslog_ng.path("in").write_bytes(stream.take(in_turn(100, count)))
    syslog_ng.start(good)
    for number in range(1, 11):
        syslog_ng.write_config(good + other + FAILING)
        os.kill(syslog_ng.pid, signal.SIGHUP)
        syslog_ng.wait_for(lambda: len(syslog_ng.logged(SIXTEEN_STOPPED)) == number, "the end of the new threads")
        # the old configuration is on its way back
        syslog_ng.write_config(good)
        os.kill(syslog_ng.pid, signal.SIGHUP)
        syslog_ng.wait_for(syslog_ng.reload, "a reload that is taken")
    for name in ("plain", "parallel"):
        check_order(syslog_ng.wait_for_lines(count, name), stream.sent)
