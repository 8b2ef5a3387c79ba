# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What syslog-ng's own parallelize() takes, in any version, the module takes with the same meaning on every host, or it
refuses it with an error that says what to write.
"""

import re

import pytest

from harness.environment import host_has_builtin, host_version
from harness.messages import HEAVY, LINES, TCP_SOURCE, check_order, in_turn
from harness.network import send_tcp

TWICE = r"WARNING: an option of parallelize\(\) is given more than once, the last one counts"
TOO_LARGE = r"WARNING: the value of an option of parallelize\(\) is too large, its maximum is used"

# The hosts of the tests whose own parallelize() takes a form.
FROM_4_8 = ("4.8.", "4.12.")
FROM_4_12 = ("4.12.",)
ONLY_AXOSYSLOG = ()

ACCEPTED = {
    "": FROM_4_8,
    "partitions(4)": FROM_4_8,
    "partitions(0)": FROM_4_8,
    "partitions(0x10)": FROM_4_8,
    "partitions(017)": FROM_4_8,
    'partition-key("$HOST")': FROM_4_8,
    "partition-key('$HOST')": FROM_4_8,
    "partition-key(HOST)": FROM_4_8,
    "partition-key(5)": FROM_4_8,
    "partition-key(2.5)": FROM_4_8,
    'partition-key("HOST")': FROM_4_8,
    'partition-key("$(sanitize \\"$HOST\\")\\\\n\\t")': FROM_4_8,
    'partition_key("${HOST}-$PROGRAM") partitions(16)': FROM_4_8,
    'partitions(4), partition-key("$HOST"),': FROM_4_8,
    "workers(4)": FROM_4_12,
    'workers(4) worker-partition-key("$HOST")': FROM_4_12,
    'worker_partition_key("$HOST") partitions(4)': FROM_4_12,
    "workers(4) batch-size(100)": FROM_4_12,
    "batch_size(0) workers(4)": FROM_4_12,
    "workers(4) batch-size(100) log-fetch-limit(1000)": ONLY_AXOSYSLOG,
    "log_fetch_limit(0)": ONLY_AXOSYSLOG,
}
# Where options take a type before a template, which the oldest host does not.
TYPED = {
    'partition-key(string("$HOST"))': FROM_4_8,
    'partition-key(int64("$PID"))': FROM_4_8,
    "partition-key(int64(5))": FROM_4_8,
    "partition-key(double(2.5))": FROM_4_8,
    "partition-key(string(HOST))": FROM_4_8,
    'partitions(4) partition-key(json("$(sanitize \\"$HOST\\")\\\\n"))': FROM_4_8,
    'worker-partition-key(string("$HOST")) workers(4)': FROM_4_12,
    'workers(4) worker_partition_key(boolean("$HOST"))': FROM_4_12,
}
GIVEN_TWICE = {
    "partitions(2) partitions(3)": FROM_4_8,
    'partition-key("$PID") partition-key("$HOST")': FROM_4_8,
    "workers(2) partitions(3)": FROM_4_12,
    "partitions(2) workers(3)": FROM_4_12,
    'partition-key("$PID") worker-partition-key("$HOST")': FROM_4_12,
    'worker-partition-key("$PID") worker_partition_key("$HOST")': FROM_4_12,
    "batch-size(1) batch_size(2)": FROM_4_12,
    "log-fetch-limit(1) log-fetch-limit(2)": ONLY_AXOSYSLOG,
    "prefetch(10) prefetch(20)": ONLY_AXOSYSLOG,
    "empty-key(ordered) empty-key(round-robin)": ONLY_AXOSYSLOG,
    'id("a") id("b")': ONLY_AXOSYSLOG,
}
TOO_LARGE_VALUES = {
    "partitions(1025)": FROM_4_8,
    "partitions(2147483647)": FROM_4_8,
    "workers(1025)": FROM_4_12,
    "workers(4) batch-size(2147483647)": FROM_4_12,
    "log-fetch-limit(2147483647)": ONLY_AXOSYSLOG,
}
# Each with the part of the error that says what to write.
REFUSED = {
    'partition-key("")': (FROM_4_8, "leave it out if messages may run in any order"),
}
REFUSED_TYPE = 'options take a type in syslog-ng 4.0 and later, write "$HOST" without string()'
# What no version takes.
REFUSED_BY_ALL = [
    "partitions()",
    "partition-key()",
    "partitions(-1)",
    "partitions(2.5)",
    "partitions(many)",
    'partitions("4")',
    "partitions(2); partitions(3)",
    "partitions(99999999999999999999)",
    "partition-key(string())",
    'partition-key(frobnicate("$HOST"))',
    "Partitions(4)",
]


def check(daemon, word, options):
    return daemon.check_syntax(f"log {{\n    {word}({options});\n}};")


def check_builtin(daemon, options, versions):
    """Where the host has a parallelize() of its own, it takes these options in these versions, and in no others."""
    if host_has_builtin():
        checked = check(daemon, "builtin-parallelize", options)
        assert (checked.returncode == 0) == host_version().startswith(versions), checked.stdout


@pytest.mark.parametrize("options", ACCEPTED)
def test_accepted(syslog_ng, options):
    check_builtin(syslog_ng, options, ACCEPTED[options])
    checked = check(syslog_ng, "parallelize", options)
    assert checked.returncode == 0, checked.stdout
    assert not re.search(f"{TWICE}|{TOO_LARGE}", checked.stdout)


@pytest.mark.parametrize("options", TYPED)
def test_key_with_a_type(syslog_ng, options):
    check_builtin(syslog_ng, options, TYPED[options])
    checked = check(syslog_ng, "parallelize", options)
    assert (checked.returncode == 0) == host_has_builtin(), checked.stdout


@pytest.mark.skipif(host_has_builtin(), reason="options of this host take types")
def test_refused_type_says_what_to_write(syslog_ng):
    checked = check(syslog_ng, "parallelize", 'partition-key(string("$HOST"))')
    assert REFUSED_TYPE in checked.stdout


def location(daemon, column):
    return f"location='{daemon.config_file}:{daemon.head().count(chr(10)) + 2}:{column}'"


@pytest.mark.parametrize("options", GIVEN_TWICE)
def test_given_twice(syslog_ng, options):
    check_builtin(syslog_ng, options, GIVEN_TWICE[options])
    checked = check(syslog_ng, "parallelize", options)
    assert checked.returncode == 0, checked.stdout
    (warning,) = [line for line in checked.stdout.splitlines() if re.search(TWICE, line)]
    second = len("    parallelize(") + options.index(" ") + 2
    assert location(syslog_ng, second) in warning


@pytest.mark.parametrize("options", TOO_LARGE_VALUES)
def test_too_large_value(syslog_ng, options):
    check_builtin(syslog_ng, options, TOO_LARGE_VALUES[options])
    checked = check(syslog_ng, "parallelize", options)
    assert checked.returncode == 0, checked.stdout
    (warning,) = [line for line in checked.stdout.splitlines() if re.search(TOO_LARGE, line)]
    value = re.search(r"(\d+)\)$", options)[1]
    assert f"value='{value}'" in warning
    assert location(syslog_ng, len("    parallelize(") + options.index(value) + 1) in warning


@pytest.mark.parametrize("options", REFUSED)
def test_refused_with_advice(syslog_ng, options):
    versions, advice = REFUSED[options]
    check_builtin(syslog_ng, options, versions)
    checked = check(syslog_ng, "parallelize", options)
    assert checked.returncode == 1
    assert advice in checked.stdout


@pytest.mark.parametrize("options", REFUSED_BY_ALL)
def test_refused_by_all(syslog_ng, options):
    check_builtin(syslog_ng, options, ())
    assert check(syslog_ng, "parallelize", options).returncode == 1


PATH = "log { source(s_tcp); parallelize(OPTIONS); filter(f_heavy); destination(d_lines); flags(flow-control); };"
LAST_COUNTS = {
    "workers(7) partitions(3)": "workers='3'",
    "partitions(7) workers(3)": "workers='3'",
    'workers(1) worker-partition-key("$HOST") partition-key("$PROGRAM")': "worker-partition-key='$PROGRAM'",
    "workers(1) batch-size(7) batch_size(3)": "batch-size='3'",
    "workers(1) log-fetch-limit(7) log_fetch_limit(3)": "log-fetch-limit='3'",
    "workers(1) prefetch(7) prefetch(3)": "prefetch='3'",
    'workers(1) id("a") id("b")': "id='b'",
    "workers(1) batch-size(100000001)": "batch-size='100000000'",
}


@pytest.mark.parametrize("options", LAST_COUNTS)
def test_last_one_counts(syslog_ng, options):
    syslog_ng.start(TCP_SOURCE + HEAVY + LINES + PATH.replace("OPTIONS", options))
    (started,) = syslog_ng.wait_for_log(r"parallelize\(\) started; ")
    assert LAST_COUNTS[options] in started


def test_off_counts_if_it_is_last(syslog_ng):
    syslog_ng.start(TCP_SOURCE + HEAVY + LINES + PATH.replace("OPTIONS", "workers(2) workers(0)"))
    assert not syslog_ng.logged(r"parallelize\(\) started; ")


@pytest.mark.skipif(not host_has_builtin(), reason="options of this host take no types")
@pytest.mark.parametrize("key", ['string("$PROGRAM")', 'int64("$PROGRAM")', 'json("${PROGRAM}-\\"x\\"")'])
def test_key_with_a_type_keeps_the_order(syslog_ng, stream, key):
    """The values are not of this type; it does not matter."""
    syslog_ng.start(TCP_SOURCE + HEAVY + LINES + PATH.replace("OPTIONS", f"workers(4) worker-partition-key({key})"))
    send_tcp(syslog_ng.port, stream.take(in_turn(10, 5000)))
    check_order(syslog_ng.wait_for_lines(5000), stream.sent)
    assert syslog_ng.element()["key"] == re.search(r'"(.*)"', key)[1].replace("\\", "")
