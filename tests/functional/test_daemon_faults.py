# SPDX-License-Identifier: LGPL-2.1-or-later
"""Faults of syslog-ng that several threads bring out: the daemon warns at its start if a path may meet one."""

import re

import pytest

from harness.environment import host_has_filterx
from harness.messages import LINES, TCP_SOURCE

PYTHON_NAMES = (
    "WARNING: syslog-ng may crash when a Python parser reads the names of a message while another parser adds names on "
    r"another thread; hint='put both parsers before parallelize\(\)', "
)
FILTERX = (
    "WARNING: syslog-ng may crash when several threads run a filterx block; "
    r"hint='put the block before parallelize\(\)', "
)
PARSERS = """
python {
try:
    from syslogng import LogDestination, LogParser
except ImportError:
    LogDestination = LogParser = object

class Names(LogParser):
    def parse(self, message):
        return True

class Destination(LogDestination):
    def send(self, message):
        return True
};
parser p_python { python(class("Names")); };
parser p_kv { kv-parser(prefix("kv.")); };
"""
ELEMENT = "parallelize(workers(2));"
OFF = "parallelize(workers(0));"
PYTHON = "parser(p_python);"
KV = "parser(p_kv);"
JSON = 'parser { json-parser(prefix("js.")); };'

# Paths, and the other parser that the daemon warns of.
PYTHON_PATHS = {
    "both after it": (ELEMENT + KV + PYTHON, "kv-parser"),
    "both after it, Python first": (ELEMENT + PYTHON + JSON, "json-parser"),
    "Python after it": (JSON + ELEMENT + PYTHON, "json-parser"),
    "Python before it": (PYTHON + ELEMENT + KV, "kv-parser"),
    "on two branches": (
        ELEMENT + 'junction { channel { filter { program("k1"); }; ' + KV + "}; channel { " + PYTHON + "}; };",
        "kv-parser",
    ),
    "in blocks": (ELEMENT + "parser { csv-parser(columns(a)); }; parser { python(class('Names')); };", "csv-parser"),
    "both before it": (KV + PYTHON + ELEMENT, None),
    "on another branch": (
        'junction { channel { filter { program("k1"); }; ' + ELEMENT + KV + "}; channel { " + PYTHON + "}; };",
        None,
    ),
    "no Python parser": (ELEMENT + KV + JSON, None),
    "Python alone": (ELEMENT + PYTHON, None),
    "two Python parsers": (ELEMENT + PYTHON + PYTHON, None),
    "a parser that adds no names": (ELEMENT + "parser { date-parser(format('%Y')); };" + PYTHON, None),
    "two elements": (ELEMENT + PYTHON + "resequence();" + OFF, None),
    "Python destination": (ELEMENT + KV + "destination { python(class('Destination')); };", None),
    "element that is off": (OFF + KV + PYTHON, None),
}


def start(daemon, path, before=""):
    """`before` is another log path before the one under test."""
    daemon.start(TCP_SOURCE + LINES + PARSERS + before + "log {\n    source(s_tcp);\n" + path + "destination(d_lines);\n};\n")


@pytest.mark.parametrize("path", PYTHON_PATHS)
def test_warns_of_python(syslog_ng, path):
    path, other = PYTHON_PATHS[path]
    start(syslog_ng, path)
    assert [re.search("other_parser='(.*?)'", line)[1] for line in syslog_ng.logged(PYTHON_NAMES)] == [other] * bool(other)


def test_warns_of_python_in_the_second_use_of_a_rule(syslog_ng):
    start(syslog_ng, ELEMENT + KV + PYTHON, "log { source(s_tcp);" + KV + PYTHON + "};\n")
    assert len(syslog_ng.logged(PYTHON_NAMES)) == 1


def test_text_of_the_warning_of_python(syslog_ng):
    start(syslog_ng, ELEMENT + "\nparser {\n  python(class('Names'));\n};\nparser {\n  kv-parser();\n};\n")
    (warning,) = syslog_ng.logged(PYTHON_NAMES)
    line = (syslog_ng.head() + TCP_SOURCE + LINES + PARSERS).count("\n") + 3
    file = re.escape(str(syslog_ng.config_file))
    assert re.search(
        f"python_parser='{file}:{line + 2}:[0-9]+', "
        f"other_parser='kv-parser', other_parser_location='{file}:{line + 5}:[0-9]+', "
        "versions='syslog-ng 3.38 to 4.12, AxoSyslog before 4.26', "
        f"id='syslog-ng.conf:{line}:1', location='{file}:{line}:1'$",
        warning,
    ), warning


BLOCK = 'filterx { $x = "a"; };'
FILTERX_PATHS = {
    "after it": (ELEMENT + BLOCK, 1),
    "far after it": (ELEMENT + 'junction { channel { filter { program("k1"); };' + BLOCK + "}; };", 1),
    "two blocks": (ELEMENT + BLOCK + BLOCK, 1),
    "between two elements": (ELEMENT + BLOCK + "resequence();" + ELEMENT, 1),
    "before it": (BLOCK + ELEMENT, 0),
    "no block": (ELEMENT + 'filter { program("k1"); };', 0),
    "element that is off": (OFF + BLOCK, 0),
}


@pytest.mark.skipif(not host_has_filterx(), reason="this host has no filterx blocks")
@pytest.mark.parametrize("path", FILTERX_PATHS)
def test_warns_of_filterx(syslog_ng, path):
    path, warnings = FILTERX_PATHS[path]
    start(syslog_ng, path)
    assert len(syslog_ng.logged(FILTERX)) == warnings


@pytest.mark.skipif(not host_has_filterx(), reason="this host has no filterx blocks")
def test_text_of_the_warning_of_filterx(syslog_ng):
    start(syslog_ng, ELEMENT + "\n\n  " + BLOCK)
    (warning,) = syslog_ng.logged(FILTERX)
    line = (syslog_ng.head() + TCP_SOURCE + LINES + PARSERS).count("\n") + 3
    file = re.escape(str(syslog_ng.config_file))
    assert re.search(
        f"filterx='{file}:{line + 2}:[0-9]+', versions='syslog-ng 4.7 to 4.9', "
        f"id='syslog-ng.conf:{line}:1', location='{file}:{line}:1'$",
        warning,
    ), warning
