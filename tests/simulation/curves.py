# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is simulated for the plots: 1 to 128 workers, four costs of a message, five kinds of keys."""

import dataclasses

import theory
from simulator import MICROSECOND, MILLISECOND, SECOND

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128)
COSTS = {"1 µs": MICROSECOND, "8 µs": 8 * MICROSECOND, "40 µs": 40 * MICROSECOND, "10 ms": 10 * MILLISECOND}
BLOCKING = "10 ms"      # these messages wait for something, the others compute
ELEMENTS = ("parallelize", "static-hash")

# The program's name, and the share of the most frequent key.
KEYS = {
    "no key": ("none", 0),
    "10,000 keys": ("uniform:10000", 1 / 10000),
    "Zipf 0.8": ("zipf:0.8:10000", theory.zipf_share(0.8, 10000)),
    "Zipf 1.2": ("zipf:1.2:1000", theory.zipf_share(1.2, 1000)),
    "half in one key": ("hot:0.5:1000", 0.5),
    "one key": ("one", 1),
}

# Of the source and the destination: so cheap that they keep up.
ENDS_KEEP_UP = "read=0,write=0"
WORKERS_A_SOURCE = 8
LOAD = 0.5              # of the limit, where latencies are measured


@dataclasses.dataclass(frozen=True)
class Point:
    cost: str
    keys: str
    workers: int
    element: str

    @property
    def limit(self):
        """Messages a second, if nothing but the messages took time: all cores are busy, or the hottest key always has one."""
        share = KEYS[self.keys][1]
        cores = min(self.workers, 1 / share if share else self.workers)
        return cores * SECOND / COSTS[self.cost]

    def settings(self, costs, **more):
        computed = max(20000, 2500 * self.workers)
        messages = 300 * self.workers if self.cost == BLOCKING else computed
        return {
            "element": self.element,
            "workers": self.workers,
            "cores": self.workers,
            "sources": max(1, self.workers // WORKERS_A_SOURCE),
            "cost": f"exponential:{COSTS[self.cost]}",
            "blocks": self.cost == BLOCKING,
            "keys": KEYS[self.keys][0],
            "messages": messages,
            "costs": ",".join(part for part in (costs, ENDS_KEEP_UP) if part),
        } | more


def all_points(costs=COSTS, keys=KEYS, workers=WORKERS):
    return [Point(cost, key, count, element) for cost in costs for key in keys for count in workers for element in ELEMENTS]


def measure(simulate, points, log=print):
    """For each point: the results at full speed, the same without contention, and at half the limit."""
    runs = []
    for point in points:
        runs.append(point.settings(simulate.costs))
        runs.append(point.settings(simulate.costs, contention=0))
        runs.append(point.settings(simulate.costs, rate=LOAD * point.limit))
    log(f"{len(runs)} simulations")
    results = simulate.all(runs)
    return {point: dict(zip(("full", "without contention", "half"), results[3 * number:3 * number + 3]))
            for number, point in enumerate(points)}


def speed_up(point, result):
    """Against one core that does nothing but the messages."""
    return result["messages_per_second"] * COSTS[point.cost] / SECOND


def share_of_limit(point, result):
    return result["messages_per_second"] / point.limit


def keeps_up(point, result):
    """True if as much comes out as comes in, at half the limit."""
    return share_of_limit(point, result) > 0.9 * LOAD


def own_share(result):
    """Nanoseconds a message that the engine itself takes."""
    spent = result["spent_ns_per_message"]
    return spent["engine"] + spent["lines"] + spent["locks"] + spent["clock"]
