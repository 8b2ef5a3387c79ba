# SPDX-License-Identifier: LGPL-2.1-or-later
"""Waiting for a condition with a deadline."""

import time

DEADLINE_SECONDS = 30
POLL_SECONDS = 0.01


def poll(condition, seconds=DEADLINE_SECONDS):
    """Calls condition() until it is true or the time is up; returns its last value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(POLL_SECONDS)


def wait_for(condition, what, seconds=DEADLINE_SECONDS):
    """Returns the first true value of condition(); fails the test after the deadline, naming `what`.

    `what` may be a function, called only when the wait has failed.
    """
    value = poll(condition, seconds)
    if not value:
        raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
    return value
