# SPDX-License-Identifier: LGPL-2.1-or-later
"""One connection and one destination, beside the published figures of Splunk Connect for Syslog.

16 ways, one connection, round-robin: messages a second before and after.
"""

from simulator import SECOND

PUBLISHED = ((12393, 35543), (14646, 86222))
WAYS = 16

# The share of the source's thread in a message's microseconds, and these.  The destination takes no time.
PATHS = {
    "serial 0.31": (0.31, 80),
    "serial 0.11": (0.11, 68),
    "8 µs, reading 1.5 µs": (1.5 / 9.5, 9.5),
}


def serial_share(before, after, ways=WAYS):
    """By Amdahl's law, from a speed-up: 1 / (s + (1 - s) / ways) = after / before."""
    return (before / after - 1 / ways) / (1 - 1 / ways)


def runs(costs, workers):
    """Settings by path; the rate without parallelize() is that of one core which does everything."""
    result = {}
    for name, (share, microseconds) in PATHS.items():
        total = microseconds * 1000
        read = total * share
        for count in workers:
            result[name, count] = {
                "workers": count,
                "cores": count,
                "messages": 1000 * count + 20000,
                "cost": f"exponential:{total - read:.0f}",
                "costs": ",".join(part for part in (costs, f"read={read:.0f},write=0") if part),
            }, total
    return result


def measure(simulate, workers):
    """Speed-ups by path: (workers, speed-up)."""
    planned = runs(simulate.costs, workers)
    speed_ups = {}
    for (name, count), (_, total), result in ((key, value, result) for (key, value), result in zip(
            planned.items(), simulate.all([settings for settings, _ in planned.values()]))):
        speed_ups.setdefault(name, []).append((count, result["messages_per_second"] * total / SECOND))
    return speed_ups
