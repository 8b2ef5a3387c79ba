# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Messages of every thread of the daemon are parallelised, in order: I/O workers, threaded sources, internal(), and the
main thread with its generators and timers.

One path writes down what comes from the source, in front of parallelize() and behind it.
"""

from harness.network import connect, send_tcp
from harness.trace import work_and_trace

BOTH_SIDES = work_and_trace(microseconds=200) + """
log {
    SOURCE
    log { destination { file("`dir`/front" template("TEXT\\n")); }; };
    log {
        parallelize(workers(4) worker-partition-key("KEY"));
        rewrite(r_work);
        destination { file("`dir`/behind" template("${.test.work} TEXT\\n")); };
    };
};
"""


def both_sides(source, text, key):
    return BOTH_SIDES.replace("SOURCE", source).replace("TEXT", text).replace("KEY", key)


def behind_the_element(daemon):
    """Stops the daemon and returns the texts, after the check that the element's threads have processed all of them."""
    names = daemon.thread_names()
    daemon.stop()
    behind = [line.split(" ", 3) for line in daemon.lines("behind")]
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
    assert [int(text.split("client='AF_INET(127.0.0.1:")[1].split(")")[0]) for text in accepted(texts)] == ports


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
