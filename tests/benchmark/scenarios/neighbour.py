# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two connections to one source: one floods it with messages some of which block, the other's latency is measured."""

import functools
import threading

import blocking
import host
import latency
import paths
import plan
import trial
from scenarios.scenario import Scenario, median_of
from traffic import Traffic

QUANTILES = ("p50", "p90", "p99")
STEADY_NAME = b"calm"
SENDER_BUFFER = 1 << 16     # small: what lies there and in the daemon's is still to be processed at the end
CHUNK = 100                 # messages that the flood sends at once


class Neighbour(Scenario):
    """The two have keys and destinations of their own; they share the source, the path and parallelize()."""
    ROW = plan.NeighbourRow
    HEADER = ("row", "element", "p50 ms", "p90 ms", "p99 ms", "worst ms", "p90 ratio", "flood/s")

    def title(self):
        return (f"{plan.NEIGHBOUR_RATE} messages a second for {self._seconds} s, beside a connection that sends as fast as it "
                f"can and of whose messages one in {plan.NEIGHBOUR_SLOW_EVERY} blocks for {plan.NEIGHBOUR_SLOW_MILLISECONDS} ms")

    @property
    def _seconds(self):
        return plan.NEIGHBOUR_SECONDS * self.share

    def run(self, bench, variant, row, order):
        """(trial.Result, latency.Latency of the steady messages)"""
        steady, flood_port = _steady(self._seconds), host.free_port()
        flood_file = bench.fresh("out")
        with latency.Receiver() as receiver:
            config = paths.forked_config(
                paths.network_source(flood_port, plan.NEIGHBOUR_WINDOW, 2, row.fetch_limit), STEADY_NAME.decode(),
                paths.tcp_destination(receiver.port), paths.file_destination(flood_file), 2 * plan.NEIGHBOUR_WINDOW,
                self.element(variant, row), blocking.slow_program_element(plan.NEIGHBOUR_SLOW_MILLISECONDS))
            with (bench.daemon(config) as daemon, trial.connect_tcp(daemon, flood_port) as other,
                  trial.connect_tcp(daemon, flood_port, SENDER_BUFFER) as flooding):
                meter = trial.Meter(daemon)
                with Flood(flooding, _flood(row.workers, self._seconds)) as flood:
                    due = latency.send(other, list(steady.plain()), plan.NEIGHBOUR_RATE)
                daemon.wait_for(lambda: receiver.size >= steady.output_size,
                                latency.DEADLINE_SECONDS, "all messages at the receiver")
                sent = flood.sent()
                trial.wait_for_end(daemon, flood_file, sent)
                result = meter.read(steady.messages + sent.messages)
            result.faults = steady.check_data(receiver.data(), order) + sent.check(flood_file, order)
            return result, None if result.faults else latency.of(steady, due, receiver)

    def figures(self, row, rounds):
        values = {"foreign_load": self.foreign_load(rounds)}
        for variant in rounds[0]:
            for quantile in (*QUANTILES, "worst"):
                values[f"{variant}_{quantile}"] = median_of(
                    rounds, lambda results: getattr(results[variant][1], quantile))
            values[f"{variant}_p90_of_off"] = median_of(
                rounds, lambda results: results[variant][1].p90 / results["off"][1].p90)
            values[f"{variant}_flood_rate"] = median_of(
                rounds, lambda results: results[variant][0].messages_per_second - plan.NEIGHBOUR_RATE)
        return values

    def cells(self, row, values):
        for variant in self.variants_of(values, "p50"):
            yield (variant, *(f"{values[f'{variant}_{quantile}']:.1f}" for quantile in (*QUANTILES, "worst")),
                   f"{values[f'{variant}_p90_of_off']:.2f}", f"{values[f'{variant}_flood_rate']:,.0f}")


class Flood:
    """Sends while the with statement lasts, as fast as the daemon takes it."""

    def __init__(self, connection, traffic):
        self._connection = connection
        self._traffic = traffic
        messages = list(traffic.plain())
        self._chunks = [b"".join(messages[begin:begin + CHUNK]) for begin in range(0, len(messages), CHUNK)]
        self._chunks_sent = 0
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._enough.set()
        self._thread.join()

    def _run(self):
        for chunk in self._chunks:
            if self._enough.is_set():
                return
            self._connection.sendall(chunk)
            self._chunks_sent += 1
        self._enough.wait()

    def sent(self):
        """The traffic that went out."""
        return self._traffic.first(min(self._chunks_sent * CHUNK, self._traffic.messages))


@functools.lru_cache(maxsize=1)
def _steady(seconds):
    return Traffic("uniform", int(plan.NEIGHBOUR_RATE * seconds), keys=plan.NEIGHBOUR_KEYS, name=STEADY_NAME)


@functools.lru_cache(maxsize=1)
def _flood(workers, seconds):
    """More than workers and source can do in that time."""
    at_most = (workers + 1) * plan.NEIGHBOUR_SLOW_EVERY * 1000 / plan.NEIGHBOUR_SLOW_MILLISECONDS * seconds
    return Traffic("uniform", int(at_most) + 2 * plan.NEIGHBOUR_WINDOW, keys=plan.NEIGHBOUR_KEYS,
                   is_slow=lambda position: position % plan.NEIGHBOUR_SLOW_EVERY == plan.NEIGHBOUR_SLOW_EVERY // 2)
