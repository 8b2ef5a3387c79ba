# SPDX-License-Identifier: LGPL-2.1-or-later
"""Traffic that does not end by itself."""

import contextlib
import itertools
import threading
import time

from harness.network import BackgroundSender


@contextlib.contextmanager
def endless(daemon, stream, keys, at_once=100, per_second=None):
    """
    While the context lasts, messages with the keys (a function of the running number) are sent, as fast as the
    daemon takes them or so many a second. The daemon must take what has been sent by the time it ends.
    """
    enough = threading.Event()

    def chunks():
        begin = time.monotonic()
        for sent in itertools.count(0, at_once):
            if enough.is_set():
                return
            yield stream.take(keys(number) for number in range(sent, sent + at_once))
            if per_second:
                enough.wait(max(0, begin + sent / per_second - time.monotonic()))

    with BackgroundSender(daemon.port, chunks()):
        try:
            yield
        finally:
            enough.set()
