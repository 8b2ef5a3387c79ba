# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Messages outlive what the daemon keeps of their connection: what a stateful parser makes of them may come when that is long
gone, and so may the end of the batch in which another connection's thread has forwarded them.
"""

import pytest

from harness.messages import LINES, TCP_SOURCE
from harness.network import connect
from harness.trace import Hold

CONTEXTS = 50
GATHERING_PATH = TCP_SOURCE + """
log {
    source(s_tcp);
    parser {
        grouping-by(
            key("$PROGRAM")
            scope(global)
            timeout(2)
            aggregate(value("MESSAGE" "$PROGRAM gathered") inherit-mode(MODE))
            inject-mode(pass-through)
        );
    };
    filter { message("^k"); };
    parallelize(workers(2) worker-partition-key("$PROGRAM"));
    destination { file("`dir`/out" template("$MSG\\n")); };
};
"""


@pytest.mark.asan
@pytest.mark.parametrize("mode", ["last-message", "context"])
def test_connection_is_closed_before_the_timer(syslog_ng, stream, mode):
    """All that was read of the connection is acknowledged, and with it goes what the daemon keeps of it."""
    # 4.12 says only then that a connection was closed
    syslog_ng.start(GATHERING_PATH.replace("MODE", mode), arguments=("--stderr", "--verbose"))
    for _ in range(2):
        with connect(syslog_ng.port) as connection:
            connection.sendall(stream.take(range(CONTEXTS)))
    syslog_ng.wait_for(lambda: len(syslog_ng.logged("connection closed")) == 2, "two closed connections")
    syslog_ng.wait_for_lines(CONTEXTS)
    syslog_ng.stop()
    assert sorted(syslog_ng.lines()) == sorted(f"k{key} gathered" for key in range(CONTEXTS))


HELPERS = 5
HELPING_PATH = TCP_SOURCE + LINES + """
log {
    source(s_tcp);
    parallelize(workers(1) prefetch(2) id("outer"));
    filter { "$(test-hold `dir`/hold-$PROGRAM)" eq "" };
    parallelize(workers(1) batch-size(1) id("inner"));
    destination(d_lines);
};
"""


@pytest.mark.asan
def test_connection_is_closed_before_the_batch_of_another(syslog_ng):
    """The inner element looks at the window of a source on the source's own thread only."""
    syslog_ng.start(HELPING_PATH, arguments=("--stderr", "--verbose"))
    worker_held, helper_held = (Hold(syslog_ng.path(f"hold-{name}")) for name in ("worker", "helper"))
    with connect(syslog_ng.port) as first, connect(syslog_ng.port) as third:
        with worker_held.held(), helper_held.held():
            send(first, "worker")
            syslog_ng.wait_for(worker_held.waiting, "a worker that is held")
            with connect(syslog_ng.port) as second:
                send(second, "between")
                syslog_ng.wait_for(lambda: entered(syslog_ng) == 2, "a message that waits")
            # too many: its thread takes what waits longest, and then its own; if that took long, when the next one comes
            send(third, "helper", HELPERS)
            syslog_ng.wait_for(helper_held.waiting, "a thread that helps")
            assert syslog_ng.wait_for_lines(1) == ["between 0"]
            syslog_ng.wait_for(lambda: syslog_ng.logged("connection closed"), "a closed connection")
        syslog_ng.wait_for_lines(2 + HELPERS)
    assert syslog_ng.element("outer")["counters"]["windows"]["last_size"] > 0
    assert syslog_ng.element("inner")["counters"]["windows"]["last_size"] == 0


def send(connection, program, count=1):
    connection.sendall(b"<13>1 2024-01-01T00:00:00Z host %s - - - 0\n" % program.encode() * count)


def entered(daemon):
    return daemon.element("outer")["counters"]["entered"]
