# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What the test module's template functions do to the messages of a path: $(test-work) takes time and tells which
thread worked on a message and when, $(test-hold) stops the thread.
"""

import contextlib
from collections import Counter, defaultdict, namedtuple

Work = namedtuple("Work", "key number thread begin end")


def work_and_trace(microseconds):
    """A rewrite that takes time (without a processor) and a destination that tells of it."""
    return f"""
rewrite r_work {{ set("$(test-work {microseconds})" value(".test.work")); }};
destination d_trace {{ file("`dir`/out" template("$PROGRAM $MSG ${{.test.work}}\\n")); }};
"""


def parse_trace(lines):
    """Returns a Work for each line of d_trace."""
    words = (line.split() for line in lines)
    return [Work(key, int(number), int(thread), int(begin), int(end)) for key, number, thread, begin, end in words]


def threads(work):
    """How many messages each thread worked on."""
    return Counter(item.thread for item in work)


def most_at_once(work):
    """The largest number of messages that were worked on at the same time."""
    steps = sorted([(item.begin, 1) for item in work] + [(item.end, -1) for item in work])
    inside = most = 0
    for _, step in steps:
        inside += step
        most = max(most, inside)
    return most


def by_key(work):
    """Work per key, in the order in which it began."""
    keys = defaultdict(list)
    for item in sorted(work, key=lambda item: item.begin):
        keys[item.key].append(item)
    return keys


class Hold:
    """While it exists, messages that expand $(test-hold FILE) do not get on."""

    def __init__(self, path):
        self._path = path

    @contextlib.contextmanager
    def held(self):
        self._path.write_text("")
        try:
            yield self
        finally:
            self.release()

    def release(self):
        self._path.unlink(missing_ok=True)

    def waiting(self):
        """How many messages have been stopped so far."""
        return self._path.read_text().count("\n")
