# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private syslog-ng: own configuration, state and control socket in a folder of its own."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
STOP_SECONDS = 60

# Whether glibc gives the top of a thread's heap back after each batch of messages, only to
# get it again for the next, depends on what happens to lie on top: luck worth 10 %. With
# this no daemon does it, off or on.
STEADY_HEAP = {"MALLOC_TRIM_THRESHOLD_": str(8 << 20)}


def default_module_dir():
    return pathlib.Path(os.environ.get("PARALLELIZE_MODULE_DIR",
                                       REPOSITORY / "build" / "modules" / "parallelize"))


def find_program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
    if not path:
        raise SystemExit(f"{name} is not installed")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Host:
    """The installed syslog-ng."""

    def __init__(self):
        self.program = find_program("syslog-ng")
        text = subprocess.run([self.program, "--version"], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        self.version = re.search(r"\((\d+\.\d+[^)]*)\)", text).group(1)
        self.module_dir = re.search(r"^Module-Directory: (.*)$", text, re.MULTILINE).group(1)

    @property
    def has_builtin(self):
        """Whether this host has a parallelize() of its own."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version)[:2]) >= (4, 3)

    @property
    def largest_batch(self):
        """How many messages a source may hand to a memory queue at once without losing any."""
        return 2**32 - 1 if self.has_builtin else 2**16 - 1

    def config_head(self, with_module):
        """What a configuration begins with; with_module: so that parallelize() is this module's."""
        version = ".".join(self.version.split(".")[:2])
        return f"@version: {version}\n" + ("@module parallelize\n" if with_module and self.has_builtin else "")


class DaemonFailed(Exception):
    """The daemon ended by itself, did not start, or did not stop."""


class Daemon:
    """Runs from __enter__ to __exit__, from a fresh state; folder must have no other daemon.

    module_dirs come before the host's own module directory. cores: the CPUs it may
    run on, None for all. with_module: parallelize() is this module's, also where the
    host has one of its own.
    """

    def __init__(self, host, folder, config, module_dirs=(), cores=None, with_module=True):
        self._host = host
        self._folder = pathlib.Path(folder)
        self._config = host.config_head(with_module) + config
        self._module_path = ":".join([*map(str, module_dirs), host.module_dir])
        self._cores = cores
        self._process = None
        self._log = self._folder / "daemon.log"

    def __enter__(self):
        for name in ("persist", "pid", "control"):
            (self._folder / name).unlink(missing_ok=True)
        config = self._folder / "syslog-ng.conf"
        config.write_text(self._config)
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [self._host.program, "--foreground", "--no-caps", "--stderr",
                 f"--cfgfile={config}", f"--module-path={self._module_path}",
                 f"--persist-file={self._folder / 'persist'}",
                 f"--pidfile={self._folder / 'pid'}",
                 f"--control={self._folder / 'control'}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder,
                env={**os.environ, **STEADY_HEAP},
                preexec_fn=lambda: self._cores and os.sched_setaffinity(0, self._cores))
        return self

    def __exit__(self, exception_type, *_):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            code = None
        if exception_type is None and code != 0:
            how = "did not stop when told to" if code is None else f"ended with exit code {code}"
            raise DaemonFailed(f"the daemon {how}\n{self.log()}")

    @property
    def pid(self):
        return self._process.pid

    def log(self):
        return self._log.read_text(errors="replace")[-4000:]

    def wait_for(self, condition, seconds, what, interval=0.002):
        """Wait until condition() is true; a daemon that died or a missed deadline raises."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.assert_running()
            if time.monotonic() > deadline:
                raise DaemonFailed(f"not within {seconds} s: {what}\n{self.log()}")
            time.sleep(interval)

    def assert_running(self):
        if self._process.poll() is not None:
            raise DaemonFailed(f"the daemon ended with exit code {self._process.returncode}\n"
                               f"{self.log()}")

    def cpu_seconds(self):
        """User and system time of all threads, ended ones included, to the nanosecond."""
        return time.clock_gettime(_cpu_clock(self.pid))

    def peak_kib(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE).group(1))

    def voluntary_switches(self):
        """How often the threads that are alive now have waited for something."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            try:
                status = (task / "status").read_text()
            except (FileNotFoundError, ProcessLookupError):  # the thread has just ended
                continue
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)$", status, re.MULTILINE).group(1))
        return total

    def threads(self):
        """{thread id: (name, CPU seconds)} of the threads alive now."""
        found = {}
        ticks = os.sysconf("SC_CLK_TCK")
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            try:
                stat = (task / "stat").read_text()
            except FileNotFoundError:
                continue
            name = stat[stat.index("(") + 1:stat.rindex(")")]
            user, system = stat[stat.rindex(")") + 1:].split()[11:13]
            found[int(task.name)] = name, (int(user) + int(system)) / ticks
        return found

    def stats(self):
        """What 'syslog-ng-ctl stats' prints."""
        return subprocess.run(
            [find_program("syslog-ng-ctl"), "stats", f"--control={self._folder / 'control'}"],
            check=True, text=True, stdout=subprocess.PIPE).stdout


def _cpu_clock(pid):
    """The clock id that clock_getcpuclockid(3) gives for a process."""
    return (~pid << 3) | 2
