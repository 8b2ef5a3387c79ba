# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who gets which message: evenly and at once without a key, one at a time and in order with one."""

from collections import Counter
from contextlib import ExitStack
from itertools import groupby

import pytest

from harness.messages import HEAVY, LINES, TCP_SOURCE, Stream, check_order, check_unordered, half_in_one, in_turn, zipf
from harness.network import BackgroundSender, connect, send_tcp
from harness.trace import Hold, by_key, most_at_once, parse_trace, threads, work_and_trace

MEET = """
rewrite r_meet { set("$(test-meet COUNT)" value(".test.met")); };
destination d_met { file("`dir`/out" template("$PROGRAM $MSG ${.test.met}\\n")); };
"""


def work_path(parallelize, microseconds):
    return TCP_SOURCE + work_and_trace(microseconds) + (
        f"log {{ source(s_tcp); {parallelize}; rewrite(r_work); destination(d_trace); }};"
    )


def run_work(daemon, stream, parallelize, microseconds, keys):
    """Sends one message a key in one write; returns what was done, in order of arrival at the destination."""
    daemon.start(work_path(parallelize, microseconds))
    send_tcp(daemon.port, stream.take(keys))
    return parse_trace(daemon.wait_for_lines(len(keys)))


@pytest.mark.parametrize("count", [2, 10, 100])
def test_as_many_messages_at_once_as_workers(syslog_ng, stream, count):
    """Each message waits until all the others are being worked on, too: with one idle worker none goes on."""
    path = f"log {{ source(s_tcp); parallelize(workers({count})); rewrite(r_meet); destination(d_met); }};"
    syslog_ng.start(TCP_SOURCE + MEET.replace("COUNT", str(count)) + path)
    send_tcp(syslog_ng.port, stream.take([1] * count))
    lines = syslog_ng.wait_for_lines(count)
    assert [line.split()[2] for line in lines] == [str(count)] * count


def test_ten_messages_of_ten_milliseconds(syslog_ng, stream):
    """Takes nearer one message's time than ten; judged by the overlap, since the machine may be busy."""
    work = run_work(syslog_ng, stream, "parallelize(workers(10))", 10_000, [1] * 10)
    assert most_at_once(work) >= 8


@pytest.mark.parametrize("workers", [2, 4])
def test_round_robin_is_even(syslog_ng, stream, workers):
    count = 1000 * workers
    work = run_work(syslog_ng, stream, f"parallelize(workers({workers}) prefetch({10 * count}))", 500, [1] * count)
    shares = threads(work)
    assert len(shares) == most_at_once(work) == workers
    assert min(shares.values()) > 0.7 * count / workers, shares
    check_unordered([f"{item.key} {item.number}" for item in work], stream.sent)


def test_no_worker_is_idle_while_messages_wait(syslog_ng, stream):
    """While anything waits four are at work; seen from the share of the time that nobody was missing."""
    work = run_work(syslog_ng, stream, "parallelize(workers(4) prefetch(10000))", 2000, [1] * 1000)
    busy = sum(item.end - item.begin for item in work)
    elapsed = max(item.end for item in work) - min(item.begin for item in work)
    assert busy / elapsed > 3.4


def test_keys_spread_over_all_workers(syslog_ng, stream):
    element = 'parallelize(workers(4) worker-partition-key("$PROGRAM") prefetch(10000))'
    work = run_work(syslog_ng, stream, element, 500, in_turn(100, 2000))
    shares = threads(work)
    assert len(shares) == 4
    assert min(shares.values()) > 0.5 * 2000 / 4, shares
    check_order(syslog_ng.lines(), stream.sent)


def test_one_message_of_a_key_at_a_time(syslog_ng, stream):
    element = 'parallelize(workers(8) worker-partition-key("$PROGRAM") prefetch(100))'
    work = run_work(syslog_ng, stream, element, 300, zipf(20, 3000))
    for key, items in by_key(work).items():
        assert [item.number for item in items] == list(range(stream.sent[key]))
        overlaps = [(one, next_) for one, next_ in zip(items, items[1:]) if next_.begin < one.end]
        assert not overlaps, overlaps[0]
    assert most_at_once(work) > 1
    check_order(syslog_ng.lines(), stream.sent)


HELD_KEY = """
rewrite r_hold { set("$(test-hold `dir`/hold)" value(".test.held") condition(program("k0" type(string)))); };
"""
HELD_PATH = TCP_SOURCE + LINES + HELD_KEY + """
log {
    source(s_tcp);
    parallelize(workers(2) worker-partition-key("$PROGRAM") prefetch(PREFETCH));
    rewrite(r_hold);
    destination(d_lines);
};
"""


def lines_of_others(daemon):
    return [line for line in daemon.lines() if not line.startswith("k0 ")]


def allowed_to_share(keys):
    """So many of the keys may share the strand of a held one by chance; more than that is no chance."""
    return keys // 10


def test_held_key_holds_no_other_key_up(syslog_ng, stream):
    syslog_ng.start(HELD_PATH.replace("PREFETCH", "10000"))
    with Hold(syslog_ng.path("hold")).held() as hold, connect(syslog_ng.port) as connection:
        connection.sendall(stream.take([0]))
        syslog_ng.wait_for(lambda: hold.waiting() == 1, "the held message")
        connection.sendall(stream.take(list(range(1, 51)) * 20))
        enough = (50 - allowed_to_share(50)) * 20
        syslog_ng.wait_for(lambda: len(lines_of_others(syslog_ng)) >= enough, "the messages of the other keys")
        assert hold.waiting() == 1
    check_order(syslog_ng.wait_for_lines(stream.total()), stream.sent)


def test_hot_key_that_is_held_holds_no_other_key_up(syslog_ng, stream):
    """Thousands of messages wait behind the held one, many times prefetch(), mixed with the others."""
    syslog_ng.start(HELD_PATH.replace("PREFETCH", "100"))
    with Hold(syslog_ng.path("hold")).held() as hold, connect(syslog_ng.port) as connection:
        connection.sendall(stream.take([0]))
        syslog_ng.wait_for(lambda: hold.waiting() == 1, "the held message")
        connection.sendall(stream.take(half_in_one(51, 10_000)))
        enough = (50 - allowed_to_share(50)) * 100
        syslog_ng.wait_for(lambda: len(lines_of_others(syslog_ng)) >= enough, "the messages of the other keys")
        assert hold.waiting() == 1
    check_order(syslog_ng.wait_for_lines(stream.total()), stream.sent)


SLOW_AMONG_QUICK = TCP_SOURCE + LINES + HELD_KEY + """
log {
    source(s_tcp);
    parallelize(workers(4) worker-partition-key("$PROGRAM"));
    filter { "$(test-burn MICROSECONDS)" eq "" };
    rewrite(r_hold);
    destination(d_lines);
};
"""


@pytest.mark.parametrize("microseconds, others", [(6, 4), (20, 12)])
def test_slow_message_among_quick_ones_holds_no_other_key_up(syslog_ng, stream, microseconds, others):
    """A few quick messages are worth one worker; when the first of them turns out to be slow, others come for the rest,
    though nothing else comes."""
    keys = list(range(1, 1 + others))
    syslog_ng.start(SLOW_AMONG_QUICK.replace("MICROSECONDS", str(microseconds)))
    with connect(syslog_ng.port) as connection:
        connection.sendall(stream.take(keys * 200))
        quick = len(syslog_ng.wait_for_lines(len(keys) * 200))
        with Hold(syslog_ng.path("hold")).held() as hold:
            connection.sendall(stream.take([0, *keys]))
            enough = quick + len(keys) - 1      # one may share the strand of the held one
            syslog_ng.wait_for(lambda: len(lines_of_others(syslog_ng)) >= enough, "the messages of the other keys")
            assert hold.waiting() == 1
    check_order(syslog_ng.wait_for_lines(stream.total()), stream.sent)


def test_hot_key_has_one_worker_and_the_others_the_other(syslog_ng, stream):
    """Half of all messages have one key: the other worker does all the rest in the same time."""
    element = 'parallelize(workers(2) worker-partition-key("$PROGRAM") prefetch(10000))'
    work = run_work(syslog_ng, stream, element, 5000, half_in_one(51, 1000))
    busy = sum(item.end - item.begin for item in work)
    elapsed = max(item.end for item in work) - min(item.begin for item in work)
    assert busy / elapsed > 1.5
    check_order(syslog_ng.lines(), stream.sent)


# Messages are cheap, and pile up behind the first one as long as that is held. The source's thread does not help.
LIMITS_PATH = TCP_SOURCE.replace("max-connections", "log-fetch-limit(1000) max-connections") + LINES + HELD_KEY + """
log {
    source(s_tcp);
    parallelize(workers(1) worker-partition-key("$PROGRAM") prefetch(100000) OPTIONS);
    rewrite(r_hold);
    destination(d_lines);
};
"""


def run_with_limits(daemon, stream, options, keys):
    """Returns how many batches the keys came in behind a held message, and the lines that it was followed by."""
    daemon.start(LIMITS_PATH.replace("OPTIONS", options))
    with Hold(daemon.path("hold")).held() as hold, connect(daemon.port) as connection:
        connection.sendall(stream.take([0]))
        daemon.wait_for(lambda: hold.waiting() == 1, "the held message")
        before = daemon.element()["counters"]["batches"]
        connection.sendall(stream.take(keys))

        def inside():
            return daemon.element()["counters"]["in_flight"]

        daemon.wait_for(lambda: inside() == 1 + len(keys), lambda: f"messages inside: {inside()}")
        batches = daemon.element()["counters"]["batches"] - before
    lines = daemon.wait_for_lines(1 + len(keys))
    check_order(lines, stream.sent)
    return batches, lines[1:]


def test_batch_size(syslog_ng, stream):
    """At most so many are handed over at once."""
    batches, _ = run_with_limits(syslog_ng, stream, "batch-size(1) log-fetch-limit(1000)", in_turn(10, 1000))
    assert batches == 1000


def test_larger_batch_size(syslog_ng, stream):
    """A batch may be smaller where the source had no more for the moment."""
    batches, _ = run_with_limits(syslog_ng, stream, "batch-size(10) log-fetch-limit(1000)", in_turn(10, 1000))
    assert 100 <= batches < 500


def test_no_batch_size(syslog_ng, stream):
    """What the source reads in one go is handed over at once."""
    batches, _ = run_with_limits(syslog_ng, stream, "batch-size(0) log-fetch-limit(10)", in_turn(10, 1000))
    assert batches < 100


def longest_run(lines):
    """The largest number of messages of one key in a row."""
    return max(len(list(run)) for _, run in groupby(lines, key=lambda line: line.split()[0]))


EIGHT_KEYS_ONE_BY_ONE = [key for key in range(1, 9) for _ in range(300)]
OTHERS_WAIT = 500  # lines: at the least; if by chance all keys but one share a strand, and are one key to the worker


@pytest.mark.parametrize("limit", [1, 10])
def test_log_fetch_limit(syslog_ng, stream, limit):
    """As long as other keys wait no more than that are processed of one."""
    options = f"batch-size(1000) log-fetch-limit({limit})"
    _, lines = run_with_limits(syslog_ng, stream, options, EIGHT_KEYS_ONE_BY_ONE)
    assert longest_run(lines[:OTHERS_WAIT]) <= limit


def test_no_log_fetch_limit(syslog_ng, stream):
    _, lines = run_with_limits(syslog_ng, stream, "batch-size(1) log-fetch-limit(0)", EIGHT_KEYS_ONE_BY_ONE)
    assert longest_run(lines[:OTHERS_WAIT]) > 10


EMPTY_KEY_PATH = """
log {
    source(s_tcp);
    parallelize(workers(4) worker-partition-key("${.test.none}") OPTION prefetch(10000));
    rewrite(r_work);
    destination(d_trace);
};
"""


@pytest.mark.parametrize("option", ["", "empty-key(ordered)"])
def test_empty_key_is_a_key_like_any_other(syslog_ng, stream, option):
    syslog_ng.start(TCP_SOURCE + work_and_trace(1000) + EMPTY_KEY_PATH.replace("OPTION", option))
    send_tcp(syslog_ng.port, stream.take([1] * 200))
    work = parse_trace(syslog_ng.wait_for_lines(200))
    assert most_at_once(work) == 1
    check_order(syslog_ng.lines(), stream.sent)


def test_empty_key_dealt_out_in_turn(syslog_ng, stream):
    syslog_ng.start(TCP_SOURCE + work_and_trace(1000) + EMPTY_KEY_PATH.replace("OPTION", "empty-key(round-robin)"))
    send_tcp(syslog_ng.port, stream.take([1] * 200))
    work = parse_trace(syslog_ng.wait_for_lines(200))
    assert most_at_once(work) >= 3
    check_unordered(syslog_ng.lines(), stream.sent)


TRAFFIC = {"uniform": in_turn, "zipf": zipf, "half in one key": half_in_one}


@pytest.mark.parametrize("load", ["", "filter(f_heavy);"], ids=["light", "heavy"])
@pytest.mark.parametrize("traffic", TRAFFIC)
@pytest.mark.asan
def test_order_of_a_large_run(syslog_ng, stream, traffic, load):
    path = f"""
    log {{
        source(s_tcp);
        parallelize(workers(4) worker-partition-key("$PROGRAM"));
        {load}
        destination(d_lines);
        flags(flow-control);
    }};
    """
    count = 100_000
    syslog_ng.start(TCP_SOURCE + LINES + HEAVY + path)
    with BackgroundSender(syslog_ng.port, stream.chunks(TRAFFIC[traffic](200, count))):
        check_order(syslog_ng.wait_for_lines(count), stream.sent)


@pytest.mark.parametrize("load", ["", "filter(f_heavy);"], ids=["light", "heavy"])
def test_nothing_lost_in_a_large_run_without_a_key(syslog_ng, stream, load):
    path = f"log {{ source(s_tcp); parallelize(workers(4)); {load} destination(d_lines); flags(flow-control); }};"
    syslog_ng.start(TCP_SOURCE + LINES + HEAVY + path)
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(200, 100_000))):
        check_unordered(syslog_ng.wait_for_lines(100_000), stream.sent)


ONE_KEY_PATH = """
log {
    source(s_tcp);
    parallelize(workers(4) worker-partition-key("$HOST"));
    filter(f_heavy);
    destination(d_lines);
    flags(flow-control);
};
"""


def test_order_of_each_of_many_connections(syslog_ng):
    """All messages have one key; each connection numbers its own."""
    streams = [Stream(f"connection{number}.") for number in range(8)]
    syslog_ng.start(TCP_SOURCE + LINES + HEAVY + ONE_KEY_PATH)
    with ExitStack() as connections:
        for stream in streams:
            connections.enter_context(BackgroundSender(syslog_ng.port, stream.chunks([1] * 5000)))
    sent = sum((stream.sent for stream in streams), Counter())
    check_order(syslog_ng.wait_for_lines(sent.total()), sent)
