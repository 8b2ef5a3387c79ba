# SPDX-License-Identifier: LGPL-2.1-or-later
"""parallelize-top, run against a daemon of the tests."""

import os
import subprocess

from harness.environment import PARALLELIZE_TOP


def top(daemon, *arguments, columns=80):
    """Returns the finished program."""
    return subprocess.run(
        [PARALLELIZE_TOP, f"--control={daemon.control_socket}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": str(columns)},
    )


def output(daemon, *arguments, **options):
    finished = top(daemon, *arguments, **options)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return finished.stdout


def promtool(command, text):
    """Fails the test unless Prometheus' own program accepts the text."""
    checked = subprocess.run(["promtool", "check", command], input=text, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    assert checked.returncode == 0, checked.stdout
