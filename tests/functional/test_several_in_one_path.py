# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Order, behind a parallelize() that forwards to another one or beside a path without one, whichever thread does what: what
a thread has forwarded is published before another thread goes on with the same keys.
"""

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

# The keys are common to all connections: what one of them brings while the thread of another has a key, waits for that.
COMMON_KEY = 'worker-partition-key("$(substr $PROGRAM 1 1)")'

# The thread of a source announces the queue of d_lines, a slow publish and the end of its batch, in this order.
BESIDE_A_PLAIN_PATH = f"""
log {{ source(s_tcp); rewrite {{ set("plain" value("PROGRAM")); }}; destination(d_lines); flags(flow-control); }};
log {{
    source(s_tcp);
    filter {{ "$(test-slow-publish 1000)" eq "" }};
    parallelize(workers(2) {COMMON_KEY} prefetch(1));
    HEAVY
    destination(d_lines);
    flags(flow-control);
}};
"""

# It announces the end of the first one's batch, a slow publish and the end of the second one's batch.
SLOW_IN_BETWEEN = f"""
log {{
    source(s_tcp);
    parallelize(workers(2) {COMMON_KEY} prefetch(1));
    HEAVY
    filter {{ "$(test-slow-publish-last 1000)" eq "" }};
    parallelize(workers(2) {COMMON_KEY});
    HEAVY
    destination(d_lines);
    flags(flow-control);
}};
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


@pytest.mark.parametrize(
    "path, copies", [(BESIDE_A_PLAIN_PATH, 2), (SLOW_IN_BETWEEN, 1)], ids=["beside-a-plain-path", "in-a-row"]
)
def test_order_when_a_thread_is_slow_to_publish(syslog_ng, path, copies):
    streams = [Stream(prefix) for prefix in ("a", "b", "c")]
    syslog_ng.start(TCP_SOURCE + HEAVY + LINES + path.replace("HEAVY", "filter(f_heavy);"))
    with ExitStack() as senders:
        for stream in streams:
            senders.enter_context(BackgroundSender(syslog_ng.port, stream.chunks(in_turn(3, 5000))))
    lines = syslog_ng.wait_for_lines(copies * 15_000)
    sent = sum((stream.sent for stream in streams), start=Counter())
    check_order([line for line in lines if not line.startswith("plain")], sent)
