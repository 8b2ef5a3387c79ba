# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the element says: that it has started, and what stands in its way."""

import re

import pytest

from harness.environment import host_has_builtin
from harness.messages import TCP_SOURCE, check_order, check_unordered, in_turn
from harness.network import connect, send_tcp
from harness.trace import work_and_trace

STARTED = r"parallelize\(\) started; "
OFF = r"parallelize\(\) is off, since workers\(\) is 0; "
HOT_KEY = r"WARNING: one key holds nearly all traffic of parallelize\(\)"
WINDOW_TOO_SMALL = r"WARNING: window too small for parallelize\(\)"


def test_start_line(syslog_ng):
    config = """
    log {
        source { internal(); };
        parallelize(workers(3) worker-partition-key("${HOST}-$PROGRAM") id("the name"));
          parallelize(partitions(2) batch-size(10) log-fetch-limit(0) prefetch(20));
        parallelize(workers(100));
    };
    """
    syslog_ng.start(config)
    first, second, third = syslog_ng.logged(STARTED)
    line = syslog_ng.head().count("\n") + 4
    assert first.endswith(
        "started; workers='3', worker-partition-key='${HOST}-$PROGRAM', "
        "batch-size='128', log-fetch-limit='1000', prefetch='1536', id='the name', "
        f"location='{syslog_ng.config_file}:{line}:9'"
    )
    assert "workers='2', worker-partition-key='', batch-size='10', log-fetch-limit='0', prefetch='20', " in second
    assert "workers='100'" in third and "prefetch='12800'" in third
    assert f"location='{syslog_ng.config_file}:{line + 1}:11'" in second


def test_off_is_said(syslog_ng):
    """At the level of the line that says that it has started."""
    config = """
    log {
        source { internal(); };
        parallelize(workers(0) id("the name"));
        destination { file("`dir`/internal" template("$LEVEL $MSG\\n")); };
    };
    """
    syslog_ng.start(config, arguments=())
    line = syslog_ng.head().count("\n") + 4
    said = (
        "notice parallelize() is off, since workers() is 0; id='the name', "
        f"location='{syslog_ng.config_file}:{line}:9'"
    )
    syslog_ng.wait_for(lambda: said in syslog_ng.lines("internal"), lambda: f"it in {syslog_ng.lines('internal')}")
    assert not any("started; workers=" in line for line in syslog_ng.lines("internal"))


def test_off_is_said_again_after_a_reload(syslog_ng):
    syslog_ng.start("log { source { internal(); }; parallelize(workers(0)); };")
    assert len(syslog_ng.logged(OFF)) == 1
    assert syslog_ng.reload()
    assert len(syslog_ng.logged(OFF)) == 2


def test_location_in_a_block(syslog_ng):
    """
    And the same for two elements of it; an included file and a named parser have places of their own. Newer hosts know
    the places within a block, too.
    """
    included = syslog_ng.path("included.conf")
    included.write_text("# the first line\nlog { source(s_internal);\n  parallelize(workers(3)); };\n")
    config = """
    block log twice(workers()) {
        parallelize(workers(`workers`));
        parallelize(workers(`workers`));
    };
    block parser one(workers()) {
        parallelize(workers(`workers`))
    };
    parser p_named {
        parallelize(workers(4));
    };
    source s_internal { internal(); }; log { source(s_internal);
        twice(workers(1));
            parser { one(workers(2)); }; parser(p_named);
    };
@include "`dir`/included.conf"
    """
    syslog_ng.start(config)
    before = syslog_ng.head().count("\n")
    file = syslog_ng.config_file
    found = sorted(re.search("workers='(.)'.* location='(.*)'", line).groups() for line in syslog_ng.logged(STARTED))
    newer = host_has_builtin()
    assert found == [
        ("1", f"{file}:{before + (3 if newer else 13)}:9"),
        ("1", f"{file}:{before + (4 if newer else 13)}:9"),
        ("2", f"{file}:{before + 7}:9" if newer else f"{file}:{before + 14}:22"),
        ("3", f"{included}:3:3"),
        ("4", f"{file}:{before + 10}:9"),
    ]


def test_ids_differ(syslog_ng):
    config = "log { source { internal(); }; parallelize(workers(1)); parallelize(workers(1)); };"
    syslog_ng.start(config)
    first, second = syslog_ng.logged(STARTED)
    assert first.split("id=")[1].split(",")[0] != second.split("id=")[1].split(",")[0]


def test_said_again_after_a_reload(syslog_ng):
    syslog_ng.start("log { source { internal(); }; parallelize(workers(1)); };")
    assert syslog_ng.reload()
    assert len(syslog_ng.logged(STARTED)) == 2


def test_stop_line_tells_who_did_the_work(syslog_ng, stream):
    path = """
    log {
        source(s_tcp);
        parallelize(workers(2) worker-partition-key("$PROGRAM") prefetch(50) id("the name"));
        rewrite(r_work);
        destination(d_trace);
    };
    """
    syslog_ng.start(TCP_SOURCE + work_and_trace(microseconds=200) + path)
    send_tcp(syslog_ng.port, stream.take(in_turn(50, 2000)))
    check_order(syslog_ng.wait_for_lines(2000), stream.sent)
    syslog_ng.stop()
    (line,) = syslog_ng.logged(r"parallelize\(\) stopped; ")
    assert "id='the name'" in line
    by_workers = [int(number) for number in re.search("processed_by_workers='(.*?)'", line)[1].split()]
    by_sources = int(re.search("processed_by_helping_sources='(.*?)'", line)[1])
    assert len(by_workers) == 2 and min(by_workers) > 0 and by_sources > 0
    assert sum(by_workers) + by_sources == 2000


WINDOW_PATH = """
log {
    source {
        network(ip("127.0.0.1") port(`port`) flags(syslog-protocol) log-iw-size(WINDOW) max-connections(CONNECTIONS));
    };
    parallelize(workers(8) worker-partition-key("$PROGRAM"));
    destination { file("`dir`/out" template("$PROGRAM $MSG\\n")); };
};
"""


def run_with_window(daemon, stream, window, connections):
    daemon.start(WINDOW_PATH.replace("WINDOW", str(window)).replace("CONNECTIONS", str(connections)))
    for _ in range(3):
        send_tcp(daemon.port, stream.take(in_turn(10, 100)))
    check_unordered(daemon.wait_for_lines(300), stream.sent)
    return daemon.logged(WINDOW_TOO_SMALL)


@pytest.mark.parametrize("window, connections", [(300, 3), (1000, 10)])
def test_window_that_is_too_small(syslog_ng, stream, window, connections):
    """A hundred messages a connection are not enough for eight workers; it is said once, not once a connection."""
    (warning,) = run_with_window(syslog_ng, stream, window, connections)
    for part in ("log-iw-size()", "max-connections()", "source='#anon-source0#0'", "window_per_connection='100'", "workers='8'", "location='"):
        assert part in warning


@pytest.mark.parametrize("window, connections", [(30_000, 3), (100_000, 10)])
def test_window_that_suffices(syslog_ng, stream, window, connections):
    assert run_with_window(syslog_ng, stream, window, connections) == []


def test_window_that_can_grow(syslog_ng, stream):
    """The part that connections share dynamically is what one of them can get in addition."""
    options = "1000) dynamic-window-size(50000"
    assert run_with_window(syslog_ng, stream, options, connections=10) == []


def test_window_that_cannot_grow_enough(syslog_ng, stream):
    options = "1000) dynamic-window-size(100"
    (warning,) = run_with_window(syslog_ng, stream, options, connections=10)
    assert "window_per_connection='200'" in warning


MANY = 10_000
HOT_PATH = """
log { source(s_tcp); parallelize(workers(4) worker-partition-key("KEY")); rewrite(r_work); destination(d_trace); };
"""


def run_keys(daemon, stream, template, keys):
    daemon.start(TCP_SOURCE + work_and_trace(microseconds=100) + HOT_PATH.replace("KEY", template))
    with connect(daemon.port) as connection:
        connection.sendall(stream.take(keys))
        check_order(daemon.wait_for_lines(len(keys)), stream.sent)
    return daemon.logged(HOT_KEY)


def test_hot_key_is_named(syslog_ng, stream):
    (warning,) = run_keys(syslog_ng, stream, "$PROGRAM", [5] * MANY)
    assert "key='k5'" in warning
    assert "worker-partition-key='$PROGRAM'" in warning
    assert f"location='{syslog_ng.config_file}:" in warning
    assert "keep-hostname" not in warning


@pytest.mark.parametrize("template", ["$HOST", "${HOST}"])
def test_hot_host_is_explained(syslog_ng, stream, template):
    (warning,) = run_keys(syslog_ng, stream, template, in_turn(50, MANY))
    assert "key='host'" in warning
    assert "keep-hostname(yes)" in warning


def test_hot_key_is_named_once(syslog_ng, stream):
    assert len(run_keys(syslog_ng, stream, "$PROGRAM", [5] * 3 * MANY)) == 1


def test_hot_key_among_a_few_others(syslog_ng, stream):
    (warning,) = run_keys(syslog_ng, stream, "$PROGRAM", [1 if number % 50 == 0 else 5 for number in range(MANY)])
    assert "key='k5'" in warning


@pytest.mark.parametrize("keys", [2, 16, 50])
def test_many_keys_are_no_hot_key(syslog_ng, stream, keys):
    assert run_keys(syslog_ng, stream, "$PROGRAM", in_turn(keys, MANY)) == []


def test_key_without_a_macro(syslog_ng):
    syslog_ng.start('log { source { internal(); }; parallelize(worker-partition-key("HOST")); };')
    (warning,) = syslog_ng.logged("WARNING: .*contains no macro")
    assert "worker-partition-key='HOST'" in warning


# Keys that are empty

EMPTY_KEYS = r"WARNING: the worker-partition-key\(\) of parallelize\(\) is empty for all messages so far"


def run_with_key(daemon, stream, options, count):
    """Two seconds are looked at after the last message has been processed."""
    path = "log { source(s_tcp); parallelize(workers(4) OPTIONS); rewrite(r_work); destination(d_trace); };"
    daemon.start(TCP_SOURCE + work_and_trace(microseconds=100) + path.replace("OPTIONS", options))
    send_tcp(daemon.port, stream.take(in_turn(50, count)))
    daemon.wait_for_lines(count)
    seen = daemon.element()["verdict"]["seconds"]
    daemon.wait_for(lambda: daemon.element()["verdict"]["seconds"] > min(seen + 2, 8), "two more looks")
    return daemon.logged(EMPTY_KEYS)


def test_keys_that_are_all_empty(syslog_ng, stream):
    (warning,) = run_with_key(syslog_ng, stream, 'worker-partition-key("${.no.such.name}")', 3000)
    assert "processed one at a time" in warning and "empty-key(round-robin)" in warning
    assert "worker-partition-key='${.no.such.name}'" in warning
    assert f"location='{syslog_ng.config_file}:" in warning
    assert syslog_ng.element()["counters"]["empty_keys"] > 1000


def test_keys_that_are_all_empty_and_keep_no_order(syslog_ng, stream):
    options = 'worker-partition-key("${.no.such.name}") empty-key(round-robin)'
    (warning,) = run_with_key(syslog_ng, stream, options, 3000)
    assert "no order is kept" in warning and "one at a time" not in warning


@pytest.mark.parametrize("options, count", [
    ('worker-partition-key("$PROGRAM")', 3000),
    ('worker-partition-key("${.no.such.name}")', 500),
    ("", 3000),
])
def test_keys_that_are_not_all_empty(syslog_ng, stream, options, count):
    assert run_with_key(syslog_ng, stream, options, count) == []
