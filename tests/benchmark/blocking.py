# SPDX-License-Identifier: LGPL-2.1-or-later
"""Work that takes a given time, from the functional tests' own module."""

import os
import pathlib
import subprocess

import host
from traffic import SLOW_PROGRAM

LIBRARY = "libtestblock.so"
SOURCE = host.REPOSITORY / "tests" / "functional" / "modules"


class Unavailable(Exception):
    """The tests' module is neither built nor can it be; the text says why."""


def element(milliseconds):
    """A log path element that blocks its thread for so long a message."""
    return f'rewrite {{ set("$(test-work {milliseconds * 1000})" value("work")); }};'


def computing_element(microseconds):
    """A log path element that computes for so long a message."""
    return f'rewrite {{ set("$(test-burn {microseconds})" value("work")); }};'


def slow_program_element(milliseconds):
    """A log path element that blocks its thread for so long with the traffic's slow messages, and costs others next to nothing."""
    return for_slow_program(f"$(test-work {round(milliseconds * 1000)})", "work")


def for_slow_program(template, value):
    """A log path element that sets the value in the traffic's slow messages only."""
    return (f'rewrite {{ set("{template}" value("{value}")'
            f' condition(program("{SLOW_PROGRAM.decode()}" type(string)))); }};')


def random_element(microseconds):
    """A log path element that computes for a random time up to that."""
    return f'rewrite {{ set("$(test-burn-up-to {microseconds})" value("work")); }};'


def find_or_build(module_dir, folder):
    """The directory of the module: given, beside the build of module_dir, or built in folder."""
    given = os.environ.get("PARALLELIZE_TEST_MODULE_DIR")
    beside = module_dir.resolve().parents[1] / "tests" / "functional" / "modules"
    for directory in (pathlib.Path(given) if given else beside, beside):
        if (directory / LIBRARY).exists():
            return directory
    return _build(folder / "modules")


def _build(directory):
    if not (SOURCE / "CMakeLists.txt").exists():
        raise Unavailable(f"{LIBRARY} has no source in {SOURCE}")
    try:
        for command in (["cmake", "-S", SOURCE, "-B", directory], ["cmake", "--build", directory]):
            subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
    except FileNotFoundError as error:
        raise Unavailable(f"{LIBRARY} is not built, and cmake is not installed") from error
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"{LIBRARY} does not build:\n{error.stdout}") from error
    return directory
