# SPDX-License-Identifier: LGPL-2.1-or-later
"""internal() in front of the element: its thread is gone when what is inside leaves, at a reload or a stop."""

import subprocess

import pytest

from harness import environment
from harness.network import connect
from harness.trace import Hold

MESSAGES = 100      # the window of internal()
PATH = """
source s_tcp { network(ip("127.0.0.1") port(`port`) max-connections(1000)); };
log { source(s_tcp); destination { file("/dev/null"); }; };
log {
    source { internal(); };
    log {
        parallelize(workers(2) worker-partition-key("same"));
        rewrite { set("$(test-hold `dir`/hold)" value(".test.held")); };
        # what is dropped is acknowledged, there and then
        filter { program("nobody"); };
    };
    log { destination { file("`dir`/out" template("$MSG\\n")); }; };
};
"""


def fill_the_window(daemon):
    """Each connection is worth two messages."""
    for _ in range(MESSAGES):
        connect(daemon.port).close()
    daemon.wait_for(lambda: daemon.element()["counters"]["entered"] >= MESSAGES, lambda: str(daemon.element()["counters"]))


@pytest.mark.parametrize("reloads", [True, False])
@pytest.mark.asan
def test_acknowledgements_come_when_its_thread_has_ended(syslog_ng, reloads):
    with Hold(syslog_ng.path("hold")).held() as hold:
        syslog_ng.start(PATH, arguments=("--verbose",), variables={"MALLOC_PERTURB_": "85"})
        syslog_ng.wait_for(hold.waiting, "a message that is held")
        fill_the_window(syslog_ng)
        threads = len(syslog_ng.thread_names())
        if reloads:
            command = subprocess.Popen([environment.SYSLOG_NG_CTL, f"--control={syslog_ng.control_socket}", "reload"])
        else:
            syslog_ng.terminate()
        # both workers wait for the message that is held
        syslog_ng.wait_for(lambda: len(syslog_ng.thread_names()) < threads, "the end of that thread")
        hold.release()
        if reloads:
            assert command.wait(30) == 0
            syslog_ng.wait_for(lambda: any("reload finished" in line for line in syslog_ng.lines()), "the end of the reload")
            connect(syslog_ng.port).close()
            syslog_ng.wait_for(lambda: any("Syslog connection closed" in line for line in syslog_ng.lines()[-3:]),
                               "a message after it")
        syslog_ng.stop()
    assert len(syslog_ng.lines()) >= MESSAGES
