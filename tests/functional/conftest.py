# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the functional tests: a private daemon, and the modules that only tests load."""

import pytest

from harness import environment
from harness.daemon import Daemon
from harness.messages import Stream


@pytest.fixture(scope="session")
def test_modules(tmp_path_factory):
    """The directory of the test modules, built now where the build tree has none."""
    return environment.built_test_modules() or environment.build_test_modules(tmp_path_factory.mktemp("modules"))


@pytest.fixture(scope="session")
def module():
    """The module under test; what the environment says of it must be true."""
    file = environment.module_directory() / "libparallelize.so"
    assert file.exists(), f"there is no {file}: build it or set PARALLELIZE_MODULE_DIR"
    assert environment.address_sanitizer() == (b"__asan_init" in file.read_bytes()), (
        f"PARALLELIZE_ASAN=1 is for a module built with AddressSanitizer, and for no other: {file}"
    )
    return file


@pytest.fixture
def syslog_ng(tmp_path, module, test_modules):
    """A daemon that is not started yet. At the end of the test it must stop cleanly if it still runs."""
    daemon = Daemon(tmp_path, test_modules)
    yield daemon
    try:
        if daemon.running():
            daemon.stop()
        daemon.check_log()
    finally:
        daemon.kill()


@pytest.fixture
def stream():
    return Stream()
