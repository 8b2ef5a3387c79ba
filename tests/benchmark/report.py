# SPDX-License-Identifier: LGPL-2.1-or-later
"""Figures of a row, the tables they are printed in, and the verdict on the targets."""

import fnmatch
import os
import platform
import statistics

# Above this share of the machine used by others, figures are worth little.
FOREIGN_LOAD_LIMIT = 0.03

# A path without parallelize() always keeps one core busy, unless something stops the daemon.
IDLE_LIMIT = 0.9


def figures(row, pairs, messages, cores):
    """Medians over the rounds; ratios are taken within a round.

    pairs: an off and an on Result each. The limit is what the off run's CPU seconds
    allow on the cores that the source's thread and the workers can use.
    """
    usable_cores = min(cores, row.workers + 1)

    def median(figure):
        return statistics.median(figure(off, on) for off, on in pairs)

    def of_limit(off, on):
        return on.messages_per_second / (messages / off.cpu_seconds * usable_cores)

    shares = [of_limit(off, on) for off, on in pairs]
    return {
        "off_rate": median(lambda off, on: off.messages_per_second),
        "on_rate": median(lambda off, on: on.messages_per_second),
        "off_cpu": median(lambda off, on: off.cpu_seconds),
        "on_cpu": median(lambda off, on: on.cpu_seconds),
        "off_peak": median(lambda off, on: off.peak_kib / 1024),
        "on_peak": median(lambda off, on: on.peak_kib / 1024),
        "memory_ratio": median(lambda off, on: on.peak_kib / off.peak_kib),
        "speedup": median(lambda off, on: on.messages_per_second / off.messages_per_second),
        "of_limit": statistics.median(shares),
        "of_limit_range": [min(shares), max(shares)],
        "off_cores_busy": min(off.cores_busy for off, _ in pairs),
        "on_cores_busy": median(lambda off, on: on.cores_busy),
        "foreign_load": median(lambda off, on: max(off.foreign_load, on.foreign_load)),
    }


def blocking_figures(row, results):
    return {
        "seconds": statistics.median(result.seconds for result in results),
        "ideal_seconds": row.ideal_seconds,
        "on_peak": statistics.median(result.peak_kib / 1024 for result in results),
        "foreign_load": statistics.median(result.foreign_load for result in results),
    }


HEADER = ("row", "off msg/s", "on msg/s", "off CPU s", "on CPU s", "off MiB", "on MiB",
          "memory", "speed-up", "of limit", "min..max")
BLOCKING_HEADER = ("row", "seconds", "ideal", "on MiB")


def cells(name, values):
    low, high = values["of_limit_range"]
    return (_marked(name, values), f"{values['off_rate']:,.0f}", f"{values['on_rate']:,.0f}",
            f"{values['off_cpu']:.2f}", f"{values['on_cpu']:.2f}",
            f"{values['off_peak']:.1f}", f"{values['on_peak']:.1f}",
            f"{values['memory_ratio']:.2f}", f"{values['speedup']:.2f}",
            f"{values['of_limit']:.3f}", f"{low:.2f}..{high:.2f}")


def blocking_cells(name, values):
    return (_marked(name, values), f"{values['seconds']:.3f}", f"{values['ideal_seconds']:.1f}",
            f"{values['on_peak']:.1f}")


def _marked(name, values):
    return f"{name} *" if is_disturbed(values) else name


class Table:
    """Prints row by row, so that a long run shows what it has."""

    def __init__(self, header, markdown):
        self._markdown = markdown
        self._widths = [max(26, len(header[0])), *(max(9, len(title)) for title in header[1:])]
        self.line(header)
        if markdown:
            self.line(["---", *("---:" for _ in header[1:])])

    def line(self, texts):
        first, *rest = texts
        padded = [first.ljust(self._widths[0]),
                  *(text.rjust(width) for text, width in zip(rest, self._widths[1:]))]
        print("| " + " | ".join(padded) + " |" if self._markdown else "  ".join(padded), flush=True)


def machine(host, cores):
    """The facts about this machine that figures depend on."""
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), platform.machine())
    return {"cores": cores, "cores_online": os.cpu_count(), "cpu": model,
            "kernel": platform.release(), "host": f"syslog-ng {host.version}"}


def is_disturbed(values):
    """Whether a row's times tell more about the rest of the machine than about the daemon."""
    return (values["foreign_load"] > FOREIGN_LOAD_LIMIT
            or values.get("off_cores_busy", 1) < IDLE_LIMIT)


def verdicts(targets, by_row):
    """A line for every target that has a measured row: the worst of them against the target."""
    for target in targets:
        values = {name: row[target.column] for name, row in by_row.items()
                  if fnmatch.fnmatchcase(name, target.rows) and target.column in row}
        if not values:
            continue
        worst = target.worst(values.values())
        where = next(name for name, value in values.items() if value == worst)
        if target.timed and is_disturbed(by_row[where]):
            verdict = "disturbed"
        else:
            verdict = "reached" if target.reached(worst) else "not reached"
        yield (f"{verdict:<11}  {where}: {target.text} {worst:.3f}, "
               f"to reach: at {'least' if target.at_least else 'most'} {target.bound:g}")
