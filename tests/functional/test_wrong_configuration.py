# SPDX-License-Identifier: LGPL-2.1-or-later
"""A wrong configuration is refused in the daemon's own style, and the user's file, line and column are named."""

import re

import pytest

from harness.environment import host_has_builtin
from harness.messages import LINES, TCP_SOURCE, Stream, check_order, in_turn
from harness.network import BackgroundSender, send_tcp

# Each is wrong at the text between the marks.
WRONG_OPTIONS = {
    "unknown option": "workers(2) >frobnicate<(yes)",
    "misspelt option": ">worker<(2)",
    "no argument list": "partition-key >workers<(2)",
    "missing argument": "workers(>)<",
    "missing closing parenthesis": "workers(2 >partition-key<(\"$HOST\"))",
    "word for a number": "workers(>many<)",
    "fraction": "workers(>2.5<)",
    "negative workers": "workers(>-1<)",
    "negative partitions": "partitions(>-1<)",
    "workers beyond any integer": "workers(>99999999999999999999<)",
    "two arguments": "workers(2 >3<)",
    "number for a flag": "empty-key(>1<)",
    "unknown empty-key": "empty-key(>random<)",
    "missing empty-key": "empty-key(>)<",
    "bad template": 'worker-partition-key(>"${HOST"<)',
    "unknown template function": 'worker-partition-key(>"$(frobnicate $HOST)"<)',
    "missing template": "worker-partition-key(>)<",
    "empty template": 'worker-partition-key(>""<)',
    "negative batch-size": "batch-size(>-5<)",
    "negative log-fetch-limit": "log-fetch-limit(>-1<)",
    "negative prefetch": "prefetch(>-1<)",
    "zero prefetch": "prefetch(>0<)",
    "too large prefetch": "prefetch(>100000001<)",
    "missing id": "id(>)<",
    "empty id": 'id(>""<)',
    "unknown type": 'worker-partition-key(>frobnicate<("$HOST"))',
    "type without a template": "worker-partition-key(string(>)<)",
    "empty template with a type": 'worker-partition-key(string(>""<))',
    "bad template with a type": 'worker-partition-key(string(>"${HOST"<))',
    "two types": 'worker-partition-key(string(int64>(<"$HOST")))',
    "negative number after a right one": "workers(2) workers(>-1<)",
}
PLACES = {
    "one line": "log {\n    source(s_tcp);\n    parallelize(%s);\n    destination(d_lines);\n};\n",
    "a line of its own": "log {\n  source(s_tcp);\n  parallelize(\n    %s\n  );\n  destination(d_lines);\n};\n",
    "parser block": "log {\n  source(s_tcp);\n  parser { parallelize(%s); };\n  destination(d_lines);\n};\n",
    "named parser": "parser p_par {\n  parallelize(%s);\n};\nlog { source(s_tcp); parser(p_par); };\n",
}


def check_refused(daemon, config):
    """The text between > and < must be named as the place of the error."""
    before, wrong, after = re.fullmatch(r"(.*?)>(.*)<(.*?)", config, re.DOTALL).groups()
    checked = daemon.check_syntax(TCP_SOURCE + LINES + before + wrong + after)
    assert checked.returncode == 1, checked.stdout

    text_before = daemon.head() + TCP_SOURCE + LINES + before
    line = text_before.count("\n") + 1
    first = len(text_before) - text_before.rfind("\n")
    last = first + len(wrong)
    place = re.search(rf"^Error parsing .* in {re.escape(str(daemon.config_file))}:(\d+):(\d+)-(\d+):(\d+):",
                      checked.stdout, re.MULTILINE)
    assert place, checked.stdout
    assert int(place[1]) == line, checked.stdout
    assert first <= int(place[2]) <= last, f"column {first} to {last} is wrong\n{checked.stdout}"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", WRONG_OPTIONS)
def test_refused_and_located(syslog_ng, fault, place):
    check_refused(syslog_ng, PLACES[place] % WRONG_OPTIONS[fault])


@pytest.mark.parametrize("place", PLACES)
def test_refused_without_parentheses(syslog_ng, place):
    check_refused(syslog_ng, re.sub(r"\(\s*%s\s*\);", ">;<", PLACES[place]))


LARGEST = ["workers(1024)", "batch-size(100000000)", "log-fetch-limit(100000000)", "prefetch(100000000)"]


@pytest.mark.parametrize("options", LARGEST)
def test_largest_values_are_accepted(syslog_ng, options):
    checked = syslog_ng.check_syntax(TCP_SOURCE + LINES + PLACES["one line"] % options)
    assert checked.returncode == 0, checked.stdout


SAID = {
    "workers(-1)": "workers() of parallelize() must not be negative",
    "prefetch(0)": "prefetch() of parallelize() must be between 1 and 100000000",
    'worker-partition-key("")': "worker-partition-key() of parallelize() must not be empty; leave it out if messages",
    'worker-partition-key(frobnicate("$HOST"))': "Error in the type of worker-partition-key()",
    'id("")': "id() of parallelize() must not be empty",
    "empty-key(random)": "empty-key() of parallelize() must be ordered or round-robin",
}


@pytest.mark.parametrize("options", SAID)
def test_what_is_wrong_is_said(syslog_ng, options):
    checked = syslog_ng.check_syntax(TCP_SOURCE + LINES + PLACES["one line"] % options)
    assert SAID[options] in checked.stdout


def test_error_behind_an_element_is_located_in_the_file(syslog_ng):
    check_refused(
        syslog_ng,
        "log {\n  source(s_tcp);\n  parallelize(\n    workers(2)\n  );\n  parser { >frobnicate<(); };\n};\n",
    )


def test_error_in_an_included_file_is_located_there(syslog_ng):
    included = syslog_ng.path("included.conf")
    included.write_text("log {\n    source(s_tcp);\n    parallelize(workers(-1));\n    destination(d_lines);\n};\n")
    checked = syslog_ng.check_syntax(TCP_SOURCE + LINES + '@include "`dir`/included.conf"\n')
    assert checked.returncode == 1
    assert f"{included}:3:" in checked.stdout


BLOCK = """
    block log by_program(workers()) {
        parallelize(
            workers(`workers`) worker-partition-key("$PROGRAM") OPTION
        );
    };
    log { source(s_tcp);
        by_program(workers(WORKERS)); destination(d_lines); };
"""


def in_a_block(workers, option=""):
    return TCP_SOURCE + LINES + BLOCK.replace("WORKERS", workers).replace("OPTION", option)


@pytest.mark.parametrize("workers, option, wrong", [("-1", "", "-1"), ("2", "frobnicate(1)", "frobnicate")])
def test_error_in_a_block_of_the_user_is_located_there_and_where_the_block_is_used(syslog_ng, workers, option, wrong):
    """
    The file and line of the block, and the line and column in it, with the arguments filled in; then the file, line and
    column of its use. Older hosts name the block and count lines from there, two more than there are.
    """
    config = in_a_block(workers, option)
    checked = syslog_ng.check_syntax(config)
    assert checked.returncode == 1

    def line_of(text):
        return 1 + (syslog_ng.head() + config).split(text)[0].count("\n")

    file = re.escape(str(syslog_ng.config_file))
    older = rf"block log by_program\(\) at {file}:{line_of('block log by_program')}"
    filled_in = f'            workers({workers}) worker-partition-key("$PROGRAM") {option}\n'
    column = filled_in.index(wrong) + 1
    line_in_block = BLOCK[BLOCK.index("block log") : BLOCK.index("`workers`")].count("\n")
    if host_has_builtin():
        line, where = line_of("            workers(`workers`)"), file
    else:
        line, where = 3 + line_in_block, older
    assert re.search(rf"^Error parsing parallelize\(\), .* in {where}:{line}:{column}-", checked.stdout, re.MULTILINE), checked.stdout
    shown = "            workers(" if host_has_builtin() else filled_in.rstrip()
    assert re.search(rf"^{line}-+> {re.escape(shown)}", checked.stdout, re.MULTILINE), checked.stdout
    use = f"{line_of('        by_program(workers')}:9-"
    assert re.search(rf"^Included from {file}:{use}", checked.stdout, re.MULTILINE), checked.stdout


def test_daemon_does_not_start(syslog_ng):
    config = "log { source(s_tcp); parallelize(workers(-1)); destination(d_lines); };"
    syslog_ng.launch(TCP_SOURCE + LINES + config)
    assert syslog_ng.wait_for_exit() == 1


RIGHT = """
log {
    source(s_tcp);
    parallelize(workers(2) partition-key("$PROGRAM"));
    destination(d_lines);
    flags(flow-control);
};
"""


@pytest.mark.parametrize("fault", ["unknown option", "negative workers", "bad template", "empty template"])
def test_refused_reload_keeps_the_configuration_and_the_messages(syslog_ng, stream, fault):
    syslog_ng.start(TCP_SOURCE + LINES + RIGHT)
    wrong = re.sub(r"[<>]", "", WRONG_OPTIONS[fault])
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(20, 50_000))):
        for _ in range(3):
            assert not syslog_ng.reload(TCP_SOURCE + LINES + PLACES["one line"] % wrong)
    check_order(syslog_ng.wait_for_lines(50_000), stream.sent)

    later = Stream("later")
    send_tcp(syslog_ng.port, later.take(in_turn(20, 1000)))
    check_order(syslog_ng.wait_for_lines(51_000)[50_000:], later.sent)
