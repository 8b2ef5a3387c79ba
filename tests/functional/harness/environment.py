# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where the daemon, its modules and ours are."""

import atexit
import functools
import os
import re
import subprocess
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
TEST_MODULES_SOURCE = Path(__file__).resolve().parents[1] / "modules"
ASAN_SUPPRESSIONS = Path(__file__).resolve().parents[1] / "asan-suppressions"
# The daemon hangs while it loads these: GnuTLS waits for a lock of the C library.
NOT_WITH_ADDRESS_SANITIZER = ("libhttp.so",)
SYSLOG_NG = "/usr/sbin/syslog-ng"
SYSLOG_NG_CTL = "/usr/sbin/syslog-ng-ctl"
PARALLELIZE_TOP = REPOSITORY / "tools/parallelize-top"


def module_directory():
    """The directory of libparallelize.so."""
    default = REPOSITORY / "build/modules/parallelize"
    return Path(os.environ.get("PARALLELIZE_MODULE_DIR", default)).resolve()


@functools.lru_cache
def host_module_directory():
    """The directory of the daemon's modules; with AddressSanitizer without those that do not bear it."""
    installed = Path(_output("pkg-config", "--variable=moduledir", "syslog-ng"))
    if not address_sanitizer():
        return str(installed)
    selected = tempfile.TemporaryDirectory(prefix="syslog-ng-modules-")
    atexit.register(selected.cleanup)
    for module in installed.iterdir():
        if module.name not in NOT_WITH_ADDRESS_SANITIZER:
            (Path(selected.name) / module.name).symlink_to(module)
    return selected.name


@functools.lru_cache
def host_version():
    """The daemon's version, as "4.8.1"."""
    return re.search(r"^syslog-ng \S+ \(([0-9.]+)\)", _output(SYSLOG_NG, "--version"), re.MULTILINE)[1]


def modules_of_other_hosts():
    """Files of the module that were built for other versions of the host; none where nobody names any."""
    return [Path(name) for name in os.environ.get("PARALLELIZE_MODULES_OF_OTHER_HOSTS", "").split(":") if name]


@functools.lru_cache
def host_has_builtin():
    """Whether the host, without our module, knows a parallelize() of its own."""
    return _host_accepts("log { parallelize(); };\n")


@functools.lru_cache
def host_has_filterx():
    return _host_accepts("log { filterx { true; }; };\n")


def host_has_prometheus():
    """Whether `syslog-ng-ctl stats prometheus` exists."""
    return int(host_version().split(".")[0]) >= 4


def built_test_modules():
    """The build directory of our own modules/, or None where the build tree has none."""
    default = module_directory().parents[1] / "tests/functional/modules"
    directory = Path(os.environ.get("PARALLELIZE_TEST_MODULE_DIR", default))
    return directory if (directory / "libtestblock.so").exists() else None


def build_test_modules(directory):
    """Builds our own modules/ into an empty directory."""
    _output("cmake", "-S", TEST_MODULES_SOURCE, "-B", directory)
    _output("cmake", "--build", directory)
    return directory


def address_sanitizer():
    """True if the module is built with AddressSanitizer, which the daemon is not."""
    return os.environ.get("PARALLELIZE_ASAN") == "1"


def daemon_environment(preload=()):
    """The environment of a daemon; `preload`: libraries for LD_PRELOAD."""
    environment = dict(os.environ)
    libraries = [str(library) for library in preload]
    if address_sanitizer():
        libraries.insert(0, _output("cc", "-print-file-name=libasan.so"))
        environment["ASAN_OPTIONS"] = f"detect_leaks=0:abort_on_error=1:suppressions={ASAN_SUPPRESSIONS}"
        environment["G_SLICE"] = "always-malloc"
    if libraries:
        environment["LD_PRELOAD"] = ":".join(libraries)
    return environment


def _host_accepts(config):
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("@version: current\n" + config)
        file.flush()
        checked = subprocess.run(
            [SYSLOG_NG, "--syntax-only", "--no-caps", f"--cfgfile={file.name}", f"--module-path={host_module_directory()}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return checked.returncode == 0


def _output(*command):
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if finished.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{finished.stdout}")
    return finished.stdout.strip()
