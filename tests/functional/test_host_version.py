# SPDX-License-Identifier: LGPL-2.1-or-later
"""A module that was built for another version of the host is refused with a clear message, and nothing crashes."""

import re
import shutil

import pytest

from harness import environment
from harness.daemon import Daemon
from harness.messages import LINES, TCP_SOURCE, check_order, in_turn
from harness.network import send_tcp

CONFIG = "log { source { internal(); }; parallelize(partitions(2)); destination { file(\"/dev/null\"); }; };\n"
# Without an @module line the word is the host's own, where it has one; the element's other name is nobody else's.
FOUND_BY_ITSELF = "log { source { internal(); }; parser { parallelize-element(workers(2)); }; };\n" \
    if environment.host_has_builtin() else CONFIG
REFUSED = "The parallelize module was built for another version of the host, it is not loaded"
OTHER_HOSTS = environment.modules_of_other_hosts()
# Whether the configuration has an @module line: without, the host looks for modules that know the word.
with_and_without_module_line = pytest.mark.parametrize("module_line", [True, False], ids=["@module", "discovery"])


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


def config_for(module_line):
    return CONFIG if module_line else FOUND_BY_ITSELF


@with_and_without_module_line
@pytest.mark.parametrize("version", list(other_versions()))
def test_refused_with_both_versions(daemon_with, module, tmp_path, version, module_line):
    other = module_that_expects(version, module, tmp_path / "other")
    daemon = daemon_with(other.parent)
    daemon.module_line = module_line
    daemon.launch(config_for(module_line))
    assert daemon.wait_for_exit() == 1
    check_refusal(daemon, daemon.log(), version, module_line)


@with_and_without_module_line
def test_refused_by_the_syntax_check(daemon_with, module, tmp_path, module_line):
    version = next(other_versions())
    daemon = daemon_with(module_that_expects(version, module, tmp_path / "other").parent)
    daemon.module_line = module_line
    checked = daemon.check_syntax(config_for(module_line))
    assert checked.returncode == 1
    check_refusal(daemon, checked.stdout, version, module_line)


def check_refusal(daemon, log, version, module_line):
    """What an administrator sees: the reason, once, and then the place of what cannot be had without the module."""
    (reason,) = [line for line in log.splitlines() if REFUSED in line]
    assert f"built_for='{version}', host='{environment.host_version()}'" in reason
    place = re.search(rf"{re.escape(str(daemon.config_file))}:(\d+):", log[log.index(reason) :])
    line = daemon.config_file.read_text().splitlines()[int(place[1]) - 1]
    assert line == "@module parallelize" if module_line else "parallelize" in line


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


@with_and_without_module_line
def test_copy_that_expects_this_version_works(daemon_with, module, tmp_path, module_line):
    """So that it is the version that makes the difference."""
    copy = module_that_expects(environment.host_version(), module, tmp_path / "same")
    daemon = daemon_with(copy.parent)
    daemon.module_line = module_line
    daemon.start(config_for(module_line))
    assert daemon.logged(r"parallelize\(\) started")
    assert not daemon.logged(REFUSED)
    daemon.stop()


class WithoutHostModules(Daemon):
    """Has the core and our module, and so no module that tells the host's version."""

    def _command(self):
        own = f"--module-path={environment.module_directory()}"
        return [own if argument.startswith("--module-path=") else argument for argument in super()._command()]


def test_taken_where_the_host_does_not_tell_its_version(tmp_path, test_modules, module):
    daemon = WithoutHostModules(tmp_path, test_modules)
    try:
        daemon.start("log { source { internal(); }; parallelize(workers(2)); };\n")
        assert daemon.logged(r"parallelize\(\) started")
        assert not daemon.logged(REFUSED)
        daemon.stop()
    finally:
        daemon.kill()


@pytest.mark.skipif(not OTHER_HOSTS, reason="PARALLELIZE_MODULES_OF_OTHER_HOSTS names none")
@with_and_without_module_line
@pytest.mark.parametrize("file", OTHER_HOSTS, ids=str)
def test_module_that_was_built_for_another_host(daemon_with, tmp_path, file, module_line):
    """The dynamic linker does not find the library that it needs, which has the version in its name."""
    directory = tmp_path / "other"
    directory.mkdir()
    shutil.copy(file, directory / "libparallelize.so")
    daemon = daemon_with(directory)
    daemon.module_line = module_line
    daemon.launch(config_for(module_line))
    assert daemon.wait_for_exit() == 1
    assert daemon.logged(r"Error opening plugin module; module='parallelize'.*libsyslog-ng-[0-9.]+\.so")
