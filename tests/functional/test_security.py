# SPDX-License-Identifier: LGPL-2.1-or-later
"""What somebody who chooses the content of messages, and so the keys, can do to the daemon: nothing to speak of."""

import contextlib
import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from harness.daemon import Daemon
from harness.messages import HEAVY, LINES

# one in 16 keys is looked at, and 512 of these make a verdict
HOT = 15_000
HOT_KEY = r"WARNING: one key holds nearly all traffic of parallelize\(\)"
LONGEST_LINE = 2000
RAW_PATH = HEAVY + LINES + """
log {
    source { unix-dgram("`dir`/socket" flags(no-parse) log-iw-size(10000)); };
    parallelize(workers(4) worker-partition-key("KEY"));
    filter(f_heavy);
    destination(d_lines);
};
"""
NASTY = {
    "newline": (b"a\nparallelize() stopped; id='forged'", "$MSG"),
    "terminal": (b"a\x1b]0;title\x07\x1b[2J\r\x08", "$MSG"),
    "quotes": (b"a'; id='forged", "$MSG"),
    "not UTF-8": (b"a\xff\xfe\x80", "$MSG"),
    "64 KiB": (b"a\n", "$MSG$(padding x 65536 y)"),
}


def send_datagrams(path, data, count):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(path))
        for _ in range(count):
            sender.send(data)


@pytest.mark.parametrize("name", NASTY)
def test_key_in_a_warning_is_escaped_and_short(syslog_ng, name):
    """Nothing of it makes a line of its own, moves a cursor, or fills the disk."""
    key, template = NASTY[name]
    syslog_ng.start(RAW_PATH.replace("KEY", template))
    send_datagrams(syslog_ng.path("socket"), key, HOT)
    (warning,) = syslog_ng.wait_for_log(HOT_KEY)
    assert len(warning) < LONGEST_LINE
    assert warning.isprintable()
    assert "key='a" in warning
    assert not syslog_ng.logged("^parallelize")
    assert "id='forged'" not in warning


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
            send_datagrams(daemon.path("socket"), b"x", 1000)
            daemon.wait_for_lines(1000)
            daemon.stop()
        finally:
            daemon.kill()
