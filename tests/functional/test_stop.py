# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stop, restart and kill -9: nothing is lost, and a clean stop repeats nothing either."""

import pytest

from harness.messages import FILE_SOURCE, LINES, TCP_SOURCE, check_complete, check_order, in_turn, zipf
from harness.network import LineServer, send_tcp
from harness.trace import Hold

COUNT = 60_000
FROM_FILE = FILE_SOURCE + LINES + """
log {
    source(s_file);
    parallelize(workers(4) worker-partition-key("$PROGRAM"));
    rewrite { set("$(test-work 50)" value(".test.work")); };
    destination(d_lines);
    flags(flow-control);
};
"""


def progress(daemon, lines_before, step=COUNT // 10, total=COUNT):
    """Waits for some work to be done, so that the daemon is ended in the middle of more."""
    daemon.wait_for_lines(min(total, lines_before + step))
    return len(daemon.lines())


@pytest.mark.asan
def test_restart_under_load(syslog_ng, stream):
    syslog_ng.path("in").write_bytes(stream.take(zipf(50, COUNT)))
    syslog_ng.start(FROM_FILE)
    lines = 0
    while (lines := progress(syslog_ng, lines)) < COUNT:
        syslog_ng.stop()
        syslog_ng.start()
    syslog_ng.stop()
    check_order(syslog_ng.lines(), stream.sent)


def test_kill_under_load(syslog_ng, stream):
    syslog_ng.path("in").write_bytes(stream.take(zipf(50, COUNT)))
    syslog_ng.start(FROM_FILE)
    for _ in range(4):
        progress(syslog_ng, len(syslog_ng.lines()))
        syslog_ng.kill()
        syslog_ng.start()
    last = {f"{key} {count - 1}" for key, count in stream.sent.items()}
    syslog_ng.wait_for(lambda: last <= set(syslog_ng.lines()), "the last message of every key")
    syslog_ng.stop()
    check_complete(syslog_ng.lines(), stream.sent)


@pytest.mark.parametrize("key", ["", 'worker-partition-key("$PROGRAM")'])
@pytest.mark.asan
def test_stop_processes_what_is_inside(syslog_ng, stream, key):
    """The source has handed everything over; the daemon is told to stop long before the work is done."""
    path = f"""
    log {{
        source(s_tcp);
        parallelize(workers(4) prefetch(100000) {key});
        rewrite {{ set("$(test-work 1000)" value(".test.work")); }};
        destination(d_lines);
    }};
    """
    syslog_ng.start(TCP_SOURCE + LINES + path)
    send_tcp(syslog_ng.port, stream.take(in_turn(40, 2000)))
    syslog_ng.wait_for(lambda: syslog_ng.counter("center;;received;") == 2000, "all messages")
    assert len(syslog_ng.lines()) < 2000
    syslog_ng.stop()
    check_complete(syslog_ng.lines(), stream.sent)
    assert len(syslog_ng.lines()) == 2000


def test_stop_at_once(syslog_ng):
    """A daemon that has just come up and one that has never seen a message stop as well."""
    for _ in range(5):
        syslog_ng.start(FROM_FILE)
        syslog_ng.stop()


def append(daemon, data):
    with daemon.path("in").open("ab") as file:
        file.write(data)


@pytest.mark.asan
def test_file_source_goes_on_where_it_ended(syslog_ng, stream):
    """After reloads under load: nothing is read again, nothing is left out."""
    append(syslog_ng, stream.take(zipf(50, COUNT // 3)))
    syslog_ng.start(FROM_FILE)
    while len(syslog_ng.lines()) < stream.total():
        progress(syslog_ng, len(syslog_ng.lines()), 3000, stream.total())
        assert syslog_ng.reload()
    for _ in range(3):
        syslog_ng.stop()
        append(syslog_ng, stream.take(in_turn(10, 100)))
        syslog_ng.start()
        check_order(syslog_ng.wait_for_lines(stream.total()), stream.sent)


DISK_BUFFERS = {
    "disk-buffer": 'disk-buffer(disk-buf-size(104857600) mem-buf-length(10000) reliable(no) dir("`dir`"))',
    "reliable disk-buffer": 'disk-buffer(disk-buf-size(104857600) mem-buf-size(10485760) reliable(yes) dir("`dir`"))',
}
SERVER = """
destination d_server {
    network("127.0.0.1" port(`port2`) template("$PROGRAM $MSG\\n") so-sndbuf(4096) log-fifo-size(20000) DISK_BUFFER);
};
"""
TO_THE_SERVER = """
log {
    SOURCE
    parallelize(workers(4) worker-partition-key("$PROGRAM") prefetch(100000));
    rewrite { set("$(test-work 1000)" value(".test.work")); };
    destination(d_server);
    flags(flow-control);
};
"""


def inside(daemon):
    return daemon.element()["counters"]["in_flight"]


@pytest.mark.parametrize("disk_buffer", DISK_BUFFERS)
@pytest.mark.asan
def test_stop_with_a_disk_buffer_whose_server_is_away(syslog_ng, stream, disk_buffer):
    """Messages are inside the element at the stop, others on disk; the server comes back after the restart."""
    server = SERVER.replace("DISK_BUFFER", DISK_BUFFERS[disk_buffer])
    syslog_ng.start(TCP_SOURCE + server + TO_THE_SERVER.replace("SOURCE", "source(s_tcp);"))
    send_tcp(syslog_ng.port, stream.take(in_turn(40, 2000)))
    syslog_ng.wait_for(lambda: syslog_ng.counter("center;;received;") == 2000, "all messages")
    assert inside(syslog_ng) > 0
    syslog_ng.stop()
    check_arrives(syslog_ng, stream)


@pytest.mark.parametrize("disk_buffer", DISK_BUFFERS)
@pytest.mark.asan
def test_restarts_with_a_disk_buffer_whose_server_is_away(syslog_ng, stream, disk_buffer):
    """A file source: what is on disk is not read again."""
    source = FILE_SOURCE.replace("log-iw-size(10000)", "log-iw-size(1000)")
    server = SERVER.replace("DISK_BUFFER", DISK_BUFFERS[disk_buffer])
    append(syslog_ng, stream.take(zipf(40, 12_000)))
    syslog_ng.write_config(source + server + TO_THE_SERVER.replace("SOURCE", "source(s_file);"))
    for _ in range(3):
        syslog_ng.start()
        syslog_ng.wait_for(lambda: syslog_ng.element()["counters"]["processed"] > 500, "some of the messages")
        syslog_ng.stop()
    check_arrives(syslog_ng, stream)


def check_arrives(daemon, stream):
    """The daemon, started again, delivers everything to a server that is there now."""
    server = LineServer(daemon.port2)
    server.read()
    daemon.start()
    daemon.wait_for(lambda: server.line_count() >= stream.total(), lambda: f"lines at it: {server.line_count()}")
    daemon.stop()
    check_order(server.lines(), stream.sent)
    server.close()


# Two destinations, and a file source that goes on behind what both have acknowledged: with what the documents recommend
# for that nothing is lost.

# While the file destination is held, so is one of the daemon's I/O threads, and whichever other job the pool has given to
# it: nothing may come there before all has been read and what is to be delivered has been.
TWO_DESTINATIONS = FILE_SOURCE.replace("log-iw-size", "log-fetch-limit(1000) log-iw-size") + """
rewrite r_hold {
    set("$(test-hold `dir`/hold-k0)" value(".test.held") condition(program("k0" type(string))));
    set("PADDING" value(".test.padding") condition(program("k0" type(string))));
};
destination d_server {
    network("127.0.0.1" port(`port2`) template("$PROGRAM $MSG ${.test.padding}\\n") so-sndbuf(4096) DISK_BUFFER);
};
destination d_held { file("`dir`/out" template("$PROGRAM $MSG$(test-hold `dir`/hold-file)\\n")); };
log {
    source(s_file);
    parallelize(workers(2) worker-partition-key("$PROGRAM"));
    rewrite(r_hold);
    RESEQUENCE
    destination(d_server);
    flags(flow-control);
};
log {
    source(s_file);
    parallelize(workers(2) worker-partition-key("$PROGRAM") id("to the file"));
    rewrite { set("$(test-hold `dir`/hold-all)" value(".test.held")); };
    RESEQUENCE
    destination(d_held);
    flags(flow-control);
};
""".replace("PADDING", "x" * 1024)
REMEDIES = {**DISK_BUFFERS, "resequence": ""}


def two_destinations(remedy):
    config = TWO_DESTINATIONS.replace("DISK_BUFFER", REMEDIES[remedy])
    return config.replace("RESEQUENCE", "resequence();" if remedy == "resequence" else "")


def nothing_inside(daemon):
    """In none of the elements, nor at a resequence()."""
    counters = [element["counters"] for element in daemon.report()["elements"]]
    entered = all(counter["entered"] == counters[0]["entered"] > 0 for counter in counters)
    return entered and not any(counter["in_flight"] + counter["parked"] for counter in counters)


@pytest.mark.parametrize("remedy", REMEDIES)
@pytest.mark.asan
def test_stop_while_one_of_two_destinations_takes_nothing(syslog_ng, stream, remedy):
    """
    On their way to the server the first messages, of k0, are overtaken by all others. These have been delivered, and
    those of k0 wait for a server that takes no more, when the daemon stops; then the others are written to the file.

    The file source must not go on behind the others and leave those of k0 out: they are on disk, or nothing has
    overtaken them.
    """
    k0, file, to_the_file = (Hold(syslog_ng.path(f"hold-{name}")) for name in ("k0", "file", "all"))
    away = LineServer(syslog_ng.port2)
    append(syslog_ng, stream.take([0] * 200 + list(range(1, 21)) * 2))
    syslog_ng.write_config(two_destinations(remedy))

    def delivered():
        return syslog_ng.counter(r"dst\.network;.*;written$")

    with k0.held(), file.held(), to_the_file.held():
        syslog_ng.start()
        syslog_ng.wait_for(lambda: k0.waiting() == 1, "the first message of k0")
        if remedy != "resequence":
            syslog_ng.wait_for(lambda: delivered() > 20, lambda: f"{delivered()} messages that have overtaken it")
        to_the_file.release()
        k0.release()
        syslog_ng.wait_for(lambda: file.waiting() == 1, "the first message for the file")
        syslog_ng.wait_for(lambda: nothing_inside(syslog_ng), "all messages in the queues")
        syslog_ng.terminate()
        syslog_ng.wait_for_log("syslog-ng shutting down")
        file.release()
        syslog_ng.stop()
    away.read()
    away.close()

    server = LineServer(syslog_ng.port2)
    server.read()
    syslog_ng.start()

    def lines():
        return [line for connection in (away, server) for line in connection.lines()]

    def arrived():
        return len({tuple(line.split(" ")[:2]) for line in lines()})

    syslog_ng.wait_for(lambda: arrived() >= stream.total(), lambda: f"{arrived()} of {stream.total()} messages")
    syslog_ng.stop()
    check_complete(lines(), stream.sent)
    check_complete(syslog_ng.lines(), stream.sent)
    server.close()
