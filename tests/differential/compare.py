# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Compares what two daemons wrote. A record is KEY, a tab, and what the template shows; it ends in END_OF_RECORD, so that
lines may be within.

Each comparison takes two lists of records, and returns nothing if they agree, or a few lines that tell where not.
"""

import re
from collections import Counter, defaultdict

END_OF_RECORD = b"\x1e\n"
MAX_SHOWN = 3
MAX_WIDTH = 240


def records(data):
    """A last record that is not complete counts as well."""
    parts = data.split(END_OF_RECORD)
    return parts[:-1] if parts[-1] == b"" else parts


def as_multisets(without, with_element):
    """Each record as often, in any order."""
    less, more = Counter(without), Counter(with_element)
    return (_show("only without", (less - more).elements()) + _show("only with", (more - less).elements()))


def per_key(without, with_element):
    """The records of each key in the same order."""
    less, more = _by_key(without), _by_key(with_element)
    for key in [*less, *(key for key in more if key not in less)]:
        found = exactly(less.get(key, []), more.get(key, []))
        if found:
            return [f"key {_text(key)}:", *found]
    return []


def exactly(without, with_element):
    """The same records in the same order."""
    if without == with_element:
        return []
    both = min(len(without), len(with_element))
    place = next((number for number in range(both) if without[number] != with_element[number]), both)
    return ([f"record {place + 1} of {len(without)} without, {len(with_element)} with:"]
            + _show("without", without[place : place + 1]) + _show("with", with_element[place : place + 1]))


def totals(without, with_element):
    """The sums of the last number of each record are the same: for groups, which other threads cut in other places."""
    less, more = (sum(int(re.search(rb"(\d+)\D*$", record)[1]) for record in side) for side in (without, with_element))
    return [] if less == more and less > 0 else [f"total {less} without, {more} with"]


def _by_key(side):
    found = defaultdict(list)
    for record in side:
        found[record.split(b"\t", 1)[0]].append(record)
    return found


def _show(side, some):
    some = list(some)
    more = [f"  and {len(some) - MAX_SHOWN} more {side}"] if len(some) > MAX_SHOWN else []
    return [f"  {side}: {_text(record)}" for record in some[:MAX_SHOWN]] + more


def _text(record):
    text = repr(record)[2:-1]
    return text if len(text) <= MAX_WIDTH else f"{text[:MAX_WIDTH]}... ({len(record)} bytes)"
