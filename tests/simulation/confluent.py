# SPDX-License-Identifier: LGPL-2.1-or-later
"""The published figures of Confluent's parallel consumer, and the same work here.

10,000 messages that block for 0 to 5 ms each, 16 threads.
"""

from simulator import MILLISECOND

# keys, seconds as published, seconds at best (as published)
TABLE = ((1, 26.7, 25.0), (10, 3.31, 2.5), (1000, 2.06, 1.56))


def run(simulate, keys, costs=""):
    """Every key has as many messages as any other, as in the published ideal."""
    settings = {"costs": costs} if costs else {}
    return simulate(workers=16, messages=10000, cost=f"uniform:0:{5 * MILLISECOND}", blocks=1, keys=f"turn:{keys}", **settings)
