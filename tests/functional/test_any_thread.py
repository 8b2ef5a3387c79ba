# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Messages of every thread of the daemon are parallelised, in order: I/O workers, threaded sources, internal(), and the
main thread with its generators and timers.

One path writes down what comes from the source, in front of parallelize() and behind it.
"""

import pytest

from harness.network import connect, send_tcp
from harness.trace import work_and_trace

BOTH_SIDES = work_and_trace(microseconds=200) + """
log {
    SOURCE
    log { destination { file("`dir`/front" template("TEXT\\n")); }; };
    log {
        parallelize(workers(WORKERS) worker-partition-key("KEY"));
        rewrite(r_work);
        destination { file("`dir`/behind" template("${.test.work} TEXT\\n")); };
    };
};
"""


def both_sides(source, text, key, workers=4):
    config = BOTH_SIDES.replace("SOURCE", source).replace("WORKERS", str(workers))
    return config.replace("TEXT", text).replace("KEY", key)


def lines_behind(daemon):
    """Of each: thread, begin, end, text."""
    return [line.split(" ", 3) for line in daemon.lines("behind")]


def behind_the_element(daemon):
    """Stops the daemon and returns the texts, after the check that the element's threads have processed all of them."""
    names = daemon.thread_names()
    daemon.stop()
    behind = lines_behind(daemon)
    for thread in {int(thread) for thread, begin, end, text in behind}:
        assert names[thread].startswith("parallelize/"), names[thread]
    return [text for thread, begin, end, text in behind]


def check_both_sides(daemon):
    """As behind_the_element(), and the texts are the same on both sides."""
    texts = behind_the_element(daemon)
    assert texts == daemon.lines("front")
    return texts


NUMBER_MESSAGES = "options { use-uniqid(yes); };\n"


def accepted(texts):
    return [text for text in texts if "connection accepted" in text]


def ports_of(texts):
    return [int(text.split("client='AF_INET(127.0.0.1:")[1].split(")")[0]) for text in texts]


def test_internal_messages(syslog_ng):
    """Each connection to a port of the daemon makes it say so, naming the port of the other side."""
    listener = "log { source { network(ip('127.0.0.1') port(`port`) max-connections(1000)); }; };"
    config = listener + both_sides("source { internal(); };", text="$MSG", key="$PROGRAM")
    syslog_ng.start(config, arguments=("--verbose",))  # 4.12 says it only then
    ports = []
    for _ in range(200):
        with connect(syslog_ng.port) as connection:
            ports.append(connection.getsockname()[1])
    syslog_ng.wait_for(lambda: len(accepted(syslog_ng.lines("behind"))) == 200, "200 connections")
    texts = check_both_sides(syslog_ng)
    assert ports_of(accepted(texts)) == ports


def check_numbers(texts):
    """$RCPTID counts the messages that the daemon receives."""
    numbers = [int(text) for text in texts]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_generator_on_the_main_thread(syslog_ng):
    source = 'source { example-msg-generator(num(300) freq(0.001) template("generated")); };'
    syslog_ng.start(NUMBER_MESSAGES + both_sides(source, text="$RCPTID", key="one"))
    syslog_ng.wait_for_lines(300, "behind")
    check_numbers(check_both_sides(syslog_ng))


def test_generator_on_the_main_thread_by_key(syslog_ng):
    source = 'source { example-msg-generator(num(300) freq(0.001) template("generated")); };'
    syslog_ng.start(NUMBER_MESSAGES + both_sides(source, text="$RCPTID", key="$(% $RCPTID 3)"))
    syslog_ng.wait_for_lines(300, "behind")
    numbers = [int(text) for text in behind_the_element(syslog_ng)]
    for remainder in range(3):
        of_key = [number for number in numbers if number % 3 == remainder]
        assert of_key == sorted(of_key)
    assert sorted(numbers) == [int(line) for line in syslog_ng.lines("front")]


def test_threaded_source(syslog_ng):
    source = "source { example-random-generator(bytes(8) freq(0.001)); };"
    syslog_ng.start(NUMBER_MESSAGES + both_sides(source, text="$RCPTID", key="one"))
    syslog_ng.wait_for_lines(300, "behind")
    check_numbers(check_both_sides(syslog_ng))


def test_timer_of_a_stateful_parser(syslog_ng):
    """The contexts of 300 keys run out together, on the main thread, which emits what was gathered."""
    source = """
    source { example-msg-generator(num(600) freq(0.001) template("$RCPTID")); };
    parser {
        grouping-by(
            key("$(% $RCPTID 300)")
            scope(global)
            timeout(2)
            aggregate(value("MESSAGE" "aggregate $(% $RCPTID 300) of $(context-length)") inherit-mode(last-message))
            inject-mode(pass-through)
        );
    };
    filter { message("^aggregate"); };
    """
    syslog_ng.start(NUMBER_MESSAGES + both_sides(source, text="$MSG", key="one"))
    syslog_ng.wait_for_lines(300, "behind")
    texts = check_both_sides(syslog_ng)
    assert len(set(texts)) == 300


NETWORK_SOURCE = 'source { network(ip("127.0.0.1") port(`port`) flags(syslog-protocol) log-iw-size(10000)); };'


def test_io_workers(syslog_ng, stream):
    syslog_ng.start(both_sides(NETWORK_SOURCE, text="$MSG", key="one"))
    send_tcp(syslog_ng.port, stream.take([1] * 2000))
    syslog_ng.wait_for_lines(2000, "behind")
    assert check_both_sides(syslog_ng) == [str(number) for number in range(2000)]


def test_readers_on_the_main_thread(syslog_ng, stream):
    """Without I/O workers every connection is read on the main thread, which has other things to do than to help."""
    syslog_ng.start("options { threaded(no); };\n" + both_sides(NETWORK_SOURCE, text="$MSG", key="one"))
    send_tcp(syslog_ng.port, stream.take([1] * 2000))
    syslog_ng.wait_for_lines(2000, "behind")
    assert check_both_sides(syslog_ng) == [str(number) for number in range(2000)]


def test_file_readers_on_the_main_thread(syslog_ng, stream):
    syslog_ng.path("in").write_bytes(stream.take([1] * 2000))
    source = 'source { file("`dir`/in" flags(syslog-protocol) log-iw-size(10000)); };'
    syslog_ng.start("options { threaded(no); };\n" + both_sides(source, text="$MSG", key="one"))
    syslog_ng.wait_for_lines(2000, "behind")
    assert check_both_sides(syslog_ng) == [str(number) for number in range(2000)]


# Reload and stop. Nothing ends by itself here; what comes while the workers are changed is processed by the thread that
# brings it, in its turn.

ENDLESS = {
    "generator": ('source { example-msg-generator(freq(0.001) template("generated")); };', "$RCPTID"),
    "threaded source": ("source { example-random-generator(bytes(8) freq(0.001)); };", "$RCPTID"),
    "timer of a parser": (
        """
        source { example-msg-generator(freq(0.001) template("$RCPTID")); };
        parser {
            grouping-by(
                key("$(/ $RCPTID 3)")
                scope(global)
                timeout(1)
                aggregate(value("MESSAGE" "$RCPTID") value(".test.aggregate" "yes") inherit-mode(last-message))
                inject-mode(pass-through)
            );
        };
        filter { "${.test.aggregate}" eq "yes" };
        """,
        "$MSG",
    ),
}


def reload_and_stop(daemon, config):
    """Reloads with other numbers of workers, each time when more has come out, and stops while more is coming."""

    def more_comes_out():
        daemon.wait_for_lines(len(daemon.lines("behind")) + 50, "behind")

    daemon.start(config(4))
    for workers in (2, 5, 1, 40, 3):
        more_comes_out()
        assert daemon.reload(config(workers))
    more_comes_out()
    daemon.stop()
    threads = {thread for thread, begin, end, text in lines_behind(daemon)}
    assert len(threads) >= 6, "not every configuration has had a worker of its own"
    return [text for thread, begin, end, text in lines_behind(daemon)]


@pytest.mark.parametrize("source", ENDLESS)
@pytest.mark.asan
def test_reload_and_stop(syslog_ng, source):
    definition, text = ENDLESS[source]
    texts = reload_and_stop(
        syslog_ng, lambda workers: NUMBER_MESSAGES + both_sides(definition, text, "one", workers)
    )
    assert texts == syslog_ng.lines("front")
    numbers = [int(text) for text in texts]
    assert len(set(numbers)) == len(numbers)
    if source != "timer of a parser":  # the contexts that run out together do so in any order
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("source", ["generator", "threaded source"])
@pytest.mark.asan
def test_reload_and_stop_by_key(syslog_ng, source):
    definition, text = ENDLESS[source]
    texts = reload_and_stop(
        syslog_ng, lambda workers: NUMBER_MESSAGES + both_sides(definition, text, "$(% $RCPTID 3)", workers)
    )
    numbers = [int(text) for text in texts]
    for remainder in range(3):
        of_key = [number for number in numbers if number % 3 == remainder]
        assert of_key == sorted(of_key)
    assert sorted(numbers) == [int(line) for line in syslog_ng.lines("front")]


@pytest.mark.asan
def test_internal_messages_over_reloads(syslog_ng):
    """The daemon's log goes to its internal() source, and what a reload says is among it."""

    def config(workers):
        listener = "log { source { network(ip('127.0.0.1') port(`port`) max-connections(1000)); }; };"
        return listener + both_sides("source { internal(); };", text="$MSG", key="$PROGRAM", workers=workers)

    def finished():
        return sum("Configuration reload finished" in line for line in syslog_ng.lines("behind"))

    syslog_ng.start(config(4), arguments=("--verbose",))
    ports = []
    for number in range(200):
        with connect(syslog_ng.port) as connection:
            ports.append(connection.getsockname()[1])
        if number % 40 == 20:
            before = finished()
            syslog_ng.write_config(config(1 + number // 20))
            syslog_ng.control("RELOAD")
            syslog_ng.wait_for(lambda: finished() > before, "the end of the reload")
    syslog_ng.wait_for(lambda: len(accepted(syslog_ng.lines("behind"))) == 200, "200 connections")
    syslog_ng.stop()
    texts = [text for thread, begin, end, text in lines_behind(syslog_ng)]
    assert texts == syslog_ng.lines("front")
    assert ports_of(accepted(texts)) == ports
