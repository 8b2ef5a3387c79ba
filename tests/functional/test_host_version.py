# SPDX-License-Identifier: LGPL-2.1-or-later
"""A module that was built for another version of the host is refused with a clear message, and nothing crashes."""

import shutil

import pytest

from harness import environment
from harness.daemon import Daemon
from harness.messages import LINES, TCP_SOURCE, check_order, in_turn
from harness.network import send_tcp

CONFIG = "log { source { internal(); }; parallelize(partitions(2)); destination { file(\"/dev/null\"); }; };\n"
OTHER_HOSTS = environment.modules_of_other_hosts()


def other_versions():
    """A version that differs in the first, in the second, and in the third number; as long as the host's."""
    numbers = environment.host_version().split(".")
    for place, number in enumerate(numbers):
        other = "9" * len(number) if set(number) != {"9"} else "8" * len(number)
        yield ".".join([*numbers[:place], other, *numbers[place + 1 :]])


def module_that_expects(version, module, directory):
    """A copy of the module in a new directory, which takes another version for its host's."""
    here, there = (b"\0%s\0" % text.encode() for text in (environment.host_version(), version))
    content = module.read_bytes()
    assert content.count(here) >= 1
    directory.mkdir()
    copy = directory / module.name
    copy.write_bytes(content.replace(here, there))
    return copy


@pytest.fixture
def daemon_with(tmp_path, test_modules):
    """Makes a daemon that finds the module in another directory."""
    daemons = []

    def make(module_directory):
        daemons.append(Daemon(tmp_path, test_modules, module_directory))
        return daemons[-1]

    yield make
    for daemon in daemons:
        daemon.kill()
        daemon.check_log()


@pytest.mark.parametrize("version", list(other_versions()))
def test_refused_with_both_versions(daemon_with, module, tmp_path, version):
    other = module_that_expects(version, module, tmp_path / "other")
    daemon = daemon_with(other.parent)
    daemon.module_line = True
    daemon.launch(CONFIG)
    assert daemon.wait_for_exit() == 1
    (error,) = daemon.logged("module was built for another version of the host")
    assert f"built_for='{version}', host='{environment.host_version()}'" in error


def test_refused_by_the_syntax_check(daemon_with, module, tmp_path):
    version = next(other_versions())
    daemon = daemon_with(module_that_expects(version, module, tmp_path / "other").parent)
    daemon.module_line = True
    checked = daemon.check_syntax(CONFIG)
    assert checked.returncode == 1
    assert f"built_for='{version}', host='{environment.host_version()}'" in checked.stdout


def test_refused_when_the_host_finds_it_by_itself(daemon_with, module, tmp_path):
    version = next(other_versions())
    daemon = daemon_with(module_that_expects(version, module, tmp_path / "other").parent)
    daemon.module_line = False
    daemon.launch("log { source { internal(); }; parser { parallelize-element(workers(2)); }; };\n")
    assert daemon.wait_for_exit() == 1
    assert daemon.logged(f"built_for='{version}', host='{environment.host_version()}'")


def test_refused_reload_keeps_the_configuration(daemon_with, module, tmp_path, stream):
    version = next(other_versions())
    daemon = daemon_with(module_that_expects(version, module, tmp_path / "other").parent)
    daemon.module_line = False
    daemon.start(TCP_SOURCE + LINES + "log { source(s_tcp); destination(d_lines); };")
    daemon.module_line = True
    for _ in range(3):
        assert not daemon.reload(CONFIG)
    assert len(daemon.logged(f"built_for='{version}', host='{environment.host_version()}'")) == 3
    send_tcp(daemon.port, stream.take(in_turn(10, 1000)))
    check_order(daemon.wait_for_lines(1000), stream.sent)
    daemon.stop()


def test_copy_that_expects_this_version_works(daemon_with, module, tmp_path):
    """So that it is the version that makes the difference."""
    copy = module_that_expects(environment.host_version(), module, tmp_path / "same")
    daemon = daemon_with(copy.parent)
    daemon.start(CONFIG)
    daemon.stop()


@pytest.mark.skipif(not OTHER_HOSTS, reason="PARALLELIZE_MODULES_OF_OTHER_HOSTS names none")
@pytest.mark.parametrize("file", OTHER_HOSTS, ids=str)
def test_module_that_was_built_for_another_host(daemon_with, tmp_path, file):
    """The dynamic linker does not find the library that it needs, which has the version in its name."""
    directory = tmp_path / "other"
    directory.mkdir()
    shutil.copy(file, directory / "libparallelize.so")
    daemon = daemon_with(directory)
    daemon.module_line = True
    daemon.launch(CONFIG)
    assert daemon.wait_for_exit() == 1
    assert daemon.logged(r"Error opening plugin module; module='parallelize'.*libsyslog-ng-[0-9.]+\.so")
