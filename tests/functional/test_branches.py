# SPDX-License-Identifier: LGPL-2.1-or-later
"""Branches that share a message and process it at the same time do not touch each other's."""

import pytest

from harness.messages import HEAVY, TCP_SOURCE, check_order, check_unordered, in_turn, zipf
from harness.network import BackgroundSender

BRANCH = """
    log {
        PARALLELIZE
        filter(f_heavy);
        rewrite { set("NAME $MSG" value(".test.branch")); set-tag("NAME"); };
        log { destination { file("`dir`/NAME1" template("$PROGRAM $MSG ${.test.branch} $TAGS\\n")); }; };
        log {
            rewrite { set("again NAME $MSG" value(".test.branch")); };
            destination { file("`dir`/NAME2" template("$PROGRAM $MSG ${.test.branch} $TAGS\\n")); };
            destination { file("`dir`/NAME3" template("$PROGRAM $MSG ${.test.branch} $TAGS\\n")); };
        };
    };
"""


def branch(name, parallelize):
    return BRANCH.replace("NAME", name).replace("PARALLELIZE", parallelize)


def check_branch(daemon, sent, name, other):
    for number, text in ((1, ""), (2, "again "), (3, "again ")):
        lines = daemon.wait_for_lines(sent.total(), f"{name}{number}")
        check_order(lines, sent)
        for line in lines:
            key, seq, rest = line.split(" ", 2)
            value, tags = rest.rsplit(" ", 1)
            assert value == f"{text}{name} {seq}"
            assert name in tags.split(",") and other not in tags.split(",")


@pytest.mark.parametrize("workers", [2, 8])
@pytest.mark.parametrize("keys", [in_turn, zipf])
@pytest.mark.asan
def test_two_parallelized_branches_with_three_destinations_each(syslog_ng, stream, keys, workers):
    element = f'parallelize(workers({workers}) worker-partition-key("$PROGRAM"));'
    path = "log { source(s_tcp); " + branch("left", element) + branch("right", element) + "flags(flow-control); };"
    syslog_ng.start(TCP_SOURCE + HEAVY + path)
    with BackgroundSender(syslog_ng.port, stream.chunks(keys(100, 10_000))):
        pass
    check_branch(syslog_ng, stream.sent, "left", "right")
    check_branch(syslog_ng, stream.sent, "right", "left")


UNTOUCHED = """
    log {
        PARALLELIZE
        filter(f_heavy);
        destination { file("`dir`/NAME1" template("$PROGRAM $MSG\\n")); };
        destination { file("`dir`/NAME2" template("$PROGRAM $MSG\\n")); };
        destination { file("`dir`/NAME3" template("$PROGRAM $MSG\\n")); };
    };
"""


@pytest.mark.parametrize("beside", ["", 'parallelize(workers(2) worker-partition-key("$PROGRAM"));'])
@pytest.mark.asan
def test_branches_that_only_write(syslog_ng, stream, beside):
    """
    No rewrite makes the message a branch's own, and two threads may not put the same one into queues.

    So nearly each is cloned; the few whose other branch has ended before need not be.
    """
    element = 'parallelize(workers(2) worker-partition-key("$PROGRAM"));'
    left = UNTOUCHED.replace("NAME", "left").replace("PARALLELIZE", element)
    right = UNTOUCHED.replace("NAME", "right").replace("PARALLELIZE", beside)
    syslog_ng.start(TCP_SOURCE + HEAVY + "log { source(s_tcp); " + left + right + "flags(flow-control); };")
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(100, 20_000))):
        pass
    for name in ("left1", "left2", "left3", "right1", "right2", "right3"):
        check_order(syslog_ng.wait_for_lines(stream.total(), name), stream.sent)
    assert syslog_ng.counter("global;msg_clones;") > 0.9 * stream.total()


@pytest.mark.asan
def test_branch_beside_a_plain_one(syslog_ng, stream):
    """The plain branch goes on using the message on the thread of the source while a worker has it."""
    element = 'parallelize(workers(4) worker-partition-key("$PROGRAM"));'
    path = "log { source(s_tcp); " + branch("left", element) + branch("right", "") + "flags(flow-control); };"
    syslog_ng.start(TCP_SOURCE + HEAVY + path)
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(100, 10_000))):
        pass
    check_branch(syslog_ng, stream.sent, "left", "right")
    check_branch(syslog_ng, stream.sent, "right", "left")


@pytest.mark.asan
def test_parallelized_branches_behind_an_element(syslog_ng, stream):
    element = 'parallelize(workers(2) worker-partition-key("$PROGRAM"));'
    branches = branch("left", element) + branch("right", element)
    syslog_ng.start(TCP_SOURCE + HEAVY + "log { source(s_tcp); " + element + branches + "flags(flow-control); };")
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(100, 10_000))):
        pass
    check_branch(syslog_ng, stream.sent, "left", "right")
    check_branch(syslog_ng, stream.sent, "right", "left")


@pytest.mark.parametrize("key", ['worker-partition-key("$PROGRAM")', ""], ids=["keyed", "round-robin"])
@pytest.mark.parametrize("load", ["", "filter(f_heavy);"], ids=["light", "heavy"])
@pytest.mark.asan
def test_destination_in_front_in_the_same_path(syslog_ng, stream, load, key):
    """It takes each message, unchanged, from the source's thread, while a worker has it and changes it."""
    path = f"""
    log {{
        source(s_tcp);
        destination {{ file("`dir`/raw" template("$PROGRAM $MSG ${{.test.behind}} $TAGS\\n")); }};
        parallelize(workers(4) {key});
        {load}
        rewrite {{ set("behind $MSG" value(".test.behind")); set-tag("behind"); }};
        destination {{ file("`dir`/behind" template("$PROGRAM $MSG ${{.test.behind}} $TAGS\\n")); }};
        flags(flow-control);
    }};
    """
    syslog_ng.start(TCP_SOURCE + HEAVY + path)
    with BackgroundSender(syslog_ng.port, stream.chunks(zipf(100, 20_000))):
        pass
    raw = syslog_ng.wait_for_lines(stream.total(), "raw")
    check_order(raw, stream.sent)
    assert not [line for line in raw if "behind" in line]
    behind = syslog_ng.wait_for_lines(stream.total(), "behind")
    check = check_order if key else check_unordered
    check(behind, stream.sent)
    for line in behind:
        program, number, value, seq, tags = line.split(" ")
        assert (value, seq) == ("behind", number)
        assert "behind" in tags.split(",")


@pytest.mark.asan
def test_destinations_in_front_and_behind_that_only_write(syslog_ng, stream):
    """Nothing makes the message the worker's own, so it gets a clone: two threads may not put the same into queues."""
    path = """
    log {
        source(s_tcp);
        destination { file("`dir`/raw" template("$PROGRAM $MSG\\n")); };
        parallelize(workers(4) worker-partition-key("$PROGRAM"));
        filter(f_heavy);
        destination { file("`dir`/behind" template("$PROGRAM $MSG\\n")); };
        flags(flow-control);
    };
    """
    syslog_ng.start(TCP_SOURCE + HEAVY + path)
    with BackgroundSender(syslog_ng.port, stream.chunks(zipf(100, 20_000))):
        pass
    for name in ("raw", "behind"):
        check_order(syslog_ng.wait_for_lines(stream.total(), name), stream.sent)
    assert syslog_ng.counter("global;msg_clones;") > 0.9 * stream.total()


MANY_FILTERS = 'filter { match("x$" value(".test.large")); };' * 40
READING = """
    log {
        ELEMENT
        FILTERS
        destination { file("`dir`/NAME" template("$PROGRAM $MSG $(length ${.test.large})\\n")); };
    };
"""


@pytest.mark.parametrize("beside", ["", 'parallelize(workers(2) worker-partition-key("$PROGRAM"));'])
@pytest.mark.asan
def test_branches_that_read_the_same_values(syslog_ng, stream, beside):
    """
    A filter counts itself in the message's table of values while it looks there, and not atomically: a table of two threads
    would be freed under one of them. Only a large one: a small one lies in the message.
    """
    element = 'parallelize(workers(2) worker-partition-key("$PROGRAM"));'
    left, right = (READING.replace("NAME", name).replace("ELEMENT", text).replace("FILTERS", MANY_FILTERS)
                   for name, text in (("left", element), ("right", beside)))
    large = f'rewrite {{ set("{"x" * 1024}" value(".test.large")); }};'
    syslog_ng.start(TCP_SOURCE + f"log {{ source(s_tcp); {large} {left} {right} flags(flow-control); }};",
                    variables={"MALLOC_PERTURB_": "85"})
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(100, 20_000))):
        pass
    for name in ("left", "right"):
        lines = syslog_ng.wait_for_lines(stream.total(), name)
        check_order(lines, stream.sent)
        assert all(line.endswith(" 1024") for line in lines)
