# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What a reload, a stop and a crash cost, for the sources and destinations that no other test has.

http() stands for the destinations with threads of their own. A server that is away keeps messages in the queue. A held
worker keeps them in the element.
"""

from collections import Counter

import pytest

from harness.messages import HEAVY, check_complete, check_order, in_turn
from harness.network import HttpServer, LineServer, connect, send_tcp
from harness.trace import Hold
from harness.waiting import wait_for

WINDOW = 200
HEAD = HEAVY + """
options { stats-level(4); };
source s_file { file("`dir`/in" follow-freq(0.1) flags(syslog-protocol) log-fetch-limit(1000) log-iw-size(WINDOW)); };
source s_tcp {
    network(ip("127.0.0.1") port(`port`) flags(syslog-protocol) max-connections(1) log-fetch-limit(1000)
            log-iw-size(WINDOW));
};
destination d_file { file("`dir`/out" template("$PROGRAM $MSG\\n")); };
destination d_network { network("127.0.0.1" port(`port2`) template("$PROGRAM $MSG\\n") QUEUE); };
destination d_http { http(url("http://127.0.0.1:`port2`/") method("POST") body("$PROGRAM $MSG\\n") workers(1) QUEUE); };
log {
    source(SOURCE);
    ELEMENT
    filter(f_heavy);
    rewrite {
        set("$(test-hold `dir`/hold-k0)" value(".test.held") condition(program("k0" type(string))));
        set("$(test-hold `dir`/hold-all)" value(".test.held"));
    };
    destination(DESTINATION);
    flags(flow-control);
};
""".replace("WINDOW", str(WINDOW))
ELEMENT = 'parallelize(workers(2) worker-partition-key("$PROGRAM"));'
ELEMENTS = {"with the element": ELEMENT, "without": ""}
RELIABLE_DISK_BUFFER = 'disk-buffer(disk-buf-size(10485760) mem-buf-size(1048576) reliable(yes) dir("`dir`"))'
DISK_BUFFERS = {
    "disk-buffer": 'disk-buffer(disk-buf-size(10485760) mem-buf-length(2000) reliable(no) dir("`dir`"))',
    "reliable disk-buffer": RELIABLE_DISK_BUFFER,
}
MEMORY = ""
LAST = b"<13>1 2024-01-01T00:00:00Z host last - - - 0\n"


def config(source, destination, queue=MEMORY, element=ELEMENT):
    config = HEAD.replace("SOURCE", source).replace("DESTINATION", destination)
    return config.replace("QUEUE", queue).replace("ELEMENT", element)


def send(daemon, source, data):
    if source == "s_file":
        with daemon.path("in").open("ab") as file:
            file.write(data)
    else:
        send_tcp(daemon.port, data)


class FileOutput:
    """What the file destination has written, seen as a server."""

    def __init__(self, daemon):
        self.lines = daemon.lines


def serve(daemon, destination):
    """The other end of the destination."""
    if destination == "d_file":
        return FileOutput(daemon)
    if destination == "d_http":
        return HttpServer(daemon.port2)
    server = LineServer(daemon.port2)
    server.read()
    return server


def received(daemon):
    return daemon.counter("center;;received;")


def wait_for_received(daemon, count):
    daemon.wait_for(lambda: received(daemon) == count, lambda: f"{count} messages read, not {received(daemon)}")


def in_flight(daemon):
    """In the element, if there is one."""
    return daemon.counter("parallelize;.*;in_flight$")


def queued(daemon):
    return daemon.counter(r"dst\.(file|network|http);.*;queued$")


def wait_for_queued(daemon, count):
    daemon.wait_for(lambda: queued(daemon) == count, lambda: f"{count} messages in the queue, not {queued(daemon)}")


def wait_for_arrivals(daemon, server, count):
    daemon.wait_for(
        lambda: len(server.lines()) >= count, lambda: f"{count} messages at the server, not {len(server.lines())}"
    )


def arrivals_until_the_last(daemon, server, source, before):
    """
    Waits for `before` messages at the server, sends a last one, and stops the daemon when all have arrived. Returns them
    without the last one. More than `before` would be among them.
    """
    wait_for_arrivals(daemon, server, before)
    send(daemon, source, LAST)
    daemon.wait_for(lambda: "last 0" in server.lines(), "the last message")
    daemon.wait_for(lambda: in_flight(daemon) == queued(daemon) == 0, "the end of all messages")
    daemon.stop()
    return [line for line in server.lines() if line != "last 0"]


# Reload


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS)
def test_reload_keeps_the_queue_of_a_destination_with_threads(syslog_ng, stream, element):
    syslog_ng.start(config("s_tcp", "d_http", element=element))
    send(syslog_ng, "s_tcp", stream.take(in_turn(10, WINDOW)))
    wait_for_queued(syslog_ng, WINDOW)
    assert syslog_ng.reload()
    server = serve(syslog_ng, "d_http")
    check_order(arrivals_until_the_last(syslog_ng, server, "s_tcp", WINDOW), stream.sent)


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS)
def test_reload_repeats_a_file_in_the_queue_of_a_destination_with_threads(syslog_ng, stream, element):
    """The queue is kept. It is not acknowledged, so syslog-ng also reads its messages again: one window, no more."""
    send(syslog_ng, "s_file", stream.take(in_turn(10, 5 * WINDOW)))
    syslog_ng.start(config("s_file", "d_http", element=element))
    wait_for_queued(syslog_ng, WINDOW)
    assert syslog_ng.reload()
    server = serve(syslog_ng, "d_http")
    lines = arrivals_until_the_last(syslog_ng, server, "s_file", 6 * WINDOW)
    check_complete(lines, stream.sent)
    assert len(lines) == 6 * WINDOW


@pytest.mark.parametrize("queue", DISK_BUFFERS.values(), ids=DISK_BUFFERS)
@pytest.mark.parametrize("source", ["s_file", "s_tcp"])
def test_reload_with_a_disk_buffer_whose_destination_has_threads(syslog_ng, stream, source, queue):
    """What is on disk is acknowledged and not read again. The window does not bound it."""
    syslog_ng.start(config(source, "d_http", queue))
    send(syslog_ng, source, stream.take(in_turn(10, 3 * WINDOW)))
    wait_for_queued(syslog_ng, 3 * WINDOW)
    assert syslog_ng.reload()
    server = serve(syslog_ng, "d_http")
    check_order(arrivals_until_the_last(syslog_ng, server, source, 3 * WINDOW), stream.sent)


# Stop


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS)
@pytest.mark.parametrize("destination", ["d_network", "d_http"])
def test_stop_loses_what_a_connection_has_in_the_memory_queue(syslog_ng, stream, destination, element):
    syslog_ng.start(config("s_tcp", destination, element=element))
    send(syslog_ng, "s_tcp", stream.take(in_turn(10, WINDOW)))
    wait_for_queued(syslog_ng, WINDOW)
    syslog_ng.stop()
    server = serve(syslog_ng, destination)
    syslog_ng.start()
    assert arrivals_until_the_last(syslog_ng, server, "s_tcp", 0) == []


# The messages of k0 come first and stay in the element. Others overtake them.
K0 = WINDOW // 4


def read_one_window(daemon, stream, source, queue=MEMORY):
    """
    Starts the daemon, while k0 is held. Returns the server when it has got some of the messages. A file has more
    messages than the window lets the daemon read.
    """
    count = 5 * WINDOW if source == "s_file" else WINDOW
    server = serve(daemon, "d_http")
    daemon.start(config(source, "d_http", queue))
    send(daemon, source, stream.take([0] * K0 + [1 + number for number in in_turn(20, count - K0)]))
    wait_for_received(daemon, WINDOW)
    wait_for_arrivals(daemon, server, K0)
    return server


def stop_with_k0_in_the_element(daemon, stream, source, queue):
    """
    Those of k0 leave the element when the destination's thread has ended. Starts the daemon again. Returns the server
    and the number of messages that it had got before.
    """
    k0 = Hold(daemon.path("hold-k0"))
    with k0.held():
        server = read_one_window(daemon, stream, source, queue)
        daemon.terminate()
        daemon.wait_for(lambda: server.connections() == 0, "the end of the destination's thread")
        delivered = len(server.lines())
        assert "k0 0" not in server.lines()
        k0.release()
        daemon.stop()
    daemon.start()
    return server, delivered


def test_stop_repeats_a_file_whose_destination_has_threads(syslog_ng, stream):
    """syslog-ng reads again from the first message of k0: what has overtaken it comes twice."""
    server, delivered = stop_with_k0_in_the_element(syslog_ng, stream, "s_file", MEMORY)
    lines = arrivals_until_the_last(syslog_ng, server, "s_file", stream.total() + delivered)
    check_complete(lines, stream.sent)
    assert 0 < len(lines) - stream.total() == delivered <= WINDOW


def test_stop_loses_what_a_connection_has_in_the_element_if_the_destination_has_threads(syslog_ng, stream):
    server, delivered = stop_with_k0_in_the_element(syslog_ng, stream, "s_tcp", MEMORY)
    lines = arrivals_until_the_last(syslog_ng, server, "s_tcp", delivered)
    assert len(lines) == delivered < stream.total()


@pytest.mark.parametrize("queue", DISK_BUFFERS.values(), ids=DISK_BUFFERS)
@pytest.mark.parametrize("source", ["s_file", "s_tcp"])
def test_stop_with_a_disk_buffer_whose_destination_has_threads(syslog_ng, stream, source, queue):
    """Messages reach the disk-buffer after the destination's thread has ended. None is lost, none comes twice."""
    server, _ = stop_with_k0_in_the_element(syslog_ng, stream, source, queue)
    check_order(arrivals_until_the_last(syslog_ng, server, source, stream.total()), stream.sent)


# Crash


def test_crash_repeats_a_file_whose_destination_has_threads(syslog_ng, stream):
    """As at a stop."""
    k0 = Hold(syslog_ng.path("hold-k0"))
    with k0.held():
        server = read_one_window(syslog_ng, stream, "s_file")
        syslog_ng.kill()
        wait_for(lambda: server.connections() == 0, "the end of the connection")
        delivered = len(server.lines())
    syslog_ng.start()
    lines = arrivals_until_the_last(syslog_ng, server, "s_file", stream.total() + delivered)
    check_complete(lines, stream.sent)
    assert 0 < len(lines) - stream.total() == delivered <= WINDOW


def kill_with_a_full_element(daemon, stream, destination, queue, before):
    """
    Once `before` is true, fills the window with messages that stay in the element, and kills the daemon. More of them
    wait in the socket. Starts it again.
    """
    everything = Hold(daemon.path("hold-all"))
    daemon.start(config("s_tcp", destination, queue))
    with connect(daemon.port) as connection:
        connection.sendall(stream.take(in_turn(10, WINDOW)))
        before()
        with everything.held():
            connection.sendall(stream.take(in_turn(10, 3 * WINDOW)))
            wait_for_received(daemon, 2 * WINDOW)
            assert [free for free, whole in daemon.windows().values() if whole == WINDOW] == [0]
            daemon.kill()
    daemon.start()


@pytest.mark.parametrize("destination", ["d_file", "d_network", "d_http"])
def test_crash_loses_what_a_connection_has_in_the_element(syslog_ng, stream, destination):
    """It is one window at most: the daemon reads no more."""
    server = serve(syslog_ng, destination)
    first = in_turn(10, WINDOW)

    def delivered():
        wait_for_arrivals(syslog_ng, server, WINDOW)
        syslog_ng.wait_until_no_message_is_left()

    kill_with_a_full_element(syslog_ng, stream, destination, MEMORY, delivered)
    lines = arrivals_until_the_last(syslog_ng, server, "s_tcp", WINDOW)
    check_order(lines, Counter(f"k{key}" for key in first))


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS)
@pytest.mark.parametrize("destination", ["d_network", "d_http"])
def test_crash_loses_what_a_connection_has_in_the_memory_queue(syslog_ng, stream, destination, element):
    """It is one window at most: the daemon reads no more."""
    syslog_ng.start(config("s_tcp", destination, element=element))
    send(syslog_ng, "s_tcp", stream.take(in_turn(10, 3 * WINDOW)))
    wait_for_queued(syslog_ng, WINDOW)
    wait_for_received(syslog_ng, WINDOW)
    syslog_ng.kill()
    server = serve(syslog_ng, destination)
    syslog_ng.start()
    assert arrivals_until_the_last(syslog_ng, server, "s_tcp", 0) == []


def test_crash_with_a_reliable_disk_buffer_loses_what_a_connection_has_in_the_element(syslog_ng, stream):
    """What has reached the disk-buffer arrives."""
    first = in_turn(10, WINDOW)
    kill_with_a_full_element(
        syslog_ng, stream, "d_network", RELIABLE_DISK_BUFFER, lambda: wait_for_queued(syslog_ng, WINDOW)
    )
    server = serve(syslog_ng, "d_network")
    lines = arrivals_until_the_last(syslog_ng, server, "s_tcp", WINDOW)
    check_order(lines, Counter(f"k{key}" for key in first))
