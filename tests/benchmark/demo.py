#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Push the messages of one TCP connection through a private syslog-ng, off and on.

The exit code is 0 if every message came out exactly once, in order for each sender.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import contextlib
import os
import pathlib
import re
import signal
import subprocess

import host
import paths
import report
import traffic
import trial

WINDOW = 100000
FETCH_LIMIT = 1000
FILTERS = 16
SENDER_RATE = 100000000


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--messages", type=int, default=1000000, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)),
                        help="default: one per core")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with trial.work_folder("parallelize-demo-", options.messages) as folder:
        try:
            return Demo(folder, options).run()
        except host.DaemonFailed as failure:
            print(f"FAILED: {failure}")
            return 1


class Demo:
    """Two runs with the same messages, each with a daemon of its own."""

    def __init__(self, folder, options):
        self._folder = folder
        self._host = host.Host()
        self._workers = options.workers
        self._traffic = traffic.Traffic("uniform", options.messages)
        self._input = folder / "input"
        self._traffic.write_framed(self._input)

    def run(self):
        """Return the exit code."""
        print(f"{self._traffic.messages:,} messages of {traffic.KEYS:,} hosts, one TCP connection, "
              f"{FILTERS} filters of five regular expressions each,\n"
              f"syslog-ng {self._host.version}, {len(os.sched_getaffinity(0))} cores", flush=True)
        off = self._measure("Without parallelize()", "")
        element = f'parallelize(workers({self._workers}) worker-partition-key("{traffic.KEY_TEMPLATE}"));'
        on = self._measure(f"With {element}", element)
        print(f"\nSpeed-up: {on.messages_per_second / off.messages_per_second:.2f} times "
              f"({off.messages_per_second:,.0f} -> {on.messages_per_second:,.0f} messages/s)")
        foreign_load = max(off.foreign_load, on.foreign_load)
        if foreign_load > report.FOREIGN_LOAD_LIMIT or off.cores_busy < report.IDLE_LIMIT:
            print(f"  Do not rely on it: others used {foreign_load:.0%} of the processors, "
                  f"and the daemon itself {off.cores_busy:.1f} of a core when it had one to fill.")
        for name, result in (("without parallelize()", off), ("with parallelize()", on)):
            print(f"{'FAILED' if result.faults else 'OK'}: {name}: "
                  + ("; ".join(result.faults) or
                     f"all {self._traffic.messages:,} messages came out once, "
                     f"in order for each host"))
        return 1 if off.faults or on.faults else 0

    def _measure(self, title, element):
        print(f"\n{title}", flush=True)
        output = self._folder / "output"
        output.unlink(missing_ok=True)
        port = host.free_port()
        config = paths.config(paths.tcp_source(port, WINDOW, FETCH_LIMIT), paths.file_destination(output), WINDOW,
                              element, FILTERS)
        with host.Daemon(self._host, self._folder, config, [host.default_module_dir()]) as daemon:
            daemon.wait_for(lambda: _listens(port), trial.START_SECONDS, f"port {port} open")
            meter = trial.Meter(daemon)
            with _loggen(self._input, port):
                result = trial.measure(meter, daemon, output, self._traffic, _Progress())
            print(f"  {result.messages_per_second:,.0f} messages/s, {result.seconds:.1f} s, "
                  f"{result.cores_busy:.1f} cores busy, "
                  f"{result.peak_kib / 1024:.0f} MiB peak memory")
            _print_threads(daemon)
        _print_shares(daemon.log())
        result.faults = self._traffic.check(output, "key")
        return result


class _Progress:
    """Shows on a terminal how many messages came out."""

    def __init__(self):
        self._shown = 0

    def __call__(self, messages):
        if sys.stdout.isatty() and messages - self._shown >= 10000:
            self._shown = messages
            print(f"\r  {messages:,} ", end="\r", flush=True)


def _listens(port):
    """Whether some process does; found out without a connection, the daemon takes only one."""
    address, listening = f"0100007F:{port:04X}", "0A"
    rows = (line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(row[1] == address and row[3] == listening for row in rows)


@contextlib.contextmanager
def _loggen(path, port):
    """Sends a file on one connection as fast as it is taken.

    The file has no line ends, so that loggen takes it in pieces of 8 KiB and
    leaves the cores to the daemon.
    """
    process = subprocess.Popen(
        [host.find_program("loggen"), "--inet", "--stream", "--active-connections=1",
         "--permanent", f"--rate={SENDER_RATE}", "--dont-parse", f"--read-file={path}",
         "--quiet", "127.0.0.1", str(port)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _print_threads(daemon):
    """Who did the work: the CPU seconds of each thread that did any."""
    threads = [(seconds, name) for name, seconds in daemon.threads().values() if seconds >= 0.05]
    total = sum(seconds for seconds, _ in threads)
    for seconds, name in sorted(threads, reverse=True):
        print(f"    thread {name:<16} {seconds:6.2f} CPU seconds {seconds / total:4.0%}")


def _print_shares(log):
    """How many messages each worker has processed, as the module says when it stops."""
    for totals in re.findall(r"parallelize\(\) stopped; (.*)", log):
        counts = dict(re.findall(r"(\w+)='([^']*)'", totals))
        for worker, count in enumerate(counts["processed_by_workers"].split()):
            print(f"    worker {worker}: {int(count):10,} messages")
        print(f"    source:   {int(counts['processed_by_helping_sources']):10,} messages, "
              "processed by its own thread while the workers were busy")


if __name__ == "__main__":
    sys.exit(main())
