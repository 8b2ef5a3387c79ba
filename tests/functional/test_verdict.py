# SPDX-License-Identifier: LGPL-2.1-or-later
"""Each thing that can limit the throughput, brought about on purpose, is what the verdict names."""

import contextlib

import pytest

from harness.messages import HEAVY, LINES, TCP_SOURCE, Stream, check_order, check_unordered
from harness.network import LineServer, connect
from harness.trace import Hold, work_and_trace
from harness.traffic import endless

# The verdict looks back ten seconds.
SECONDS = 40
PATH = """
log {
    source(s_tcp);
    parallelize(OPTIONS);
    rewrite(r_work);
    destination(d_trace);
    flags(flow-control);
};
"""


# What has been taken is to be done with soon when a test has seen enough.
SOURCE = TCP_SOURCE.replace("log-iw-size(100000)", "log-iw-size(20000)")


def path(options, microseconds):
    return SOURCE + work_and_trace(microseconds) + PATH.replace("OPTIONS", options)


def wait_for_verdict(daemon, expected):
    """Returns the verdict as soon as it is the expected one, and still is when the daemon has looked again."""

    def lasting():
        found = verdict(daemon)
        if found["class"] != expected:
            return None
        daemon.wait_for(lambda: verdict(daemon)["seconds"] != found["seconds"], "another look")
        again = verdict(daemon)
        return again if again["class"] == expected and again["seconds"] > 2 else None

    return daemon.wait_for(lasting, lambda: f"{expected}: {verdict(daemon)}", SECONDS)


def verdict(daemon):
    return daemon.element()["verdict"]


def test_source_bound_without_messages(syslog_ng):
    syslog_ng.start(path("workers(2)", microseconds=100))
    assert "No messages" in wait_for_verdict(syslog_ng, "source-bound")["explanation"]


def test_source_bound_with_few_messages(syslog_ng, stream):
    syslog_ng.start(path("workers(4)", microseconds=1000))
    with endless(syslog_ng, stream, keys=lambda number: number % 50, at_once=1, per_second=200):
        found = wait_for_verdict(syslog_ng, "source-bound")
    assert "workers are idle" in found["explanation"]
    assert 100 < found["rate"] < 300
    assert found["maximum_rate"] > 5 * found["rate"]
    assert found["parallel_efficiency"] < 0.3
    check_unordered(syslog_ng.wait_for_lines(stream.total()), stream.sent)


def test_source_bound_by_a_window(syslog_ng, stream):
    """A hundred messages, the least that the host allows a connection, for 250 workers."""
    config = path("workers(250)", microseconds=20_000)
    syslog_ng.start(config.replace("log-iw-size(20000)", "log-iw-size(1000)"))
    with endless(syslog_ng, stream, keys=lambda number: number % 500):
        found = wait_for_verdict(syslog_ng, "source-bound")
        assert "log-iw-size()" in found["advice"]
        assert "100 messages" in found["explanation"]


def test_source_bound_where_a_hand_over_costs_more(syslog_ng, stream):
    config = "log { source(s_tcp); parallelize(workers(2)); destination(d_lines); flags(flow-control); };"
    syslog_ng.start(TCP_SOURCE + LINES + config)
    with endless(syslog_ng, stream, keys=lambda number: number % 50):
        found = wait_for_verdict(syslog_ng, "source-bound")
    assert "costs less" in found["explanation"]


def test_worker_bound(syslog_ng, stream):
    syslog_ng.start(path("workers(2) prefetch(100)", microseconds=2000))
    with endless(syslog_ng, stream, keys=lambda number: number % 50):
        found = wait_for_verdict(syslog_ng, "worker-bound")
        assert found["utilization"] > 0.85
        assert found["effective_parallelism"] > 1.7
        assert "workers" in found["advice"]
        # the source's thread helps, and is the third worker
        assert found["rate"] == pytest.approx(found["maximum_rate"], rel=0.15)


def test_key_bound(syslog_ng, stream):
    options = 'workers(4) worker-partition-key("$PROGRAM") prefetch(100)'
    syslog_ng.start(path(options, microseconds=500))
    with endless(syslog_ng, stream, keys=lambda number: 7):
        found = wait_for_verdict(syslog_ng, "key-bound")
    assert found["key"] == "k7"
    assert found["key_share"] == pytest.approx(1, abs=0.02)
    assert "100%" in found["explanation"]
    assert "worker-partition-key()" in found["advice"]
    assert found["ordering_constraint_ratio"] > 0.9
    assert found["effective_parallelism"] == pytest.approx(1, abs=0.2)
    assert found["rate"] == pytest.approx(found["maximum_rate"], rel=0.25)


def test_key_bound_by_the_host(syslog_ng, stream):
    syslog_ng.start(path('workers(4) worker-partition-key("$HOST") prefetch(100)', microseconds=500))
    with endless(syslog_ng, stream, keys=lambda number: number % 50):
        found = wait_for_verdict(syslog_ng, "key-bound")
    assert found["key"] == "host"
    assert "keep-hostname(yes)" in found["advice"]


def test_key_bound_by_keys_that_are_all_empty(syslog_ng, stream):
    syslog_ng.start(path('workers(4) worker-partition-key("${.no.such.name}") prefetch(100)', microseconds=500))
    with endless(syslog_ng, stream, keys=lambda number: number % 50):
        found = wait_for_verdict(syslog_ng, "key-bound")
    assert found["key"] == ""
    assert "keys of all messages are empty" in found["explanation"]
    assert 'worker-partition-key("${.no.such.name}")' in found["advice"]
    assert "empty-key(round-robin)" in found["advice"]


def test_key_bound_by_one_of_many(syslog_ng, stream):
    options = 'workers(8) worker-partition-key("$PROGRAM") prefetch(100)'
    syslog_ng.start(path(options, microseconds=500))
    with endless(syslog_ng, stream, keys=lambda number: 0 if number % 10 < 6 else number % 1000):
        found = wait_for_verdict(syslog_ng, "key-bound")
    assert found["key"] == "k0"
    assert 0.35 < found["key_share"] < 0.75  # 0.6; on a busy machine the messages of other keys take longer
    assert found["effective_parallelism"] < 3
    assert found["utilization_variance"] >= 0


LONG_BEGINNING = "/var/log/containers/production-app-"


def test_keys_that_begin_alike_are_not_one(syslog_ng):
    stream = Stream(LONG_BEGINNING)
    syslog_ng.start(path('workers(4) worker-partition-key("$PROGRAM")', microseconds=5000))
    with endless(syslog_ng, stream, keys=lambda number: number % 50, at_once=8, per_second=500):
        found = wait_for_verdict(syslog_ng, "balanced")
    assert found["key"] is None


def test_key_bound_by_one_of_many_that_begin_alike(syslog_ng):
    stream = Stream(LONG_BEGINNING)
    syslog_ng.start(path('workers(8) worker-partition-key("$PROGRAM") prefetch(100)', microseconds=500))
    with endless(syslog_ng, stream, keys=lambda number: 0 if number % 10 < 6 else number % 1000):
        found = wait_for_verdict(syslog_ng, "key-bound")
    assert found["key"] == f"{LONG_BEGINNING}0"
    assert 0.35 < found["key_share"] < 0.75  # 0.6; on a busy machine the messages of other keys take longer


def test_key_bound_by_one_that_is_expensive(syslog_ng, stream):
    """A twentieth of the messages, but nearly all of the work."""
    options = 'workers(4) worker-partition-key("$PROGRAM")'
    config = path(options, microseconds=1000)
    syslog_ng.start(config.replace('value(".test.work")', 'value(".test.work") condition("$PROGRAM" eq "k0")'))
    with endless(syslog_ng, stream, keys=lambda number: number % 20):
        found = wait_for_verdict(syslog_ng, "key-bound")
    assert found["key"] == "k0"


def test_order_bound(syslog_ng, stream):
    options = 'workers(8) worker-partition-key("$PROGRAM") prefetch(100)'
    syslog_ng.start(path(options, microseconds=500))
    with endless(syslog_ng, stream, keys=lambda number: number % 3):
        found = wait_for_verdict(syslog_ng, "order-bound")
    assert "3 keys for 8 workers" in found["explanation"]
    assert found["effective_parallelism"] == pytest.approx(3, abs=0.6)


def test_order_bound_by_resequence(syslog_ng, stream):
    """Now and then a message takes long: a window of messages is processed behind it, and has to wait for it."""
    config = path("workers(4)", microseconds=400_000).replace("destination(d_trace)", "resequence(); destination(d_trace)")
    config = config.replace("log-iw-size(20000)", "log-iw-size(1000)")
    config = config.replace('value(".test.work")', 'value(".test.work") condition("$PROGRAM" eq "k0")')
    cheap = 'filter { "$(test-burn 20)" eq "" };'
    syslog_ng.start(config.replace("rewrite(r_work);", f"rewrite(r_work); {cheap}"))
    with endless(syslog_ng, stream, keys=lambda number: number % 400):
        found = wait_for_verdict(syslog_ng, "order-bound")
        assert "resequence()" in found["explanation"]
        distribution = syslog_ng.element()["distributions"]["resequencing"]
        assert distribution["max"] > 0.2


SLOW_DESTINATION = """
source s_small {
    network(ip("127.0.0.1") port(`port`) flags(syslog-protocol) log-iw-size(3000) max-connections(3));
};
log {
    source(s_small);
    parallelize(workers(2));
    filter { "$(test-burn 10)" eq "" };
    destination { file("`dir`/out" template("$PROGRAM $MSG$(test-burn 1000)\\n")); };
    flags(flow-control);
};
"""


def test_destination_bound(syslog_ng, stream):
    """The thread that writes the file takes a hundred times as long as a worker."""
    syslog_ng.start(SLOW_DESTINATION)
    with endless(syslog_ng, stream, keys=lambda number: number % 50):
        found = wait_for_verdict(syslog_ng, "destination-bound")
        assert "destination" in found["advice"]


def test_destination_bound_by_one_that_acknowledges_in_bulk(syslog_ng, stream):
    """Most batches find the window open, until it is used up for as long as a thousand messages take."""
    bulk = SLOW_DESTINATION.replace("$(test-burn 1000)", "$(test-work 200)").replace("\\n\"))", "\\n\") flush-lines(1000))")
    assert bulk.count("flush-lines(1000)") == bulk.count("test-work 200") == 1
    syslog_ng.start(bulk)
    with endless(syslog_ng, stream, keys=lambda number: number % 50):
        wait_for_verdict(syslog_ng, "destination-bound")


def test_fast_destination_and_a_window_that_one_batch_fills(syslog_ng, stream):
    config = "log { source(s_tcp); parallelize(workers(2)); destination(d_lines); flags(flow-control); };"
    window = "log-iw-size(100000) max-connections(10)"
    assert window in TCP_SOURCE
    syslog_ng.start(TCP_SOURCE.replace(window, "log-fetch-limit(100)") + LINES + config)
    with endless(syslog_ng, stream, keys=lambda number: number % 50):
        found = wait_for_verdict(syslog_ng, "source-bound")
        assert syslog_ng.element()["counters"]["windows"]["last_size"] == 100
    assert "costs less" in found["explanation"]


def test_destination_bound_by_one_that_takes_nothing(syslog_ng, stream):
    server = LineServer(syslog_ng.port2)
    config = """
    source s_small { network(ip("127.0.0.1") port(`port`) flags(syslog-protocol) log-iw-size(3000)
                             max-connections(3)); };
    log {
        source(s_small);
        parallelize(workers(2));
        filter { "$(test-burn 10)" eq "" };
        destination {
            network("127.0.0.1" port(`port2`) log-fifo-size(5000) template("$PROGRAM $MSG\\n") so-sndbuf(4096));
        };
        flags(flow-control);
    };
    """
    with contextlib.closing(server):
        syslog_ng.start(config)
        with endless(syslog_ng, stream, keys=lambda number: number % 50):
            wait_for_verdict(syslog_ng, "destination-bound")
            server.read()
        syslog_ng.wait_for(lambda: server.line_count() == stream.total(), "everything delivered")
    check_unordered(server.lines(), stream.sent)


def test_balanced(syslog_ng, stream):
    """260 messages a second of five milliseconds each, and of what a machine's timers add to that, for two workers."""
    syslog_ng.start(path("workers(2)", microseconds=5000))
    with endless(syslog_ng, stream, keys=lambda number: number % 50, at_once=2, per_second=260):
        found = wait_for_verdict(syslog_ng, "balanced")
    assert 0.5 <= found["utilization"] <= 0.85
    check_unordered(syslog_ng.wait_for_lines(stream.total()), stream.sent)


# A worker that is stuck

STUCK_PATH = """
options { use-rcptid(yes); };
rewrite r_hold { set("$(test-hold `dir`/hold)" value(".test.hold") condition("$PROGRAM" eq "k1")); };
log {
    source(s_tcp);
    parallelize(workers(2) worker-partition-key("$PROGRAM") id("the element"));
    rewrite(r_hold);
    destination(d_lines);
    flags(flow-control);
};
"""
STUCK = r"WARNING: a worker of parallelize\(\) is stuck on one message"
NO_LONGER_STUCK = r"A worker of parallelize\(\) has come to the end of the message"


def test_stuck_worker_is_named_with_its_message(syslog_ng, stream):
    held = Hold(syslog_ng.path("hold"))
    syslog_ng.start(TCP_SOURCE + LINES + STUCK_PATH)
    with held.held(), connect(syslog_ng.port) as connection:
        connection.sendall(stream.take([1] * 10))
        (line,) = syslog_ng.wait_for_log(STUCK)
        for part in ("key='k1'", "id='the element'", "waiting='9'", "stuck_workers='1'",
                     f"location='{syslog_ng.config_file}:"):
            assert part in line
        assert "rcptid='0'" not in line
        assert not syslog_ng.logged(NO_LONGER_STUCK)
        held.release()
        (end,) = syslog_ng.wait_for_log(NO_LONGER_STUCK)
    assert "key='k1'" in end
    assert line.split("rcptid=")[1].split(",")[0] == end.split("rcptid=")[1].split(",")[0]
    check_order(syslog_ng.wait_for_lines(10), stream.sent)
    assert len(syslog_ng.logged(STUCK)) == 1


def test_stuck_worker_behind_resequence(syslog_ng, stream):
    """What is told is the message that hangs, not the one that the worker had started before."""
    held = Hold(syslog_ng.path("hold"))
    path = STUCK_PATH.replace("rewrite(r_hold);", "filter(f_heavy); resequence(); rewrite(r_hold);")
    syslog_ng.start(TCP_SOURCE + LINES + HEAVY + path.replace("d_lines", "d_numbered") + """
    destination d_numbered { file("`dir`/out" template("$PROGRAM $MSG $RCPTID\\n")); };
    """)
    with held.held(), connect(syslog_ng.port) as connection:
        connection.sendall(stream.take([1] + [2] * 30))
        (line,) = syslog_ng.wait_for_log(STUCK)
        assert "stuck on one message after resequence(); " in line
        assert "key='unknown'" in line
        assert "resequence()" in wait_for_verdict(syslog_ng, "order-bound")["explanation"]
        held.release()
        syslog_ng.wait_for_log(NO_LONGER_STUCK)
    lines = syslog_ng.wait_for_lines(31)
    check_order(lines, stream.sent)
    number = lines[0].split()[2]
    assert lines[0].startswith("k1 ") and f"rcptid='{number}'" in line


def test_key_bound_by_one_message(syslog_ng, stream):
    """One of twenty keys hangs; its messages fill the window, until the others cannot come in any more."""
    held = Hold(syslog_ng.path("hold"))
    syslog_ng.start(SOURCE + LINES + HEAVY + STUCK_PATH.replace("rewrite(r_hold);", "filter(f_heavy); rewrite(r_hold);"))
    with held.held(), endless(syslog_ng, stream, keys=lambda number: number % 20, at_once=20, per_second=2000):
        found = wait_for_verdict(syslog_ng, "key-bound")
        assert found["key"] == "k1"
        # and when no more come in
        syslog_ng.wait_for(lambda: verdict(syslog_ng)["rate"] == 0, "a window that is full", SECONDS)
        assert verdict(syslog_ng)["class"] == "key-bound"
        held.release()


def test_workers_that_are_merely_slow_are_not_stuck(syslog_ng, stream):
    syslog_ng.start(path('workers(2) worker-partition-key("$PROGRAM")', microseconds=1_000_000))
    with connect(syslog_ng.port) as connection:
        connection.sendall(stream.take([number % 2 for number in range(16)]))
        check_order(syslog_ng.wait_for_lines(16), stream.sent)
    assert not syslog_ng.logged(STUCK)
