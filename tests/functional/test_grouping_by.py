# SPDX-License-Identifier: LGPL-2.1-or-later
"""A grouping-by() in front of the element keeps messages, and reads them while they are being processed behind it."""

import pytest

from harness.messages import TCP_SOURCE, in_turn
from harness.network import BackgroundSender

GROUP = 20
KEYS = 10
MESSAGES = 20_000
VALUE = "before" * 50
LARGER = "behind" * 500     # does not fit where the values are
PATH = f"""
parser p_group {{
    grouping-by(key("$PROGRAM") timeout(600) trigger("$(context-length)" eq "{GROUP}")
                aggregate(value(".test.all" "$(implode ',' $(context-values ${{.test.value}}))") value("MESSAGE" "all")));
}};
rewrite r_before {{ set("{VALUE}" value(".test.value")); }};
rewrite r_behind {{ set("{LARGER}" value(".test.value")); set("{LARGER}" value(".test.more")); }};
log {{
    source(s_tcp);
    rewrite(r_before);
    parser(p_group);
    PARALLEL
    destination {{ file("`dir`/all" template("$MSG ${{.test.all}}\\n")); }};
    flags(flow-control);
}};
"""


@pytest.mark.parametrize("parallel", [
    "parallelize(workers(2)); rewrite(r_behind);",
    "parallelize(workers(2)); resequence(); rewrite(r_behind);",
])
@pytest.mark.asan
def test_what_it_reads_is_whole(syslog_ng, stream, parallel):
    syslog_ng.start(TCP_SOURCE + PATH.replace("PARALLEL", parallel), variables={"MALLOC_PERTURB_": "85"})
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(KEYS, MESSAGES))):
        pass
    lines = syslog_ng.wait_for_lines(MESSAGES + MESSAGES // GROUP, "all")
    aggregates = [line.removeprefix("all ") for line in lines if line.startswith("all ")]
    assert len(aggregates) == MESSAGES // GROUP
    # from 4.2 on it sees what a message has become, if that stays on its thread
    assert {value for text in aggregates for value in text.split(",")} <= {VALUE, LARGER}
