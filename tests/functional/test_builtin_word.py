# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Where the host has a parallelize() of its own, an @module line in the configuration gives the word to the module, and
the host's own is builtin-parallelize(). Without that line nothing changes.
"""

import re

import pytest

from harness import environment
from harness.messages import LINES, TCP_SOURCE, Stream, check_order, in_turn
from harness.network import BackgroundSender, send_tcp

STARTED = r"parallelize\(\) started; "
IS_OURS = r"parallelize\(\) is this module's, the host's own is builtin-parallelize\(\)"
IS_THE_HOSTS = r"parallelize\(\) is the host's own"
NEEDS_A_BUILTIN = pytest.mark.skipif(
    not environment.host_has_builtin(), reason="this host has no parallelize() of its own"
)

# Options that every parallelize() knows.
PATH = """
log { source(s_tcp); parallelize(partitions(2) partition-key("$PROGRAM")); destination(d_lines); flags(flow-control); };
"""
CONFIG = TCP_SOURCE + LINES + PATH


def check_messages(daemon, count=1000):
    already = len(daemon.lines())
    stream = Stream()
    send_tcp(daemon.port, stream.take(in_turn(10, count)))
    check_order(daemon.wait_for_lines(already + count)[already:], stream.sent)


def is_ours(daemon):
    """Whose threads the daemon has, which tells whose parallelize() is in the configuration."""
    return any(name.startswith("parallelize/") for name in daemon.thread_names().values())


def start(daemon, module_line, config=CONFIG):
    daemon.module_line = module_line
    daemon.start(config)


def reload(daemon, module_line, config=CONFIG):
    daemon.module_line = module_line
    return daemon.reload(config)


def test_module_line_works_on_every_host(syslog_ng):
    start(syslog_ng, True)
    assert is_ours(syslog_ng)
    check_messages(syslog_ng)
    assert len(syslog_ng.logged(IS_OURS)) == environment.host_has_builtin()
    assert not syslog_ng.logged(IS_THE_HOSTS)


def test_without_the_line_nothing_changes(syslog_ng):
    start(syslog_ng, False)
    assert is_ours(syslog_ng) != environment.host_has_builtin()
    check_messages(syslog_ng)
    assert not syslog_ng.logged(IS_OURS)


@NEEDS_A_BUILTIN
def test_without_the_line_our_options_are_unknown(syslog_ng):
    syslog_ng.module_line = False
    assert syslog_ng.check_syntax("log { parallelize(prefetch(100)); };").returncode == 1
    syslog_ng.module_line = True
    assert syslog_ng.check_syntax("log { parallelize(prefetch(100)); };").returncode == 0


# What the host's own takes, on the hosts that have one: the table in the README.
OPTIONS = {
    "partitions(2)": ("4.8.", "4.12."),
    'partitions(2) partition-key("$HOST")': ("4.8.", "4.12."),
    "workers(2)": ("4.12.",),
    'partitions(2) worker-partition-key("$HOST")': ("4.12.",),
    "partitions(2) batch-size(100)": ("4.12.",),
    "partitions(2) log-fetch-limit(1000)": (),
}


@NEEDS_A_BUILTIN
@pytest.mark.parametrize("options", OPTIONS)
def test_options_of_the_hosts_own(syslog_ng, options):
    known = environment.host_version().startswith(OPTIONS[options])

    def accepted(module_line, word):
        syslog_ng.module_line = module_line
        return syslog_ng.check_syntax(f"log {{ {word}({options}); }};").returncode == 0

    assert accepted(False, "parallelize") == known
    assert accepted(True, "builtin-parallelize") == known
    assert accepted(True, "parallelize")


@NEEDS_A_BUILTIN
def test_level_of_the_message_that_tells_whose_it_is(syslog_ng):
    syslog_ng.module_line = True
    internal = 'log { source { internal(); }; destination { file("`dir`/internal" template("$LEVEL $MSG\\n")); }; };\n'
    syslog_ng.start(CONFIG + internal, arguments=())
    told = re.compile(f"info {IS_OURS}")
    syslog_ng.wait_for(lambda: any(map(told.match, syslog_ng.lines("internal"))), lambda: f"it in {syslog_ng.lines('internal')}")


IS_OFF = r"WARNING: parallelize\(\) is off, since it is in one path with builtin-parallelize\(\)"

# Paths, and how many of their elements of ours may do something: in one path with the host's own, none may.
BOTH = {
    "ours first": ("parallelize(OPTIONS); builtin-parallelize(OPTIONS);", 0),
    "the host's first": ("builtin-parallelize(OPTIONS); parallelize(OPTIONS);", 0),
    "the host's between": ("parallelize(OPTIONS); builtin_parallelize(OPTIONS); parallelize(OPTIONS);", 0),
    "far behind the host's": ("builtin-parallelize(OPTIONS); rewrite(r_x); if { parallelize(OPTIONS); };", 0),
    "in a junction": (
        """
        junction {
            channel { filter { program("k[0-4]"); }; builtin-parallelize(OPTIONS); flags(final); };
            channel { parallelize(OPTIONS); };
        };
        """,
        1,
    ),
    "behind a junction": (
        """
        junction {
            channel { filter { program("k[0-4]"); }; builtin-parallelize(OPTIONS); flags(final); };
            channel { rewrite(r_x); };
        };
        parallelize(OPTIONS);
        """,
        0,
    ),
    "in front of a junction": (
        """
        parallelize(OPTIONS);
        junction {
            channel { filter { program("k[0-4]"); }; builtin-parallelize(OPTIONS); flags(final); };
            channel { rewrite(r_x); };
        };
        """,
        0,
    ),
    "in an if": ('if (program("k[0-4]")) { builtin-parallelize(OPTIONS); } else { parallelize(OPTIONS); };', 1),
    "in a channel in a rewrite": ("rewrite { channel { parallelize(OPTIONS); builtin-parallelize(OPTIONS); }; };", 0),
    "in a channel in a parser": ("parser { channel { parallelize(OPTIONS); builtin-parallelize(OPTIONS); }; };", 0),
    "in blocks of the user": ("by_module(); by_builtin();", 0),
}
BLOCKS = """
rewrite r_x { set("x" value(".test.x")); };
block log by_builtin() { builtin-parallelize(OPTIONS); };
block log by_module() { parallelize(OPTIONS); };
"""


@NEEDS_A_BUILTIN
@pytest.mark.parametrize("both", BOTH)
def test_both_in_one_configuration(syslog_ng, both):
    path, working = BOTH[both]
    ours = len(re.findall(r"\bparallelize|by_module", path.replace("builtin-", "builtin_")))
    config = BLOCKS + "log { source(s_tcp); " + path + " destination(d_lines); flags(flow-control); };"
    start(syslog_ng, True, TCP_SOURCE + LINES + config.replace("OPTIONS", 'partitions(2) partition-key("$PROGRAM")'))
    assert len(syslog_ng.logged(STARTED)) == working
    assert len(syslog_ng.logged(IS_OFF)) == ours - working
    check_messages(syslog_ng, 5000)


@NEEDS_A_BUILTIN
def test_line_that_is_repeated(syslog_ng):
    start(syslog_ng, True, "@module parallelize\n" + CONFIG + "@module parallelize\n")
    assert is_ours(syslog_ng)
    assert len(syslog_ng.logged(IS_OURS)) == 1


@NEEDS_A_BUILTIN
def test_line_counts_from_where_it_stands(syslog_ng):
    start(syslog_ng, False, TCP_SOURCE + LINES + PATH + "@module parallelize\n" + PATH)
    assert len(syslog_ng.logged(STARTED)) == 1


@NEEDS_A_BUILTIN
def test_line_in_an_included_file(syslog_ng):
    syslog_ng.path("included.conf").write_text("@module parallelize\n")
    start(syslog_ng, False, TCP_SOURCE + LINES + PATH + '@include "`dir`/included.conf"\n' + PATH)
    assert len(syslog_ng.logged(STARTED)) == 1


@NEEDS_A_BUILTIN
def test_module_that_is_only_discovered_does_not_take_the_word(syslog_ng):
    """Another word of the module makes the host load it, without an @module line."""
    paths = PATH + "log { source(s_tcp); parser { parallelize-element(workers(2)); }; };\n" + PATH
    start(syslog_ng, False, TCP_SOURCE + LINES + paths)
    assert len(syslog_ng.logged(STARTED)) == 1
    assert len(syslog_ng.logged(IS_THE_HOSTS)) == 1
    assert not syslog_ng.logged(IS_OURS)


@NEEDS_A_BUILTIN
def test_reload_that_adds_the_line(syslog_ng):
    start(syslog_ng, False)
    check_messages(syslog_ng)
    assert reload(syslog_ng, True)
    assert is_ours(syslog_ng)
    assert len(syslog_ng.logged(IS_OURS)) == 1
    check_messages(syslog_ng)


@NEEDS_A_BUILTIN
def test_reload_that_drops_the_line(syslog_ng):
    start(syslog_ng, True)
    check_messages(syslog_ng)
    assert reload(syslog_ng, False)
    assert not is_ours(syslog_ng)
    assert len(syslog_ng.logged(IS_THE_HOSTS)) == 1
    check_messages(syslog_ng)


@NEEDS_A_BUILTIN
def test_reload_that_changes_nothing_says_nothing(syslog_ng):
    start(syslog_ng, True)
    assert reload(syslog_ng, True)
    assert reload(syslog_ng, True)
    assert is_ours(syslog_ng)
    assert len(syslog_ng.logged(IS_OURS)) == 1
    assert not syslog_ng.logged(IS_THE_HOSTS)


@NEEDS_A_BUILTIN
@pytest.mark.parametrize("at_start", [False, True])
def test_refused_reload_leaves_the_word_to_the_next_one(syslog_ng, at_start):
    start(syslog_ng, at_start)
    for refused in (True, False, True):
        assert not reload(syslog_ng, refused, CONFIG + "log { frobnicate(); };\n")
        assert is_ours(syslog_ng) == at_start
    assert reload(syslog_ng, False)
    assert not is_ours(syslog_ng)
    assert reload(syslog_ng, True)
    assert is_ours(syslog_ng)
    check_messages(syslog_ng)


@NEEDS_A_BUILTIN
def test_reload_that_cannot_be_initialized_goes_back(syslog_ng, test_modules):
    """The new configuration is read and then refused, by threads that cannot be created."""
    syslog_ng.module_line = False
    syslog_ng.start(
        CONFIG, preload=[test_modules / "preload/librefusethreads.so"], variables={"TEST_MAX_THREADS": "30"}
    )
    assert not reload(syslog_ng, True, TCP_SOURCE + LINES + PATH.replace("partitions(2)", "partitions(100)"))
    assert not is_ours(syslog_ng)
    check_messages(syslog_ng)
    assert reload(syslog_ng, False)
    assert not is_ours(syslog_ng)
    assert reload(syslog_ng, True)
    assert is_ours(syslog_ng)
    check_messages(syslog_ng)


@NEEDS_A_BUILTIN
def test_word_changes_hands_under_load(syslog_ng, stream):
    """The host's own loses messages at a reload; it doubles none, and all is well afterwards."""
    start(syslog_ng, True)
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(20, 200_000))):
        for _ in range(5):
            for module_line in (False, True):
                assert reload(syslog_ng, module_line)
                assert is_ours(syslog_ng) == module_line

    later = Stream("later")
    send_tcp(syslog_ng.port, later.take(in_turn(20, 1000)))

    def lines(prefix):
        return [line for line in syslog_ng.lines() if line.startswith(prefix)]

    syslog_ng.wait_for(lambda: len(lines("later")) == 1000, "the later messages")
    check_order(lines("later"), later.sent)
    syslog_ng.stop()
    earlier = lines("k")
    assert len(earlier) == len(set(earlier)) <= stream.total()
