# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What the host takes for the time goes on, however long a thread is busy: the host asks the clock once for each turn of a
thread's event loop, and a worker's turn may be a thousand slow messages. Correlation timeouts and $C_... live on it.
"""

from harness.network import send_tcp

MILLISECONDS = 50
ROUNDING_SECONDS = 1.5      # times come in whole seconds, and a message takes some itself

# what the host believes, and the end of the work before that by the clock, in nanoseconds
PATH = """
source s_tcp {
    network(ip("127.0.0.1") port(`port`) flags(syslog-protocol) log-fetch-limit(1000) log-iw-size(10000) max-connections(10));
};
rewrite r_slow { set("$(test-work %(microseconds)d)" value(".test.work")); };
rewrite r_computes { set("$(test-burn %(microseconds)d)thread begin $(test-now)" value(".test.work")); };
rewrite r_believed { set("${C_UNIXTIME}" value(".test.believed")); };
log {
    source(s_tcp);
    %(path)s;
    destination { file("`dir`/out" template("${.test.believed} ${.test.work}\\n")); };
    flags(flow-control);
};
"""


def times(daemon, stream, path, messages):
    """Sends all messages at once; returns [(what was believed, what the clock said)] in seconds, in the order of the clock."""
    daemon.start(PATH % {"microseconds": 1000 * MILLISECONDS, "path": path})
    send_tcp(daemon.port, stream.take([1] * messages))
    fields = [line.split() for line in daemon.wait_for_lines(messages)]
    return sorted(((int(believed), int(end) / 1e9) for believed, _, _, end in fields), key=lambda pair: pair[1])


def duration(pairs):
    return pairs[-1][1] - pairs[0][1]


def lag(pairs):
    """By how much, at most, what is believed falls back behind the clock."""
    return max((clock - pairs[0][1]) - (believed - pairs[0][0]) for believed, clock in pairs)


def test_now_goes_on_on_a_worker(syslog_ng, stream):
    path = 'parallelize(workers(2) worker-partition-key("same")); rewrite(r_slow); rewrite(r_believed)'
    pairs = times(syslog_ng, stream, path, 60)
    assert duration(pairs) > 2 * ROUNDING_SECONDS - 0.1
    assert lag(pairs) < ROUNDING_SECONDS


def test_now_goes_on_on_a_source_that_helps(syslog_ng, stream):
    """With next to no prefetch its thread works on messages, in the middle of reading; not on messages that block."""
    pairs = times(syslog_ng, stream, "rewrite(r_believed); parallelize(workers(1) prefetch(1)); rewrite(r_computes)", 200)
    assert syslog_ng.element()["counters"]["inline"]["crowded"] > 0
    # between reading and the end of the work some others may come first
    assert lag(pairs) < ROUNDING_SECONDS + duration(pairs) / 4
