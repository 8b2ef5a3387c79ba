# SPDX-License-Identifier: LGPL-2.1-or-later
"""The element's counters: in the host's stats, and in the answer to the control command."""

import re
import subprocess

import pytest

from harness.environment import PARALLELIZE_TOP, host_has_prometheus
from harness.messages import HEAVY, LINES, TCP_SOURCE, check_order, check_unordered, in_turn
from harness.network import BackgroundSender, send_tcp
from harness.trace import Hold, work_and_trace
from harness.traffic import start_and_send_keys

PATH = """
log {
    source(s_tcp);
    parallelize(workers(4) worker-partition-key("$PROGRAM") id("the element"));
    rewrite(r_work);
    destination(d_trace);
    flags(flow-control);
};
"""


def check_sums(element):
    """What is promised of the counters of an element while nothing moves."""
    counters, workers = element["counters"], element["per_worker"]
    inline = sum(counters["inline"].values())
    assert counters["entered"] == counters["processed"] + counters["in_flight"]
    assert counters["entered"] == sum(worker["assigned"] for worker in workers) + inline + counters["waiting"]
    assert counters["processed"] == sum(worker["processed"] for worker in workers) + inline


@pytest.mark.asan
def test_counters_of_a_finished_run(syslog_ng, stream):
    syslog_ng.start(TCP_SOURCE + work_and_trace(microseconds=200) + PATH)
    send_tcp(syslog_ng.port, stream.take(in_turn(20, 3000)))
    check_order(syslog_ng.wait_for_lines(3000), stream.sent)
    element = syslog_ng.wait_for(
        lambda: (found := syslog_ng.element())["counters"]["in_flight"] == 0 and found, "an empty element"
    )
    check_sums(element)
    assert element["counters"]["entered"] == 3000
    assert element["counters"]["waiting"] == 0
    assert element["counters"]["batches"] > 0
    assert element["counters"]["wakeups"] > 0
    assert 0 < element["counters"]["ordered"] < 3000
    assert element["workers"] == 4 == len(element["per_worker"])
    assert element["key"] == "$PROGRAM"
    assert element["location"].startswith(str(syslog_ng.config_file))
    # 3000 messages of 200 us or more; a sleeping thread is a busy worker
    busy = sum(worker["busy_seconds"] for worker in element["per_worker"])
    assert busy + element["counters"]["sources_busy_seconds"] > 0.5


def test_counters_while_messages_are_held(syslog_ng, stream):
    held = Hold(syslog_ng.path("hold"))
    rewrite = """
    rewrite r_hold { set("$(test-hold `dir`/hold)" value(".test.hold")); };
    log { source(s_tcp); parallelize(workers(3) worker-partition-key("$PROGRAM")); rewrite(r_hold);
          destination(d_lines); flags(flow-control); };
    """
    syslog_ng.start(TCP_SOURCE + LINES + rewrite)
    with held.held():
        send_tcp(syslog_ng.port, stream.take(in_turn(3, 90)))
        syslog_ng.wait_for(lambda: syslog_ng.element()["counters"]["entered"] == 90, "90 messages inside")
        syslog_ng.wait_for(lambda: held.waiting() == 3, "three workers that hold")
        element = syslog_ng.element()
        check_sums(element)
        assert element["counters"]["processed"] == 0
        assert element["counters"]["in_flight"] == 90
        assert element["counters"]["waiting"] == 87
        assert [worker["assigned"] for worker in element["per_worker"]] == [1, 1, 1]
    check_order(syslog_ng.wait_for_lines(90), stream.sent)


def test_what_a_cheap_path_costs_is_counted_as_such(syslog_ng, stream):
    path = """
    log { source(s_tcp); parallelize(workers(2)); destination(d_lines); flags(flow-control); };
    """
    syslog_ng.start(TCP_SOURCE + LINES + path)
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(20, 50_000))):
        check_unordered(syslog_ng.wait_for_lines(50_000), stream.sent)
    syslog_ng.wait_for(lambda: syslog_ng.element()["counters"]["processed"] == 50_000, "everything processed")
    check_sums(syslog_ng.element())
    assert syslog_ng.element()["counters"]["inline"]["too_cheap"] > 25_000


# the host's stats


def test_host_stats_agree(syslog_ng, stream):
    syslog_ng.start(TCP_SOURCE + work_and_trace(microseconds=100) + PATH)
    send_tcp(syslog_ng.port, stream.take(in_turn(20, 2000)))
    check_order(syslog_ng.wait_for_lines(2000), stream.sent)
    name = "parallelize;the element;"
    syslog_ng.wait_for(
        lambda: syslog_ng.counter(f"{name}.*;processed") == syslog_ng.counter(f"{name};entered") == 2000,
        "2000 messages in the stats",
    )
    stats, element = syslog_ng.stats(), syslog_ng.element()
    for number, worker in enumerate(element["per_worker"]):
        assert stats[f"{name}{number};processed"] == worker["processed"]
        assert stats[f"{name}{number};assigned"] == worker["assigned"]
        assert stats[f"{name}{number};steals"] == worker["steals"]
        assert stats[f"{name}{number};wakeups"] == worker["wakeups"]
        assert stats[f"{name}{number};busy_ns"] == round(worker["busy_seconds"] * 1e9)
    assert stats[f"{name}source;processed"] == sum(element["counters"]["inline"].values())
    assert stats[f"{name};waiting"] == stats[f"{name};in_flight"] == 0
    assert stats[f"{name};batches"] == element["counters"]["batches"]
    for reason, count in element["counters"]["inline"].items():
        assert stats[f"{name};inline_{reason}"] == count


def test_host_stats_of_messages_that_are_parked(syslog_ng, stream):
    held = Hold(syslog_ng.path("hold"))
    path = """
    rewrite r_hold { set("$(test-hold `dir`/hold)" value(".test.hold") condition("$PROGRAM" eq "k0")); };
    log { source(s_tcp); parallelize(workers(2) worker-partition-key("$PROGRAM") id("e1")); filter(f_heavy);
          rewrite(r_hold); resequence(); destination(d_lines); flags(flow-control); };
    """
    syslog_ng.start(TCP_SOURCE + LINES + HEAVY + path)
    with held.held():
        send_tcp(syslog_ng.port, stream.take([0] + [1] * 50))
        syslog_ng.wait_for(lambda: syslog_ng.stats()["parallelize;e1;;parked"] == 50, "50 parked in the stats")
        assert list(syslog_ng.query("parallelize.e1*parked").values()) == [50]
        assert syslog_ng.element()["counters"]["parked"] == 50
    check_order(syslog_ng.wait_for_lines(51), stream.sent)
    syslog_ng.wait_for(lambda: syslog_ng.stats()["parallelize;e1;;parked"] == 0, "none parked in the stats")


def test_stats_level_is_changed_by_a_reload(syslog_ng, stream):
    config = "options { stats-level(LEVEL); };" + TCP_SOURCE + work_and_trace(microseconds=100) + PATH

    def entered_now():
        return syslog_ng.stats().get("parallelize;the element;;entered")

    syslog_ng.start(config.replace("LEVEL", "0"))
    assert entered_now() is None
    assert syslog_ng.reload(config.replace("LEVEL", "1"))
    send_tcp(syslog_ng.port, stream.take(in_turn(20, 500)))
    syslog_ng.wait_for(lambda: entered_now() == 500, "500 messages in the stats")
    assert syslog_ng.reload(config.replace("LEVEL", "0"))
    send_tcp(syslog_ng.port, stream.take(in_turn(20, 500)))
    check_order(syslog_ng.wait_for_lines(1000), stream.sent)
    assert entered_now() is None
    assert syslog_ng.element()["counters"]["entered"] == 500


def test_counters_go_on_after_a_reset(syslog_ng, stream):
    """They count from zero again, as the host's do; the report does not."""
    syslog_ng.start(TCP_SOURCE + work_and_trace(microseconds=100) + PATH)

    def send_and_wait(total):
        send_tcp(syslog_ng.port, stream.take(in_turn(20, 300)))
        syslog_ng.wait_for(
            lambda: syslog_ng.counter("parallelize;the element;.*;processed") == total, f"{total} in the stats"
        )

    send_and_wait(300)
    syslog_ng.reset_stats()
    assert syslog_ng.counter("parallelize;the element;.*;processed") == 0
    send_and_wait(300)
    assert syslog_ng.counter("parallelize;the element;;entered") == 300
    assert syslog_ng.element()["counters"]["entered"] == 600
    check_order(syslog_ng.wait_for_lines(600), stream.sent)


def test_host_query(syslog_ng, stream):
    syslog_ng.start(TCP_SOURCE + work_and_trace(microseconds=100) + PATH.replace("the element", "e1"))
    send_tcp(syslog_ng.port, stream.take(in_turn(20, 500)))
    syslog_ng.wait_for_lines(500)
    syslog_ng.wait_for(lambda: sum(syslog_ng.query("parallelize.e1.*.processed").values()) == 500, "500 messages")
    assert list(syslog_ng.query("parallelize.e1*entered").values()) == [500]


def test_stats_level_0_has_no_counters(syslog_ng, stream):
    syslog_ng.start("options { stats-level(0); };" + TCP_SOURCE + work_and_trace(microseconds=100) + PATH)
    send_tcp(syslog_ng.port, stream.take(in_turn(20, 500)))
    syslog_ng.wait_for_lines(500)
    assert not [name for name in syslog_ng.stats() if name.startswith("parallelize")]
    assert syslog_ng.element()["counters"]["entered"] == 500


@pytest.mark.asan
def test_counters_go_on_after_a_reload(syslog_ng, stream):
    syslog_ng.start(TCP_SOURCE + work_and_trace(microseconds=100) + PATH)
    for reloads in range(3):
        send_tcp(syslog_ng.port, stream.take(in_turn(20, 300)))
        syslog_ng.wait_for_lines(300 * (reloads + 1))
        assert syslog_ng.reload()
        syslog_ng.wait_for(
            lambda: syslog_ng.counter("parallelize;the element;.*;processed") == 300 * (reloads + 1), "all of them"
        )
        assert syslog_ng.element()["counters"]["entered"] == 0


def test_host_prometheus(syslog_ng, stream):
    if not host_has_prometheus():
        pytest.skip("this host knows no syslog-ng-ctl stats prometheus")
    syslog_ng.start(TCP_SOURCE + work_and_trace(microseconds=100) + PATH)
    send_tcp(syslog_ng.port, stream.take(in_turn(20, 2000)))
    syslog_ng.wait_for_lines(2000)
    prefix = "syslogng_parallelized_"

    def samples():
        lines = (line.rsplit(" ", 1) for line in syslog_ng.prometheus().splitlines() if line.startswith(prefix))
        return {name.removeprefix(prefix): float(value) for name, value in lines}

    def processed():
        return sum(value for name, value in samples().items() if name.startswith("processed_events_total{"))

    syslog_ng.wait_for(lambda: processed() == 2000, "2000 messages in the stats")
    found, element = samples(), syslog_ng.element()
    assert found['entered_events_total{id="the element"}'] == 2000
    for number, worker in enumerate(element["per_worker"]):
        labels = f'{{id="the element",worker="{number}"}}'
        # with AxoSyslog's label as well
        both = f'{{id="the element",partition_index="{number}",worker="{number}"}}'
        assert found["processed_events_total" + both] == worker["processed"]
        assert found["assigned_events_total" + both] == worker["assigned"]
        assert found["busy_seconds_total" + labels] == pytest.approx(worker["busy_seconds"])
    for reason, count in element["counters"]["inline"].items():
        assert found[f'inline_events_total{{id="the element",reason="{reason}"}}'] == count
    # the same metrics as parallelize-top exposes
    exposed = subprocess.run([PARALLELIZE_TOP, f"--control={syslog_ng.control_socket}", "--prometheus"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    names = {line.split("{")[0].removeprefix(prefix) for line in exposed.splitlines() if not line.startswith("#")}
    assert {name.split("{")[0] for name in found} <= names


NAMES_OF_AXOSYSLOG = {
    "syslogng_parallelize_failed_events_total",
    *(f"syslogng_{name}_{part}" for part in ("bucket", "sum", "count")
      for name in ("event_processing_latency_seconds", "parallelized_input_batch_size", "parallelized_batch_size")),
}


def check_histogram(samples, name, distribution, **labels):
    """Its buckets are cumulative, as Prometheus has it, and add up to the distribution."""
    values = {bound: samples[f"syslogng_{name}_bucket", frozenset({**labels, "le": bound}.items())]
              for bound in [format(2**exponent / (1000 if "seconds" in name else 1), "g") for exponent in range(13)]
              + ["+Inf"]}
    assert list(values.values()) == sorted(values.values())
    assert values["+Inf"] == distribution["count"]
    for part in ("count", "sum"):
        value = samples[f"syslogng_{name}_{part}", frozenset(labels.items())]
        assert value == pytest.approx(distribution[part], rel=0.01)
    assert values["+Inf"] > 0


def samples_of(text):
    """{(name, labels): value}"""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {(line.split("{")[0].split(" ")[0], frozenset(re.findall(r'(\w+)="([^"]*)"', line))):
            float(line.rsplit(" ", 1)[1]) for line in lines}


@pytest.mark.parametrize("exposed_by", ["the daemon", "parallelize-top"])
def test_names_of_axosyslog(syslog_ng, stream, exposed_by):
    if exposed_by == "the daemon" and not host_has_prometheus():
        pytest.skip("this host knows no syslog-ng-ctl stats prometheus")
    config = "options { stats-level(4); };" + TCP_SOURCE + work_and_trace(microseconds=100) + PATH
    syslog_ng.start(config)
    send_tcp(syslog_ng.port, stream.take(in_turn(20, 2000)))
    syslog_ng.wait_for_lines(2000)

    def exposed():
        if exposed_by == "the daemon":
            return samples_of(syslog_ng.prometheus())
        return samples_of(subprocess.run([PARALLELIZE_TOP, f"--control={syslog_ng.control_socket}", "--prometheus"],
                                         check=True, stdout=subprocess.PIPE, text=True).stdout)

    def processed(samples):
        return sum(value for (name, labels), value in samples.items()
                   if name == "syslogng_parallelized_processed_events_total" and ("id", "the element") in labels)

    found = syslog_ng.wait_for(lambda: processed(samples := exposed()) == 2000 and samples, "2000 messages")
    assert NAMES_OF_AXOSYSLOG <= {name for name, _ in found}
    assert found["syslogng_parallelize_failed_events_total", frozenset()] == 0
    element = syslog_ng.element()
    both = {"id": "the element", "parallelize": "the element"}
    check_histogram(found, "event_processing_latency_seconds", element["distributions"]["from_receipt"],
                    **both, measurement_point="input")
    check_histogram(found, "parallelized_input_batch_size", element["batch_sizes"]["came"], **both)
    check_histogram(found, "parallelized_batch_size", element["batch_sizes"]["handed_over"], **both)


def test_names_of_axosyslog_need_its_stats_level(syslog_ng):
    if not host_has_prometheus():
        pytest.skip("this host knows no syslog-ng-ctl stats prometheus")
    syslog_ng.start(TCP_SOURCE + work_and_trace(microseconds=100) + PATH)
    names = {name for name, _ in samples_of(syslog_ng.prometheus())}
    assert "syslogng_parallelized_entered_events_total" in names
    assert not names & NAMES_OF_AXOSYSLOG


# the control command


def test_no_element(syslog_ng):
    syslog_ng.start("log { source { internal(); }; destination { file(`dir`/out); }; };")
    assert syslog_ng.counter("parallelize;") == 0
    syslog_ng.reload("log { source { internal(); }; parallelize(workers(1)); };")
    assert len(syslog_ng.report()["elements"]) == 1
    syslog_ng.reload("log { source { internal(); }; parallelize(workers(0)); };")
    assert syslog_ng.report()["elements"] == []


def test_several_elements_have_different_ids(syslog_ng):
    config = """
    parser p_twice { parallelize(workers(1) id("twice")); };
    log { source(s_tcp); parser(p_twice); };
    log { source(s_tcp); parser(p_twice); parallelize(workers(2) id("other")); };
    """
    syslog_ng.start(TCP_SOURCE + config)
    assert sorted(element["id"] for element in syslog_ng.report()["elements"]) == ["other", "twice", "twice#2"]
    assert syslog_ng.element("other")["workers"] == 2


@pytest.mark.asan
def test_command_and_reload_under_load(syslog_ng, stream):
    syslog_ng.start(TCP_SOURCE + LINES + HEAVY + PATH.replace("r_work", "f_heavy").replace("rewrite", "filter").replace(
        "d_trace", "d_lines"))
    with BackgroundSender(syslog_ng.port, stream.chunks(in_turn(200, 60_000))) as sender:
        while sender.sending():
            for _ in range(20):
                for element in syslog_ng.report()["elements"]:
                    counters = element["counters"]
                    assert counters["entered"] >= counters["processed"]
                    assert counters["in_flight"] >= counters["waiting"] or counters["in_flight"] > 0
            assert syslog_ng.reload()
    check_order(syslog_ng.wait_for_lines(60_000), stream.sent)


def test_keys_of_any_bytes(syslog_ng):
    start_and_send_keys(syslog_ng, b'quote " and \\', b"\xff\xfe", "umläut €".encode(), b"\x01tab\t", each=500)
    keys = [hot["key"] for hot in syslog_ng.element()["hot_keys"]["by_messages"]]
    assert 'quote " and \\' in keys
    assert "umläut €" in keys
    assert r"\xff\xfe" in keys
    assert "\x01tab" in [key.strip() for key in keys]


def test_hot_keys_and_their_shares(syslog_ng, stream):
    keys = [0 if number % 2 else 1 + number // 2 % 9 for number in range(20_000)]
    syslog_ng.start(TCP_SOURCE + LINES + HEAVY + PATH.replace("rewrite(r_work)", "filter(f_heavy)").replace(
        "d_trace", "d_lines"))
    send_tcp(syslog_ng.port, stream.take(keys))
    check_order(syslog_ng.wait_for_lines(20_000), stream.sent)
    first, *others = syslog_ng.element()["hot_keys"]["by_messages"]
    assert first["key"] == "k0"
    assert 0.4 < first["share"] < 0.6
    assert {hot["key"] for hot in others} == {f"k{number}" for number in range(1, 10)}
    assert sum(hot["share"] for hot in [first, *others]) == pytest.approx(1)


def test_sizes_of_batches(syslog_ng, stream):
    source = TCP_SOURCE.replace("log-iw-size", "log-fetch-limit(20) log-iw-size")
    syslog_ng.start(source + work_and_trace(microseconds=100) + PATH)
    send_tcp(syslog_ng.port, stream.take(in_turn(20, 1000)))
    check_order(syslog_ng.wait_for_lines(1000), stream.sent)
    element = syslog_ng.wait_for(
        lambda: (found := syslog_ng.element())["batch_sizes"]["came"]["sum"] == 1000 and found, "all batches"
    )
    came, handed_over = element["batch_sizes"]["came"], element["batch_sizes"]["handed_over"]
    assert came["max"] == came["p50"] == 20
    assert 50 <= came["count"] < 200
    assert handed_over["count"] == element["counters"]["batches"]
    assert 1 <= handed_over["p50"] <= handed_over["max"] <= 20
    for found in (came, handed_over):
        assert sum(count for _, count in found["buckets"]) == found["count"]


def test_time_from_the_receipt_of_messages(syslog_ng, stream):
    """All wait in the element, which is known from the time that the daemon has received them."""
    held = Hold(syslog_ng.path("hold"))
    rewrite = """
    rewrite r_hold { set("$(test-hold `dir`/hold)" value(".test.hold")); };
    log { source(s_tcp); parallelize(workers(1) worker-partition-key("$PROGRAM")); rewrite(r_work); rewrite(r_hold);
          destination(d_trace); flags(flow-control); };
    """
    syslog_ng.start(TCP_SOURCE + work_and_trace(microseconds=500) + rewrite)
    with held.held():
        send_tcp(syslog_ng.port, stream.take(in_turn(3, 90)))
        syslog_ng.wait_for(lambda: syslog_ng.element()["counters"]["entered"] == 90, "90 messages inside")
        assert syslog_ng.element()["distributions"]["from_receipt"]["count"] == 0
        seen = syslog_ng.report()["time"]
        syslog_ng.wait_for(lambda: syslog_ng.report()["time"] > seen + 1, "a second")
    check_order(syslog_ng.wait_for_lines(90), stream.sent)
    found = syslog_ng.wait_for(
        lambda: (element := syslog_ng.element())["counters"]["in_flight"] == 0 and element["distributions"], "an end"
    )["from_receipt"]
    assert found["count"] > 0
    assert 1 < found["p50"] < 30


def test_distributions(syslog_ng, stream):
    syslog_ng.start(TCP_SOURCE + work_and_trace(microseconds=2000) + PATH)
    send_tcp(syslog_ng.port, stream.take(in_turn(20, 1000)))
    check_order(syslog_ng.wait_for_lines(1000), stream.sent)
    syslog_ng.wait_for(lambda: syslog_ng.element()["counters"]["processed"] == 1000, "everything processed")
    for name, least in (("waiting", 0), ("processing", 0.002), ("latency", 0.002)):
        found = syslog_ng.element()["distributions"][name]
        quantiles = [found[quantile] for quantile in ("p50", "p90", "p99", "p999", "max")]
        assert quantiles == sorted(quantiles)
        assert quantiles[0] >= least
        # slow messages are watched all; those that the source's thread takes up at once do not wait
        assert 500 < found["count"] <= 1000 if name == "waiting" else found["count"] == 1000
        assert sum(count for _, count in found["buckets"]) == found["count"]
