# SPDX-License-Identifier: LGPL-2.1-or-later
"""Figures of a row, the tables they are printed in, and the verdict on the targets."""

import fnmatch
import os
import platform
import statistics

# Above this share of the machine used by others, figures are worth little.
FOREIGN_LOAD_LIMIT = 0.03

# What a round runs, in the order of the tables.
VARIANTS = ("off", "builtin", "on")

# A path without parallelize() always keeps one core busy, unless something stops the daemon.
IDLE_LIMIT = 0.9


def figures(row, rounds, messages, cores):
    """Medians over the rounds; ratios are taken within a round.

    rounds: an "off" and an "on" Result each, and where the host has one of its own a
    "builtin" Result. The limit is what the off run's CPU seconds allow on the cores that
    the source's thread and the workers can use.
    """
    usable_cores = min(cores, row.workers + 1)

    def median(figure):
        return statistics.median(figure(**results) for results in rounds)

    def of_limit(off, result):
        return result.messages_per_second / (messages / off.cpu_seconds * usable_cores)

    shares = [of_limit(results["off"], results["on"]) for results in rounds]
    values = {
        "off_rate": median(lambda off, **_: off.messages_per_second),
        "on_rate": median(lambda on, **_: on.messages_per_second),
        "off_cpu": median(lambda off, **_: off.cpu_seconds),
        "on_cpu": median(lambda on, **_: on.cpu_seconds),
        "off_peak": median(lambda off, **_: off.peak_kib / 1024),
        "on_peak": median(lambda on, **_: on.peak_kib / 1024),
        "memory_ratio": median(lambda off, on, **_: on.peak_kib / off.peak_kib),
        "speedup": median(lambda off, on, **_: on.messages_per_second / off.messages_per_second),
        "of_limit": statistics.median(shares),
        "of_limit_range": _range(shares),
        "off_cores_busy": min(results["off"].cores_busy for results in rounds),
        "on_cores_busy": median(lambda on, **_: on.cores_busy),
        "foreign_load": median(lambda **results: max(result.foreign_load
                                                     for result in results.values())),
    }
    if "builtin" in rounds[0]:
        ratios = [results["on"].messages_per_second / results["builtin"].messages_per_second
                  for results in rounds]
        values |= {
            "builtin_rate": median(lambda builtin, **_: builtin.messages_per_second),
            "builtin_cpu": median(lambda builtin, **_: builtin.cpu_seconds),
            "builtin_peak": median(lambda builtin, **_: builtin.peak_kib / 1024),
            "builtin_of_limit": median(lambda off, builtin, **_: of_limit(off, builtin)),
            "memory_of_builtin": median(lambda on, builtin, **_: on.peak_kib / builtin.peak_kib),
            "of_builtin": statistics.median(ratios),
            "of_builtin_range": _range(ratios),
        }
    return values


def ceiling_figures(rounds, messages, cores):
    """The share of the limit that independent daemons reach together, one a core."""
    shares = [sum(result.messages_per_second for result in together)
              / (messages / alone.cpu_seconds * cores) for alone, together in rounds]
    return {
        "of_limit": statistics.median(shares),
        "of_limit_range": _range(shares),
        "cpu_ratio": statistics.median(
            statistics.mean(result.cpu_seconds for result in together) / alone.cpu_seconds
            for alone, together in rounds),
        # the daemons are foreign to each other: only the single one tells of others
        "foreign_load": statistics.median(alone.foreign_load for alone, _ in rounds),
    }


def latency_figures(rate, rounds):
    """rounds: of each variant a Result and a Latency."""
    values = {"rate": rate,
              "foreign_load": statistics.median(max(result.foreign_load for result, _ in results.values())
                                                for results in rounds)}
    for variant in rounds[0]:
        for quantile in LATENCY_QUANTILES:
            values[f"{variant}_{quantile}"] = statistics.median(
                getattr(results[variant][1], quantile) for results in rounds)
    if "builtin" in rounds[0]:
        values["p99_of_builtin"] = statistics.median(
            results["on"][1].p99 / results["builtin"][1].p99 for results in rounds)
    return values


def resequence_figures(rounds):
    """rounds: a Result each, "without" and "with" resequence()."""
    ratios = [results["with"].messages_per_second / results["without"].messages_per_second
              for results in rounds]

    def median(figure):
        return statistics.median(figure(results["without"], results["with"]) for results in rounds)

    return {
        "without_rate": median(lambda without, _: without.messages_per_second),
        "with_rate": median(lambda _, behind: behind.messages_per_second),
        "of_without": statistics.median(ratios),
        "of_without_range": _range(ratios),
        "cpu_ratio": median(lambda without, behind: behind.cpu_seconds / without.cpu_seconds),
        "memory_of_without": median(lambda without, behind: behind.peak_kib / without.peak_kib),
        "foreign_load": median(lambda without, behind: max(without.foreign_load, behind.foreign_load)),
    }


def resequence_latency_figures(rounds):
    """rounds: a Result and a Latency each, "without" and "with" resequence()."""
    return {f"{variant}_{quantile}": statistics.median(
        getattr(results[variant][1], quantile) for results in rounds)
        for variant in ("without", "with") for quantile in ("p50", "p99")}


def blocking_figures(row, rounds):
    """rounds: an "on" Result each, and perhaps a "builtin" one."""
    def median(figure):
        return statistics.median(figure(**results) for results in rounds)

    values = {
        "seconds": median(lambda on, **_: on.seconds),
        "ideal_seconds": row.ideal_seconds,
        "on_rate": median(lambda on, **_: on.messages_per_second),
        "on_cpu": median(lambda on, **_: on.cpu_seconds),
        "on_peak": median(lambda on, **_: on.peak_kib / 1024),
        "foreign_load": median(lambda on, **_: on.foreign_load),
    }
    if "builtin" in rounds[0]:
        values |= {
            "builtin_rate": median(lambda builtin, **_: builtin.messages_per_second),
            "builtin_cpu": median(lambda builtin, **_: builtin.cpu_seconds),
            "builtin_peak": median(lambda builtin, **_: builtin.peak_kib / 1024),
            "memory_of_builtin": median(lambda on, builtin: on.peak_kib / builtin.peak_kib),
            "of_builtin": median(lambda on, builtin: builtin.seconds / on.seconds),
        }
    return values


def _range(values):
    return [min(values), max(values)]


LATENCY_QUANTILES = ("p50", "p99", "p999")
HEADER = ("row", "off msg/s", "on msg/s", "off CPU s", "on CPU s", "off MiB", "on MiB",
          "memory", "speed-up", "of limit", "min..max")
BUILTIN_HEADER = ("row", "msg/s", "built-in", "CPU s", "built-in", "MiB", "built-in",
                  "of limit", "built-in", "speed", "min..max", "memory")
CEILING_HEADER = ("row", "of limit", "min..max", "CPU")
LATENCY_HEADER = ("row", "messages/s", "element", "p50 ms", "p99 ms", "p99.9 ms", "p99 ratio")
RESEQUENCE_HEADER = ("row", "without/s", "with/s", "speed", "min..max", "CPU", "memory",
                     "p50 ms", "with", "p99 ms", "with")
BLOCKING_HEADER = ("row", "seconds", "ideal", "msg/s", "built-in", "CPU s", "built-in", "MiB", "built-in", "speed", "memory")


def cells(name, values):
    return (marked(name, values), f"{values['off_rate']:,.0f}", f"{values['on_rate']:,.0f}",
            f"{values['off_cpu']:.2f}", f"{values['on_cpu']:.2f}",
            f"{values['off_peak']:.1f}", f"{values['on_peak']:.1f}",
            f"{values['memory_ratio']:.2f}", f"{values['speedup']:.2f}",
            f"{values['of_limit']:.3f}", _range_text(values["of_limit_range"]))


def builtin_cells(name, values):
    return (marked(name, values), f"{values['on_rate']:,.0f}", f"{values['builtin_rate']:,.0f}",
            f"{values['on_cpu']:.2f}", f"{values['builtin_cpu']:.2f}",
            f"{values['on_peak']:.1f}", f"{values['builtin_peak']:.1f}",
            f"{values['of_limit']:.3f}", f"{values['builtin_of_limit']:.3f}",
            f"{values['of_builtin']:.2f}", _range_text(values["of_builtin_range"]),
            f"{values['memory_of_builtin']:.2f}")


def ceiling_cells(name, values):
    return (marked(name, values), f"{values['of_limit']:.3f}",
            _range_text(values["of_limit_range"]), f"{values['cpu_ratio']:.2f}")


def latency_cells(name, values):
    """A line for each variant."""
    for variant in VARIANTS:
        if f"{variant}_p50" in values:
            quantiles = (f"{values[f'{variant}_{quantile}']:.2f}" for quantile in LATENCY_QUANTILES)
            ratio = f"{values['p99_of_builtin']:.2f}" if variant == "on" and "p99_of_builtin" in values else ""
            yield (marked(name, values), f"{values['rate']:,.0f}", variant, *quantiles, ratio)


def resequence_cells(name, values):
    latencies = (f"{values[f'{variant}_{quantile}']:.2f}" for quantile in ("p50", "p99")
                 for variant in ("without", "with"))
    return (marked(name, values), f"{values['without_rate']:,.0f}", f"{values['with_rate']:,.0f}",
            f"{values['of_without']:.3f}", _range_text(values["of_without_range"]),
            f"{values['cpu_ratio']:.2f}", f"{values['memory_of_without']:.2f}", *latencies)


def blocking_cells(name, values):
    def text(column, pattern):
        return format(values[column], pattern) if column in values else ""

    return (marked(name, values), text("seconds", ".3f"), text("ideal_seconds", ".1f"),
            text("on_rate", ",.0f"), text("builtin_rate", ",.0f"), text("on_cpu", ".2f"), text("builtin_cpu", ".2f"),
            text("on_peak", ".1f"), text("builtin_peak", ".1f"), text("of_builtin", ".2f"), text("memory_of_builtin", ".2f"))


def _range_text(bounds):
    return f"{bounds[0]:.2f}..{bounds[1]:.2f}"


def marked(name, values):
    """The row's name, with a star if it is_disturbed()."""
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
