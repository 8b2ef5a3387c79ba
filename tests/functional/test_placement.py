# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Where to put parallelize(). Inside the source it changes nothing for the log paths. Between a source and a filter it
hides what the filter decides from the path before it: a message that has entered the element counts as matched.

Each configuration runs without the element and with it, with the same input. What comes out is compared. The same
configurations serve for both places, so a comparison that cannot tell the two places apart fails a test.
"""

import re
from collections import defaultdict

import pytest

from harness import environment
from harness.messages import in_turn
from harness.network import send_tcp

KEYS = 10
COUNT = 1000
KEYED = 'parallelize(workers(3) worker-partition-key("$PROGRAM"));'
ROUND_ROBIN = "parallelize(workers(3));"
# The element, and the microseconds that a message takes. Workers process the messages of an expensive path. On a cheap
# path the source's thread processes messages itself, as long as the element finds it cheap.
MODES = {"keyed": (KEYED, 10), "round-robin": (ROUND_ROBIN, 10), "keyed, cheap": (KEYED, 0)}
OUTPUTS = ("first", "second", "third")
HAS_NAMED_LOG_PATHS = environment.host_has_prometheus()

HEAD = """
source s_in {
    channel {
        source { network(ip("127.0.0.1") port(`port`) flags(syslog-protocol) log-iw-size(10000)); };
        INSIDE
    };
};
rewrite r_mark { set("marked" value(".test.mark")); };
destination d_first { file("`dir`/first" template("$PROGRAM $MSG ${.test.mark}\\n")); };
destination d_second { file("`dir`/second" template("$PROGRAM $MSG ${.test.mark}\\n")); };
destination d_third { file("`dir`/third" template("$PROGRAM $MSG ${.test.mark}\\n")); };
filter f_heavy { "$(test-burn MICROSECONDS)" eq "" };
filter f_low { filter(f_heavy) and program("k[0-4]"); };
filter f_even { program("k[02468]"); };
filter f_none { program("no such program"); };
"""

# Configuration, and the outputs that an element at BETWEEN changes, with the keys whose messages they get then.
CASES = {
    "final": (
        """
        log p_first { source(s_in); BETWEEN filter(f_low); rewrite(r_mark); destination(d_first); flags(final); };
        log p_second { source(s_in); filter(f_even); destination(d_second); };
        log p_third { source(s_in); destination(d_third); };
        """,
        {"second": "", "third": ""},
    ),
    "final before a catchall": (
        """
        log p_first { source(s_in); BETWEEN filter(f_low); destination(d_first); flags(final); };
        log p_second { source(s_in); filter(f_even); destination(d_second); };
        log p_third { destination(d_third); flags(catchall); };
        """,
        {"second": "", "third": ""},
    ),
    "fallback": (
        """
        log p_first { source(s_in); BETWEEN filter(f_low); rewrite(r_mark); destination(d_first); };
        log p_second { source(s_in); filter(f_even); destination(d_second); };
        log p_third { source(s_in); destination(d_third); flags(fallback); };
        """,
        {"third": ""},
    ),
    "catchall before a fallback": (
        """
        log p_first { source(s_in); filter(f_low); rewrite(r_mark); destination(d_first); };
        log p_second { BETWEEN filter(f_heavy); filter(f_even); destination(d_second); flags(catchall); };
        log p_third { source(s_in); destination(d_third); flags(fallback); };
        """,
        {"third": ""},
    ),
    "catchall that is final": (
        """
        log p_first { source(s_in); filter(f_low); destination(d_first); };
        log p_second { BETWEEN filter(f_heavy); filter(f_even); destination(d_second); flags(catchall, final); };
        log p_third { source(s_in); destination(d_third); };
        """,
        {"third": ""},
    ),
    "catchall that is a fallback": (
        """
        log p_first { source(s_in); BETWEEN filter(f_low); destination(d_first); };
        log p_second { filter(f_even); destination(d_second); flags(catchall, fallback); };
        """,
        {"second": ""},
    ),
    "final and fallback in embedded paths": (
        """
        log p_outer {
            source(s_in);
            log p_first { BETWEEN filter(f_low); rewrite(r_mark); destination(d_first); flags(final); };
            log p_second { filter(f_even); destination(d_second); };
            log p_third { destination(d_third); flags(fallback); };
        };
        """,
        {"second": "", "third": ""},
    ),
    "final of the path around": (
        """
        log p_outer {
            source(s_in);
            BETWEEN
            log p_first { filter(f_low); destination(d_first); };
            flags(final);
        };
        log p_second { source(s_in); filter(f_even); destination(d_second); };
        log p_third { source(s_in); destination(d_third); flags(fallback); };
        """,
        {"second": "", "third": ""},
    ),
    "elif and else": (
        """
        log p_outer {
            source(s_in);
            if { BETWEEN filter(f_low); rewrite(r_mark); destination(d_first); }
            elif { filter(f_even); destination(d_second); }
            else { destination(d_third); };
        };
        """,
        {"second": "", "third": ""},
    ),
    "else of an outer if": (
        """
        log p_outer {
            source(s_in);
            if {
                BETWEEN
                if { filter(f_low); destination(d_first); }
                elif { filter(f_even); destination(d_second); }
                else { filter(f_none); };
            } else {
                destination(d_third);
            };
        };
        """,
        {"third": ""},
    ),
    "channels of a junction": (
        """
        log p_outer {
            source(s_in);
            junction {
                channel { BETWEEN filter(f_low); destination(d_first); flags(final); };
                channel { filter(f_even); destination(d_second); flags(final); };
                channel { destination(d_third); flags(fallback); };
            };
        };
        """,
        {"second": "", "third": ""},
    ),
}


def start(daemon, config, inside="", between=""):
    config = config.replace("INSIDE", inside).replace("BETWEEN", between)
    daemon.start(config if HAS_NAMED_LOG_PATHS else re.sub(r"\blog p_\w+", "log", config))


def run(daemon, messages, config, microseconds=0, **place):
    """Sends the messages through the configuration. Returns what came out, and what the daemon counted."""
    start(daemon, HEAD.replace("MICROSECONDS", str(microseconds)) + config, **place)
    send_tcp(daemon.port, messages)
    daemon.wait_for(lambda: daemon.counter("center;;received;") == COUNT, "all messages")
    daemon.wait_until_no_message_is_left()
    if place and microseconds:
        check_that_workers_have_worked(daemon)
    result = (outputs(daemon), counters(daemon))
    daemon.stop()
    return result


@pytest.fixture(scope="module")
def results_without():
    """The results of run() without the element, by case."""
    return {}


def run_without(daemon, messages, case, results):
    if case not in results:
        results[case] = run(daemon, messages, CASES[case][0])
    return results[case]


def check_that_workers_have_worked(daemon):
    counters = daemon.element()["counters"]
    assert sum(counters["inline"].values()) < counters["processed"] == counters["entered"]


def outputs(daemon):
    """Of each output, the rest of each line by key, in the order in which they were written. Empties the outputs."""
    result = {}
    for name in OUTPUTS:
        result[name] = defaultdict(list)
        for line in daemon.lines(name):
            key, rest = line.split(" ", 1)
            result[name][key].append(rest)
        daemon.path(name).unlink(missing_ok=True)
    return result


def sort_lines(outputs):
    return {name: {key: sorted(lines) for key, lines in keys.items()} for name, keys in outputs.items()}


def counters(daemon):
    """What the daemon counts of its sources, filters and destinations, and of named log paths where it has them."""
    of_messages = re.compile(r"(?!global;|parallelize;).*;(processed|written|dropped|matched|not_matched)$")
    stats = {name.replace(str(daemon.directory), "DIR"): number for name, number in daemon.stats().items()}
    return {name: number for name, number in stats.items() if of_messages.match(name)} | routes(daemon)


def routes(daemon):
    """The counters of named log paths, by "ingress p_first"; none on a daemon without named log paths."""
    if not HAS_NAMED_LOG_PATHS:
        return {}
    found = re.findall(r'^syslogng_route_(ingress|egress)_total\{id="(\w+)"\} (\d+)$', daemon.prometheus(), re.MULTILINE)
    assert found
    return {f"{direction} {name}": int(number) for direction, name, number in found}


def keys_of(outputs):
    """The digits of the keys in each output, of which each has all its messages."""
    for keys in outputs.values():
        assert {len(lines) for lines in keys.values()} <= {COUNT // KEYS}
    return {name: "".join(sorted(key.removeprefix("k") for key in keys)) for name, keys in outputs.items()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES)
def test_inside_the_source_nothing_changes(syslog_ng, stream, results_without, case, mode):
    element, microseconds = MODES[mode]
    messages = stream.take(in_turn(KEYS, COUNT))
    outputs_without, counters_without = run_without(syslog_ng, messages, case, results_without)
    outputs_with, counters_with = run(syslog_ng, messages, CASES[case][0], microseconds, inside=element)
    assert keys_of(outputs_with) == keys_of(outputs_without)
    if element is ROUND_ROBIN:
        outputs_with = sort_lines(outputs_with)
        outputs_without = sort_lines(outputs_without)
    assert outputs_with == outputs_without
    assert counters_with == counters_without


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES)
def test_between_source_and_filter_what_has_entered_is_matched(syslog_ng, stream, results_without, case, mode):
    element, microseconds = MODES[mode]
    config, changes = CASES[case]
    messages = stream.take(in_turn(KEYS, COUNT))
    without = keys_of(run_without(syslog_ng, messages, case, results_without)[0])
    with_element = keys_of(run(syslog_ng, messages, config, microseconds, between=element)[0])
    assert all(without[name] != keys for name, keys in changes.items())
    assert with_element == without | changes


@pytest.mark.skipif(not HAS_NAMED_LOG_PATHS, reason="this daemon has no named log paths")
@pytest.mark.parametrize("mode", MODES)
def test_egress_counter_of_a_named_log_path_counts_what_has_entered(syslog_ng, stream, mode):
    """Of the keys 0 to 9, the path lets 0 to 4 enter the element. The filter after it lets 0, 2 and 4 pass."""
    config = """
    log p_named { source(s_in); filter(f_low); BETWEEN filter(f_heavy); filter(f_even); destination(d_first); };
    """
    element, microseconds = MODES[mode]
    messages = stream.take(in_turn(KEYS, COUNT))
    for place, egress in (({}, 3), ({"inside": element}, 3), ({"between": element}, 5)):
        outputs, counters = run(syslog_ng, messages, config, microseconds, **place)
        assert keys_of(outputs)["first"] == "024"
        assert counters["ingress p_named"] == COUNT
        assert counters["egress p_named"] == egress * COUNT // KEYS


# The generator runs on the main thread.
GENERATED = 20
MAIN_THREAD = f"""
source s_main {{
    channel {{
        source {{ example-msg-generator(num({GENERATED}) freq(0.001) template("generated")); }};
        INSIDE
    }};
}};
filter f_none {{ message("no such message"); }};
log {{ source(s_main); BETWEEN filter(f_none); destination {{ file("`dir`/first"); }}; }};
log {{ source(s_main); destination {{ file("`dir`/second"); }}; flags(fallback); }};
"""


def run_main_thread(daemon, **place):
    """Returns how many messages the fallback path got."""
    start(daemon, MAIN_THREAD, **place)
    daemon.wait_for(lambda: daemon.counter("center;;received;") == GENERATED, "all messages")
    daemon.wait_until_no_message_is_left()
    if KEYED in place.values():
        assert daemon.element()["counters"]["processed"] == GENERATED
    assert daemon.lines("first") == []
    return len(daemon.lines("second"))


@pytest.mark.parametrize(
    "place, fallback",
    [({}, GENERATED), ({"inside": KEYED}, GENERATED), ({"between": KEYED}, 0)],
    ids=["without", "inside", "between"],
)
def test_messages_of_the_main_thread_are_treated_like_all_others(syslog_ng, place, fallback):
    assert run_main_thread(syslog_ng, **place) == fallback


@pytest.mark.skipif(not environment.host_has_builtin(), reason="this daemon has no parallelize() of its own")
def test_builtin_forwards_messages_of_the_main_thread_synchronously(syslog_ng):
    assert run_main_thread(syslog_ng, between="builtin-parallelize(partitions(2));") == GENERATED
