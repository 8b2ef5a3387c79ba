# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A worker does not end while the main thread still has to run a function for it.

suppress() and some mark modes of a destination pass such functions without waiting, from the thread that forwards a
message. The request is in memory of that thread. A preloaded library tells of each worker that ends whether one is
pending, and keeps the main thread in the last function of all until the worker goes on (see pendingcalls.c).
"""

import re
from collections import namedtuple

import pytest

WORKERS = 4
KEYS = 20
PAIRS = 1500

# A destination with its own suppress() for each key: every second message of a key starts the timer, every other one
# cancels it. Both pass a function to the main thread. Workers process the last messages before a reload: prefetch() is
# larger than the window, so the source's thread does not assist.
SUPPRESSING = """
source s_file { file("`dir`/in" follow-freq(0.1) flags(syslog-protocol) log-iw-size(2000)); };
destination d_suppress { file("`dir`/out.$PROGRAM" template("$PROGRAM $MSG\\n") suppress(1)); };
log {
    source(s_file);
    parallelize(workers(WORKERS) prefetch(10000) worker-partition-key("$PROGRAM"));
    rewrite { set("$(test-work 100)" value(".test.work")); };
    destination(d_suppress);
    flags(flow-control);
};
"""
END = re.compile(r"TEST: parallelize/\d+ ends; calls='(\d+)' waited='(\d)' pending='(\d+)'")

End = namedtuple("End", "calls waited pending")


def config(workers=WORKERS):
    return SUPPRESSING.replace("WORKERS", str(workers))


def names():
    return [f"out.k{key}" for key in range(KEYS)]


def write_pairs(daemon):
    """Adds PAIRS numbers to the input for each key, each of them twice in a row."""
    line = "<13>1 2024-01-01T00:00:00Z host k{} - - - {}\n"
    with daemon.path("in").open("a") as file:
        for number in range(PAIRS):
            for key in range(KEYS):
                file.write(line.format(key, number) * 2)


def line_count(daemon):
    return sum(len(daemon.lines(name)) for name in names())


def wait_for_progress(daemon, lines):
    """Waits until the workers have written something, while there is more to do."""
    daemon.wait_for(lambda: line_count(daemon) >= lines, lambda: f"{lines} lines of {line_count(daemon)}")


def numbers(daemon, name):
    """The numbers that were written, without the daemon's summaries. After a reload one may be there twice."""
    words = (line.split() for line in daemon.lines(name))
    return [int(word[1]) for word in words if len(word) == 2]


def check_numbers(daemon):
    daemon.wait_for(
        lambda: all(numbers(daemon, name)[-1:] == [PAIRS - 1] for name in names()), lambda: "the last message of each key"
    )
    for name in names():
        written = numbers(daemon, name)
        assert written == sorted(written)
        assert set(written) == set(range(PAIRS))


def ends(daemon):
    """What the preloaded library said of the workers that have ended."""
    return [End(*map(int, found.groups())) for found in END.finditer(daemon.log())]


def check_ends(daemon, count):
    """None of the `count` workers left anything pending, and some had to wait for that."""
    assert len(ends(daemon)) == count
    assert not [end for end in ends(daemon) if end.pending], daemon.logged("TEST: ")
    assert [end for end in ends(daemon) if end.waited], daemon.logged("TEST: ")


@pytest.fixture
def pending_calls(test_modules):
    return test_modules / "preload/libpendingcalls.so"


def test_reload_and_stop(syslog_ng, pending_calls):
    reloads = 5
    write_pairs(syslog_ng)
    syslog_ng.start(config(), preload=[pending_calls])
    for number in range(1, reloads + 1):
        wait_for_progress(syslog_ng, number * KEYS * PAIRS // (reloads + 2))
        assert syslog_ng.reload()
        check_ends(syslog_ng, number * WORKERS)
    wait_for_progress(syslog_ng, (reloads + 1) * KEYS * PAIRS // (reloads + 2))
    syslog_ng.stop()
    check_ends(syslog_ng, (reloads + 1) * WORKERS)
    syslog_ng.start()
    check_numbers(syslog_ng)


def test_start_that_is_refused(syslog_ng, pending_calls, test_modules):
    """Workers that never ran do not wait for the main thread, which waits for them."""
    write_pairs(syslog_ng)
    syslog_ng.start(
        config(),
        preload=[pending_calls, test_modules / "preload/librefusethreads.so"],
        variables={"TEST_MAX_THREADS": "30"},
    )
    wait_for_progress(syslog_ng, KEYS * PAIRS // 10)
    assert not syslog_ng.reload(config(workers=100))
    assert syslog_ng.logged(r"Error creating the worker threads of parallelize\(\)")
    never_ran = len(ends(syslog_ng)) - WORKERS
    assert never_ran > 0
    assert len([end for end in ends(syslog_ng) if end == End(calls=0, waited=0, pending=0)]) >= never_ran
    check_ends(syslog_ng, WORKERS + never_ran)
    check_numbers(syslog_ng)
    syslog_ng.stop()
    check_ends(syslog_ng, 2 * WORKERS + never_ran)
