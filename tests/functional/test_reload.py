# SPDX-License-Identifier: LGPL-2.1-or-later
"""A reload under load loses nothing, repeats nothing, keeps the order of each key and acknowledges each message."""

import socket
from collections import Counter
from contextlib import ExitStack

import pytest

from harness.messages import FILE_SOURCE, HEAVY, LINES, TCP_SOURCE, Stream, check_order, check_unordered, in_turn, zipf
from harness.network import LOOPBACK, BackgroundSender, connect
from harness.traffic import endless

COUNT = 100_000
KEYED = """
log {
    source(s_tcp);
    parallelize(workers(WORKERS) worker-partition-key("$PROGRAM"));
    destination(d_lines);
    flags(flow-control);
};
"""
HEAVY_PATH = """
log {
    source(s_tcp);
    parallelize(workers(WORKERS) worker-partition-key("$PROGRAM"));
    filter(f_heavy);
    parallelize(workers(2) worker-partition-key("$PROGRAM"));
    destination(d_lines);
    flags(flow-control);
};
"""
OFF = "log { source(s_tcp); destination(d_lines); flags(flow-control); };"


def config(path, workers=2):
    return TCP_SOURCE + LINES + HEAVY + path.replace("WORKERS", str(workers))


def reload_while_sending(daemon, sender, configurations):
    """Returns how often."""
    reloads = 0
    while sender.sending():
        assert daemon.reload(configurations[reloads % len(configurations)])
        reloads += 1
    return reloads


CHANGES = {
    "nothing": [config(KEYED)],
    "number of workers": [config(KEYED, 1), config(KEYED, 4), config(KEYED, 0), config(KEYED, 40)],
    "heavy path": [config(HEAVY_PATH), config(HEAVY_PATH, 3)],
    "on and off": [config(OFF), config(KEYED)],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.asan
def test_reload_storm(syslog_ng, stream, change):
    configurations = CHANGES[change]
    syslog_ng.start(configurations[-1])
    with BackgroundSender(syslog_ng.port, stream.chunks(zipf(100, COUNT))) as sender:
        assert reload_while_sending(syslog_ng, sender, configurations) > 2
    check_order(syslog_ng.wait_for_lines(COUNT), stream.sent)


def test_reload_storm_without_a_key(syslog_ng, stream):
    path = config("""
    log { source(s_tcp); parallelize(workers(4)); filter(f_heavy); destination(d_lines); flags(flow-control); };
    """)
    syslog_ng.start(path)
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(100, COUNT))) as sender:
        assert reload_while_sending(syslog_ng, sender, [path]) > 2
    check_unordered(syslog_ng.wait_for_lines(COUNT), stream.sent)


SLOW = """
log {
    source(s_tcp);
    parallelize(workers(4) worker-partition-key("$PROGRAM") prefetch(10000));
    rewrite { set("$(test-work 500)" value(".test.work")); };
    destination(d_lines);
    flags(flow-control);
};
"""


@pytest.mark.asan
def test_reload_with_messages_inside(syslog_ng, stream):
    """What waits inside is processed before the new configuration is; what comes meanwhile follows it."""
    syslog_ng.start(config(SLOW))
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(20, 10_000))):
        assert len(syslog_ng.wait_for_lines(1)) < 10_000
        assert syslog_ng.reload()
    for _ in range(5):
        assert syslog_ng.reload()
    check_order(syslog_ng.wait_for_lines(10_000), stream.sent)


WITH_A_FILE = "options { stats-level(4); };" + FILE_SOURCE
FROM_BOTH = "source(s_tcp); source(s_file);"


def whole_windows(daemon):
    """How many sources may have as many messages under way as if none had ever come."""
    return sum(free == whole for free, whole in daemon.windows().values())


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.asan
def test_windows_are_whole_after_a_reload_storm(syslog_ng, change):
    """What is acknowledged twice, or never, would show in the window of its connection."""
    configurations = [WITH_A_FILE + text.replace("source(s_tcp);", FROM_BOTH) for text in CHANGES[change]]
    from_file = Stream("file")
    syslog_ng.path("in").write_bytes(from_file.take(zipf(20, COUNT // 5)))
    syslog_ng.start(configurations[-1])
    streams = [Stream(prefix) for prefix in ("a", "b", "c")]
    with ExitStack() as connections:
        with ExitStack() as senders:
            for stream in streams:
                connection = connections.enter_context(connect(syslog_ng.port))
                sender = endless(syslog_ng, stream, lambda number: number % 20, per_second=5000, connection=connection)
                senders.enter_context(sender)
            for number in range(8):
                syslog_ng.wait_for_lines(len(syslog_ng.lines()) + 2000)
                assert syslog_ng.reload(configurations[number % len(configurations)])
        sent = sum((stream.sent for stream in [*streams, from_file]), Counter())
        check_order(syslog_ng.wait_for_lines(sent.total()), sent)
        syslog_ng.wait_for(lambda: whole_windows(syslog_ng) == 4, lambda: f"whole windows: {syslog_ng.windows()}")


TO_A_SERVER = """
destination d_server { network("127.0.0.1" port(`port2`) template("$PROGRAM $MSG\\n")); };
log { source(s_tcp); parallelize(workers(2)); destination(d_server); flags(flow-control); };
"""


def test_configuration_that_fails_at_its_end_with_a_destination_that_is_connected(syslog_ng):
    """When the host comes back to the old one, its drivers have pointers to what they have freed."""
    with socket.create_server((LOOPBACK, syslog_ng.port2)), socket.create_server((LOOPBACK, 0)) as taken:
        good = TCP_SOURCE + TO_A_SERVER
        bad = good + f'log {{ source {{ network(ip("127.0.0.1") port({taken.getsockname()[1]})); }}; destination(d_server); }};\n'
        syslog_ng.start(good, variables={"MALLOC_PERTURB_": "85"})
        syslog_ng.wait_for_log("Syslog connection established")
        for _ in range(5):
            assert not syslog_ng.reload(bad)
            assert "Address already in use" in syslog_ng.log()
        assert syslog_ng.reload(good)
