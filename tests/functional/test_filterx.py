# SPDX-License-Identifier: LGPL-2.1-or-later
"""
On hosts with filterx blocks, what a block in front has changed goes with the message; the names that it has declared
end at parallelize(), whichever thread goes on with the message.
"""

import pytest

from harness import environment
from harness.messages import HEAVY, TCP_SOURCE, check_order, in_turn
from harness.network import send_tcp

pytestmark = pytest.mark.skipif(not environment.host_has_filterx(), reason="this host has no filterx blocks")

COUNT = 20_000
CHANGED = """
destination d_changed { file("`dir`/out" template("$PROGRAM $MSG $changed\\n")); };
destination d_beside { file("`dir`/beside" template("$PROGRAM $MSG $beside\\n")); };
"""
# Who goes on with a message behind the element: options of the element, and what makes the path expensive or not.
WAYS = {
    "workers": ("workers(2)", "filter(f_heavy);"),
    "the source helps": ("workers(1) prefetch(10)", "filter(f_heavy);"),
    "the source alone": ("workers(2)", ""),
}


def run(daemon, stream, path, way):
    """Returns the lines of d_changed as words, in order."""
    options, heavy = WAYS[way]
    path = path.replace("OPTIONS", options).replace("HEAVY", heavy)
    daemon.start(TCP_SOURCE + HEAVY + CHANGED + path)
    send_tcp(daemon.port, stream.take(in_turn(20, COUNT)))
    lines = daemon.wait_for_lines(COUNT)
    check_order(lines, stream.sent)
    return [line.split(" ") for line in lines]


@pytest.mark.parametrize("way", WAYS)
def test_changes_go_with_the_message(syslog_ng, stream, way):
    path = """
    log {
        source(s_tcp);
        filterx { $changed = "${PROGRAM}!"; };
        parallelize(OPTIONS worker-partition-key("$changed"));
        HEAVY
        destination(d_changed);
        flags(flow-control);
    };
    """
    for program, _, changed in run(syslog_ng, stream, path, way):
        assert changed == program + "!"


@pytest.mark.parametrize("way", WAYS)
def test_declared_names_end(syslog_ng, stream, way):
    path = """
    log {
        source(s_tcp);
        filterx { declare name = $PROGRAM; };
        parallelize(OPTIONS worker-partition-key("$PROGRAM"));
        HEAVY
        filterx { if (isset(name)) { $changed = "declared"; } else { $changed = "ended"; }; };
        destination(d_changed);
        flags(flow-control);
    };
    """
    for _, _, changed in run(syslog_ng, stream, path, way):
        assert changed == "ended"


@pytest.mark.parametrize("way", WAYS)
def test_blocks_beside_keep_their_names(syslog_ng, stream, way):
    """What the source's thread processes inside the element does not disturb the message that it has at hand."""
    path = """
    log {
        source(s_tcp);
        filterx { declare name = "${PROGRAM}${MESSAGE}"; };
        log {
            parallelize(OPTIONS worker-partition-key("$PROGRAM"));
            HEAVY
            filterx { declare name = "another"; $changed = "${PROGRAM}${MESSAGE}"; };
            destination(d_changed);
        };
        log {
            filterx { $beside = name; };
            destination(d_beside);
        };
        flags(flow-control);
    };
    """
    for program, number, changed in run(syslog_ng, stream, path, way):
        assert changed == program + number
    beside = syslog_ng.wait_for_lines(COUNT, "beside")
    check_order(beside, stream.sent)
    for program, number, name in (line.split(" ") for line in beside):
        assert name == program + number
