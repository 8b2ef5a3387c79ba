# SPDX-License-Identifier: LGPL-2.1-or-later
"""A cheap path on which some messages block: what one connection does to the others, and to itself."""

from harness.messages import LINES, TCP_SOURCE, check_order, in_turn
from harness.network import connect, send_tcp
from harness.trace import Hold

HELD = """
rewrite r_hold { set("$(test-hold `dir`/hold)" value(".test.held") condition(program("k0" type(string)))); };
"""
CHEAP_PATH = TCP_SOURCE + LINES + HELD + """
log {
    source(s_tcp);
    parallelize(workers(2) OPTIONS);
    rewrite(r_hold);
    destination(d_lines);
};
"""
KEYED = 'worker-partition-key("$PROGRAM")'

SLOW = """
rewrite r_slow { set("$(test-work 50000)" value(".test.work") condition(program("k0" type(string)))); };
"""
SLOW_PATH = TCP_SOURCE + SLOW + """
log {
    source(s_tcp);
    parallelize(workers(10) OPTIONS);
    rewrite { set("$(test-thread)" value(".test.thread")); };
    rewrite(r_slow);
    destination { file("`dir`/out" template("$PROGRAM $MSG ${.test.thread}\\n")); };
};
"""


def from_one(keys, count):
    return [1 + key for key in in_turn(keys, count)]


def inline(daemon):
    return daemon.element()["counters"]["inline"]["too_cheap"]


def start_cheap(daemon, stream, path, options):
    """The path has turned out cheap: a source's thread processes its messages itself."""
    daemon.start(path.replace("OPTIONS", options))

    def is_cheap():
        # Each time another connection: no order is promised between these.
        send_tcp(daemon.port, stream.take(from_one(50, 500)))
        daemon.wait_for_lines(stream.total())
        return inline(daemon) > 0

    daemon.wait_for(is_cheap, "a path that is cheap")


def is_inline(daemon, stream, connection):
    """The thread of this very source processes all of some messages itself."""
    before = inline(daemon)
    connection.sendall(stream.take(from_one(50, 500)))
    daemon.wait_for_lines(stream.total())
    return inline(daemon) - before == 500


def check_neighbour_goes_on(daemon, stream, options):
    """One connection's thread is stuck in a message.  All messages of another one come out, also those of the same keys."""
    start_cheap(daemon, stream, CHEAP_PATH, options)
    with Hold(daemon.path("hold")).held() as hold, connect(daemon.port) as stuck:
        stuck.sendall(stream.take(from_one(50, 500) + [0]))
        daemon.wait_for(lambda: hold.waiting() == 1, "the message that blocks")
        daemon.wait_for(lambda: inline(daemon) > 0, "inline messages")
        before = len(daemon.lines())
        send_tcp(daemon.port, stream.take(from_one(50, 5000)))
        daemon.wait_for(lambda: len(daemon.lines()) >= before + 5000, "the messages of the other connection")
        assert hold.waiting() == 1
    daemon.wait_for_lines(stream.total())


def test_neighbour_of_a_stuck_connection_without_keys(syslog_ng, stream):
    check_neighbour_goes_on(syslog_ng, stream, "")


def test_neighbour_of_a_stuck_connection_with_keys(syslog_ng, stream):
    check_neighbour_goes_on(syslog_ng, stream, KEYED)


def check_rare_blocking(daemon, stream, options):
    """Of 60 messages that block, the source's thread runs two at most: the second one proves that the first did not just
    lack a processor."""
    start_cheap(daemon, stream, SLOW_PATH, options)
    keys = [0 if number % 50 == 49 else 1 + number % 40 for number in range(3000)]
    send_tcp(daemon.port, stream.take(keys))
    lines = daemon.wait_for_lines(stream.total())
    by_sources = [line for line in lines if line.startswith("k0 ") and not line.split()[2].startswith("parallelize/")]
    assert len(by_sources) <= 2, by_sources
    return lines


def test_rare_blocking_without_keys(syslog_ng, stream):
    check_rare_blocking(syslog_ng, stream, "")


def test_rare_blocking_with_keys(syslog_ng, stream):
    lines = check_rare_blocking(syslog_ng, stream, KEYED)
    check_order([" ".join(line.split()[:2]) for line in lines], stream.sent)


def test_every_message_begins_to_block(syslog_ng, stream):
    start_cheap(syslog_ng, stream, SLOW_PATH, KEYED.replace("$PROGRAM", "$MSG"))
    send_tcp(syslog_ng.port, stream.take([0] * 60))
    lines = syslog_ng.wait_for_lines(stream.total())
    by_sources = [line for line in lines if line.startswith("k0 ") and not line.split()[2].startswith("parallelize/")]
    assert len(by_sources) <= 2, by_sources


def test_stuck_thread_of_a_source_is_warned_about(syslog_ng, stream):
    start_cheap(syslog_ng, stream, CHEAP_PATH, KEYED + ' id("the element")')
    with Hold(syslog_ng.path("hold")).held() as hold:
        with connect(syslog_ng.port) as connection:
            syslog_ng.wait_for(lambda: is_inline(syslog_ng, stream, connection), "a connection that is inline")
            connection.sendall(stream.take([0]))
            syslog_ng.wait_for(lambda: hold.waiting() == 1, "the message that blocks")
            warning = syslog_ng.wait_for_log(r"WARNING: a source's thread is stuck on one message in parallelize\(\)")
            assert "id='the element'" in str(warning), warning
            verdict = syslog_ng.element()["verdict"]
            assert "source" in verdict["explanation"] and "neither helps nor harms" not in verdict["advice"], verdict
    syslog_ng.wait_for_lines(stream.total())
