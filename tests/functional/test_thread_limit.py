# SPDX-License-Identifier: LGPL-2.1-or-later
"""Workers that cannot be created are an error with a clear message, not a crash."""

import os
import resource

import pytest

from harness.messages import LINES, TCP_SOURCE, check_order, in_turn
from harness.network import send_tcp

PATH = """
log {
    source(s_tcp);
    parallelize(workers(WORKERS) worker-partition-key("$PROGRAM"));
    destination(d_lines);
    flags(flow-control);
};
"""


def config(workers):
    return TCP_SOURCE + LINES + PATH.replace("WORKERS", str(workers))


@pytest.fixture
def refuse_threads(test_modules):
    return [test_modules / "preload/librefusethreads.so"]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_start_is_refused(syslog_ng, refuse_threads, limit):
    syslog_ng.launch(config(workers=8), preload=refuse_threads, variables={"TEST_MAX_THREADS": str(limit)})
    assert syslog_ng.wait_for_exit() == 2
    (error,) = syslog_ng.logged(r"Error creating the worker threads of parallelize\(\)")
    assert "workers='8'" in error
    assert f"{syslog_ng.config_file}:" in error
    assert "Resource temporarily unavailable" in error


def test_limit_that_suffices(syslog_ng, refuse_threads, stream):
    """The same daemon, the same preloaded library: it is the limit that makes the difference."""
    syslog_ng.start(config(workers=8), preload=refuse_threads, variables={"TEST_MAX_THREADS": "50"})
    send_tcp(syslog_ng.port, stream.take(in_turn(10, 1000)))
    check_order(syslog_ng.wait_for_lines(1000), stream.sent)


def test_reload_goes_back_to_the_old_configuration(syslog_ng, refuse_threads, stream):
    syslog_ng.start(config(workers=2), preload=refuse_threads, variables={"TEST_MAX_THREADS": "20"})
    send_tcp(syslog_ng.port, stream.take(in_turn(10, 1000)))
    syslog_ng.wait_for_lines(1000)
    assert not syslog_ng.reload(config(workers=100))
    assert syslog_ng.logged(r"Error creating the worker threads of parallelize\(\)")
    send_tcp(syslog_ng.port, stream.take(in_turn(10, 1000)))
    check_order(syslog_ng.wait_for_lines(2000), stream.sent)
    assert syslog_ng.reload(config(workers=4))


def test_start_is_refused_without_file_descriptors(syslog_ng):
    """A thread's event loop needs some; without, it could only abort."""
    syslog_ng.launch(config(workers=300), arguments=("--stderr", "--fd-limit=200"))
    assert syslog_ng.wait_for_exit() == 2
    (error,) = syslog_ng.logged(r"Error creating the worker threads of parallelize\(\)")
    assert "no file descriptors left" in error


def test_reload_goes_back_with_few_file_descriptors_to_spare(syslog_ng, stream):
    """What the threads had that ran before is enough for them to run again: the host ends itself if they cannot."""
    syslog_ng.start(config(workers=8))
    send_tcp(syslog_ng.port, stream.take(in_turn(10, 1000)))
    syslog_ng.wait_for_lines(1000)
    highest = max(map(int, os.listdir(f"/proc/{syslog_ng.pid}/fd")))
    _, hard = resource.prlimit(syslog_ng.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(syslog_ng.pid, resource.RLIMIT_NOFILE, (highest + 3, hard))
    assert not syslog_ng.reload(config(workers=60))
    (error,) = syslog_ng.logged(r"Error creating the worker threads of parallelize\(\)")
    assert "no file descriptors left" in error
    resource.prlimit(syslog_ng.pid, resource.RLIMIT_NOFILE, (hard, hard))
    send_tcp(syslog_ng.port, stream.take(in_turn(10, 1000)))
    check_order(syslog_ng.wait_for_lines(2000), stream.sent)
