# SPDX-License-Identifier: LGPL-2.1-or-later
"""What somebody who chooses the content of messages, and so the keys, can do to the daemon: nothing to speak of."""

import contextlib
import json
import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from harness.daemon import Daemon
from harness.messages import HEAVY, LINES
from harness.top import output, promtool
from harness.trace import Hold

# one in 16 keys is looked at, and 512 of these make a verdict
HOT = 15_000
HOT_KEY = r"WARNING: one key holds nearly all traffic of parallelize\(\)"
STUCK = r"WARNING: a worker of parallelize\(\) is stuck on one message"
NO_LONGER_STUCK = r"A worker of parallelize\(\) has come to the end of the message"
LONGEST_LINE = 2000
LONGEST_KEY = 4 * 256 + len("...")      # nothing takes more than four characters a byte to be shown
# Slower than the sender: only a key whose messages wait is worth a warning.
RAW_PATH = LINES + """
filter f_slow { "$(test-burn 100)" eq "" };
log {
    source { unix-dgram("`dir`/socket" flags(no-parse) log-iw-size(10000)); };
    parallelize(workers(4) worker-partition-key("KEY"));
    filter(f_slow);
    destination(d_lines);
};
"""
NASTY = {
    "newline": (b"a\nparallelize() stopped; id='forged'", "$MSG"),
    "terminal": (b"a\x1b]0;title\x07\x1b[2J\r\x08", "$MSG"),
    "quotes": (b"a'; id='forged", "$MSG"),
    "not UTF-8": (b"a\xff\xfe\x80", "$MSG"),
    "8 bit controls": (b"a\xc2\x9b2J\xc2\x85\xe2\x80\xae", "$MSG"),
    "64 KiB": (b"a\n", "$MSG$(padding x 65536 y)"),
}


def send_datagrams(path, messages):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(path))
        for message in messages:
            sender.send(message)


@pytest.mark.parametrize("name", NASTY)
def test_key_in_a_warning_is_escaped_and_short(syslog_ng, name):
    """Nothing of it makes a line of its own, moves a cursor, or fills the disk."""
    key, template = NASTY[name]
    syslog_ng.start(RAW_PATH.replace("KEY", template))
    send_datagrams(syslog_ng.path("socket"), [key] * HOT)
    (warning,) = syslog_ng.wait_for_log(HOT_KEY)
    check_log_line(warning)
    assert not syslog_ng.logged("^parallelize")


def check_log_line(line):
    assert len(line) < LONGEST_LINE
    assert line.isprintable()
    assert "key='a" in line
    assert "id='forged'" not in line


HELD_PATH = """
log {
    source { unix-dgram("`dir`/NAME" persist-name("NAME") flags(no-parse) log-iw-size(10000)); };
    parallelize(workers(2) worker-partition-key("KEY") id("NAME"));
    rewrite(r_hold);
};
"""
HELD_CONFIG = """
rewrite r_hold { set("$(test-hold `dir`/hold)" value(".test.hold")); };
""" + "".join(HELD_PATH.replace("NAME", name).replace("KEY", template) for name, (_, template) in NASTY.items())
ENOUGH_FOR_A_SAMPLE = 200


@pytest.fixture
def stuck_on_nasty_keys(syslog_ng):
    """For each of the keys an element with a worker that is stuck on it; other messages of the key wait."""
    hold = Hold(syslog_ng.path("hold"))
    syslog_ng.start(HELD_CONFIG)
    with hold.held():
        for name, (key, _) in NASTY.items():
            send_datagrams(syslog_ng.path(name), [key] * ENOUGH_FOR_A_SAMPLE)
        yield hold


def test_key_in_the_warnings_of_a_stuck_worker(syslog_ng, stuck_on_nasty_keys):
    """As above; both the warning and the word of its end have the key."""
    for pattern in (STUCK, NO_LONGER_STUCK):
        syslog_ng.wait_for(lambda pattern=pattern: len(syslog_ng.logged(pattern)) == len(NASTY), pattern)
        for line in syslog_ng.logged(pattern):
            check_log_line(line)
        stuck_on_nasty_keys.release()
    assert not syslog_ng.logged("^parallelize")


def shown_keys(report):
    """By element, all that have come from messages."""
    return {
        element["id"]: [element["verdict"]["key"], *(hot["key"] for by in element["hot_keys"].values() for hot in by)]
        for element in report["elements"]
    }


def test_keys_that_are_shown(syslog_ng, stuck_on_nasty_keys):
    """Whatever shows keys: no character of theirs has a meaning there, nor for a terminal."""

    def all_are_known():
        keys = shown_keys(syslog_ng.report())
        return all(known.count(None) == 0 and len(known) > 1 for known in keys.values())

    syslog_ng.wait_for(all_are_known, "each key in a verdict and among the busiest")
    report = syslog_ng.control("PARALLELIZE")
    as_json = output(syslog_ng, "--json")
    exposed = output(syslog_ng, "--prometheus")
    view = output(syslog_ng, "--once", "--interval=0.1", columns=80)

    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", report)
    for text in (as_json, exposed, view):
        assert all(line.isprintable() for line in text.split("\n"))
    assert as_json.isascii()

    expected = shown_keys(json.loads(report))
    assert shown_keys(json.loads(as_json)) == expected and expected.keys() == NASTY.keys()
    for keys in expected.values():
        assert all(key.startswith("a") and len(key) <= LONGEST_KEY for key in keys)

    promtool("metrics", exposed)
    labels = re.findall(r'(?m)^syslogng_parallelized_hot_key_\w+\{id="[^"]*",key="((?:[^"\\]|\\.)*)"\} \S+$', exposed)
    assert len(labels) == exposed.count("\nsyslogng_parallelized_hot_key_") == len(NASTY)
    assert all(label.startswith("a") and len(label) <= 2 * LONGEST_KEY for label in labels)

    assert max(map(len, view.split("\n"))) <= 80
    assert len(re.findall(r"(?m)^  KEY-BOUND: a", view)) == len(NASTY)
    assert len(re.findall(r"(?m)^ +100%  a", view)) == len(NASTY)


# Which keys share a strand

KEYS = 24000
MANY_ON_ONE_STRAND = 60          # of 2048 strands: a dozen is to be expected
STRANDS_PATH = HEAVY + """
rewrite r_hold { set("$(test-hold `dir`/hold)" value(".test.hold") condition("$MSG" eq "held")); };
""" + "".join(
    """
log {
    source { unix-dgram("`dir`/NAME" persist-name("NAME") flags(no-parse) log-iw-size(10000)); };
    parallelize(workers(2) worker-partition-key("$MSG") id("NAME"));
    filter(f_heavy);
    rewrite(r_hold);
    destination { file("`dir`/out-NAME" template("$MSG\\n")); };
};
""".replace("NAME", name)
    for name in ("first", "second")
)


def keys_behind_a_held_one(daemon, name):
    """
    The keys that share a strand with the key of a message that is held: all others get on. They tell one seed from
    another and nothing else about it.
    """
    seen = []

    def nothing_moves():
        counters = daemon.element(name)["counters"]
        seen.append(counters["waiting"])
        return (
            counters["entered"] == 1 + KEYS
            and counters["in_flight"] == 1 + seen[-1] <= 1 + MANY_ON_ONE_STRAND
            and seen[-10:] == 10 * seen[-1:]
        )

    before = len(daemon.lines(f"out-{name}"))
    hold = Hold(daemon.path("hold"))
    with hold.held():
        send_datagrams(daemon.path(name), [b"held"])
        daemon.wait_for(lambda: hold.waiting() == 1, "the message that is held")
        send_datagrams(daemon.path(name), [b"%d" % number for number in range(KEYS)])
        daemon.wait_for(nothing_moves, "all others processed")
        others = daemon.wait_for_lines(before + KEYS - seen[-1], f"out-{name}")[before:]
    daemon.wait_for_lines(before + 1 + KEYS, f"out-{name}")
    return frozenset(map(str, range(KEYS))) - frozenset(others)


def test_each_element_has_a_seed_of_its_own_after_each_start_and_reload(syslog_ng):
    """What was learnt about the strands of one is worth nothing with another."""
    found = []

    def look():
        for name in ("first", "second"):
            found.append(keys_behind_a_held_one(syslog_ng, name))

    syslog_ng.start(STRANDS_PATH)
    look()
    assert syslog_ng.reload()
    look()
    syslog_ng.stop()
    syslog_ng.start()
    look()
    assert all(found)
    assert len({*found}) == 6


def test_no_start_without_a_random_seed(syslog_ng, test_modules):
    """Rather than with one that can be guessed."""
    syslog_ng.launch(STRANDS_PATH, preload=[test_modules / "preload/librefuseentropy.so"])
    assert syslog_ng.wait_for_exit() == 2
    (error,) = syslog_ng.logged(r"Error drawing the random seed of parallelize\(\)")
    assert "Function not implemented" in error and "id='first'" in error
    assert f"location='{syslog_ng.config_file}:" in error


MANY = 300_000
ENOUGH_KIB = 4 * 1024
KEYS_PATH = HEAVY + """
log {
    source { file("`dir`/in" follow-freq(0.1) flags(no-parse) log-iw-size(10000)); };
    parallelize(workers(2) worker-partition-key("$MSG"));
    filter(f_heavy);
    destination { file("/dev/null"); };
    flags(flow-control);
};
"""


def test_many_keys_take_no_memory(syslog_ng):
    """Each message has a key of its own: after a tenth of them the memory in use grows no more."""

    def received():
        return syslog_ng.counter("center;;received;processed")

    syslog_ng.path("in").write_bytes(b"".join(b"%d\n" % number for number in range(MANY // 10)))
    syslog_ng.start(KEYS_PATH)
    syslog_ng.wait_for(lambda: received() == MANY // 10, "the first tenth")
    before = syslog_ng.resident_kib()
    with syslog_ng.path("in").open("ab") as file:
        file.write(b"".join(b"%d\n" % number for number in range(MANY // 10, MANY)))
    syslog_ng.wait_for(lambda: received() == MANY, "all")
    assert syslog_ng.resident_kib() - before < ENOUGH_KIB


def open_files(daemon):
    names = []
    for link in Path(f"/proc/{daemon.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):    # closed meanwhile
            names.append(os.readlink(link))
    return names


@pytest.mark.parametrize("element", ["", "parallelize(workers(3));"])
def test_opens_no_file_and_no_socket(syslog_ng, element):
    """The workers' event loops need descriptors; whatever else is open is open without the element as well."""
    syslog_ng.start(f'log {{ source {{ internal(); }}; {element} destination {{ file("`dir`/out"); }}; }};')
    allowed = (str(syslog_ng.directory), "/dev/null", "socket:", "pipe:", "anon_inode:")

    def sockets():
        return [name for name in open_files(syslog_ng) if name.startswith("socket:")]

    # the connection by which it was seen to have started may still be open
    syslog_ng.wait_for(lambda: len(sockets()) == 1, lambda: f"the control socket alone: {sockets()}")
    others = [name for name in open_files(syslog_ng) if not name.startswith(allowed)]
    assert others == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the daemon has no privilege here anyway")
def test_needs_no_privilege(module, test_modules, monkeypatch):
    """The daemon has become nobody before it loads the module."""
    # pytest's own folders are root's alone
    with tempfile.TemporaryDirectory(prefix="parallelize-test-") as folder:
        folder = Path(folder)
        shutil.copy(module, folder)
        shutil.copy(test_modules / "libtestblock.so", folder)
        os.chown(folder, 65534, 65534)
        monkeypatch.setenv("PARALLELIZE_MODULE_DIR", str(folder))
        daemon = Daemon(folder, folder)
        daemon.start(RAW_PATH.replace("KEY", "$MSG"), arguments=("--stderr", "--user=nobody", "--group=nogroup"))
        try:
            status = Path(f"/proc/{daemon.pid}/status").read_text()
            assert "Uid:\t65534\t65534\t65534\t65534" in status and "CapEff:\t0000000000000000" in status
            send_datagrams(daemon.path("socket"), [b"x"] * 1000)
            daemon.wait_for_lines(1000)
            daemon.stop()
        finally:
            daemon.kill()
