# SPDX-License-Identifier: LGPL-2.1-or-later
"""What decides about a torture trial fails when it should: on loss, duplication, reordering and broken lines."""

import sys

import pytest

from harness.environment import REPOSITORY

sys.path.append(str(REPOSITORY / "tests/torture"))

from verdict import Check, Promise, Replay, compare_reach  # noqa: E402

# "SOURCE/KEY NUMBER NUMBER-IN-KEY FILLING-SIZE FILLING"
RIGHT = ["s0/k1 0 0 1 x", "s1/k1 0 0 0 ", "s0/k2 1 0 0 ", "s0/k1 2 1 2 xx", "s0/ 3 0 0 "]
SENT = {"s0": 4, "s1": 1}
WRONG = {
    "loss": RIGHT[1:],
    "loss of the last": RIGHT[:4],
    "loss of a whole source": [line for line in RIGHT if not line.startswith("s1")],
    "duplicate": [*RIGHT, RIGHT[0]],
    "duplicate never sent": [*RIGHT, "s0/k9 4 0 0 "],
    "order": [RIGHT[3], *RIGHT[:3], RIGHT[4]],
    "torn": ["s0/k1 0 0 2 x", *RIGHT],
}


def check_of(lines, **promise):
    check = Check(Promise(**promise), SENT, "out")
    for line in lines:
        check.add(line)
    return check


def faults(lines, sent=SENT, **promise):
    return {fault.kind for fault in check_of(lines, **promise).finish(sent)}


def test_right_lines_pass():
    assert faults(RIGHT) == set()
    assert faults(RIGHT, order="total") == set()


@pytest.mark.parametrize("name", WRONG)
def test_wrong_lines_are_found(name):
    assert name.split()[0] in faults(WRONG[name])


def test_total_order_is_stricter():
    other_keys_first = [RIGHT[2], RIGHT[0], RIGHT[1], RIGHT[3], RIGHT[4]]
    assert faults(other_keys_first) == set()
    assert faults(other_keys_first, order="total") == {"order"}


def test_a_kill_allows_to_begin_again_and_no_gap():
    def again(lines):
        return faults(lines, kills=1, replays={source: [Replay(ordered=True)] for source in SENT})

    assert again([*RIGHT[:4], *RIGHT]) == set()
    assert again([*RIGHT[:4], *RIGHT[:4], *RIGHT]) == {"order"}
    assert again([RIGHT[0], RIGHT[2], RIGHT[1], RIGHT[4]]) == {"loss"}


def test_repeats_are_counted():
    assert faults([*RIGHT, RIGHT[0]], repeats=1) == set()
    assert "duplicate" in faults([*RIGHT, RIGHT[0], RIGHT[1]], repeats=1)


def test_replays_are_of_one_source_and_so_many_and_of_these_numbers():
    def again(lines, **replay):
        return faults([*RIGHT, *lines], replays={"s0": [Replay(**replay)]})

    all_of_s0 = [RIGHT[0], *RIGHT[2:]]
    assert again(all_of_s0, most=4) == set()
    assert "duplicate" in again(all_of_s0, most=3)
    assert "duplicate" in again([RIGHT[1]], most=4)
    assert again(all_of_s0[1:3], begin=1, end=3) == set()
    assert "duplicate" in again(all_of_s0[:1], begin=1, end=3)
    assert "duplicate" in again(all_of_s0[3:], begin=1, end=3)
    assert "duplicate" in again(all_of_s0[1:3] * 2, begin=1, end=3)
    # not in the order of their key, which a network destination does not promise
    assert again([RIGHT[3], RIGHT[0]]) == set()
    assert "order" in again([RIGHT[3], RIGHT[0]], ordered=True)


def test_complete_up_to_the_first_that_is_missing():
    assert check_of(RIGHT).complete_up_to("s0") == 4
    assert check_of([RIGHT[0], *RIGHT[3:]]).complete_up_to("s0") == 1


def test_a_slip_is_one_message():
    in_order = [f"s0/k1 {number} {number} 0 " for number in range(4)]
    late = [*in_order[1:], in_order[0]]
    two_late = [*in_order[2:], *in_order[:2]]
    for order in ("by key", "total"):
        assert faults([*late, RIGHT[1]], order=order) == {"order"}
        assert faults([*late, RIGHT[1]], order=order, slips=1) == set()
        assert faults([*two_late, RIGHT[1]], order=order, slips=1) == {"order"}


def test_faults_tell_their_amount():
    (loss,) = check_of(RIGHT[3:4]).finish(SENT)[-1:]
    assert (loss.kind, loss.amount) == ("loss", 4)


def test_a_tail_may_miss_and_nothing_in_front_of_it():
    assert faults(RIGHT[:3], tail_may_miss={"s0"}) == set()
    assert faults([RIGHT[1], RIGHT[3], RIGHT[4]], tail_may_miss={"s0"}) >= {"loss"}


def test_what_came_out_of_the_plain_path_is_not_left_behind():
    all, no_last, no_second_source = check_of(RIGHT), check_of(RIGHT[:4]), check_of([RIGHT[0], *RIGHT[2:]])
    assert compare_reach(all, all, SENT) == []
    assert compare_reach(all, no_last, SENT) == []
    for left_behind in (no_last, no_second_source):
        (fault,) = compare_reach(left_behind, all, SENT)
        assert fault.kind == "left behind"
