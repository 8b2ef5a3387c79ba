# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long a message that is done waits to be published, when those after it have begun to block."""

import functools

import blocking
import plan
from scenarios import trace
from scenarios.scenario import Scenario, median_of
from traffic import Traffic

FIGURES = ("slow_p50", "slow_p99", "slow_worst", "usual_worst")


class Late(Scenario):
    """Milliseconds from the end of the path to the arrival at the receiver."""
    ROW = plan.LateRow
    HEADER = ("row", "element", "p50 ms", "p99 ms", "worst ms", "usual ms", "seconds")

    def title(self):
        return (f"{plan.LATE_USUAL_MESSAGES} messages of {plan.LATE_USUAL_MICROSECONDS} us, then {self._slow} that block for "
                f"{plan.LATE_SLOW_MILLISECONDS} ms, prefetch({plan.LATE_PREFETCH}): from the end of the path to the receiver; "
                "usual: the worst of the messages before those that block")

    @property
    def _slow(self):
        return int(plan.LATE_SLOW_MESSAGES * self.share)

    def run(self, bench, variant, row, order):
        """(trial.Result, {figure: number})"""
        work = (blocking.computing_element(plan.LATE_USUAL_MICROSECONDS)
                + blocking.slow_program_element(plan.LATE_SLOW_MILLISECONDS)
                + f'rewrite {{ set("{trace.THREAD_AND_TIME}" value("{trace.VALUE}")); }};')
        traffic = _traffic(row.distribution if row.keyed else "uniform", self._slow)
        result, messages = trace.run(bench, traffic, self.element(variant, row, prefetch=plan.LATE_PREFETCH), order, work,
                                     2 * traffic.messages, row.fetch_limit)
        return result, _figures(messages)

    def figures(self, row, rounds):
        values = {"foreign_load": self.foreign_load(rounds)}
        for variant in rounds[0]:
            values[f"{variant}_seconds"] = median_of(rounds, lambda results: results[variant][0].seconds)
            for name in FIGURES:
                # a fault that shows in one round of several is one
                values[f"{variant}_{name}"] = max(results[variant][1][name] for results in rounds)
        return values

    def cells(self, row, values):
        for variant in self.variants_of(values, "seconds"):
            yield (variant, *(f"{values[f'{variant}_{name}']:.1f}" for name in FIGURES),
                   f"{values[f'{variant}_seconds']:.2f}")


def _figures(messages):
    if not messages:
        return {}
    slow, usual = (sorted((message.arrived - message.done) * 1000 for message in messages if message.is_slow is is_slow)
                   for is_slow in (True, False))
    return {"slow_p50": slow[len(slow) // 2], "slow_p99": slow[int(len(slow) * 0.99)], "slow_worst": slow[-1],
            "usual_worst": usual[-1]}


@functools.lru_cache(maxsize=1)
def _traffic(distribution, slow):
    usual = plan.LATE_USUAL_MESSAGES
    return Traffic(distribution, usual + slow, is_slow=lambda position: position >= usual)
