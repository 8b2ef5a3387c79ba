# SPDX-License-Identifier: LGPL-2.1-or-later
"""Traffic that does not end by itself, and traffic of keys of any bytes."""

import contextlib
import itertools
import threading
import time

from harness.messages import HEAVY, TCP_SOURCE
from harness.network import BackgroundSender, send_tcp

MESSAGE_IS_THE_KEY = """
log {
    source(s_tcp);
    parallelize(workers(2) worker-partition-key("$MSG"));
    filter(f_heavy);
    destination { file("`dir`/out" template("$PROGRAM\\n")); };
};
"""


@contextlib.contextmanager
def endless(daemon, stream, keys, at_once=100, per_second=None, connection=None):
    """
    While the context lasts, messages with the keys (a function of the running number) are sent, as fast as the
    daemon takes them or so many a second. The daemon must take what has been sent by the time it ends. A connection
    that is given stays open.
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

    with BackgroundSender(daemon.port, chunks(), connection):
        try:
            yield
        finally:
            enough.set()


def start_and_send_keys(daemon, *keys, each=300):
    """The daemon has processed `each` messages with each key, in the order of the keys."""
    daemon.start(TCP_SOURCE + HEAVY + MESSAGE_IS_THE_KEY)
    for key in keys:
        send_tcp(daemon.port, (b"<13>1 2024-01-01T00:00:00Z host k - - - " + key + b"\n") * each)
    daemon.wait_for_lines(each * len(keys))
