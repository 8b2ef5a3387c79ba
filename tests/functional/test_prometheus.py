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

from harness.environment import PARALLELIZE_TOP, REPOSITORY
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


class Exporter(http.server.ThreadingHTTPServer):
    """Serves what parallelize-top says of a daemon."""

    daemon_threads = True

    def __init__(self, daemon):
        super().__init__((LOOPBACK, 0), Handler)
        self.syslog_ng = daemon
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        exposed = subprocess.run(
            [PARALLELIZE_TOP, f"--control={self.server.syslog_ng.control_socket}", "--prometheus"],
            stdout=subprocess.PIPE,
        )
        self.send_response(200 if exposed.returncode == 0 else 500)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(exposed.stdout)

    def log_message(self, *_):
        pass


class Prometheus:
    """A server that scrapes one target each second."""

    def __init__(self, directory, target):
        self._port = free_port()
        self._log = (directory / "prometheus.log").open("w")
        config = directory / "prometheus.yml"
        config.write_text(
            "global: { scrape_interval: 1s, evaluation_interval: 1s }\n"
            f"rule_files: ['{RULES}']\n"
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
    with contextlib.closing(Exporter(syslog_ng)) as exporter:
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

        rules = prometheus.api("rules")["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} == {"ok"}
        (hot_key,) = [rule for rule in rules if rule["name"] == "ParallelizeHotKey"]
        assert hot_key["state"] == "pending"
        assert hot_key["alerts"][0]["labels"]["key"] == "k3"
