# SPDX-License-Identifier: LGPL-2.1-or-later
"""A source that reads few messages at a time keeps the workers idle: the log and the verdict say so, and only then."""

import pytest

from harness.messages import LINES, TCP_SOURCE, check_unordered
from harness.trace import work_and_trace
from harness.traffic import endless

READS_FEW = r"WARNING: a source reads few messages at a time while workers of parallelize\(\) are idle"
# The verdict looks back ten seconds, and the log says nothing earlier.
SECONDS = 40
PATH = """
log { source(s_tcp); parallelize(workers(64) id("the element")); STEP; destination(DESTINATION); flags(flow-control); };
"""
# Messages sleep: workers are idle also where the machine is busy.
SLEEPING = work_and_trace(microseconds=50) + PATH.replace("STEP", "rewrite(r_work)").replace("DESTINATION", "d_trace")
CHEAP = LINES + PATH.replace("STEP;", "").replace("DESTINATION", "d_lines")


def source(limit):
    """The window of a connection holds 4000 messages."""
    window = "log-iw-size(100000) max-connections(10)"
    assert window in TCP_SOURCE
    return TCP_SOURCE.replace(window, f"log-iw-size(40000) max-connections(10) {limit}")


def wait_until_ten_seconds_are_judged(daemon):
    def judged():
        return daemon.element()["verdict"]["seconds"]

    before = daemon.wait_for(lambda: (seconds := judged()) > 9.5 and seconds, "ten seconds", SECONDS)
    # and for the look at them
    daemon.wait_for(lambda: judged() < before, "another look", SECONDS)


def test_default_limit_on_a_heavy_path(syslog_ng, stream):
    syslog_ng.start(source("") + SLEEPING)
    with endless(syslog_ng, stream, keys=lambda number: number % 50):
        (warning,) = syslog_ng.wait_for(lambda: syslog_ng.logged(READS_FEW), "the warning", SECONDS)
        verdict = syslog_ng.element()["verdict"]
        wait_until_ten_seconds_are_judged(syslog_ng)
    assert verdict["class"] == "source-bound"
    assert "s_tcp" in verdict["explanation"] and "reads 10 messages at a time" in verdict["explanation"]
    assert "log-fetch-limit()" in verdict["advice"] and "log-iw-size()" in verdict["advice"]
    assert "source='s_tcp" in warning
    assert "messages_at_a_time='10'" in warning
    assert "window_per_connection='4000'" in warning
    assert "id='the element'" in warning and f"location='{syslog_ng.config_file}:" in warning
    assert len(syslog_ng.logged(READS_FEW)) == 1
    check_unordered(syslog_ng.wait_for_lines(stream.total()), stream.sent)


def test_messages_that_a_filter_drops_before_the_element(syslog_ng, stream):
    """The number is the source's: the element gets five of each ten messages."""
    half = 'filter { not match("k[13579]$" value("PROGRAM")) };'
    path = SLEEPING.replace("source(s_tcp);", f"source(s_tcp); {half}")
    syslog_ng.start(source("log-fetch-limit(20)") + path)
    with endless(syslog_ng, stream, keys=lambda number: number % 50):
        (warning,) = syslog_ng.wait_for(lambda: syslog_ng.logged(READS_FEW), "the warning", SECONDS)
    assert "messages_at_a_time='20'" in warning


def never_said(daemon, stream, config, **traffic):
    """Returns the verdict."""
    daemon.start(config)
    with endless(daemon, stream, keys=lambda number: number % 50, **traffic):
        wait_until_ten_seconds_are_judged(daemon)
        verdict = daemon.element()["verdict"]
        assert not daemon.logged(READS_FEW)
        assert "log-fetch-limit()" not in verdict["advice"]
    return verdict


def test_large_limit(syslog_ng, stream):
    never_said(syslog_ng, stream, source("log-fetch-limit(1000)") + SLEEPING)


@pytest.mark.parametrize("at_once, per_second", [(1, 500), (7, 500), (100, 1000)])
def test_source_that_is_slow(syslog_ng, stream, at_once, per_second):
    verdict = never_said(syslog_ng, stream, source("") + SLEEPING, at_once=at_once,
                         per_second=per_second)
    assert "workers are idle" in verdict["explanation"]
    assert syslog_ng.element()["counters"]["fetch_limited"] == 0


def test_cheap_path(syslog_ng, stream):
    verdict = never_said(syslog_ng, stream, source("") + CHEAP)
    assert "costs less" in verdict["explanation"]


def test_workers_that_are_busy(syslog_ng, stream):
    few = SLEEPING.replace("test-work 50", "test-work 2000").replace("workers(64)", "workers(2)")
    verdict = never_said(syslog_ng, stream, source("") + few)
    assert verdict["utilization"] > 0.85


def test_no_messages(syslog_ng):
    syslog_ng.start(source("") + SLEEPING)
    wait_until_ten_seconds_are_judged(syslog_ng)
    assert not syslog_ng.logged(READS_FEW)
