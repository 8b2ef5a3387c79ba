# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls the simulation program."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
DEFAULT_PROGRAM = REPOSITORY / "build/tests/simulation/parallelize_simulation"

MICROSECOND = 1000
MILLISECOND = 1000 * MICROSECOND
SECOND = 1000 * MILLISECOND

# Everything but the messages themselves takes no time.
FREE = "all=0"


# Seconds. An engine whose workers look for work again and again, and find none, never comes to an end.
LONGEST_RUN = 60


class Failed(Exception):
    pass


@dataclasses.dataclass
class Simulator:
    program: pathlib.Path = DEFAULT_PROGRAM
    costs: str = ""             # instead of the default ones, for all runs

    def __call__(self, **settings):
        """The results of one run; settings are the program's options, with _ for -."""
        if self.costs and "costs" not in settings:
            settings["costs"] = self.costs
        command = [str(self.program)]
        for name, value in settings.items():
            command += ["--" + name.replace("_", "-"), str(int(value) if isinstance(value, bool) else value)]
        try:
            result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                                    timeout=LONGEST_RUN)
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(command)}: does not come to an end") from None
        if result.returncode:
            raise Failed(f"{' '.join(command)}: {result.stderr.strip() or result.returncode}")
        return json.loads(result.stdout)

    def all(self, runs):
        """The same for a list of settings, as many at a time as there are cores."""
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            return list(pool.map(lambda settings: self(**settings), runs))
