# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The Debian package arrives where the host looks for modules, works, follows the host's version, and leaves.

PARALLELIZE_PACKAGE names the package. It is installed for each test, with the rights of root: for a private root,
see scripts/host-run.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from harness.environment import REPOSITORY, SYSLOG_NG, host_module_directory
from harness.messages import Stream, check_order, in_turn
from harness.waiting import wait_for

NAME = "syslog-ng-mod-parallelize"
KEYS = 10
MESSAGES = 10_000
CONFIGURATION = """
@version: current
@module parallelize
options {{ keep-hostname(yes); use-dns(no); }};
log {{
    source {{ file("{dir}/in" follow-freq(0.1) flags(syslog-protocol)); }};
    parallelize(workers(4) worker-partition-key("$PROGRAM"));
    destination {{ file("{dir}/out" template("$PROGRAM $MSG\\n")); }};
}};
"""


@pytest.fixture
def package():
    """The package file, installed during the test."""
    file = Path(os.environ["PARALLELIZE_PACKAGE"]).resolve()
    run("dpkg", "--install", file)
    yield file
    run("dpkg", "--purge", NAME)


def run(*command):
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


def field(name):
    return run("dpkg-query", "--show", "--showformat=${%s}" % name, NAME)


def core_version():
    return run("dpkg-query", "--show", "--showformat=${Version}", "syslog-ng-core")


def test_it_holds_the_module_and_documentation(package):
    files = [Path(name) for name in run("dpkg", "--listfiles", NAME).split() if Path(name).is_file()]
    documentation = [file for file in files if file.is_relative_to(f"/usr/share/doc/{NAME}")]
    assert {file.name.removesuffix(".gz") for file in documentation} >= {"README.md", "copyright", "changelog"}
    assert set(files) - set(documentation) == {
        Path(host_module_directory(), "libparallelize.so"),
        Path("/usr/bin/parallelize-top"),
        Path("/usr/share/man/man1/parallelize-top.1.gz"),
    }


def test_its_version_is_that_of_the_sources_and_the_host(package):
    sources = re.search(r"^project\(.* VERSION (\S+)", (REPOSITORY / "CMakeLists.txt").read_text(), re.MULTILINE)[1]
    host = run("pkg-config", "--modversion", "syslog-ng").strip()
    assert field("Version") == f"{sources}+syslogng{host}"


def libraries(file):
    return set(re.findall(r"^\s*(\S+\.so\S*) ", run("ldd", file), re.MULTILINE))


def test_it_needs_no_library_that_the_daemon_does_not_load_anyway(package):
    module = libraries(Path(host_module_directory(), "libparallelize.so"))
    assert "libsyslog-ng" in " ".join(module)
    assert module - libraries(SYSLOG_NG) == set()


def test_the_installed_daemon_runs_a_configuration_with_it(package, tmp_path):
    stream = Stream()
    (tmp_path / "in").write_bytes(stream.take(in_turn(KEYS, MESSAGES)))
    (tmp_path / "syslog-ng.conf").write_text(CONFIGURATION.format(dir=tmp_path).lstrip())
    output = tmp_path / "out"
    with (tmp_path / "stderr.log").open("w+") as log:
        daemon = subprocess.Popen(
            [
                SYSLOG_NG,
                "--foreground",
                "--no-caps",
                "--stderr",
                f"--cfgfile={tmp_path / 'syslog-ng.conf'}",
                f"--persist-file={tmp_path / 'persist'}",
                f"--pidfile={tmp_path / 'pid'}",
                f"--control={tmp_path / 'ctl'}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            wait_for(
                lambda: daemon.poll() is not None or output.exists() and output.read_bytes().count(b"\n") >= MESSAGES,
                lambda: (tmp_path / "stderr.log").read_text(),
            )
            assert f"{host_module_directory()}/libparallelize.so" in Path(f"/proc/{daemon.pid}/maps").read_text()
        finally:
            daemon.terminate()
            exit_code = daemon.wait(30)
    assert exit_code == 0, (tmp_path / "stderr.log").read_text()
    check_order(output.read_text().splitlines(), stream.sent)


@pytest.fixture
def core_package(tmp_path):
    """Makes a package of the host's core with nothing but a version."""

    def make(version):
        control = tmp_path / version / "DEBIAN/control"
        control.parent.mkdir(parents=True)
        control.write_text(
            f"Package: syslog-ng-core\nVersion: {version}\nArchitecture: all\n"
            "Maintainer: nobody <nobody@example.org>\nDescription: a version\n"
        )
        run("dpkg-deb", "--build", tmp_path / version, tmp_path)
        return next(tmp_path.glob("syslog-ng-core_*.deb"))

    return make


def removed_by(package):
    """What apt would remove to install the package."""
    return re.findall(r"^Remv (\S+)", run("apt-get", "install", "--simulate", package), re.MULTILINE)


def test_an_update_of_the_core_by_debian_keeps_it(package, core_package):
    removed = removed_by(core_package(f"{core_version()}+security1"))
    # Built from the same source as the core, as opposed to ours.
    assert "syslog-ng-dev" in removed
    assert NAME not in removed


def test_another_release_of_the_core_takes_it_away(package, core_package):
    release, revision = core_version().split("-")
    assert NAME in removed_by(core_package(f"{release}.1-{revision}"))


def test_nothing_is_left_of_it_when_it_is_purged(package):
    run("dpkg", "--purge", NAME)
    assert not Path(host_module_directory(), "libparallelize.so").exists()
    assert not Path("/usr/share/doc", NAME).exists()
