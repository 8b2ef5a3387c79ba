# SPDX-License-Identifier: LGPL-2.1-or-later
"""A path that was cheap for long, and from one message on blocks with each: a name server that has stopped to answer."""

import functools
import math

import blocking
import plan
from scenarios import trace
from scenarios.scenario import Scenario, median_of
from traffic import Traffic


class Jump(Scenario):
    """How many of the slow messages the source's thread processes, one after the other, before the workers do."""
    ROW = plan.JumpRow
    MOST_ROUNDS = 3
    HEADER = ("row", "element", "by source", "worst", "of", f"{plan.JUMP_FIRST} out s", "ideal", "all out s", "ideal")

    def title(self):
        return (f"{self._cheap} cheap messages, then {plan.JUMP_SLOW_MESSAGES} that block for {plan.JUMP_MILLISECONDS} ms: "
                f"how many of these not by a worker, and the time until {plan.JUMP_FIRST} and all of them are out")

    @property
    def _cheap(self):
        return int(plan.JUMP_CHEAP_MESSAGES * self.share)

    def run(self, bench, variant, row, order):
        """(trial.Result, {figure: number})"""
        work = (blocking.slow_program_element(plan.JUMP_MILLISECONDS)
                + blocking.for_slow_program(trace.THREAD_AND_TIME, trace.VALUE))
        traffic = _traffic(row.distribution if row.keyed else "uniform", self._cheap)
        result, messages = trace.run(bench, traffic, self.element(variant, row), order, work,
                                     2 * traffic.messages, row.fetch_limit)
        return result, _figures([message for message in messages if message.is_slow])

    def figures(self, row, rounds):
        values = {"ideal_first": _seconds(math.ceil(plan.JUMP_FIRST / row.workers)),
                  "ideal_all": _seconds(math.ceil(plan.JUMP_SLOW_MESSAGES / row.workers)),
                  "foreign_load": self.foreign_load(rounds)}
        for variant in rounds[0]:
            values[f"{variant}_by_source_worst"] = max(results[variant][1]["by_source"] for results in rounds)
            for name in rounds[0][variant][1]:
                values[f"{variant}_{name}"] = median_of(rounds, lambda results: results[variant][1][name])
        return values

    def cells(self, row, values):
        for variant in self.variants_of(values, "first"):
            # the built-in's workers have no name of their own
            by_source = ("" if variant == "builtin" else f"{values[f'{variant}_{name}']:.0f}"
                         for name in ("by_source", "by_source_worst"))
            yield (variant, *by_source, f"{plan.JUMP_SLOW_MESSAGES}",
                   f"{values[f'{variant}_first']:.2f}", f"{values['ideal_first']:.2f}",
                   f"{values[f'{variant}_all']:.2f}", f"{values['ideal_all']:.2f}")


def _seconds(messages):
    return messages * plan.JUMP_MILLISECONDS / 1000


def _figures(slow):
    if not slow:
        return {}
    begin = min(message.done for message in slow) - _seconds(1)
    return {"by_source": sum(not message.by_worker for message in slow),
            "first": slow[plan.JUMP_FIRST - 1].arrived - begin,
            "all": slow[-1].arrived - begin}


@functools.lru_cache(maxsize=1)
def _traffic(distribution, cheap):
    return Traffic(distribution, cheap + plan.JUMP_SLOW_MESSAGES, is_slow=lambda position: position >= cheap)
