# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real Prometheus scrapes a running daemon: every query of the dashboard and of the alerts finds data."""

import contextlib
import http.server
import json
import re
import subprocess
import threading
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from harness.environment import PARALLELIZE_TOP, REPOSITORY, host_has_prometheus
from harness.messages import TCP_SOURCE
from harness.network import LOOPBACK, free_port
from harness.trace import work_and_trace
from harness.traffic import endless
from harness.waiting import wait_for

GRAFANA = REPOSITORY / "docs/grafana"
DASHBOARD = GRAFANA / "parallelize.json"
RULES = GRAFANA / "parallelize-alerts.yml"
RULES_TEST = Path(__file__).with_name("alerts-test.yml")
METRIC = re.compile(r"\b(?:syslogng_parallelized_|parallelize:)[\w:]+(?:{[^}]*})?")
CONFIG = (
    TCP_SOURCE.replace("log-iw-size(100000)", "log-iw-size(5000)")
    + work_and_trace(microseconds=500)
    + """
log {
    source(s_tcp);
    parallelize(workers(4) worker-partition-key("$PROGRAM") id("by-program"));
    rewrite(r_work);
    resequence();
    destination(d_trace);
    flags(flow-control);
};
"""
)


def promtool(*arguments):
    checked = subprocess.run(["promtool", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True)
    assert checked.returncode == 0, checked.stdout
    return checked.stdout


def test_rules_are_valid():
    assert "rules found" in promtool("check", "rules", RULES)


def test_each_alert_fires_when_it_should():
    promtool("test", "rules", RULES_TEST)


def test_each_alert_has_a_test():
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert len(alerts) >= 5
    assert {*alerts} == {*re.findall(r"alertname: (\w+)", RULES_TEST.read_text())}


def exposed_by_program(daemon):
    return subprocess.run([PARALLELIZE_TOP, f"--control={daemon.control_socket}", "--prometheus"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout


class Exporter(http.server.ThreadingHTTPServer):
    """Serves what a function tells."""

    daemon_threads = True

    def __init__(self, tell):
        super().__init__((LOOPBACK, 0), Handler)
        self.tell = tell
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        exposed = self.server.tell()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(exposed.encode())

    def log_message(self, *_):
        pass


class Prometheus:
    """A server that scrapes one target each second, and whose alerts fire after one second."""

    def __init__(self, directory, target):
        self._port = free_port()
        self._log = (directory / "prometheus.log").open("w")
        config = directory / "prometheus.yml"
        rules = directory / "rules.yml"
        rules.write_text(re.sub(r"(?m)^( +for:) .*$", r"\1 1s", RULES.read_text()))
        config.write_text(
            "global: { scrape_interval: 1s, evaluation_interval: 1s }\n"
            f"rule_files: ['{rules}']\n"
            "scrape_configs:\n"
            f"  - {{ job_name: syslog-ng, static_configs: [ {{ targets: ['{LOOPBACK}:{target}'] }} ] }}\n"
        )
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={LOOPBACK}:{self._port}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        wait_for(self._ready, "Prometheus")

    def api(self, path, **parameters):
        url = f"http://{LOOPBACK}:{self._port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        return self.api("query", query=expression)["result"]

    def close(self):
        self._process.terminate()
        self._process.wait(30)
        self._log.close()

    def _ready(self):
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}/-/ready", timeout=1).status == 200
        return False


@pytest.fixture
def prometheus(syslog_ng, tmp_path):
    syslog_ng.start(CONFIG)
    with contextlib.closing(Exporter(lambda: exposed_by_program(syslog_ng))) as exporter:
        with contextlib.closing(Prometheus(tmp_path, exporter.server_port)) as prometheus:
            yield prometheus


def dashboard_queries():
    """Each query of the dashboard, with its variables filled in as Grafana does."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    for panel in panels:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$id", ".*").replace("$__rate_interval", "30s")


def metrics_of(rules):
    """What the queries of the alerts are made of: an alert itself finds nothing as long as all is well."""
    for rule in rules:
        for metric in METRIC.findall(rule["query"]):
            yield rule["name"], re.sub(r'class="[\w-]+"', 'class="key-bound"', metric)


def test_every_query_finds_data(prometheus, syslog_ng, stream):
    rules = prometheus.api("rules")["groups"][0]["rules"]
    missing = [*dashboard_queries(), *metrics_of(rules)]
    assert {rule["name"] for rule in rules} == {name for name, _ in metrics_of(rules)}
    assert len(missing) > 40

    with endless(syslog_ng, stream, keys=lambda number: 3):

        def all_found():
            missing[:] = [(name, query) for name, query in missing if not prometheus.query(query)]
            return not missing

        wait_for(all_found, lambda: f"data for {missing}", seconds=60)

        def firing():
            rules = prometheus.api("rules")["groups"][0]["rules"]
            assert {rule["health"] for rule in rules} == {"ok"}
            return {rule["name"]: rule["alerts"] for rule in rules if rule.get("state") == "firing"}

        wait_for(lambda: "ParallelizeHotKey" in firing(), lambda: f"the alert of a hot key, not only {firing()}")
        (alert,) = firing()["ParallelizeHotKey"]
        assert alert["labels"]["key"] == "k3"
        assert syslog_ng.element()["verdict"]["class"] == "key-bound"


def own_metrics(text):
    return "".join(line + "\n" for line in text.splitlines() if line.startswith("syslogng_parallelized_"))


def test_what_the_host_exposes_itself(syslog_ng, stream, tmp_path):
    if not host_has_prometheus():
        pytest.skip("this host knows no syslog-ng-ctl stats prometheus")
    syslog_ng.start(CONFIG.replace("by-program", 'quote \\" and \\\\'))
    checked = subprocess.run(["promtool", "check", "metrics"], input=own_metrics(syslog_ng.prometheus()), text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    # it exposes no help texts and no types, which is all that there is to complain of
    complaints = [line for line in checked.stdout.splitlines() if not line.endswith("no help text")]
    assert checked.returncode in (0, 3) and not complaints, checked.stdout
    with contextlib.closing(Exporter(syslog_ng.prometheus)) as exporter:
        with contextlib.closing(Prometheus(tmp_path, exporter.server_port)) as prometheus:
            with endless(syslog_ng, stream, keys=lambda number: number % 50):
                query = "sum(rate(syslogng_parallelized_processed_events_total[10s])) > 0"
                wait_for(lambda: prometheus.query(query), lambda: f"data for {query}", seconds=60)
            (sample,) = prometheus.query("syslogng_parallelized_entered_events_total")
            assert sample["metric"]["id"] == 'quote " and \\'
