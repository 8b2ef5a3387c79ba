# SPDX-License-Identifier: LGPL-2.1-or-later
"""Order, behind a parallelize() that forwards to another one, whichever thread does what."""

from collections import Counter
from contextlib import ExitStack

import pytest

from harness.messages import HEAVY, LINES, TCP_SOURCE, Stream, check_order, in_turn
from harness.network import BackgroundSender

IN_A_ROW = """
log {
    source(s_tcp);
    parallelize(workers(2) worker-partition-key("$PROGRAM") prefetch(20));
    parallelize(workers(2) worker-partition-key("$PROGRAM") prefetch(20));
    HEAVY
    destination(d_lines);
    flags(flow-control);
};
"""

# The inner one helps, and publishes, before the outer one's message has come to d_lines.
IN_A_BRANCH = """
log {
    source(s_tcp);
    parallelize(workers(2) worker-partition-key("$PROGRAM") prefetch(20));
    junction {
        channel {
            parallelize(workers(2) prefetch(5));
            HEAVY
            destination { file("`dir`/other" template("$PROGRAM $MSG\\n")); };
        };
        channel { destination(d_lines); };
    };
    flags(flow-control);
};
"""


@pytest.mark.asan
@pytest.mark.parametrize("path", [IN_A_ROW, IN_A_BRANCH], ids=["in-a-row", "in-a-branch"])
def test_order_with_several_connections(syslog_ng, path):
    streams = [Stream(prefix) for prefix in ("a", "b", "c")]
    syslog_ng.start(TCP_SOURCE + HEAVY + LINES + path.replace("HEAVY", "filter(f_heavy);"))
    with ExitStack() as senders:
        for stream in streams:
            senders.enter_context(BackgroundSender(syslog_ng.port, stream.chunks(in_turn(7, 20_000))))
    lines = syslog_ng.wait_for_lines(60_000)
    check_order(lines, sum((stream.sent for stream in streams), start=Counter()))
