# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stop, restart and kill -9: nothing is lost, and a clean stop repeats nothing either."""

import pytest

from harness.messages import FILE_SOURCE, LINES, TCP_SOURCE, check_complete, check_order, in_turn, zipf
from harness.network import send_tcp

COUNT = 60_000
FROM_FILE = FILE_SOURCE + LINES + """
log {
    source(s_file);
    parallelize(workers(4) worker-partition-key("$PROGRAM"));
    rewrite { set("$(test-work 50)" value(".test.work")); };
    destination(d_lines);
    flags(flow-control);
};
"""


def progress(daemon, lines_before):
    """Waits for some work to be done, so that the daemon is ended in the middle of more."""
    daemon.wait_for_lines(min(COUNT, lines_before + COUNT // 10))
    return len(daemon.lines())


@pytest.mark.asan
def test_restart_under_load(syslog_ng, stream):
    syslog_ng.path("in").write_bytes(stream.take(zipf(50, COUNT)))
    syslog_ng.start(FROM_FILE)
    lines = 0
    while (lines := progress(syslog_ng, lines)) < COUNT:
        syslog_ng.stop()
        syslog_ng.start()
    syslog_ng.stop()
    check_order(syslog_ng.lines(), stream.sent)


def test_kill_under_load(syslog_ng, stream):
    syslog_ng.path("in").write_bytes(stream.take(zipf(50, COUNT)))
    syslog_ng.start(FROM_FILE)
    for _ in range(4):
        progress(syslog_ng, len(syslog_ng.lines()))
        syslog_ng.kill()
        syslog_ng.start()
    last = {f"{key} {count - 1}" for key, count in stream.sent.items()}
    syslog_ng.wait_for(lambda: last <= set(syslog_ng.lines()), "the last message of every key")
    syslog_ng.stop()
    check_complete(syslog_ng.lines(), stream.sent)


@pytest.mark.parametrize("key", ["", 'worker-partition-key("$PROGRAM")'])
@pytest.mark.asan
def test_stop_processes_what_is_inside(syslog_ng, stream, key):
    """The source has handed everything over; the daemon is told to stop long before the work is done."""
    path = f"""
    log {{
        source(s_tcp);
        parallelize(workers(4) prefetch(100000) {key});
        rewrite {{ set("$(test-work 1000)" value(".test.work")); }};
        destination(d_lines);
    }};
    """
    syslog_ng.start(TCP_SOURCE + LINES + path)
    send_tcp(syslog_ng.port, stream.take(in_turn(40, 2000)))
    syslog_ng.wait_for(lambda: syslog_ng.counter("center;;received;") == 2000, "all messages")
    assert len(syslog_ng.lines()) < 2000
    syslog_ng.stop()
    check_complete(syslog_ng.lines(), stream.sent)
    assert len(syslog_ng.lines()) == 2000


def test_stop_at_once(syslog_ng):
    """A daemon that has just come up and one that has never seen a message stop as well."""
    for _ in range(5):
        syslog_ng.start(FROM_FILE)
        syslog_ng.stop()
