# SPDX-License-Identifier: LGPL-2.1-or-later
"""parallelize() is understood in every place, spelling and option that is promised, and works there."""

import contextlib
import os

import pytest

from harness.environment import host_version
from harness.messages import LINES, TCP_SOURCE, check_order, in_turn
from harness.network import send_tcp
from harness.trace import most_at_once, parse_trace, work_and_trace

# In a channel of a parser {} statement, version 3 looks for what may stand in a parser {}, later ones for what may
# stand in a log path.
CHANNEL_KEEPS_CONTEXT = host_version().startswith("3.")

KEYS = 10
COUNT = 500

PLACES = {
    "log path": """
        log { source(s_tcp); parallelize(workers(2) worker-partition-key("$PROGRAM")); destination(d_lines); };
        """,
    "no option at all": """
        log { source(s_tcp); parallelize(workers(1)); parallelize(); destination { file("`dir`/other"); }; };
        log { source(s_tcp); destination(d_lines); };
        """,
    "parser block": """
        log {
            source(s_tcp);
            parser { parallelize(workers(2) worker-partition-key("$PROGRAM")); };
            destination(d_lines);
        };
        """,
    "named parser": """
        parser p_par { parallelize(workers(2) worker-partition-key("$PROGRAM")); };
        log { source(s_tcp); parser(p_par); destination(d_lines); };
        """,
    "parser block, among others": """
        log {
            source(s_tcp);
            parser {
                csv-parser(columns(".test.first") template("$MSG"));
                parallelize(workers(2) worker-partition-key("$PROGRAM"));
                csv-parser(columns(".test.second") template("$MSG"));
            };
            destination(d_lines);
        };
        """,
    "channel": """
        log {
            source(s_tcp);
            channel { parallelize(workers(2) worker-partition-key("$PROGRAM")); destination(d_lines); };
        };
        """,
    "junction": """
        log {
            source(s_tcp);
            junction {
                channel {
                    filter { program("k[0-4]"); };
                    parallelize(workers(2) worker-partition-key("$PROGRAM"));
                };
                channel {
                    filter { program("k[5-9]"); };
                    parallelize(workers(2) worker-partition-key("$PROGRAM"));
                    flags(final);
                };
            };
            destination(d_lines);
        };
        """,
    "if, elif and else": """
        log {
            source(s_tcp);
            if (program("k[0-2]")) {
                parallelize(workers(2) worker-partition-key("$PROGRAM"));
            } elif (program("k[3-5]")) {
                parallelize(workers(3) worker-partition-key("$PROGRAM"));
            } else {
                parallelize(workers(1));
            };
            destination(d_lines);
        };
        """,
    "if block": """
        log {
            source(s_tcp);
            if {
                filter { program("k[0-2]"); };
                parallelize(workers(2) worker-partition-key("$PROGRAM"));
            } else {
                parallelize(workers(3) worker-partition-key("$PROGRAM"));
            };
            destination(d_lines);
        };
        """,
    "embedded log": """
        log {
            source(s_tcp);
            log { parallelize(workers(2) worker-partition-key("$PROGRAM")); destination(d_lines); };
        };
        """,
    "in front of an embedded log": """
        log {
            source(s_tcp);
            parallelize(workers(2) worker-partition-key("$PROGRAM"));
            log { filter { program("k[0-4]"); }; destination(d_lines); };
            log { filter { program("k[5-9]"); }; destination(d_lines); };
        };
        """,
    "channel in a source": """
        source s_parallel {
            channel {
                source(s_tcp);
                parallelize(workers(2) worker-partition-key("$PROGRAM"));
            };
        };
        log { source(s_parallel); destination(d_lines); };
        """,
    "channel in a destination": """
        destination d_parallel {
            channel {
                parallelize(workers(2) worker-partition-key("$PROGRAM"));
                destination(d_lines);
            };
        };
        log { source(s_tcp); destination(d_parallel); };
        """,
    "channel in a parser": """
        parser p_parallel {
            channel {
                parallelize(workers(2) worker-partition-key("$PROGRAM"));
                parser { csv-parser(columns(".test.first") template("$MSG")); };
            };
        };
        log { source(s_tcp); parser(p_parallel); destination(d_lines); };
        """,
    "parser block in a channel in a parser": """
        parser p_parallel {
            channel {
                parser {
                    parallelize(workers(2) worker-partition-key("$PROGRAM"));
                    csv-parser(columns(".test.first") template("$MSG"));
                };
                parallelize(workers(2) worker-partition-key("$PROGRAM"));
            };
        };
        log { source(s_tcp); parser(p_parallel); destination(d_lines); };
        """,
    "parser block in a channel in a rewrite": """
        rewrite r_parallel {
            channel {
                parser { parallelize(workers(2) worker-partition-key("$PROGRAM")); };
                parallelize(workers(2) worker-partition-key("$PROGRAM"));
            };
        };
        log { source(s_tcp); rewrite(r_parallel); destination(d_lines); };
        """,
    "if in a channel in a parser": """
        parser p_parallel {
            channel {
                if (program("k[0-4]")) {
                    parser { csv-parser(columns(".test.first") template("$MSG")); };
                    parallelize(workers(2) worker-partition-key("$PROGRAM"));
                } else {
                    parallelize(workers(2) worker-partition-key("$PROGRAM"));
                };
            };
        };
        log { source(s_tcp); parser(p_parallel); destination(d_lines); };
        """,
    "brackets in comments and strings around it": """
        parser p_parallel {
            # don't { "count
            csv-parser(columns(".test.first") template("} ; ' # {"));  # nor "this' }
            parallelize(workers(2) worker-partition-key("$PROGRAM"));
            csv-parser(columns(".test.second") template('" \\'));
        };
        parser p_channel {
            channel {
                parser { csv-parser(columns(".test.third") template("\\"{")); };  # parser { "
                parallelize(workers(2) worker-partition-key("$PROGRAM"));
            };
        };
        log { source(s_tcp); parser(p_parallel); parser(p_channel); destination(d_lines); };
        """,
    "channel in a rewrite": """
        rewrite r_parallel {
            channel {
                parallelize(workers(2) worker-partition-key("$PROGRAM"));
                rewrite { set("x" value(".test.first")); };
            };
        };
        log { source(s_tcp); rewrite(r_parallel); destination(d_lines); };
        """,
    "block log of the user": """
        block log by_program(workers()) {
            parallelize(workers(`workers`) worker-partition-key("$PROGRAM"));
            parser { csv-parser(columns(".test.first") template("$MSG")); };
        };
        log { source(s_tcp); by_program(workers(2)); destination(d_lines); };
        """,
    "block parser of the user": """
        block parser by(key()) {
            parallelize(workers(2) worker-partition-key(`key`))
        };
        log { source(s_tcp); parser { by(key("$PROGRAM")); }; destination(d_lines); };
        """,
    "several in a path": """
        log {
            source(s_tcp);
            parallelize(workers(2) worker-partition-key("$PROGRAM"));
            rewrite { set("x" value(".test.first")); };
            parallelize(workers(3) worker-partition-key("$PROGRAM"));
            rewrite { set("x" value(".test.second")); };
            parallelize(workers(1) worker-partition-key("$PROGRAM"));
            destination(d_lines);
        };
        """,
    "statement of many lines": """
        log {
            source(s_tcp);
            parallelize(
                # comments and newlines are as free here as anywhere
                workers(2)

                worker-partition-key("$PROGRAM")
            );
            destination(d_lines);
        };
        """,
}


@pytest.mark.parametrize("place", PLACES)
def test_works_in(syslog_ng, stream, place):
    checked = syslog_ng.check_syntax(TCP_SOURCE + LINES + PLACES[place])
    assert checked.returncode == 0, checked.stdout

    syslog_ng.start()
    assert len(syslog_ng.logged(r"parallelize\(\) started")) == PLACES[place].count(" parallelize(")
    send_tcp(syslog_ng.port, stream.take(in_turn(KEYS, COUNT)))
    check_order(syslog_ng.wait_for_lines(COUNT), stream.sent)


def test_works_in_an_included_part_of_a_log_path(syslog_ng, stream):
    syslog_ng.path("part.conf").write_text('parallelize(workers(2) worker-partition-key("$PROGRAM"));\n')
    config = """
    parser p_par {
@include "`dir`/part.conf"
    };
    parser p_channel {
        channel {
@include "`dir`/part.conf"
        };
    };
    log {
        source(s_tcp);
@include "`dir`/part.conf"
        parser(p_par);
        parser(p_channel);
        destination(d_lines);
    };
    """
    syslog_ng.start(TCP_SOURCE + LINES + config)
    assert len(syslog_ng.logged(r"parallelize\(\) started")) == 3
    send_tcp(syslog_ng.port, stream.take(in_turn(KEYS, COUNT)))
    check_order(syslog_ng.wait_for_lines(COUNT), stream.sent)


PARALLELIZE_BY_KEY = "parallelize(workers(2) worker-partition-key(`key`))"
CHANNEL_WITH_A_BLOCK_PARSER = """
    block parser by(key()) {
        CONTENT
    };
    parser p_parallel { channel { by(key("$PROGRAM")); }; };
    log { source(s_tcp); parser(p_parallel); destination(d_lines); };
"""


@pytest.mark.skipif(not CHANNEL_KEEPS_CONTEXT, reason="this host looks for no block parser in a channel")
def test_works_in_a_block_parser_of_the_user_in_a_channel(syslog_ng, stream):
    syslog_ng.start(TCP_SOURCE + LINES + CHANNEL_WITH_A_BLOCK_PARSER.replace("CONTENT", PARALLELIZE_BY_KEY))
    send_tcp(syslog_ng.port, stream.take(in_turn(KEYS, COUNT)))
    check_order(syslog_ng.wait_for_lines(COUNT), stream.sent)


@pytest.mark.skipif(CHANNEL_KEEPS_CONTEXT, reason="this host looks for block parsers in a channel in a parser")
@pytest.mark.parametrize("content", [PARALLELIZE_BY_KEY, 'parser { csv-parser(columns("`key`")); };'])
def test_host_finds_no_block_parser_in_a_channel(syslog_ng, content):
    """Whatever is in it."""
    config = CHANNEL_WITH_A_BLOCK_PARSER.replace("CONTENT", content)
    checked = syslog_ng.check_syntax(TCP_SOURCE + LINES + config)
    assert checked.returncode == 1
    assert "unexpected LL_IDENTIFIER" in checked.stdout


def test_named_parser_in_two_log_paths(syslog_ng, stream):
    config = """
    parser p_par { parallelize(workers(2) worker-partition-key("$PROGRAM")); };
    log { source(s_tcp); parser(p_par); destination { file("`dir`/one" template("$PROGRAM $MSG\\n")); }; };
    log { source(s_tcp); parser(p_par); destination { file("`dir`/two" template("$PROGRAM $MSG\\n")); }; };
    """
    syslog_ng.start(TCP_SOURCE + config)
    send_tcp(syslog_ng.port, stream.take(in_turn(KEYS, COUNT)))
    for name in ("one", "two"):
        check_order(syslog_ng.wait_for_lines(COUNT, name), stream.sent)


def test_many_paths(syslog_ng, stream):
    paths = 30
    path = """
    log {
        source(s_tcp);
        parallelize(workers(2) worker-partition-key("$PROGRAM"));
        destination { file("`dir`/PATH" template("$PROGRAM $MSG\\n")); };
    };
    """
    syslog_ng.start(TCP_SOURCE + "".join(path.replace("PATH", f"out{number}") for number in range(paths)))
    send_tcp(syslog_ng.port, stream.take(in_turn(KEYS, COUNT)))
    for number in range(paths):
        check_order(syslog_ng.wait_for_lines(COUNT, f"out{number}"), stream.sent)


OPTIONS = [
    'workers(2) worker-partition-key("$PROGRAM")',
    'partitions(2) partition-key("$PROGRAM")',
    'workers(2) worker_partition_key("$PROGRAM")',
    'partitions(2) partition_key("$PROGRAM")',
    'workers(2) partition-key("$PROGRAM")',
    "partitions(2) worker-partition-key('$PROGRAM')",
    'partition-key("$PROGRAM") workers(2)',
    'worker-partition-key("${PROGRAM}")',
    'worker-partition-key("$PROGRAM-$(length $PROGRAM)")',
    'workers(2) partition-key("$PROGRAM") empty-key(ordered)',
    'workers(2) partition-key("$PROGRAM") empty_key(round-robin)',
    'workers(2) partition-key("$PROGRAM") empty-key(round_robin)',
    'workers(2) partition-key("$PROGRAM") batch-size(7)',
    'workers(2) partition-key("$PROGRAM") batch_size(1)',
    'workers(2) partition-key("$PROGRAM") batch-size(0)',
    'workers(2) partition-key("$PROGRAM") log-fetch-limit(1)',
    'workers(2) partition-key("$PROGRAM") log_fetch_limit(50)',
    'workers(2) partition-key("$PROGRAM") log-fetch-limit(0)',
    'workers(2) partition-key("$PROGRAM") log-fetch-limit(0) batch-size(0)',
    'workers(2) partition-key("$PROGRAM") prefetch(1)',
    'workers(2) partition-key("$PROGRAM") prefetch(100000)',
    'workers(2) partition-key("$PROGRAM") id("stable name")',
    'workers(2) partition-key("$PROGRAM") id(bare_name)',
    "workers(1)",
    "workers(0)",
    'workers(0) partition-key("$PROGRAM")',
    'id("all") workers(3) prefetch(500) log-fetch-limit(9) batch-size(10) empty-key(ordered) partition-key("$PROGRAM")',
]


@pytest.mark.parametrize("options", OPTIONS)
def test_options(syslog_ng, stream, options):
    config = """
    log { source(s_tcp); parallelize(OPTIONS); destination(d_lines); };
    """
    checked = syslog_ng.check_syntax(TCP_SOURCE + LINES + config.replace("OPTIONS", options))
    assert checked.returncode == 0, checked.stdout

    syslog_ng.start()
    send_tcp(syslog_ng.port, stream.take(in_turn(KEYS, COUNT)))
    check_order(syslog_ng.wait_for_lines(COUNT), stream.sent)


@contextlib.contextmanager
def bound_to_one_core():
    """Whatever is started meanwhile may use a single core, and goes on so."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


KEY_ALONE = 'log { source(s_tcp); parallelize(partition-key("$PROGRAM")); destination(d_lines); };'


def test_one_worker_a_core_when_none_is_given(syslog_ng):
    cores = len(os.sched_getaffinity(0))
    syslog_ng.start(TCP_SOURCE + LINES + KEY_ALONE)
    assert syslog_ng.logged(rf"parallelize\(\) started; workers='{cores}'")


@pytest.mark.parametrize("arguments", [[], ["--worker-threads=1"]], ids=["", "one-io-thread"])
def test_works_on_one_core(syslog_ng, stream, arguments):
    with bound_to_one_core():
        syslog_ng.start(TCP_SOURCE + LINES + KEY_ALONE, arguments=["--stderr", *arguments])
    assert syslog_ng.logged(r"parallelize\(\) started; workers='1'")
    send_tcp(syslog_ng.port, stream.take(in_turn(KEYS, COUNT)))
    check_order(syslog_ng.wait_for_lines(COUNT), stream.sent)


def test_zero_workers_leave_the_messages_to_the_source(syslog_ng, stream):
    path = 'log { source(s_tcp); parallelize(workers(0)); rewrite(r_work); destination(d_trace); };'
    syslog_ng.start(TCP_SOURCE + work_and_trace(microseconds=500) + path)
    send_tcp(syslog_ng.port, stream.take([1] * 200))
    work = parse_trace(syslog_ng.wait_for_lines(200))
    assert most_at_once(work) == 1
    check_order(syslog_ng.lines(), stream.sent)


PRAGMAS = {"@version": "", "@define": '@define some "thing"\n', "@include": '@include "scl.conf"\n'}


@pytest.mark.parametrize("pragma", PRAGMAS)
def test_parser_statement_right_after_a_pragma(syslog_ng, pragma):
    syslog_ng.config_file.write_text(
        syslog_ng.pragmas() + PRAGMAS[pragma] + "parser p_first { parallelize(workers(2)); };\n"
    )
    checked = syslog_ng.check_syntax()
    assert checked.returncode == 0, checked.stdout
