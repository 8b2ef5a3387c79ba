# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The examples of the documentation of the hosts with a built-in parallelize() work as written.

What their authors left out is filled in: a parser for `parser {...}`, a destination for
`destination { ... }` and for `opensearch(...)`.
"""

import pytest

from harness.messages import check_order, check_unordered, in_turn
from harness.network import send_tcp

SYSLOG_NG_OSE = {
    "round-robin": """
log {
    source { tcp(port(514) max-connections(10)); };
    parallelize(workers(4));
    # From this point on, messages are processed in parallel even if
    # messages originate from a single connection
    destination { file("/var/log/messages"); };
};
""",
    "by host": """
log {
    source { tcp(port(514) max-connections(10)); };
    parallelize(workers(8) worker-partition-key("${HOST}"));
    # Messages with different $HOST values are handled concurrently.
    parser { csv-parser(columns(".example")); };
    destination { file("/var/log/messages"); };
};
""",
    "by program": """
log {
    source { tcp(port(514) max-connections(10)); };
    parallelize(workers(4) worker-partition-key("${PROGRAM}"));
    # Messages with different $PROGRAM values are handled concurrently.
    parser { csv-parser(columns(".example")); };
    destination { file("/var/log/$PROGRAM.log"); };
};
""",
}
AXOSYSLOG = {
    "partitions": """
log {
  source {
    tcp(
      port(2000)
      log-iw-size(10M) max-connections(10) log-fetch-limit(100000)
    );
  };
  parallelize(partitions(4));

  # from this part on, messages are processed in parallel even if
  # messages are originally coming from a single connection

  parser { csv-parser(columns(".example")); };
  destination { file("/var/log/messages"); };
};
""",
    "partition key": """
log {
  source {
    tcp(
      port(2000)
      log-iw-size(10M) max-connections(10) log-fetch-limit(100000)
    );
  };
  parallelize(partitions(4) partition-key("$HOST"));

  # from this part on, messages are processed in parallel if their
  # $HOST value differs.

  parser { csv-parser(columns(".example")); };

  destination { file("/var/log/messages"); };
};
""",
}
EXAMPLES = {**SYSLOG_NG_OSE, **AXOSYSLOG}

# What an example must be given to run as an ordinary user on a busy machine: its port, its file, and a
# format that the order check understands.
LOCAL = {
    "port(514)": "port(`port`) flags(syslog-protocol)",
    "port(2000)": "port(`port`) flags(syslog-protocol)",
    '"/var/log/messages"': '"`dir`/out" template("$PROGRAM $MSG\\n")',
    '"/var/log/$PROGRAM.log"': '"`dir`/$PROGRAM.log" template("$PROGRAM $MSG\\n")',
}


def localized(example):
    for official, local in LOCAL.items():
        example = example.replace(official, local)
    return example


@pytest.mark.parametrize("name", EXAMPLES)
def test_syntax_as_written(syslog_ng, name):
    checked = syslog_ng.check_syntax(EXAMPLES[name])
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", ["round-robin", "partitions"])
def test_runs_without_a_key(syslog_ng, stream, name):
    syslog_ng.start(localized(EXAMPLES[name]))
    send_tcp(syslog_ng.port, stream.take(in_turn(10, 1000)))
    check_unordered(syslog_ng.wait_for_lines(1000), stream.sent)


@pytest.mark.parametrize("name", ["by host", "partition key"])
def test_runs_in_order_of_the_host(syslog_ng, stream, name):
    syslog_ng.start(localized(EXAMPLES[name]))
    send_tcp(syslog_ng.port, stream.take(in_turn(10, 1000)))
    check_order(syslog_ng.wait_for_lines(1000), stream.sent)


def test_runs_in_order_of_the_program(syslog_ng, stream):
    syslog_ng.start(localized(EXAMPLES["by program"]))
    send_tcp(syslog_ng.port, stream.take(in_turn(5, 1000)))
    lines = [line for key in range(5) for line in syslog_ng.wait_for_lines(200, f"k{key}.log")]
    check_order(lines, stream.sent)
