# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What the host's memory queue makes of a batch of more than 65,535 messages, without any element: a limit of
log-fetch-limit() that docs/explanation/delivery-guarantees.md names.
"""

from harness.environment import host_version
from harness.messages import LINES

COUNT = 100_000
COUNTS_IN_16_BITS = host_version().startswith("3.")
PATH = """
options { log-fifo-size(300000); };
source s_file {
    file("`dir`/in" follow-freq(0.1) flags(syslog-protocol) log-iw-size(200000) log-fetch-limit(200000));
};
log { source(s_file); destination(d_lines); flags(flow-control); };
"""


def test_a_large_batch(syslog_ng, stream):
    whole = syslog_ng.path("whole")
    whole.write_bytes(stream.take([0] * COUNT))
    syslog_ng.start(LINES + PATH)
    whole.rename(syslog_ng.path("in"))
    syslog_ng.wait_for(lambda: syslog_ng.counter("center;;received;") == COUNT, "all messages")
    if COUNTS_IN_16_BITS:
        assert len(syslog_ng.wait_for_lines(COUNT % 2**16)) < COUNT
        syslog_ng.stop()
        assert len(syslog_ng.lines()) < COUNT
    else:
        syslog_ng.wait_for_lines(COUNT)
