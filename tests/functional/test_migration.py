# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A configuration that was written for a host's own parallelize() runs unchanged on every host, but for the @module line:
all options, with any value that it takes there, in any of its spellings.
"""

import pytest

from harness.messages import HEAVY, LINES, check_order, check_unordered, in_turn
from harness.network import send_tcp

COUNT = 5000
PATH = """
log {
    source {
        tcp(port(`port`) log-iw-size(10M) max-connections(10) log-fetch-limit(100000) flags(syslog-protocol));
    };
    parallelize(OPTIONS);
    filter(f_heavy);
    destination(d_lines);
};
"""
WITH_A_KEY = [
    # syslog-ng 4.8
    'partitions(4) partition-key("$PROGRAM")',
    'partition-key("$PROGRAM") partitions(16)',
    'partitions(0) partition-key("$PROGRAM")',
    # syslog-ng 4.12
    'workers(4) worker-partition-key("$PROGRAM")',
    'workers(4) worker_partition_key("$PROGRAM") batch_size(0)',
    # AxoSyslog 4.27
    'workers(4) worker-partition-key("$PROGRAM") batch-size(100) log-fetch-limit(1000)',
    'log-fetch-limit(0) batch-size(0) worker-partition-key("$PROGRAM") workers(32)',
    'log_fetch_limit(100000) batch_size(1) worker_partition_key("$PROGRAM") workers(0)',
]
WITHOUT_A_KEY = [
    "partitions(4)",
    "workers(4)",
    "workers(4) batch-size(100)",
    "workers(4) batch-size(0) log-fetch-limit(0)",
    "",
]


def run(daemon, stream, options):
    daemon.start(HEAVY + LINES + PATH.replace("OPTIONS", options))
    send_tcp(daemon.port, stream.take(in_turn(10, COUNT)))
    return daemon.wait_for_lines(COUNT)


@pytest.mark.parametrize("options", WITH_A_KEY)
def test_keeps_the_order_of_the_key(syslog_ng, stream, options):
    check_order(run(syslog_ng, stream, options), stream.sent)


@pytest.mark.parametrize("options", WITHOUT_A_KEY)
def test_runs_without_a_key(syslog_ng, stream, options):
    check_unordered(run(syslog_ng, stream, options), stream.sent)
