# SPDX-License-Identifier: LGPL-2.1-or-later
"""A destination with several workers undoes the order that an element before it keeps. The daemon warns at its start."""

import re

import pytest

from harness.environment import host_version
from harness.messages import LINES, TCP_SOURCE

AFTER_PARALLELIZE = (
    r"WARNING: a destination after parallelize\(\) has several workers, "
    "which may send the messages of a key in another order; "
)
AFTER_RESEQUENCE = (
    r"WARNING: a destination after resequence\(\) has several workers, which may send messages in another order; "
)
HAS_KEY_OPTION = not host_version().startswith("3.")
DESTINATIONS = """
destination d_four { http(url("http://127.0.0.1:`port2`/four") workers(4)); };
destination d_two { http(url("http://127.0.0.1:`port2`/two") workers(2)); };
destination d_one { http(url("http://127.0.0.1:`port2`/one") workers(1)); };
destination d_default { http(url("http://127.0.0.1:`port2`/")); };
"""
KEYED_DESTINATION = """
destination d_keyed { http(url("http://127.0.0.1:`port2`/") workers(4) worker-partition-key("$PROGRAM")); };
"""
KEYED = 'parallelize(workers(2) worker-partition-key("$PROGRAM"));'
ROUND_ROBIN = "parallelize(workers(2));"
OFF = 'parallelize(workers(0) worker-partition-key("$PROGRAM"));'
OFF_ROUND_ROBIN = "parallelize(workers(0));"

# Paths, and the destinations that the daemon warns of: after parallelize(), after resequence().
PATHS = {
    "several workers": (KEYED + "destination(d_four);", ["d_four"], []),
    "one worker": (KEYED + "destination(d_one);", [], []),
    "default of workers()": (KEYED + "destination(d_default);", [], []),
    "no workers at all": (KEYED + "destination(d_lines);", [], []),
    "no order to lose": (ROUND_ROBIN + "destination(d_four);", [], []),
    "element that is off": (OFF + "destination(d_four);", [], []),
    "two destinations": (KEYED + "destination(d_four); destination(d_one); destination(d_two);", ["d_four", "d_two"], []),
    "far after it": (
        KEYED + 'if { filter { program("k1"); }; rewrite { set("x" value("x")); }; }; junction { channel { destination(d_two); }; };',
        ["d_two"],
        [],
    ),
    "reached on two branches": (
        KEYED + 'junction { channel { filter { program("k1"); }; }; channel { filter { program("k2"); }; }; };'
        "destination(d_two);",
        ["d_two"],
        [],
    ),
    "before the element": ("destination(d_four);" + KEYED + "destination(d_lines);", [], []),
    "restored order": (ROUND_ROBIN + "resequence(); destination(d_four);", [], ["d_four"]),
    "restored order of a keyed path": (KEYED + "resequence(); destination(d_four);", [], ["d_four"]),
    "restored order, one worker": (KEYED + "resequence(); destination(d_one);", [], []),
    "one before and one after resequence()": (
        KEYED + "destination(d_two); resequence(); destination(d_four);",
        ["d_two"],
        ["d_four"],
    ),
    "resequence() without effect": (OFF + "resequence(); destination(d_four);", [], []),
    "second element without an order": (KEYED + ROUND_ROBIN + "destination(d_four);", [], []),
    "second element that is off": (KEYED + OFF_ROUND_ROBIN + "destination(d_four);", ["d_four"], []),
    "second element without an order, after resequence()": (
        KEYED + "resequence();" + ROUND_ROBIN + "destination(d_four);",
        [],
        [],
    ),
    "two elements, one resequence()": (
        "junction { channel {" + KEYED + "}; channel {" + ROUND_ROBIN + "}; }; resequence(); destination(d_four);",
        [],
        ["d_four"],
    ),
}


def start(daemon, path, more=""):
    daemon.start(TCP_SOURCE + LINES + DESTINATIONS + more + "log {\n    source(s_tcp);\n    " + path + "\n};\n")


def destinations_of(warnings):
    return sorted(re.search("destination='(.*?)#0'", warning)[1] for warning in warnings)


@pytest.mark.parametrize("path", PATHS)
def test_warns_of_destinations(syslog_ng, path):
    path, after_parallelize, after_resequence = PATHS[path]
    start(syslog_ng, path)
    assert destinations_of(syslog_ng.logged(AFTER_PARALLELIZE)) == after_parallelize
    assert destinations_of(syslog_ng.logged(AFTER_RESEQUENCE)) == after_resequence


@pytest.mark.skipif(not HAS_KEY_OPTION, reason="destinations of this host have no worker-partition-key()")
@pytest.mark.parametrize("path", [KEYED, KEYED + "resequence();"])
def test_destination_with_a_key(syslog_ng, path):
    start(syslog_ng, path + "destination(d_keyed);", KEYED_DESTINATION)
    assert not syslog_ng.logged(f"{AFTER_PARALLELIZE}|{AFTER_RESEQUENCE}")


@pytest.mark.skipif(not HAS_KEY_OPTION, reason="destinations of this host have no worker-partition-key()")
def test_destination_with_another_key(syslog_ng):
    start(syslog_ng, KEYED.replace("$PROGRAM", "$HOST") + "destination(d_keyed);", KEYED_DESTINATION)
    (warning,) = syslog_ng.logged(AFTER_PARALLELIZE)
    assert "hint='write workers(1) in the destination, or worker-partition-key(\"$HOST\")'" in warning
    assert warning.endswith("key_of_destination='$PROGRAM'")


def test_destination_of_another_path(syslog_ng):
    start(syslog_ng, KEYED + "destination(d_lines);", "log { source { internal(); }; destination(d_four); };")
    assert not syslog_ng.logged(AFTER_PARALLELIZE)


def test_text_of_the_warning(syslog_ng):
    start(syslog_ng, KEYED + "\n    destination(d_four);")
    (warning,) = syslog_ng.logged(AFTER_PARALLELIZE)
    line = (syslog_ng.head() + TCP_SOURCE + LINES + DESTINATIONS).count("\n") + 3
    advice = ', or worker-partition-key("$PROGRAM")' if HAS_KEY_OPTION else ""
    assert f"workers='4', hint='write workers(1) in the destination{advice}', worker-partition-key='$PROGRAM'" in warning
    assert warning.endswith(f"id='syslog-ng.conf:{line}:5', location='{syslog_ng.config_file}:{line}:5'")


def test_text_of_the_warning_after_resequence(syslog_ng):
    start(syslog_ng, ROUND_ROBIN + "\n    resequence();\n    destination(d_four);")
    (warning,) = syslog_ng.logged(AFTER_RESEQUENCE)
    line = (syslog_ng.head() + TCP_SOURCE + LINES + DESTINATIONS).count("\n") + 4
    advice = ", or worker-partition-key() if the order of each key is enough" if HAS_KEY_OPTION else ""
    assert f"workers='4', hint='write workers(1) in the destination{advice}'" in warning
    assert warning.endswith(f"location='{syslog_ng.config_file}:{line}:5'")


@pytest.mark.parametrize("path", [KEYED, KEYED + "resequence();"])
def test_said_again_after_a_reload(syslog_ng, path):
    start(syslog_ng, path + "destination(d_four);")
    assert syslog_ng.reload()
    assert len(syslog_ng.logged(f"{AFTER_PARALLELIZE}|{AFTER_RESEQUENCE}")) == 2
