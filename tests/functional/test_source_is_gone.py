# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a stateful parser makes of messages may come when the connection that they came from is long gone."""

import pytest

from harness.messages import TCP_SOURCE
from harness.network import connect

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
