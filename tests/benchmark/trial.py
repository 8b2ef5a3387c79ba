# SPDX-License-Identifier: LGPL-2.1-or-later
"""One measured run of a private daemon."""

import concurrent.futures
import contextlib
import copy
import dataclasses
import os
import pathlib
import shutil
import socket
import tempfile
import time

import host
import latency
import paths

WINDOW = 100000

# Four inputs and an output of a run, and as much again to spare.
BYTES_PER_MESSAGE = 1500

STALL_SECONDS = 30
START_SECONDS = 30
LONGEST_NAP = 0.05
SHORTEST_NAP = 0.001


@dataclasses.dataclass
class Result:
    """What one run took.

    cpu_seconds: of the daemon, for all messages. cores_busy: how many cores the
    daemon used on average. foreign_load: the share of the machine's cores that
    neither the daemon nor this program used, but others.
    """
    seconds: float
    messages_per_second: float
    cpu_seconds: float
    cores_busy: float
    foreign_load: float
    peak_kib: int
    faults: list = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def work_folder(prefix, messages, parent=None):
    """A temporary folder, in memory if there is plenty: no disk in the figures."""
    parent = parent or ("/dev/shm" if _free_bytes("/dev/shm") > messages * BYTES_PER_MESSAGE
                        else None)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as folder:
        yield pathlib.Path(folder)


def _free_bytes(folder):
    try:
        return shutil.disk_usage(folder).free
    except FileNotFoundError:
        return 0


class Meter:
    """Measures from its construction to read()."""

    def __init__(self, daemon):
        self._daemon = daemon
        self._start = self._now()

    def _now(self):
        return (time.monotonic(), self._daemon.cpu_seconds(),
                _machine_cpu_seconds() - time.process_time())

    def read(self, messages):
        """The Result for `messages` messages that came in and out meanwhile."""
        seconds, cpu, all_but_ours = (end - start for end, start in zip(self._now(), self._start))
        return Result(
            seconds=seconds,
            messages_per_second=messages / seconds,
            cpu_seconds=cpu,
            cores_busy=cpu / seconds,
            foreign_load=max(0.0, all_but_ours - cpu) / (seconds * os.cpu_count()),
            peak_kib=self._daemon.peak_kib())


class Bench:
    """Runs trials in a folder of its own, with the same daemon, modules and cores."""

    def __init__(self, syslog_ng, folder, module_dirs=(), cores=None):
        self._syslog_ng = syslog_ng
        self._folder = pathlib.Path(folder)
        self._module_dirs = module_dirs
        self._cores = cores
        self._with_module = True
        self._inputs = {}

    def without_module(self):
        """The same, in which parallelize() is the host's own or unknown, and the module is not loaded."""
        bench = copy.copy(self)
        bench._with_module = False
        return bench

    def input_of(self, traffic):
        """The path of a file with these messages."""
        if traffic not in self._inputs:
            path = self._folder / f"in-{len(self._inputs)}"
            traffic.write(path)
            self._inputs[traffic] = path
        return self._inputs[traffic]

    def daemon(self, config):
        """A private daemon with this configuration, for a with statement."""
        return host.Daemon(self._syslog_ng, self._folder, config, self._module_dirs, self._cores, self._with_module)

    def file_to_file(self, traffic, element, order, filters, fetch_limit=None, work=""):
        """A file with all messages appears, and the daemon copies them through the path.

        It appears by a link: whoever wrote it now would take a core from the
        element, and none from a daemon that uses one.
        """
        output, followed = self.fresh("out"), self.fresh("followed")
        config = paths.config(paths.file_source(followed, WINDOW, fetch_limit),
                              paths.file_destination(output), WINDOW, element, filters, work)
        source = self.input_of(traffic)
        with self.daemon(config) as daemon:
            daemon.wait_for(lambda: "syslog-ng starting up" in daemon.log(), START_SECONDS, "a start")
            meter = Meter(daemon)
            os.link(source, followed)
            result = measure(meter, daemon, output, traffic)
        result.faults = traffic.check(output, order)
        return result

    def one_write(self, traffic, element, order, work):
        """All messages arrive at once; the clock runs from their arrival to the last one out."""
        output, path = self.fresh("out"), self.fresh("socket")
        window = 2 * traffic.messages
        config = paths.config(paths.unix_source(path, window), paths.file_destination(output),
                              window, element, work=work)
        data = self.input_of(traffic).read_bytes()
        with self.daemon(config) as daemon, connect_unix(daemon, path) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(data))
            meter = Meter(daemon)
            sender.sendall(data)
            wait_for_end(daemon, output, traffic, longest_nap=SHORTEST_NAP)
            result = meter.read(traffic.messages)
        result.faults = traffic.check(output, order)
        return result

    def at_rate(self, traffic, rate, element, order, filters, work=""):
        """The messages come at a steady rate; returns the Result and the Latency."""
        port = host.free_port()
        with latency.Receiver() as receiver:
            config = paths.config(paths.tcp_source(port, WINDOW),
                                  paths.tcp_destination(receiver.port), WINDOW, element, filters,
                                  work)
            messages = list(traffic.framed())
            with self.daemon(config) as daemon, connect_tcp(daemon, port) as sender:
                meter = Meter(daemon)
                due = latency.send(sender, messages, rate)
                daemon.wait_for(lambda: receiver.size >= traffic.output_size,
                                latency.DEADLINE_SECONDS, "all messages at the receiver")
                result = meter.read(traffic.messages)
            result.faults = traffic.check_data(receiver.data(), order)
            return result, None if result.faults else latency.of(traffic, due, receiver)

    def fresh(self, name):
        """The path of a file in the bench's folder that does not exist any more."""
        path = self._folder / name
        path.unlink(missing_ok=True)
        return path


def at_once(measure, benches):
    """What measure(bench) returns for each of them, all running at the same time."""
    with concurrent.futures.ThreadPoolExecutor(len(benches)) as pool:
        return list(pool.map(measure, benches))


def faults_of(results):
    """The faults of a Result, of several, and of whatever stands beside them."""
    if isinstance(results, Result):
        return results.faults
    if isinstance(results, (tuple, list)):
        return [fault for result in results for fault in faults_of(result)]
    return []


def measure(meter, daemon, output, traffic, watch=lambda messages: None):
    """The Result from the construction of the meter, just before the first message, to the last one out.

    watch is told every now and then how many messages came out.
    """
    wait_for_end(daemon, output, traffic, watch=watch)
    return meter.read(traffic.messages)


def wait_for_end(daemon, output, traffic, longest_nap=LONGEST_NAP, watch=lambda messages: None):
    """Look seldom at first and often near the end, so that looking costs the daemon nothing."""
    start = progress = time.monotonic()
    last_size = 0
    while True:
        size, now = size_of(output), time.monotonic()
        if size >= traffic.output_size:
            return
        daemon.assert_running()
        watch(traffic.messages_in(size))
        if size != last_size:
            last_size, progress = size, now
        elif now - progress > STALL_SECONDS:
            raise host.DaemonFailed(
                f"only {traffic.messages_in(size)} of {traffic.messages} messages came out, "
                f"none in the last {STALL_SECONDS} s\n{daemon.log()}")
        remaining = (now - start) * (traffic.output_size / size - 1) if size else 0
        time.sleep(min(longest_nap, max(SHORTEST_NAP, remaining / 2)))


def size_of(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def connect_unix(daemon, path):
    return _connected(daemon, socket.AF_UNIX, str(path))


def connect_tcp(daemon, port, send_buffer=None):
    sender = _connected(daemon, socket.AF_INET, ("127.0.0.1", port), send_buffer)
    sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sender


def _connected(daemon, family, address, send_buffer=None):
    sender = socket.socket(family, socket.SOCK_STREAM)
    if send_buffer:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)

    def connected():
        try:
            sender.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    daemon.wait_for(connected, START_SECONDS, "a socket that accepts connections")
    return sender


def _machine_cpu_seconds():
    """CPU time that the whole machine has spent, its hypervisor's share included."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, pathlib.Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
