# SPDX-License-Identifier: LGPL-2.1-or-later
"""The plots of docs/explanation/scaling.md, from the results of curves.measure()."""

import curves
import sc4s
import svg

NOTE = "Simulated, not measured. Solid: parallelize(). Dashed: each key has a fixed worker."


def _workers():
    return svg.Axis(1, 128, curves.WORKERS, logarithmic=True)


def _powers(least, most):
    ticks, value = [], least
    while value <= most:
        ticks.append(value)
        value *= 2
    return ticks


def _legend():
    return [(name, svg.COLOURS[number], False) for number, name in enumerate(curves.KEYS)]


def _lines(panel, results, cost, value):
    for number, keys in enumerate(curves.KEYS):
        for element in curves.ELEMENTS:
            points = [(point.workers, value(point, results[point])) for point in results
                      if point.cost == cost and point.keys == keys and point.element == element]
            points = [(x, y) for x, y in points if y is not None]
            if points:
                panel.line(points, svg.COLOURS[number], element != "parallelize", 2 if element == "parallelize" else 1.2)


def _panels(results, title, y, value):
    panels = []
    for cost in curves.COSTS:
        panel = svg.Panel(f"{title}, messages of {cost}", _workers(), y, "workers and cores", title)
        _lines(panel, results, cost, value)
        panels.append(panel)
    return panels


def speed_up(results):
    y = svg.Axis(0.5, 128, _powers(1, 128), logarithmic=True)
    panels = _panels(results, "speed-up", y, lambda point, result: curves.speed_up(point, result["full"]))
    for panel in panels:
        panel.line([(1, 1), (128, 128)], svg.GREY, True, 1)
    return svg.figure(panels, _legend(), note=NOTE)


def share_of_limit(results):
    y = svg.Axis(0, 1.2, (0, 0.2, 0.4, 0.6, 0.8, 1, 1.2))
    panels = _panels(results, "share of the limit", y, lambda point, result: curves.share_of_limit(point, result["full"]))
    return svg.figure(panels, _legend(), note=NOTE)


def latency(results):
    y = svg.Axis(0.01, 10000, (0.01, 0.1, 1, 10, 100, 1000, 10000), logarithmic=True, label=lambda value: f"{value:g}")
    panels = _panels(results, "p99 at half the limit, ms", y, lambda point, result: (
        result["half"]["latency_ns"]["p99"] / 1e6 if curves.keeps_up(point, result["half"]) else None))
    return svg.figure(panels, _legend(), note=NOTE)


SPENT = ("engine", "clock", "lines", "locks", "wakeups", "switches", "daemon")
SPENT_TEXTS = {"engine": "engine's instructions", "clock": "reading the clock", "lines": "waiting for cache lines",
               "locks": "sleeping for locks", "wakeups": "waking threads", "switches": "changing threads",
               "daemon": "key, packing, moving the message"}


def spent(results):
    y = svg.Axis(0, 1000, (0, 200, 400, 600, 800, 1000))
    panels = []
    for keys in ("no key", "10,000 keys", "Zipf 1.2", "half in one key"):
        panel = svg.Panel(f"8 µs, {keys}", _workers(), y, "workers and cores", "CPU ns a message")
        for number, kind in enumerate(SPENT):
            panel.line([(point.workers, results[point]["full"]["spent_ns_per_message"][kind]) for point in results
                        if point.cost == "8 µs" and point.keys == keys and point.element == "parallelize"],
                       svg.COLOURS[number])
        panels.append(panel)
    return svg.figure(panels, [(SPENT_TEXTS[kind], svg.COLOURS[number], False) for number, kind in enumerate(SPENT)],
                      note="Simulated, not measured. CPU time a message beside the message's own work.")


def one_connection(results):
    """results: speed-ups of sc4s.measure()."""
    panel = svg.Panel("one connection, one destination", svg.Axis(1, 128, curves.WORKERS, logarithmic=True),
                      svg.Axis(0.5, 64, _powers(1, 64), logarithmic=True), "workers and cores", "speed-up")
    legend = []
    for number, (name, points) in enumerate(results.items()):
        panel.line(points, svg.COLOURS[number])
        legend.append((name, svg.COLOURS[number], False))
    for number, (before, after) in enumerate(sc4s.PUBLISHED):
        panel.mark(16, after / before, f"SC4S: {after / before:.1f} at 16", svg.COLOURS[5 + number])
    return svg.figure([panel], legend, columns=1, note="Simulated, not measured; points: published measurements.")
