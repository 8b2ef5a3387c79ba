# SPDX-License-Identifier: LGPL-2.1-or-later
"""Simulations beside measurements of the daemon, on two cores."""

import fnmatch
import json
import pathlib
import subprocess
import sys
import tempfile

from simulator import REPOSITORY, SECOND

ROWS = "heavy/*/2/fetch-1000"
KEYS = {"round-robin": "none", "uniform": "uniform:1000", "zipf": "zipf:1.2:1000", "half": "hot:0.5:1000"}
WORKERS = 2
FETCH = 1000
MOST_APART = 0.10

# Of what a message costs without parallelize(): the filters, the source, and the destination. On this path
# the filters take 8 µs of 9.4 µs.
FILTERS, READ, WRITE = 0.85, 0.09, 0.06


def compare(simulate, file):
    """Print both; 1 if they are too far apart."""
    figures = _figures(file)
    print("\n| row | of the limit, measured | single rounds | of the limit, simulated | apart |")
    print("| --- | ---: | ---: | ---: | ---: |")
    far = False
    for row, values in figures.items():
        simulated = _share_of_limit(simulate, row.split("/")[1], values)
        apart = simulated / values["of_limit"] - 1
        far = far or abs(apart) > MOST_APART
        least, most = values["of_limit_range"]
        print(f"| {row} | {values['of_limit']:.3f} | {least:.2f} to {most:.2f} | {simulated:.3f} | {apart:+.1%} |")
    return 1 if far or not figures else 0


def _figures(file):
    if file:
        data = json.loads(pathlib.Path(file).read_text())
    else:
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "results"
            subprocess.run([REPOSITORY / "tests/benchmark/run", "--rows", ROWS, "--json", file], stdout=sys.stderr, check=True)
            data = json.loads(file.read_text())
    messages = 500000
    return {row: {**values, "nanoseconds": values["off_cpu"] / messages * SECOND}
            for row, values in data["figures"].items() if fnmatch.fnmatch(row, ROWS)}


def _share_of_limit(simulate, distribution, values):
    total = values["nanoseconds"]
    costs = f"read={READ * total:.0f},write={WRITE * total:.0f}"
    result = simulate(workers=WORKERS, cores=WORKERS, messages=200000, fetch=FETCH, cost=f"constant:{FILTERS * total:.0f}",
                      keys=KEYS[distribution], costs=",".join(part for part in (simulate.costs, costs) if part))
    return result["messages_per_second"] * total / WORKERS / SECOND
