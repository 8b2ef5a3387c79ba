# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the kinds of rows have in common."""

import statistics

import paths
import report
import trial


class Scenario:
    """How one kind of row is measured and printed.

    ROW: the class of its rows in the plan. HEADER: of its table. MOST_ROUNDS: more tell
    nothing new and take long. NEEDS_TEST_MODULE: for its template functions.

    share: of the usual size of a run. messages(path): how many a run has on one of the
    plan's PATHS. filters: how many each of these has.
    """
    ROW = None
    HEADER = ()
    MOST_ROUNDS = 2
    NEEDS_TEST_MODULE = True

    def __init__(self, share, messages, filters):
        self.share = share
        self.messages = messages
        self.filters = filters

    def title(self):
        """The line above the table."""
        raise NotImplementedError

    def variants(self, available):
        """Those of the available variants that are measured."""
        return available

    def run(self, bench, variant, row, order):
        """A sequence of trial.Results, and figures besides, of one run; order: what the variant has to keep of it."""
        raise NotImplementedError

    def figures(self, row, rounds):
        """Medians over the rounds, each of which has what run() gave for each variant."""
        raise NotImplementedError

    def cells(self, row, values):
        """The lines of the table behind the row's name."""
        raise NotImplementedError

    @staticmethod
    def foreign_load(rounds):
        """The median over the rounds of the worst run in each."""
        return median_of(rounds, lambda results: max(
            result.foreign_load for run in results.values() for result in run if isinstance(result, trial.Result)))

    @staticmethod
    def variants_of(values, column):
        """The variants that have this column among the figures, in the order of the tables."""
        return [variant for variant in report.VARIANTS if f"{variant}_{column}" in values]

    @staticmethod
    def element(variant, row, **options):
        """The text of parallelize() in that variant."""
        if variant == "off":
            return ""
        return paths.parallelize(row.workers, row.keyed, **(options if variant == "on" else {}))


def median_of(rounds, figure):
    """The median of figure(results by variant) over the rounds."""
    return statistics.median(figure(results) for results in rounds)
