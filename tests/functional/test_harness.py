# SPDX-License-Identifier: LGPL-2.1-or-later
"""The checks that the other tests rely on do fail: on loss, duplication, reordering, and on a daemon that is ill."""

import time
from collections import Counter

import pytest

from harness.messages import LINES, TCP_SOURCE, check_complete, check_order, check_unordered
from harness.network import LineServer, send_tcp
from harness.trace import Hold, by_key, most_at_once, parse_trace, threads, work_and_trace

PLAIN_PATH = TCP_SOURCE + LINES + "log { source(s_tcp); destination(d_lines); flags(flow-control); };"

SENT = Counter({"a": 3, "b": 1})
RIGHT = ["a 0", "b 0", "a 1", "a 2"]
LOST = {
    "first": RIGHT[1:],
    "in the middle": ["a 0", "b 0", "a 2"],
    "last": RIGHT[:3],
    "whole key": ["a 0", "a 1", "a 2"],
}
REPEATED = {"at once": ["a 0", *RIGHT], "later": [*RIGHT, "a 0"], "last": [*RIGHT, "a 2"]}
MOVED = {"in its key": ["a 1", "b 0", "a 0", "a 2"]}
STRANGE = {"key": [*RIGHT, "c 0"], "number": [*RIGHT, "a 3"]}


def names(*groups):
    return [pytest.param(lines, id=name) for group in groups for name, lines in group.items()]


def test_right_order_passes_all_checks():
    for check in (check_order, check_complete, check_unordered):
        check(RIGHT, SENT)
    check_order(["b 0", "a 0", "a 1", "a 2"], SENT)
    check_unordered(["a 2", "a 0", "a 1", "b 0"], SENT)
    check_complete(["a 0", "a 1", "a 0", "a 1", "a 2", "b 0"], SENT)


@pytest.mark.parametrize("lines", names(LOST, REPEATED, MOVED, STRANGE))
def test_order_check_fails(lines):
    with pytest.raises(AssertionError):
        check_order(lines, SENT)


@pytest.mark.parametrize("lines", names(LOST, REPEATED, STRANGE))
def test_unordered_check_fails(lines):
    with pytest.raises(AssertionError):
        check_unordered(lines, SENT)


@pytest.mark.parametrize("lines", names(LOST, STRANGE))
def test_completeness_check_fails(lines):
    with pytest.raises(AssertionError):
        check_complete(lines, SENT)


def test_messages_reach_the_file_in_order(syslog_ng, stream):
    syslog_ng.start(PLAIN_PATH)
    send_tcp(syslog_ng.port, stream.take([1, 2, 3] * 1000))
    check_order(syslog_ng.wait_for_lines(stream.total()), stream.sent)


def test_reload_tells_whether_the_configuration_was_taken(syslog_ng):
    syslog_ng.start(PLAIN_PATH)
    assert syslog_ng.reload()
    assert not syslog_ng.reload("log {")


def test_daemon_that_dies_ends_the_wait(syslog_ng):
    syslog_ng.start(PLAIN_PATH)
    began = time.monotonic()
    with pytest.raises(AssertionError, match="has ended"):
        syslog_ng.kill()
        syslog_ng.wait_for_lines(1)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("complaint", ["ERROR:../lib/x.c:5: assertion failed", "==1==ERROR: AddressSanitizer: heap"])
def test_complaint_of_the_daemon_is_found(syslog_ng, complaint):
    syslog_ng.start(PLAIN_PATH)
    said = syslog_ng.full_log()
    log = syslog_ng.path("stderr.log")
    log.write_text(f"{said}{complaint}\n")
    with pytest.raises(AssertionError):
        syslog_ng.stop()
    log.write_text(said)


def test_trace_tells_threads_and_overlap():
    work = parse_trace(["a 0 7 100 200", "b 0 8 150 250", "c 0 7 200 300", "b 1 7 300 400"])
    assert threads(work) == {7: 3, 8: 1}
    assert most_at_once(work) == 2
    assert [item.number for item in by_key(work)["b"]] == [0, 1]


def test_work_takes_time_and_names_its_thread(syslog_ng, stream):
    path = "log { source(s_tcp); rewrite(r_work); destination(d_trace); };"
    syslog_ng.start(TCP_SOURCE + work_and_trace(microseconds=2000) + path)
    send_tcp(syslog_ng.port, stream.take([1] * 10))
    work = parse_trace(syslog_ng.wait_for_lines(10))
    assert all(item.end - item.begin >= 2_000_000 for item in work)
    assert most_at_once(work) == 1
    assert all(syslog_ng.path(f"/proc/{syslog_ng.pid}/task/{thread}").exists() for thread in threads(work))


def test_hold_stops_a_message_until_it_is_released(syslog_ng, stream):
    path = """
    log {
        source(s_tcp);
        if (message("1")) { rewrite { set("$(test-hold `dir`/hold)" value(".test.held")); }; };
        destination(d_lines);
    };
    """
    syslog_ng.start(TCP_SOURCE + LINES + path)
    with Hold(syslog_ng.path("hold")).held() as hold:
        send_tcp(syslog_ng.port, stream.take([1] * 3))
        syslog_ng.wait_for(lambda: hold.waiting() == 1, "a message that waits")
        assert "k1 1" not in syslog_ng.lines()
    check_order(syslog_ng.wait_for_lines(3), stream.sent)


def test_server_that_does_not_read_holds_the_messages_up(syslog_ng, stream):
    server = LineServer(syslog_ng.port2)
    path = """
    log {
        source(s_tcp);
        destination { network("127.0.0.1" port(`port2`) template("$PROGRAM $MSG\\n")); };
        flags(flow-control);
    };
    """
    syslog_ng.start(TCP_SOURCE + path)
    send_tcp(syslog_ng.port, stream.take([1, 2] * 500))
    assert server.line_count() == 0
    server.read()
    syslog_ng.wait_for(lambda: server.line_count() == 1000, "all lines at the server")
    check_order(server.lines(), stream.sent)
    server.close()
