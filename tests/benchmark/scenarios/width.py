# SPDX-License-Identifier: LGPL-2.1-or-later
"""More workers than there are cores: what those cost that have nothing to do."""

import functools
import statistics

import paths
import plan
from scenarios.scenario import Scenario, median_of
from traffic import Traffic


class Width(Scenario):
    """The same path with as many workers as the row says, and with the usual number of them."""
    ROW = plan.WidthRow
    MOST_ROUNDS = 7
    NEEDS_TEST_MODULE = False
    HEADER = ("row", "usual/s", "wide/s", "speed", "min..max", "CPU", "memory")

    def title(self):
        return f"many workers against workers({plan.WIDTH_USUAL_WORKERS})"

    def variants(self, available):
        return ["usual", "wide"]

    def run(self, bench, variant, row, order):
        """[trial.Result]"""
        workers = row.workers if variant == "wide" else plan.WIDTH_USUAL_WORKERS
        return [bench.file_to_file(_traffic(row.traffic, self.messages(row.path)), paths.parallelize(workers, row.keyed),
                                   order, self.filters[row.path], row.fetch_limit)]

    def figures(self, row, rounds):
        def ratios(figure):
            return [figure(results["wide"][0]) / figure(results["usual"][0]) for results in rounds]

        speeds = ratios(lambda result: result.messages_per_second)
        return {
            "usual_rate": median_of(rounds, lambda results: results["usual"][0].messages_per_second),
            "wide_rate": median_of(rounds, lambda results: results["wide"][0].messages_per_second),
            "of_usual": statistics.median(speeds),
            "of_usual_range": [min(speeds), max(speeds)],
            "cpu_ratio": statistics.median(ratios(lambda result: result.cpu_seconds)),
            "memory_of_usual": statistics.median(ratios(lambda result: result.peak_kib)),
            "foreign_load": self.foreign_load(rounds),
        }

    def cells(self, row, values):
        low, high = values["of_usual_range"]
        yield (f"{values['usual_rate']:,.0f}", f"{values['wide_rate']:,.0f}", f"{values['of_usual']:.2f}",
               f"{low:.2f}..{high:.2f}", f"{values['cpu_ratio']:.2f}", f"{values['memory_of_usual']:.2f}")


@functools.lru_cache(maxsize=1)
def _traffic(distribution, messages):
    return Traffic(distribution, messages)
