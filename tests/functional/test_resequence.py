# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Behind resequence() messages leave in the order in which they came, whatever happened to them in between.

One connection's messages are numbered; its output must be what it would have been without parallel processing, byte by
byte.
"""

import re
from collections import Counter
from contextlib import ExitStack

import pytest

from harness.messages import FILE_SOURCE, LINES, TCP_SOURCE, Stream, check_order, in_turn, zipf
from harness.network import BackgroundSender, LineServer, send_tcp
from harness.trace import Hold
from harness.waiting import poll

COUNT = 60_000
KEY = 'worker-partition-key("$PROGRAM")'
# Takes a random time that a worker has to be used for.
RANDOM = """
filter f_random { "$(test-burn-up-to 40)" eq "" };
filter f_most { "$(% $MSG 3)" ne "0" };
filter f_low { program("k[0-4]") };
"""
BASE = TCP_SOURCE + LINES + RANDOM


def path(elements, flags="flags(flow-control);"):
    return f"log {{ source(s_tcp); {elements} destination(d_lines); {flags} }};"


def expected(keys, keep=lambda key, number: True):
    """The lines of an output that is in the order of the messages, of which some are kept."""
    numbers = Counter()
    lines = []
    for key in keys:
        number = numbers[key]
        numbers[key] += 1
        if keep(f"k{key}", number):
            lines.append(f"k{key} {number}")
    return lines


def check_same(lines, wanted):
    if lines == wanted:
        return
    first = next((i for i, (a, b) in enumerate(zip(lines, wanted)) if a != b), min(len(lines), len(wanted)))
    raise AssertionError(
        f"{len(lines)} lines, {len(wanted)} wanted; the first difference is in line {first}:\n"
        f"{lines[first:first + 5]} instead of {wanted[first:first + 5]}"
    )


def parked(daemon):
    """How many messages wait at resequence()."""
    return daemon.element()["counters"]["parked"]


def run(daemon, stream, config, keys=None, wanted=None, name="out"):
    keys = in_turn(10, COUNT) if keys is None else keys
    wanted = expected(keys) if wanted is None else wanted
    daemon.start(BASE + config)
    with BackgroundSender(daemon.port, stream.chunks(keys)):
        pass
    lines = daemon.wait_for_lines(len(wanted), name)
    daemon.wait_until_no_message_is_left()
    check_same(daemon.lines(name), wanted)
    return lines


# 1. Order


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("key", ["", KEY], ids=["round-robin", "keyed"])
@pytest.mark.asan
def test_order_of_arrival(syslog_ng, stream, key, workers):
    run(syslog_ng, stream, path(f"parallelize(workers({workers}) {key}); filter(f_random); resequence();"))


@pytest.mark.parametrize("key", ["", KEY], ids=["round-robin", "keyed"])
@pytest.mark.parametrize("prefetch", [1, 20, 500])
def test_order_when_the_source_helps(syslog_ng, stream, key, prefetch):
    run(
        syslog_ng,
        stream,
        path(f"parallelize(workers(2) prefetch({prefetch}) {key}); filter(f_random); resequence();"),
        zipf(50, COUNT),
    )


@pytest.mark.parametrize("key", ["", KEY], ids=["round-robin", "keyed"])
@pytest.mark.asan
def test_order_of_cheap_messages(syslog_ng, stream, key):
    """Too cheap to be handed over: the source's thread forwards them."""
    run(syslog_ng, stream, path(f"parallelize(workers(2) {key}); resequence();"), in_turn(10, 200_000))


@pytest.mark.parametrize("cost", ["filter(f_random);", ""], ids=["random", "cheap"])
@pytest.mark.parametrize("key", ["", KEY], ids=["round-robin", "keyed"])
@pytest.mark.asan
def test_order_of_each_of_several_connections(syslog_ng, key, cost):
    streams = [Stream(prefix) for prefix in ("a", "b", "c")]
    syslog_ng.start(BASE + path(f"parallelize(workers(3) {key}); {cost} resequence();"))
    with ExitStack() as senders:
        for stream in streams:
            # one key for each connection: its numbers are the order of arrival
            senders.enter_context(BackgroundSender(syslog_ng.port, stream.chunks([0] * COUNT)))
    check_order(syslog_ng.wait_for_lines(3 * COUNT), sum((stream.sent for stream in streams), start=Counter()))


def test_order_through_a_network_destination(syslog_ng, stream):
    server = LineServer(syslog_ng.port2)
    server.read()
    keys = in_turn(10, COUNT)
    syslog_ng.start(BASE + """
    log {
        source(s_tcp);
        parallelize(workers(3)); filter(f_random); resequence();
        destination { network("127.0.0.1" port(`port2`) template("$PROGRAM $MSG\\n")); };
        flags(flow-control);
    };
    """)
    with BackgroundSender(syslog_ng.port, stream.chunks(keys)):
        pass
    syslog_ng.wait_for(lambda: server.line_count() >= COUNT, "all messages")
    check_same(server.lines(), expected(keys))
    server.close()


@pytest.mark.parametrize("reliable", ["yes", "no"])
def test_order_through_a_disk_buffer(syslog_ng, stream, reliable):
    server = LineServer(syslog_ng.port2)
    server.read()
    keys = in_turn(10, 20_000)
    syslog_ng.start(BASE + f"""
    log {{
        source(s_tcp);
        parallelize(workers(3)); filter(f_random); resequence();
        destination {{
            network("127.0.0.1" port(`port2`) template("$PROGRAM $MSG\\n")
                    disk-buffer(reliable({reliable}) dir("`dir`") disk-buf-size(100000000) mem-buf-size(10000000)
                                mem-buf-length(100000)));
        }};
        flags(flow-control);
    }};
    """)
    with BackgroundSender(syslog_ng.port, stream.chunks(keys)):
        pass
    syslog_ng.wait_for(lambda: server.line_count() >= len(keys), "all messages")
    check_same(server.lines(), expected(keys))
    server.close()


def test_order_through_a_program(syslog_ng, stream):
    keys = in_turn(10, COUNT)
    syslog_ng.start(BASE + """
    log {
        source(s_tcp);
        parallelize(workers(3)); filter(f_random); resequence();
        destination { program("cat >>`dir`/out" template("$PROGRAM $MSG\\n")); };
        flags(flow-control);
    };
    """)
    with BackgroundSender(syslog_ng.port, stream.chunks(keys)):
        pass
    check_same(syslog_ng.wait_for_lines(COUNT), expected(keys))


# 2. Gaps


@pytest.mark.asan
def test_a_filter_that_drops_a_third(syslog_ng, stream):
    keys = in_turn(10, COUNT)
    wanted = expected(keys, lambda key, number: number % 3 > 0)
    run(syslog_ng, stream, path("parallelize(workers(3)); filter(f_random); filter(f_most); resequence();"),
        keys, wanted)


def test_messages_that_are_all_dropped_but_the_last(syslog_ng, stream):
    """What never comes neither holds up anything nor costs memory."""
    keys = [5] * COUNT + [0]
    run(syslog_ng, stream, path("parallelize(workers(2)); filter(f_random); filter(f_low); resequence();"),
        keys, ["k0 0"])


@pytest.mark.asan
def test_other_branch_and_final(syslog_ng, stream):
    keys = in_turn(10, COUNT)
    run(
        syslog_ng,
        stream,
        """
        log {
            source(s_tcp);
            parallelize(workers(3));
            filter(f_random);
            log { filter(f_low); destination { file("`dir`/low" template("$PROGRAM $MSG\\n")); }; flags(final); };
            log { resequence(); destination(d_lines); };
            flags(flow-control);
        };
        """,
        keys,
        expected(keys, lambda key, number: key > "k4"),
    )
    assert len(syslog_ng.lines("low")) == COUNT // 2


@pytest.mark.asan
def test_copies_leave_at_their_ticket_in_the_order_of_the_branches(syslog_ng, stream):
    keys = in_turn(10, COUNT // 3)
    lines = [line for line in expected(keys) for _ in range(3)]
    run(
        syslog_ng,
        stream,
        """
        log {
            source(s_tcp);
            parallelize(workers(3));
            junction {
                channel { rewrite { set("first" value(".test.branch")); }; filter(f_random); };
                channel { filter(f_random); rewrite { set("second" value(".test.branch")); }; };
                channel { filter(f_random); };
            };
            resequence();
            destination { file("`dir`/out" template("$PROGRAM $MSG ${.test.branch}\\n")); };
            flags(flow-control);
        };
        """,
        keys,
        [f"{line} {('first', 'second', '')[number % 3]}" for number, line in enumerate(lines)],
    )


@pytest.mark.asan
def test_copies_that_other_threads_write_as_well(syslog_ng, stream):
    """The message that waits is still used by the branches beside."""
    keys = in_turn(10, COUNT // 3)
    run(
        syslog_ng,
        stream,
        """
        log {
            source(s_tcp);
            parallelize(workers(3));
            junction {
                channel { filter(f_random); };
                channel { destination { file("`dir`/beside1" template("$PROGRAM $MSG\\n")); }; filter { program("none"); }; };
                channel { destination { file("`dir`/beside2" template("$PROGRAM $MSG\\n")); }; filter { program("none"); }; };
            };
            resequence();
            destination(d_lines);
            destination { file("`dir`/again" template("$PROGRAM $MSG\\n")); };
            flags(flow-control);
        };
        """,
        keys,
    )
    check_same(syslog_ng.wait_for_lines(len(keys), "again"), expected(keys))
    for name in ("beside1", "beside2"):
        assert sorted(syslog_ng.wait_for_lines(len(keys), name)) == sorted(expected(keys))


@pytest.mark.asan
def test_a_stateful_parser_that_makes_messages(syslog_ng, stream):
    keys = in_turn(10, 20_000)
    syslog_ng.start(BASE + """
    parser p_group {
        grouping-by(
            key("$PROGRAM") scope("global") timeout(60)
            trigger("${MSG}" eq "1999")
            aggregate(value("MESSAGE" "$PROGRAM") value("PROGRAM" "group"))
        );
    };
    log {
        source(s_tcp);
        parallelize(workers(3) worker-partition-key("$PROGRAM"));
        filter(f_random); parser(p_group); resequence();
        destination(d_lines);
        flags(flow-control);
    };
    """)
    with BackgroundSender(syslog_ng.port, stream.chunks(keys)):
        pass
    lines = syslog_ng.wait_for_lines(len(keys) + 10)
    check_same([line for line in lines if not line.startswith("group")], expected(keys))
    assert sorted(line for line in lines if line.startswith("group")) == [f"group k{key}" for key in range(10)]


@pytest.mark.asan
def test_a_parser_that_rejects_messages(syslog_ng, stream):
    keys = in_turn(10, COUNT)
    run(
        syslog_ng,
        stream,
        path("""
            parallelize(workers(3));
            filter(f_random);
            parser { regexp-parser(patterns("(?<digit>[369])$") prefix(".test.")); };
            resequence();
        """),
        keys,
        expected(keys, lambda key, number: number % 10 in (3, 6, 9)),
    )


def swallowing_path(held, timeout, trigger=""):
    path = SWALLOWING_PATH.replace("HELD", held)
    return LINES + path.replace("TIMEOUT", str(timeout)).replace("TRIGGER", trigger)


SWALLOWING_PATH = """
source s_small {
    network(ip("127.0.0.1") port(`port`) flags(syslog-protocol) log-iw-size(1000) max-connections(1));
};
filter f_hold { "$(if ('$PROGRAM $MSG' eq 'HELD') $(test-hold `dir`/hold) '')" eq "" };
parser p_group {
    grouping-by(
        key("$PROGRAM $MSG") scope("global") timeout(TIMEOUT) inject-mode("aggregate-only") TRIGGER
        aggregate(value("MESSAGE" "$MSG") value("PROGRAM" "$PROGRAM"))
    );
};
log {
    source(s_small);
    parallelize(workers(3) id("the element"));
    filter(f_hold);
    if (program("k[0-4]")) { parser(p_group); };
    resequence();
    destination(d_lines);
    flags(flow-control);
};
"""


@pytest.mark.asan
def test_a_parser_that_swallows_messages(syslog_ng, stream):
    """What has been swallowed is done with; what is made of it belongs to no window, and waits for nobody."""
    hold = Hold(syslog_ng.path("hold"))
    syslog_ng.start(swallowing_path(held="k0 0", timeout=60, trigger='trigger("1" eq "1")'))
    swallowed = in_turn(5, 30_000)
    waiting = [5 + key for key in in_turn(5, 500)]
    with hold.held():
        with BackgroundSender(syslog_ng.port, stream.chunks(swallowed)):
            syslog_ng.wait_for(hold.waiting, "a message that is held")
            lines = syslog_ng.wait_for_lines(len(swallowed) - 1)
            assert parked(syslog_ng) == 0
            send_tcp(syslog_ng.port, stream.take(waiting))
            syslog_ng.wait_for(lambda: parked(syslog_ng) == len(waiting), "messages that wait")
        assert sorted(lines + ["k0 0"]) == sorted(expected(swallowed))
        assert len(syslog_ng.lines()) == len(lines)
    lines = syslog_ng.wait_for_lines(len(swallowed) + len(waiting))
    check_same([line for line in lines if line[:2] >= "k5"], expected(waiting))


@pytest.mark.asan
def test_messages_that_a_parser_makes_on_a_timer(syslog_ng, stream):
    hold = Hold(syslog_ng.path("hold"))
    syslog_ng.start(swallowing_path(held="k5 0", timeout=1))
    with hold.held():
        send_tcp(syslog_ng.port, stream.take([5] + [1, 2] * 10))
        syslog_ng.wait_for(hold.waiting, "a message that is held")
        assert sorted(syslog_ng.wait_for_lines(20)) == sorted(expected([1, 2] * 10))
    assert syslog_ng.wait_for_lines(21)[20] == "k5 0"


def test_messages_of_another_source_pass(syslog_ng):
    """A message that has not come through the parallelize() waits for nobody."""
    hold = Hold(syslog_ng.path("hold"))
    syslog_ng.start(BASE + """
    source s_other { network(ip("127.0.0.1") port(`port2`) flags(syslog-protocol)); };
    parser p_order { resequence(); };
    filter f_hold { "$(test-hold `dir`/hold)" eq "" };
    log {
        junction {
            channel { source(s_tcp); };
            channel { source(s_other); };
        };
        if (program("held")) {
            parallelize(workers(2));
            filter(f_hold);
        };
        parser(p_order);
        destination(d_lines);
        flags(flow-control);
    };
    """)
    other = Stream("other")
    with hold.held():
        send_tcp(syslog_ng.port, b"<13>1 2024-01-01T00:00:00Z host held - - - 0\n")
        syslog_ng.wait_for(hold.waiting, "a message that is held")
        send_tcp(syslog_ng.port2, other.take([0] * 100))
        check_order(syslog_ng.wait_for_lines(100), other.sent)
    assert syslog_ng.wait_for_lines(101)[100] == "held 0"


@pytest.mark.asan
def test_messages_that_have_come_by_the_outer_one(syslog_ng):
    """Whatever their threads were in the middle of: they have no ticket of it, and keep their own order."""
    streams = [Stream(prefix) for prefix in ("in", "by")]
    syslog_ng.start(BASE + path("""
        junction {
            channel { filter { program("in.*") }; parallelize(workers(2) prefetch(1)); filter(f_random); };
            channel { filter { program("by.*") }; };
        };
        parallelize(workers(2) prefetch(1));
        filter(f_random);
        resequence();
        resequence();
    """))
    with ExitStack() as senders:
        for stream in streams:
            senders.enter_context(BackgroundSender(syslog_ng.port, stream.chunks([0] * COUNT)))
    check_order(syslog_ng.wait_for_lines(2 * COUNT), sum((stream.sent for stream in streams), start=Counter()))


# 3. Bounded


# Worth a hand-over, and the source's thread does not help: it may not be the one to be held.
UNHELPED = "parallelize(workers(3) prefetch(100000));"


@pytest.mark.parametrize(
    "elements",
    [UNHELPED, UNHELPED + " parallelize(workers(0)); resequence();"],
    ids=["one", "behind an inner one that is off"],
)
@pytest.mark.asan
def test_one_slow_message_holds_up_what_comes_later_and_nothing_else(syslog_ng, stream, elements):
    """Workers go on until the window is full: what waits is processed already when the slow one gets on."""
    hold = Hold(syslog_ng.path("hold"))
    window = 5_000
    syslog_ng.start(LINES + f"""
    source s_small {{
        network(ip("127.0.0.1") port(`port`) flags(syslog-protocol) log-iw-size({window}) max-connections(1));
    }};
    filter f_hold {{ "$(if ('$MSG' eq '100') $(test-hold `dir`/hold) '')$(test-burn 20)" eq "" }};
    log {{
        source(s_small);
        {elements}
        filter(f_hold);
        destination {{ file("`dir`/processed" template("$PROGRAM $MSG\\n")); }};
        resequence();
        destination(d_lines);
        flags(flow-control);
    }};
    """)
    keys = [0] * 3 * window
    with hold.held():
        with BackgroundSender(syslog_ng.port, stream.chunks(keys)):
            # what its worker has collected before it in a slice of two milliseconds is still there
            syslog_ng.wait_for(lambda: len(syslog_ng.lines("processed")) >= window - 200, "a full window")
            assert len(syslog_ng.lines("processed")) <= window + 100
            assert len(syslog_ng.lines()) <= 100
            hold.release()
    check_same(syslog_ng.wait_for_lines(len(keys)), expected(keys))


def test_a_slow_message_in_front_of_the_inner_one_of_two(syslog_ng, stream):
    """It has no ticket of the inner one yet, and its worker keeps nothing that others need."""
    hold = Hold(syslog_ng.path("hold"))
    syslog_ng.start(BASE + path("""
        UNHELPED
        filter { "$(if ('$MSG' eq '3000') $(test-hold `dir`/hold) '')$(test-burn 20)" eq "" };
        parallelize(workers(2));
        resequence();
    """.replace("UNHELPED", UNHELPED)))
    keys = [0] * 20_000
    with hold.held():
        with BackgroundSender(syslog_ng.port, stream.chunks(keys)):
            syslog_ng.wait_for(hold.waiting, "a message that is held")
            # what its worker has collected before it in a slice of two milliseconds is still there
            syslog_ng.wait_for_lines(len(keys) - 200)
    assert sorted(syslog_ng.wait_for_lines(len(keys))) == sorted(expected(keys))


# 4. Composition

TWO = "parallelize(workers(2));"
COMPOSITIONS = {
    "nested": path(f"{TWO} filter(f_random); {TWO} filter(f_random); resequence(); filter(f_random); resequence();"),
    "nested, the inner one with a key": path(
        f"{TWO} filter(f_random); parallelize(workers(2) {KEY}); filter(f_random); resequence(); resequence();"
    ),
    "nested, the outer one only": path(
        f"{TWO} junction {{ channel {{ parallelize(workers(2) {KEY}); filter(f_random); resequence(); }}; }}; resequence();"
    ),
    "one after the other": path(f"{TWO} filter(f_random); resequence(); {TWO} filter(f_random); resequence();"),
    "twice": path(f"{TWO} filter(f_random); resequence(); resequence();"),
    "the inner one of two": path(
        f"""
        parallelize(workers(2) worker-partition-key("the same for all"));
        {TWO} filter(f_random); resequence();
        """
    ),
    "branches with an inner one each": path(
        f"""
        {TWO}
        if (program("k[0-4]")) {{ {TWO} filter(f_random); }} else {{ filter(f_random); }};
        resequence();
        resequence();
        """
    ),
    "a junction of inner ones": path(
        f"""
        parallelize(workers(3));
        junction {{
            channel {{ filter(f_low); {TWO} filter(f_random); resequence(); }};
            channel {{ filter {{ not filter(f_low) }}; parallelize(workers(2) {KEY}); filter(f_random); resequence(); }};
        }};
        resequence();
        """
    ),
    "within a channel": path(f"junction {{ channel {{ {TWO} filter(f_random); resequence(); }}; }};"),
    "within a block": "block log ordered() { parallelize(workers(2)); filter(f_random); resequence(); };"
    + path("ordered();"),
    "off": path("parallelize(workers(0)); filter(f_random); resequence();"),
    "a parallelize() on each branch before it": path(
        f"if (program('k[0-4]')) {{ {TWO} }} else {{ {TWO} filter {{ program('none') }}; }}; filter(f_random); resequence();"
    ),
}
LOW_ONLY = ("a parallelize() on each branch before it",)
# The order of the outer one is restored only where nothing has passed by it.
BY_BRANCH = ("branches with an inner one each",)


@pytest.mark.parametrize("name", COMPOSITIONS)
@pytest.mark.asan
def test_composition(syslog_ng, stream, name):
    keys = in_turn(10, COUNT // 2)
    if name in LOW_ONLY:
        run(syslog_ng, stream, COMPOSITIONS[name], keys, expected(keys, lambda key, _: key < "k5"))
    elif name in BY_BRANCH:
        syslog_ng.start(BASE + COMPOSITIONS[name])
        with BackgroundSender(syslog_ng.port, stream.chunks(keys)):
            pass
        check_order(syslog_ng.wait_for_lines(len(keys)), stream.sent)
    else:
        run(syslog_ng, stream, COMPOSITIONS[name], keys)


@pytest.mark.asan
def test_in_branches_of_one_parallelize(syslog_ng, stream):
    keys = in_turn(10, COUNT)
    low = expected(keys, lambda key, _: key < "k5")
    run(
        syslog_ng,
        stream,
        """
        log {
            source(s_tcp);
            parallelize(workers(3));
            filter(f_random);
            if (program("k[0-4]")) {
                resequence();
                destination { file("`dir`/low" template("$PROGRAM $MSG\\n")); };
            } else {
                filter(f_random);
                resequence();
                destination(d_lines);
            };
            flags(flow-control);
        };
        """,
        keys,
        expected(keys, lambda key, _: key > "k4"),
    )
    check_same(syslog_ng.wait_for_lines(len(low), "low"), low)


@pytest.mark.asan
def test_each_branch_has_one(syslog_ng, stream):
    """The same message waits in all of them, and may leave them on different threads at the same time."""
    keys = in_turn(10, 3 * COUNT)
    names = ("out", *(f"branch{number}" for number in range(7)))
    branches = "".join(
        f"""log {{
            resequence();
            destination {{ file("`dir`/{name}" template("$PROGRAM $MSG\\n")); }};
        }};"""
        for name in names
    )
    run(
        syslog_ng,
        stream,
        f"log {{ source(s_tcp); parallelize(workers(4)); filter {{ '$(test-burn 3)' eq '' }}; {branches} flags(flow-control); }};",
        keys,
    )
    for name in names:
        check_same(syslog_ng.wait_for_lines(len(keys), name), expected(keys))


@pytest.mark.asan
def test_in_a_named_parser_that_is_used_twice(syslog_ng, stream):
    keys = in_turn(10, COUNT)
    run(
        syslog_ng,
        stream,
        """
        parser p_parallel { parallelize(workers(2)); };
        parser p_ordered { resequence(); };
        log { source(s_tcp); parser(p_parallel); filter(f_random); parser(p_ordered); destination(d_lines);
              flags(flow-control); };
        log { source(s_tcp); parser(p_parallel); filter(f_random); filter(f_low); parser(p_ordered);
              destination { file("`dir`/low" template("$PROGRAM $MSG\\n")); }; flags(flow-control); };
        """,
        keys,
    )
    low = expected(keys, lambda key, _: key < "k5")
    check_same(syslog_ng.wait_for_lines(len(low), "low"), low)


def test_in_a_destination_behind_two_parallelize(syslog_ng, stream):
    """One resequence() orders what comes from each."""
    keys = in_turn(10, COUNT)
    syslog_ng.start(BASE + """
    destination d_ordered {
        channel { resequence(); destination { file("`dir`/out" template("$PROGRAM $MSG\\n")); }; };
    };
    log { source(s_tcp); filter(f_low); parallelize(workers(2)); filter(f_random); destination(d_ordered); };
    log { source(s_tcp); filter { not filter(f_low) }; parallelize(workers(2)); filter(f_random); destination(d_ordered); };
    """)
    with BackgroundSender(syslog_ng.port, stream.chunks(keys)):
        pass
    lines = syslog_ng.wait_for_lines(len(keys))
    check_same([line for line in lines if line < "k5"], expected(keys, lambda key, _: key < "k5"))
    check_same([line for line in lines if line > "k5"], expected(keys, lambda key, _: key > "k4"))


def test_messages_keep_what_they_carry(syslog_ng):
    syslog_ng.start(BASE + """
    log {
        source(s_tcp);
        parallelize(workers(2));
        filter(f_random);
        rewrite { set("$MSG again" value(".test.value")); set-tag("seen"); };
        resequence();
        destination { file("`dir`/out" template("$MSG ${.test.value} $TAGS $SOURCEIP ${.SDATA.id@1.name}\\n")); };
        flags(flow-control);
    };
    """)
    send_tcp(syslog_ng.port, b"".join(
        b'<13>1 2024-01-01T00:00:00Z host k - - [id@1 name="v%d"] %d\n' % (number, number) for number in range(1000)
    ))
    for number, line in enumerate(syslog_ng.wait_for_lines(1000)):
        assert re.fullmatch(rf"{number} {number} again \S*seen\S* 127\.0\.0\.1 v{number}", line), line


# What is wrong

WRONG_PATHS = {
    "no parallelize()": "log {\n  source(s_tcp);\n  resequence();\n  destination(d_lines);\n};\n",
    "parallelize() behind": "log {\n  source(s_tcp);\n  resequence();\n  parallelize(workers(2));\n};\n",
    "parallelize() in another branch": (
        "log {\n  source(s_tcp);\n"
        "  log { parallelize(workers(2)); destination(d_lines); }; log {\n"
        "    resequence();\n  };\n};\n"
    ),
}


@pytest.mark.parametrize("name", WRONG_PATHS)
def test_without_a_parallelize_before_it_the_daemon_does_not_start(syslog_ng, name):
    syslog_ng.launch(BASE + WRONG_PATHS[name])
    assert syslog_ng.wait_for_exit() != 0
    text = syslog_ng.head() + BASE + WRONG_PATHS[name]
    line = text[: text.index("resequence()")].count("\n") + 1
    assert syslog_ng.logged(
        rf"resequence\(\) without a parallelize\(\) of this module before it; location='{re.escape(str(syslog_ng.config_file))}:{line}:"
    ), syslog_ng.log()


def test_a_wrong_reload_keeps_the_configuration(syslog_ng, stream):
    keys = in_turn(10, COUNT)
    wrong = "log { source(s_file); resequence(); destination(d_lines); };"
    syslog_ng.path("in").write_bytes(stream.take(keys))
    syslog_ng.start(FILE_SOURCE + BASE + path("parallelize(workers(2)); filter(f_random); resequence();").replace("s_tcp", "s_file"))
    for reverts in range(1, 4):
        syslog_ng.wait_for_lines(reverts * COUNT // 10)
        syslog_ng.reload(FILE_SOURCE + BASE + wrong)
        syslog_ng.wait_for(lambda: len(syslog_ng.logged("reverting to old config")) == reverts, "the old configuration")
    check_same(syslog_ng.wait_for_lines(COUNT), expected(keys))


@pytest.mark.parametrize("wrong", ["workers(2)", "yes", "1"])
@pytest.mark.parametrize("place", ["%s", "parser { %s };"])
def test_it_has_no_options(syslog_ng, wrong, place):
    config = BASE + path("parallelize(workers(2));\n " + place % f"resequence({wrong});")
    checked = syslog_ng.check_syntax(config)
    assert checked.returncode == 1
    line = (syslog_ng.head() + config).split("resequence(")[0].count("\n") + 1
    assert f"{syslog_ng.config_file}:{line}:" in checked.stdout


# 5. Life cycle

MILLION = 1_000_000
RELOAD_EVERY_SECONDS = 0.2


def write_a_million(daemon, elements, output, size, reloads=False):
    """Waits until the output has so many bytes. Returns how often the daemon was reloaded meanwhile."""
    config = TCP_SOURCE + RANDOM + f"""
    filter f_fast_random {{ "$(test-burn-up-to 10)" eq "" }};
    log {{
        source(s_tcp);
        {elements}
        destination {{ file("`dir`/{output}" template("$PROGRAM $MSG\\n")); }};
        flags(flow-control);
    }};
    """
    daemon.start(config)
    count = 0
    with BackgroundSender(daemon.port, Stream().chunks(in_turn(10, MILLION))) as sender:
        while reloads and sender.sending():
            poll(lambda: not sender.sending(), RELOAD_EVERY_SECONDS)
            assert daemon.reload()
            count += 1
    daemon.wait_for(lambda: daemon.path(output).stat().st_size >= size, "the last line", seconds=90)
    daemon.wait_until_no_message_is_left()
    daemon.stop()
    return count


@pytest.mark.timeout(400)
@pytest.mark.parametrize("reloads", [False, True], ids=["no-reload", "reloads"])
def test_a_million_messages_as_in_a_sequential_run(syslog_ng, reloads):
    lines = expected(in_turn(10, MILLION), lambda key, number: number % 3 > 0)
    size = sum(len(line) + 1 for line in lines)
    write_a_million(syslog_ng, "filter(f_most);", "sequential", size)
    parallel = "parallelize(workers(2)); filter(f_fast_random); filter(f_most); resequence();"
    assert write_a_million(syslog_ng, parallel, "parallel", size, reloads) >= 5 * reloads
    assert syslog_ng.lines("sequential") == lines
    assert syslog_ng.path("parallel").read_bytes() == syslog_ng.path("sequential").read_bytes()


@pytest.mark.parametrize("key", ["", KEY], ids=["round-robin", "keyed"])
@pytest.mark.asan
def test_reload_storm(syslog_ng, stream, key):
    keys = in_turn(10, 2 * COUNT)
    config = BASE + path(f"parallelize(workers(2) {key}); filter(f_random); filter(f_most); resequence();")
    syslog_ng.start(config)
    reloads = 0
    with BackgroundSender(syslog_ng.port, stream.chunks(keys)) as sender:
        while sender.sending():
            assert syslog_ng.reload(config)
            reloads += 1
    assert reloads > 2
    wanted = expected(keys, lambda key, number: number % 3 > 0)
    check_same(syslog_ng.wait_for_lines(len(wanted)), wanted)


@pytest.mark.parametrize("nested", [False, True], ids=["simple", "nested"])
@pytest.mark.asan
def test_stop_drains_what_waits_in_order(syslog_ng, stream, nested):
    keys = in_turn(10, 3000)
    inner = "parallelize(workers(2)); rewrite { set('$(test-work 500)' value('.test.work')); };"
    syslog_ng.start(
        BASE
        + path(
            f"""
            parallelize(workers(4) prefetch(100000)); rewrite {{ set("$(test-work 1000)" value(".test.work")); }};
            {inner if nested else ''} {'resequence();' if nested else ''} resequence();
            """,
            flags="",
        )
    )
    send_tcp(syslog_ng.port, stream.take(keys))
    syslog_ng.wait_for(lambda: syslog_ng.counter("center;;received;") == len(keys), "all messages")
    assert len(syslog_ng.lines()) < len(keys)
    syslog_ng.stop()
    check_same(syslog_ng.lines(), expected(keys))
