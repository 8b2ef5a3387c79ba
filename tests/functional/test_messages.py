# SPDX-License-Identifier: LGPL-2.1-or-later
"""A message is the same behind parallelize() as in front of it, and it is freed and acknowledged exactly once."""

import pytest

from harness.messages import FILE_SOURCE, HEAVY, LINES, TCP_SOURCE, check_order, check_unordered, in_turn
from harness.network import LineServer, connect, send_tcp

EVERYTHING = (
    "$PRI $FACILITY $LEVEL $S_UNIXTIME $S_USEC $S_TZ $R_UNIXTIME $R_USEC $R_TZ $HOST $HOST_FROM $SOURCEIP "
    "$SOURCE $PROGRAM $PID $MSGID $MSGHDR $SDATA $TAGS $RCPTID $RAWMSG ${.test.before} $MSG"
)
FRONT_AND_BEHIND = """
options { use-uniqid(yes); };
source s_rich {
    network(ip("127.0.0.1") port(`port`) flags(syslog-protocol, store-raw-message) tags("of_the_source")
            log-iw-size(10000));
};
log {
    source(s_rich);
    rewrite {
        set("value before" value(".test.before"));
        set-tag("before");
        set("other" value(".SDATA.added@32473.name"));
        set-time-zone("+03:30");
    };
    log { destination { file("`dir`/front" template("EVERYTHING\\n")); }; };
    log { PARALLELIZE filter(f_heavy); destination { file("`dir`/behind" template("EVERYTHING\\n")); }; };
};
""".replace("EVERYTHING", EVERYTHING)
RICH_MESSAGE = (
    '<{pri}>1 2023-0{month}-02T03:04:05.{number:06}+01:00 host{key} program{key} {number} id{number} '
    '[example@32473 key="value {number}" quoted="a \\"b\\" \\] \\\\"][second@32473] text {number} key{key} äöü\n'
)


@pytest.mark.parametrize(
    "parallelize",
    [
        'parallelize(workers(3) worker-partition-key("one"));',
        'parallelize(workers(3) worker-partition-key("one") prefetch(1));',
        'parallelize(workers(2) worker-partition-key("one")); parallelize(workers(2) worker-partition-key("one"));',
    ],
)
@pytest.mark.asan
def test_everything_survives_the_hop(syslog_ng, parallelize):
    syslog_ng.start(HEAVY + FRONT_AND_BEHIND.replace("PARALLELIZE", parallelize))
    messages = "".join(
        RICH_MESSAGE.format(pri=number % 190, month=1 + number % 9, number=number, key=number % 7)
        for number in range(500)
    )
    send_tcp(syslog_ng.port, messages.encode())
    behind = syslog_ng.wait_for_lines(500, "behind")
    assert behind == syslog_ng.wait_for_lines(500, "front")
    for part in ("of_the_source", "value before", "before", 'key="value 499"', "127.0.0.1", "added@32473", "äöü"):
        assert part in behind[-1]


SOLE_PATH = """
log {
    source(s_tcp);
    parallelize(workers(2));
    filter(f_heavy);
    rewrite { set("x" value(".test.x")); set-tag("y"); };
    destination(d_lines);
};
"""


def test_message_that_nobody_else_holds_is_not_cloned(syslog_ng, stream):
    syslog_ng.start(TCP_SOURCE + LINES + HEAVY + SOLE_PATH)
    send_tcp(syslog_ng.port, stream.take([1] * 1000))
    syslog_ng.wait_for_lines(1000)
    assert syslog_ng.counter("global;msg_clones;") == 0


DESTINATIONS = {
    "written": 'destination { file("`dir`/out" template("$PROGRAM $MSG\\n")); };',
    "filtered away": 'filter { not message("[0-9]"); }; destination { file("`dir`/none"); };',
    "written twice": """
        log { destination { file("`dir`/other" template("$PROGRAM $MSG\\n")); }; };
        log {
            rewrite { set("x" value(".test.x")); };
            destination { file("`dir`/out" template("$PROGRAM $MSG\\n")); };
        };
        """,
    "without a destination": "",
}
ACK_PATH = """
options { stats-level(4); };
log { source(s_tcp); PARALLELIZE DESTINATION flags(flow-control); };
"""


def windows(daemon):
    """Free and full window of the one connection, as the daemon counts them."""
    return daemon.counter(r"src\.network;.*;free_window"), daemon.counter(r"src\.network;.*;full_window")


@pytest.mark.parametrize(
    "parallelize",
    [
        "parallelize(workers(2));",
        "parallelize(workers(2)); filter(f_heavy);",
        'parallelize(workers(2) worker-partition-key("$PROGRAM") prefetch(10)); filter(f_heavy);',
    ],
    ids=["light", "heavy", "keyed"],
)
@pytest.mark.parametrize("fate", DESTINATIONS)
@pytest.mark.asan
def test_acknowledged_exactly_once_and_freed(syslog_ng, stream, fate, parallelize):
    """An ack too few leaves the window smaller, one too many makes it larger; the window is tiny beside the run."""
    source = TCP_SOURCE.replace("log-iw-size(100000)", "log-iw-size(1000)")
    path = ACK_PATH.replace("DESTINATION", DESTINATIONS[fate]).replace("PARALLELIZE", parallelize)
    syslog_ng.start(source + HEAVY + path)
    with connect(syslog_ng.port) as connection:
        connection.sendall(stream.take(in_turn(10, 5000)))
        syslog_ng.wait_for(lambda: syslog_ng.counter("center;;received;") == 5000, "all messages")
        syslog_ng.wait_for(lambda: windows(syslog_ng) == (100, 100), lambda: f"window {windows(syslog_ng)}")
    syslog_ng.wait_until_no_message_is_left()
    if fate.startswith("written"):
        check_unordered(syslog_ng.wait_for_lines(5000), stream.sent)


QUEUE_PATH = """
log {
    source(s_tcp);
    parallelize(workers(2) worker-partition-key("$PROGRAM"));
    filter(f_heavy);
    destination { network("127.0.0.1" port(`port2`) template("$PROGRAM $MSG\\n") log-fifo-size(1000) time-reopen(1)); };
    FLAGS
};
"""


def queue_counters(daemon):
    return [daemon.counter(rf"dst\.network;.*;{name}$") for name in ("processed", "queued", "dropped")]


def test_queue_with_flow_control_drops_nothing(syslog_ng, stream):
    """Nobody listens at the destination, and its queue is smaller than the window: flow control goes before size."""
    syslog_ng.start(TCP_SOURCE + HEAVY + QUEUE_PATH.replace("FLAGS", "flags(flow-control);"))
    send_tcp(syslog_ng.port, stream.take(in_turn(10, 5000)))
    syslog_ng.wait_for(lambda: queue_counters(syslog_ng)[0] == 5000, lambda: f"counters {queue_counters(syslog_ng)}")
    assert queue_counters(syslog_ng) == [5000, 5000, 0]

    server = LineServer(syslog_ng.port2)
    server.read()
    syslog_ng.wait_for(lambda: server.line_count() == 5000, lambda: f"lines at the server: {server.line_count()}")
    check_order(server.lines(), stream.sent)
    server.close()


def test_queue_without_flow_control_drops_as_ever(syslog_ng, stream):
    """What the queue does not take is dropped and counted, and the source goes on."""
    syslog_ng.start(TCP_SOURCE + HEAVY + QUEUE_PATH.replace("FLAGS", ""))
    send_tcp(syslog_ng.port, stream.take(in_turn(10, 5000)))
    syslog_ng.wait_for(lambda: queue_counters(syslog_ng)[0] == 5000, lambda: f"counters {queue_counters(syslog_ng)}")
    assert queue_counters(syslog_ng) == [5000, 1000, 4000]


def test_file_source_is_acknowledged_in_order(syslog_ng, stream):
    """The bookmark of a file source follows the acks: after a restart it reads on where it was, not again."""
    path = """
    log {
        source(s_file);
        parallelize(workers(4) worker-partition-key("$PROGRAM"));
        filter(f_heavy);
        destination(d_lines);
        flags(flow-control);
    };
    """
    file = syslog_ng.path("in")
    file.write_bytes(stream.take(in_turn(50, 20_000)))
    syslog_ng.start(FILE_SOURCE + LINES + HEAVY + path)
    syslog_ng.wait_for_lines(20_000)
    syslog_ng.stop()
    with file.open("ab") as appended:
        appended.write(stream.take(in_turn(50, 1000)))
    syslog_ng.start()
    check_order(syslog_ng.wait_for_lines(21_000), stream.sent)
