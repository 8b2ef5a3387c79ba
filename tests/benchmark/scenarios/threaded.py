# SPDX-License-Identifier: LGPL-2.1-or-later
"""A source with a thread of its own, which closes its batch after each message: python()."""

import functools
import os
import statistics

import paths
import plan
import trial
from scenarios.scenario import Scenario, median_of
from traffic import Traffic

START_SECONDS = 30

_SOURCE = """
python {{
import time
from syslogng import LogMessage, LogSource

class Lines(LogSource):
    def init(self, options):
        self.path = options["path"]
        self.over = False
        return True

    def lines(self):
        while not self.over:
            try:
                return open(self.path, "rb")
            except FileNotFoundError:
                time.sleep(0.001)
        return ()

    def run(self):
        for line in self.lines():
            if self.over:
                return
            self.post_message(LogMessage.parse(line[:-1], self.parse_options))

    def request_exit(self):
        self.over = True
}};
"""


class Threaded(Scenario):
    """A Python source reads a file and posts its messages one by one.

    The limit: the CPU seconds without the element, spread over the cores, or what the source's
    thread alone takes for its part, if that is longer.
    """
    ROW = plan.ThreadedRow
    MOST_ROUNDS = 5
    NEEDS_TEST_MODULE = False
    HEADER = ("row", "element", "msg/s", "CPU s", "switches", "speed", "of limit", "min..max")

    def title(self):
        return "a Python source; switches: voluntary context switches of the daemon a message; speed against off"

    def variants(self, available):
        return ["reading", *(variant for variant in available)]

    def run(self, bench, variant, row, order):
        """[trial.Result, context switches a message]"""
        traffic = _traffic(row.traffic, self.messages(row.path) // plan.THREADED_SHARE)
        filters = 0 if variant == "reading" else self.filters[row.path]
        element = "" if variant == "reading" else self.element(variant, row)
        output, read = bench.fresh("out"), bench.fresh("read")
        source = f'python(class("Lines") options("path" "{read}") log-iw-size({trial.WINDOW}) keep-hostname(yes));'
        config = _SOURCE.format() + paths.config(source, paths.file_destination(output), trial.WINDOW, element, filters)
        with bench.daemon(config) as daemon:
            daemon.wait_for(lambda: "syslog-ng starting up" in daemon.log(), START_SECONDS, "a start")
            meter, before = trial.Meter(daemon), daemon.voluntary_switches()
            os.link(bench.input_of(traffic), read)
            result = trial.measure(meter, daemon, output, traffic)
            switches = (daemon.voluntary_switches() - before) / traffic.messages
        result.faults = traffic.check(output, order)
        return [result, switches]

    def figures(self, row, rounds):
        def limit(results):
            return max(results["off"][0].cpu_seconds / os.cpu_count(), results["reading"][0].seconds)

        values = {"foreign_load": self.foreign_load(rounds)}
        for variant in rounds[0]:
            def ratios(seconds):
                return [seconds(results) / results[variant][0].seconds for results in rounds]

            speeds = ratios(lambda results: results["off"][0].seconds)
            values |= {
                f"{variant}_rate": median_of(rounds, lambda results: results[variant][0].messages_per_second),
                f"{variant}_cpu": median_of(rounds, lambda results: results[variant][0].cpu_seconds),
                f"{variant}_switches": median_of(rounds, lambda results: results[variant][1]),
                f"{variant}_speedup": statistics.median(speeds),
                f"{variant}_speedup_range": [min(speeds), max(speeds)],
                f"{variant}_of_limit": statistics.median(ratios(limit)),
            }
        return values

    def cells(self, row, values):
        for variant in self.variants_of(values, "rate"):
            low, high = values[f"{variant}_speedup_range"]
            yield (variant, f"{values[f'{variant}_rate']:,.0f}", f"{values[f'{variant}_cpu']:.2f}",
                   f"{values[f'{variant}_switches']:.3f}", f"{values[f'{variant}_speedup']:.2f}",
                   f"{values[f'{variant}_of_limit']:.3f}", f"{low:.2f}..{high:.2f}")


@functools.lru_cache(maxsize=1)
def _traffic(distribution, messages):
    return Traffic(distribution, messages)
