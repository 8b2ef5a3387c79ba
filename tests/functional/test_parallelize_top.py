# SPDX-License-Identifier: LGPL-2.1-or-later
"""The program that shows what the elements of a running daemon do."""

import contextlib
import json
import os
import re
import subprocess

import pytest

from harness.environment import PARALLELIZE_TOP
from harness.messages import TCP_SOURCE, in_turn
from harness.network import send_tcp
from harness.top import output, promtool, top
from harness.trace import work_and_trace
from harness.traffic import endless, start_and_send_keys
from harness.waiting import wait_for

KEYED = """
log {
    source(s_tcp);
    parallelize(workers(4) worker-partition-key("$PROGRAM") id("by-program"));
    rewrite(r_work);
    destination(d_trace);
    flags(flow-control);
};
"""
# Few messages inside: a test that has seen enough need not wait for many.
SOURCE = TCP_SOURCE.replace("log-iw-size(100000)", "log-iw-size(5000)")
CONFIG = SOURCE + work_and_trace(microseconds=500) + KEYED


def test_once(syslog_ng, stream):
    syslog_ng.start(CONFIG)
    with endless(syslog_ng, stream, keys=lambda number: number % 50):
        syslog_ng.wait_for_lines(500)
        text = output(syslog_ng, "--once")
    for expected in (
        r"by-program: 4 worker\(s\), key \$PROGRAM",
        r"throughput +\S+/s of at most \S+/s \[#+-*\] +\d+%",
        r"parallelism +\d\.\d\d at once",
        r"(?m)^ +3 +\d+% \[#+-*\] ",
        r"(?m)^ +time +p50 +p90 +p99 +p99.9 +max$",
        r"processing +\S+ [mu]s",
        r"latency +\S+ [mu]?s",
        r"(?m)^ +busiest keys +time +messages$",
        r"WORKER-BOUND|BALANCED|SOURCE-BOUND",
        r"-> \w+",
    ):
        assert re.search(expected, text), f"no {expected} in\n{text}"


@pytest.mark.parametrize("columns", [60, 80, 132])
def test_lines_fit_the_terminal_and_need_no_colour(syslog_ng, stream, columns):
    long = CONFIG.replace("by-program", "a rather long name of an element " * 5).replace("workers(4)", "workers(40)")
    syslog_ng.start(long)
    send_tcp(syslog_ng.port, stream.take(in_turn(50, 1000)))
    syslog_ng.wait_for_lines(1000)
    text = output(syslog_ng, "--once", "--interval=0.2", columns=columns)
    assert max(len(line) for line in text.splitlines()) <= columns
    assert text.isascii()
    # forty workers share sixteen rows at most
    assert re.search(r"(?m)^ +0-2 +\d+%", text)
    assert re.search(r"(?m)^ +39 +\d+%", text)


def test_several_elements_and_the_choice_of_one(syslog_ng):
    config = """
    log { source(s_tcp); parallelize(workers(1) id("first")); parallelize(workers(2) id("second")); };
    """
    syslog_ng.start(TCP_SOURCE + config)
    both = output(syslog_ng, "--once", "--interval=0.1")
    assert "first: 1 worker" in both and "second: 2 worker" in both
    one = output(syslog_ng, "--once", "--interval=0.1", "--id=second")
    assert "first: 1 worker" not in one and "second: 2 worker" in one


def test_json_is_the_report(syslog_ng):
    syslog_ng.start(CONFIG)
    report = json.loads(output(syslog_ng, "--json"))
    assert report.keys() == syslog_ng.report().keys()
    assert report["elements"][0].keys() == syslog_ng.element().keys()


def test_prometheus_format(syslog_ng, stream):
    nasty = CONFIG.replace("by-program", 'quote \\" and \\\\')
    syslog_ng.start(nasty)
    send_tcp(syslog_ng.port, stream.take(in_turn(50, 1000)))
    syslog_ng.wait_for_lines(1000)
    syslog_ng.wait_for(lambda: syslog_ng.element()["counters"]["processed"] == 1000, "everything processed")
    text = output(syslog_ng, "--prometheus")
    promtool("metrics", text)
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    prefix = "syslogng_parallelized_"
    label = 'id="quote \\" and \\\\"'
    processed = [int(value) for name, value in samples.items() if name.startswith(f"{prefix}processed_events_total")]
    assert len(processed) == 5 and sum(processed) == 1000
    assert samples[f"{prefix}entered_events_total{{{label}}}"] == "1000"
    assert samples[f'{prefix}processing_seconds_bucket{{{label},le="+Inf"}}'] == samples[
        f"{prefix}processing_seconds_count{{{label}}}"]
    assert samples[f'{prefix}processing_seconds_bucket{{{label},le="0.0002"}}'] == "0"
    assert samples[f'{prefix}latency_seconds_bucket{{{label},le="0.0002"}}'] == "0"
    assert int(samples[f"{prefix}latency_seconds_count{{{label}}}"]) > 500
    assert sum(float(value) for name, value in samples.items() if name.startswith(f"{prefix}verdict")) == 1


def test_keys_that_look_the_same_are_one_series(syslog_ng):
    start_and_send_keys(syslog_ng, b"x" * 300 + b"a", b"x" * 300 + b"b", b"\xff\xfe", rb"\xff\xfe")
    text = output(syslog_ng, "--prometheus")
    promtool("metrics", text)
    names = [line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(names) == len(set(names))
    found = [line for line in text.splitlines() if line.startswith("syslogng_parallelized_hot_key_messages_share_ratio")]
    assert len(found) == 2
    assert sum(float(line.rsplit(" ", 1)[1]) for line in found) == pytest.approx(1)


def test_keys_that_begin_alike_have_a_line_each(syslog_ng):
    beginning = "/var/log/containers/production-äöü-"
    start_and_send_keys(syslog_ng, *(f"{beginning}{number}".encode() for number in range(3)))
    text = output(syslog_ng, "--once", "--interval=0.1")
    rows = re.findall(rf"(?m)^ +(\d+)% +(\d+)%  {beginning}(\d)$", text)
    assert sorted(number for _, _, number in rows) == ["0", "1", "2"], text
    assert 97 <= sum(int(by_messages) for _, by_messages, _ in rows) <= 103
    assert 97 <= sum(int(by_time) for by_time, _, _ in rows) <= 103


def test_prometheus_format_without_elements(syslog_ng):
    syslog_ng.start("log { source { internal(); }; parallelize(workers(0)); };")
    assert output(syslog_ng, "--prometheus") == ""
    assert "no parallelize()" in output(syslog_ng, "--once", "--interval=0.1")


def test_daemon_that_cannot_be_reached(syslog_ng):
    finished = top(syslog_ng, "--json")
    assert finished.returncode == 1
    assert "No such file" in finished.stderr and "Traceback" not in finished.stderr


def test_daemon_without_the_module(syslog_ng):
    syslog_ng.module_line = False
    syslog_ng.start("log { source { internal(); }; };")
    finished = top(syslog_ng, "--json")
    assert finished.returncode == 1
    assert "has no parallelize()" in finished.stderr


# In a real terminal


class Terminal:
    """A program in a tmux server of its own."""

    def __init__(self, directory, columns, rows):
        self._tmux = ["tmux", "-S", str(directory / "tmux"), "-f", "/dev/null"]
        self._size = ["-x", str(columns), "-y", str(rows)]

    def start(self, *command):
        self._run("new-session", "-d", *self._size, *map(str, command))

    def type(self, *keys):
        self._run("send-keys", *keys)

    def screen(self):
        return self._run("capture-pane", "-p")

    def running(self):
        return subprocess.run([*self._tmux, "has-session"], stderr=subprocess.DEVNULL).returncode == 0

    def close(self):
        subprocess.run([*self._tmux, "kill-server"], stderr=subprocess.DEVNULL)

    def _run(self, *command):
        return subprocess.run([*self._tmux, *command], check=True, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm"}).stdout


@pytest.fixture
def terminal(tmp_path):
    with contextlib.closing(Terminal(tmp_path, 80, 48)) as terminal:
        yield terminal


def test_live_view(syslog_ng, stream, terminal):
    """One key keeps a worker busy: the heat line shows it, and moves on from second to second."""
    syslog_ng.start(CONFIG)
    with endless(syslog_ng, stream, keys=lambda number: 3):
        terminal.start(PARALLELIZE_TOP, f"--control={syslog_ng.control_socket}", "--interval=0.3")
        wait_for(lambda: re.search(r"KEY-BOUND: k3", terminal.screen()), lambda: f"a verdict in\n{terminal.screen()}")
        wait_for(lambda: re.search(r"(?m)\|.*[-=+*#%@].*\|$", terminal.screen()), lambda: f"heat in\n{terminal.screen()}")
        screen = terminal.screen()
        assert "by-program: 4 worker(s)" in screen
        assert "100%" in screen
        clock = re.search(r"\d\d:\d\d:\d\d", screen)[0]
        wait_for(lambda: clock not in terminal.screen(), "a clock that moves on")
    terminal.type("q")
    wait_for(lambda: not terminal.running(), "the end of the program")


def test_live_view_through_a_reload_and_a_restart(syslog_ng, terminal):
    syslog_ng.start(CONFIG)
    terminal.start(PARALLELIZE_TOP, f"--control={syslog_ng.control_socket}", "--interval=0.1")
    wait_for(lambda: "by-program: 4 worker(s)" in terminal.screen(), "the element")
    assert syslog_ng.reload(CONFIG.replace("workers(4)", "workers(3)"))
    wait_for(lambda: "by-program: 3 worker(s)" in terminal.screen(), "the element after the reload")
    syslog_ng.stop()
    wait_for(lambda: "parallelize-top" not in terminal.screen() and str(syslog_ng.control_socket)[:20] in terminal.screen(),
             "the reason why nothing is shown")
    syslog_ng.start()
    wait_for(lambda: "by-program: 3 worker(s)" in terminal.screen(), "the element after the restart")


def test_tab_shows_the_next_element_first(syslog_ng, terminal):
    config = """
    log { source(s_tcp); parallelize(workers(1) id("first")); parallelize(workers(2) id("second")); };
    """
    syslog_ng.start(TCP_SOURCE + config)
    terminal.start(PARALLELIZE_TOP, f"--control={syslog_ng.control_socket}", "--interval=10")
    wait_for(lambda: "first: 1 worker(s)" in terminal.screen(), "the first element")
    assert terminal.screen().index("first:") < terminal.screen().find("second:") % 10_000
    terminal.type("Tab")
    wait_for(lambda: terminal.screen().splitlines()[2].startswith("second: 2 worker(s)"), "the second element")
