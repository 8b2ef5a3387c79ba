# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sources with a thread of their own, which close their batch after each message: python()."""

import pytest

MESSAGES = 20_000
KEYS = 7
ROUNDS = 50

POST_ALL = """
    def run(self):
        for number in range(%d):
            if self.over:
                return
            self.post_message(LogMessage("key%%d %%d" %% (number %% %d, number // %d)))
""" % (MESSAGES, KEYS, KEYS)

# A few messages, and the next ones when these have come out.
POST_IN_ROUNDS = """
    def run(self):
        for done in range(1, %d + 1):
            for number in range(3):
                self.post_message(LogMessage("key%%d %%d" %% (number, done)))
            while not self.over and self.lines() < 3 * done:
                time.sleep(0.001)
""" % ROUNDS

SOURCE = """
python {
import time
from syslogng import LogMessage, LogSource

class Poster(LogSource):
    def init(self, options):
        self.path = options["path"]
        self.over = False
        return True

    def lines(self):
        try:
            with open(self.path, "rb") as file:
                return file.read().count(b"\\n")
        except FileNotFoundError:
            return 0
%s
    def request_exit(self):
        self.over = True
};
"""

PATH = """
log {
    source { python(class("Poster") options("path" "`dir`/out") log-iw-size(1000)); };
    %s
    parallelize(workers(2) %s);
    destination { file("`dir`/out" template("$MSG\\n")); };
    flags(flow-control);
};
"""

KEYED = 'worker-partition-key("$(substr $MSG 0 4)")'


def config(run, options, before=""):
    return SOURCE % run + PATH % (before, options)


@pytest.mark.parametrize("options", ["", KEYED])
def test_all_messages_come_out_in_order(syslog_ng, options):
    syslog_ng.start(config(POST_ALL, options))
    syslog_ng.wait_for_lines(MESSAGES)
    syslog_ng.stop()

    lines = [line.split() for line in syslog_ng.lines()]
    assert len(lines) == MESSAGES
    for key in range(KEYS):
        numbers = [int(number) for name, number in lines if name == f"key{key}"]
        expected = [*range(len(range(key, MESSAGES, KEYS)))]
        assert (numbers if options else sorted(numbers)) == expected


def test_a_few_messages_do_not_wait_for_more(syslog_ng):
    """A worker that naps comes back by itself: without it each round would take a second."""
    syslog_ng.start(config(POST_IN_ROUNDS, ""))
    syslog_ng.wait_for(lambda: len(syslog_ng.lines()) >= 3 * ROUNDS, "all rounds", seconds=ROUNDS / 2)
