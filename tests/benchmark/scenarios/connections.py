# SPDX-License-Identifier: LGPL-2.1-or-later
"""Throughput of a path that costs nothing, with several TCP connections at full speed."""

import concurrent.futures
import contextlib
import functools
import statistics

import host
import paths
import plan
import trial
from scenarios.scenario import Scenario, median_of
from traffic import Traffic


class Connections(Scenario):
    """Each connection has a thread of the daemon; all of them meet in one parallelize()."""
    ROW = plan.ConnectionsRow
    MOST_ROUNDS = 7
    NEEDS_TEST_MODULE = False
    HEADER = ("row", "element", "msg/s", "CPU s", "MiB", "speed", "min..max", "CPU")

    def title(self):
        return (f"{self._messages} messages over N TCP connections, log-fetch-limit({plan.CONNECTIONS_FETCH_LIMIT}), "
                "no filter; speed and CPU against off")

    @property
    def _messages(self):
        return int(plan.CONNECTIONS_MESSAGES * self.share)

    def run(self, bench, variant, row, order):
        """[trial.Result]"""
        messages = Together(row, self._messages // row.connections)
        output, port = bench.fresh("out"), host.free_port()
        config = paths.config(
            paths.network_source(port, plan.CONNECTIONS_WINDOW, row.connections, plan.CONNECTIONS_FETCH_LIMIT),
            paths.file_destination(output), plan.CONNECTIONS_WINDOW * row.connections, self.element(variant, row))
        with contextlib.ExitStack() as stack:
            daemon = stack.enter_context(bench.daemon(config))
            senders = [stack.enter_context(trial.connect_tcp(daemon, port)) for _ in messages.data]
            pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(row.connections))
            meter = trial.Meter(daemon)
            for sender, data in zip(senders, messages.data):
                pool.submit(sender.sendall, data)
            result = trial.measure(meter, daemon, output, messages)
        result.faults = messages.check(output, order)
        return [result]

    def figures(self, row, rounds):
        values = {"foreign_load": self.foreign_load(rounds)}
        for variant in rounds[0]:
            def ratios(figure):
                return [figure(results[variant][0]) / figure(results["off"][0]) for results in rounds]

            speeds = ratios(lambda result: result.messages_per_second)
            values |= {
                f"{variant}_rate": median_of(rounds, lambda results: results[variant][0].messages_per_second),
                f"{variant}_cpu": median_of(rounds, lambda results: results[variant][0].cpu_seconds),
                f"{variant}_peak": median_of(rounds, lambda results: results[variant][0].peak_kib / 1024),
                f"{variant}_speedup": statistics.median(speeds),
                f"{variant}_speedup_range": [min(speeds), max(speeds)],
                f"{variant}_cpu_ratio": statistics.median(ratios(lambda result: result.cpu_seconds)),
            }
        return values

    def cells(self, row, values):
        for variant in self.variants_of(values, "rate"):
            low, high = values[f"{variant}_speedup_range"]
            yield (variant, f"{values[f'{variant}_rate']:,.0f}", f"{values[f'{variant}_cpu']:.2f}",
                   f"{values[f'{variant}_peak']:.1f}", f"{values[f'{variant}_speedup']:.2f}", f"{low:.2f}..{high:.2f}",
                   f"{values[f'{variant}_cpu_ratio']:.2f}")


class Together:
    """The traffic of all connections; each numbers its messages by itself."""

    def __init__(self, row, messages):
        self._parts, self.data = _parts(row, messages)
        self.messages = sum(part.messages for part in self._parts)
        self.output_size = sum(part.output_size for part in self._parts)

    @staticmethod
    def messages_in(size):
        return Traffic.messages_in(size)

    def check(self, path, order):
        data = path.read_bytes()
        faults = [fault for part in self._parts for fault in part.check_data(b"".join(part.labelled(data)), order)]
        return faults or ([] if len(data) == self.output_size else ["messages that no connection has sent"])


def _label(number):
    return b"%d " % number


@functools.lru_cache(maxsize=1)
def _parts(row, messages):
    """([Traffic], [all that it sends]), one for each connection."""
    if row.keys == "distinct":
        parts = [Traffic("distinct", messages, name=b"key%d" % number, label=_label(number))
                 for number in range(row.connections)]
    else:
        parts = [Traffic("uniform", messages, keys=plan.CONNECTIONS_SHARED_KEYS, label=_label(number))
                 for number in range(row.connections)]
    return parts, [b"".join(part.plain()) for part in parts]
