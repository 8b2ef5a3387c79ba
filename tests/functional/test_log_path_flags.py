# SPDX-License-Identifier: LGPL-2.1-or-later
"""
flags(), if and else around parallelize(): a message that has entered it counts as matched by the path around it.
What becomes of it behind cannot influence the path in front.
"""

from collections import Counter

import pytest

from harness.messages import HEAVY, check_order, check_unordered, in_turn
from harness.network import send_tcp

HEAD = HEAVY + """
source s_tcp { network(ip("127.0.0.1") port(`port`) flags(syslog-protocol) log-iw-size(10000)); };
destination d_first { file("`dir`/first" template("$PROGRAM $MSG\\n")); };
destination d_second { file("`dir`/second" template("$PROGRAM $MSG\\n")); };
filter f_low { program("k[0-4]"); };
filter f_none { program("nobody"); };
"""
EVERY_LOW = [key for key in in_turn(10, 1000) if key < 5]
EVERY_HIGH = [key for key in in_turn(10, 1000) if key >= 5]
EVERY = in_turn(10, 1000)
NO = []

# Configuration, and the keys whose messages the first and the second destination get.
CASES = {
    "final: the path is left": (
        """
        log { source(s_tcp); filter(f_low); PARALLELIZE destination(d_first); flags(final); };
        log { source(s_tcp); destination(d_second); };
        """,
        EVERY_LOW,
        EVERY_HIGH,
    ),
    "final: dropped behind is matched all the same": (
        """
        log { source(s_tcp); PARALLELIZE filter(f_low); destination(d_first); flags(final); };
        log { source(s_tcp); destination(d_second); };
        """,
        EVERY_LOW,
        NO,
    ),
    "without final: both paths": (
        """
        log { source(s_tcp); PARALLELIZE filter(f_low); destination(d_first); };
        log { source(s_tcp); destination(d_second); };
        """,
        EVERY_LOW,
        EVERY,
    ),
    "final in an embedded path": (
        """
        log {
            source(s_tcp);
            log { filter(f_low); PARALLELIZE destination(d_first); flags(final); };
            log { destination(d_second); };
        };
        """,
        EVERY_LOW,
        EVERY_HIGH,
    ),
    "final behind": (
        """
        log {
            source(s_tcp);
            PARALLELIZE
            log { filter(f_low); destination(d_first); flags(final); };
            log { destination(d_second); };
        };
        """,
        EVERY_LOW,
        EVERY_HIGH,
    ),
    "fallback: what no other path takes": (
        """
        log { source(s_tcp); filter(f_low); PARALLELIZE destination(d_first); };
        log { source(s_tcp); destination(d_second); flags(fallback); };
        """,
        EVERY_LOW,
        EVERY_HIGH,
    ),
    "fallback: dropped behind is matched all the same": (
        """
        log {
            source(s_tcp);
            log { PARALLELIZE filter(f_low); destination(d_first); };
            log { destination(d_second); flags(fallback); };
        };
        """,
        EVERY_LOW,
        NO,
    ),
    "fallback that is parallelized": (
        """
        log {
            source(s_tcp);
            log { filter(f_low); destination(d_first); };
            log { PARALLELIZE destination(d_second); flags(fallback); };
        };
        """,
        EVERY_LOW,
        EVERY_HIGH,
    ),
    "fallback behind": (
        """
        log {
            source(s_tcp);
            PARALLELIZE
            log { filter(f_low); destination(d_first); };
            log { destination(d_second); flags(fallback); };
        };
        """,
        EVERY_LOW,
        EVERY_HIGH,
    ),
    "catchall": (
        """
        log { source(s_tcp); filter(f_low); destination(d_first); };
        log { PARALLELIZE destination(d_second); flags(catchall); };
        """,
        EVERY_LOW,
        EVERY,
    ),
    "if and else": (
        """
        log {
            source(s_tcp);
            if (program("k[0-4]")) { PARALLELIZE destination(d_first); } else { PARALLELIZE destination(d_second); };
        };
        """,
        EVERY_LOW,
        EVERY_HIGH,
    ),
    "if block: dropped behind does not become else": (
        """
        log {
            source(s_tcp);
            if { PARALLELIZE filter(f_low); destination(d_first); } else { destination(d_second); };
        };
        """,
        EVERY_LOW,
        NO,
    ),
    "if block: not matched in front is else": (
        """
        log {
            source(s_tcp);
            if { filter(f_low); PARALLELIZE destination(d_first); } else { destination(d_second); };
        };
        """,
        EVERY_LOW,
        EVERY_HIGH,
    ),
    "behind an if": (
        """
        log {
            source(s_tcp);
            if (program("k[0-4]")) { PARALLELIZE } else { rewrite { set("x" value(".test.x")); }; };
            destination(d_first);
            filter(f_low);
            destination(d_second);
        };
        """,
        EVERY,
        EVERY_LOW,
    ),
    "if behind": (
        """
        log {
            source(s_tcp);
            PARALLELIZE
            if (program("k[0-4]")) { destination(d_first); } else { destination(d_second); };
        };
        """,
        EVERY_LOW,
        EVERY_HIGH,
    ),
    "junction: dropped behind does not stop the other channel": (
        """
        log {
            source(s_tcp);
            junction {
                channel { PARALLELIZE filter(f_none); };
                channel { filter(f_low); };
            };
            destination(d_first);
        };
        """,
        EVERY_LOW,
        NO,
    ),
}
LIGHT = 'parallelize(workers(3) worker-partition-key("$PROGRAM"));'
KEYED = 'parallelize(workers(3) worker-partition-key("$PROGRAM")); filter(f_heavy);'
ROUND_ROBIN = "parallelize(workers(3)); filter(f_heavy);"


@pytest.mark.parametrize("parallelize", [LIGHT, KEYED, ROUND_ROBIN], ids=["light", "keyed", "round-robin"])
@pytest.mark.parametrize("case", CASES)
def test_messages_take_the_documented_path(syslog_ng, stream, case, parallelize):
    config, first, second = CASES[case]
    syslog_ng.start(HEAD + config.replace("PARALLELIZE", parallelize))
    send_tcp(syslog_ng.port, stream.take(EVERY))
    check = check_unordered if parallelize is ROUND_ROBIN else check_order
    for name, keys in (("first", first), ("second", second)):
        syslog_ng.wait_for_lines(len(keys), name)
    syslog_ng.wait_until_no_message_is_left()
    for name, keys in (("first", first), ("second", second)):
        check(syslog_ng.lines(name), Counter(f"k{key}" for key in keys))
