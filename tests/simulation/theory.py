# SPDX-License-Identifier: LGPL-2.1-or-later
"""What queueing theory says."""

import math


def mmc_wait(servers, load, service):
    """Mean time that a job of an M/M/c queue waits (Erlang C). load: of each server, below 1."""
    offered = servers * load
    all_busy = offered ** servers / math.factorial(servers) / (1 - load)
    some_idle = sum(offered ** n / math.factorial(n) for n in range(servers))
    return all_busy / (some_idle + all_busy) * service / (servers * (1 - load))


def md1_wait(load, service):
    """The same for M/D/1 (Pollaczek and Khinchine)."""
    return load / (2 * (1 - load)) * service


def zipf_share(exponent, keys):
    """Of the most frequent key."""
    return 1 / sum(rank ** -exponent for rank in range(1, keys + 1))


def graham(work, longest, workers):
    """The least and the most time that a list of jobs takes if no worker is idle while one waits."""
    return max(work / workers, longest), work / workers + (1 - 1 / workers) * longest
