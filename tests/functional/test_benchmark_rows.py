# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Which rows the benchmark measures, in which order, and whether its check of one key's messages finds what it should.
"""

import importlib.util
import itertools
import sys

import pytest

from harness.environment import REPOSITORY


def load(name):
    """A module of the benchmark; the torture set has modules of the same names."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", REPOSITORY / f"tests/benchmark/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


plan = load("plan")
traffic = load("traffic")
ALL_PATHS = plan.PATH_NAMES


def names(patterns):
    return [row.name for row in plan.select(patterns, ALL_PATHS)]


def test_one_key_is_measured_when_asked_for():
    assert names(["heavy/one/2"]) == ["heavy/one/2"]
    for rows in (plan.QUICK, plan.DEFAULT):
        assert names(rows)
        assert not [name for name in names(rows) if "/one/" in name]


def test_quick_rows():
    assert {"heavy/round-robin/2", "heavy/uniform/2", "heavy/zipf/2", "heavy/half/2"} < {*names(plan.QUICK)}


@pytest.mark.parametrize("kind", ["rare", "jump", "late", "neighbour", "connections", "width", "threaded"])
def test_kind_of_row(kind):
    assert names([f"{kind}/*"])
    for rows in (plan.QUICK, plan.DEFAULT):
        assert [name for name in names(rows) if name.startswith(f"{kind}/")]


def test_names_are_unique():
    assert len({*names(["*"])}) == len(names(["*"]))


@pytest.mark.parametrize("variants", [("off", "on"), ("off", "builtin", "on")])
def test_rounds_come_in_every_order(variants):
    orders = sorted(itertools.permutations(variants))
    assert sorted({tuple(plan.in_turn([*variants], number)) for number in range(6)}) == orders


@pytest.mark.parametrize("distribution, share", [("uniform", 0.001), ("half", 0.5), ("one", 1)])
def test_share_of_the_busiest_key(distribution, share):
    lines = traffic.Traffic(distribution, 20_000).lines
    keys = [line.split()[0] for line in lines]
    busiest = max({*keys}, key=keys.count)
    assert keys.count(busiest) / len(keys) == pytest.approx(share, abs=0.02)


def test_order_of_one_key_is_checked():
    sent = traffic.Traffic("one", 100)
    right = [line + b"\n" for line in sent.lines]
    assert sent.check_data(b"".join(right), "key") == []
    assert sent.check_data(b"".join([right[1], right[0], *right[2:]]), "key")
    assert sent.check_data(b"".join(right[1:]), "key")


def test_slow_messages():
    sent = traffic.Traffic("uniform", 100, is_slow=lambda position: position % 10 == 5)
    assert [number for number, line in enumerate(sent.plain()) if b" slow[" in line] == [*range(5, 100, 10)]
    assert [number for number, message in enumerate(sent.framed()) if b" slow " in message] == [*range(5, 100, 10)]


def test_order_within_a_connection():
    one, other = (traffic.Traffic("uniform", 100, keys=5, label=label) for label in (b"0 ", b"1 "))
    lines = [line + b"\n" for pair in zip(one.lines, other.lines) for line in reversed(pair)]
    data = b"".join(lines)
    assert one.check_data(b"".join(one.labelled(data)), "arrival") == []
    assert other.check_data(b"".join(other.labelled(data)), "key") == []
    assert one.check_data(b"".join(one.labelled(data)[::-1]), "key")
    assert one.check_data(b"".join(other.labelled(data)), "any")


def test_every_message_its_own_key():
    sent = traffic.Traffic("distinct", 1000, name=b"key1")
    assert len({line.split()[0] for line in sent.lines}) == 1000
    assert {len(line) + 1 for line in sent.lines} == {sent.line_length}


def test_first_messages():
    sent = traffic.Traffic("uniform", 100)
    part = sent.first(40)
    assert part.output_size == 40 * sent.line_length
    assert part.check_data(b"".join(line + b"\n" for line in sent.lines[:40]), "arrival") == []
    assert part.check_data(b"".join(line + b"\n" for line in sent.lines[:41]), "arrival")
