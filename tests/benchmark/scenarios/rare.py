# SPDX-License-Identifier: LGPL-2.1-or-later
"""A cheap path on which one message in a few hundred blocks its thread: a lookup with a cache."""

import functools
import time

import blocking
import host
import paths
import plan
import trial
from scenarios.scenario import Scenario, median_of
from traffic import Traffic

NAP_SECONDS = 0.002


class Rare(Scenario):
    """Bursts in the same daemon; what it learnt from the first one may help it with the others, or not."""
    ROW = plan.RareRow
    HEADER = ("row", "element", "ideal s", "first", "again", "3rd", "of ideal", "speed-up")

    def title(self):
        return (f"{plan.RARE_BURSTS} bursts of {self._burst} messages, {plan.RARE_PAUSE_SECONDS} s between them, "
                "from arrival to the last one out")

    @property
    def _burst(self):
        return int(plan.RARE_MESSAGES * self.share)

    def run(self, bench, variant, row, order):
        """A trial.Result for each burst."""
        traffic = _traffic(row, self._burst * plan.RARE_BURSTS)
        messages = list(traffic.plain())
        output, port, window = bench.fresh("out"), host.free_port(), 2 * self._burst
        config = paths.config(paths.network_source(port, window), paths.file_destination(output), window,
                              self.element(variant, row), work=blocking.slow_program_element(row.milliseconds))
        results = []
        with bench.daemon(config) as daemon, trial.connect_tcp(daemon, port) as sender:
            for end in range(self._burst, traffic.messages + 1, self._burst):
                if results:
                    time.sleep(plan.RARE_PAUSE_SECONDS)
                data = b"".join(messages[end - self._burst:end])
                meter = trial.Meter(daemon)
                sender.sendall(data)
                trial.wait_for_end(daemon, output, traffic.first(end), longest_nap=NAP_SECONDS)
                results.append(meter.read(self._burst))
        results[0].faults = traffic.check(output, order)
        return results

    def figures(self, row, rounds):
        """{variant}_first, _again and _third: seconds; _of_ideal: the slowest of them against the ideal."""
        ideal = self._burst // row.every * row.milliseconds / 1000 / row.workers
        values = {"ideal_seconds": ideal, "foreign_load": self.foreign_load(rounds)}
        for variant in rounds[0]:
            for number, name in enumerate(("first", "again", "third")):
                values[f"{variant}_{name}"] = median_of(rounds, lambda results: results[variant][number].seconds)
            values[f"{variant}_of_ideal"] = max(
                values[f"{variant}_{name}"] for name in ("first", "again", "third")) / ideal
            values[f"{variant}_speedup"] = median_of(
                rounds, lambda results: _seconds(results["off"]) / _seconds(results[variant]))
        return values

    def cells(self, row, values):
        for variant in self.variants_of(values, "first"):
            yield (variant, f"{values['ideal_seconds']:.2f}",
                   *(f"{values[f'{variant}_{name}']:.2f}" for name in ("first", "again", "third", "of_ideal", "speedup")))


def _seconds(bursts):
    return sum(result.seconds for result in bursts)


@functools.lru_cache(maxsize=1)
def _traffic(row, messages):
    distribution = row.distribution if row.keyed else "uniform"
    return Traffic(distribution, messages, is_slow=lambda position: position % row.every == row.every // 2)
