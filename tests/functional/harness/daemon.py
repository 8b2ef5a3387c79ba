# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private syslog-ng: everything it writes stays in a directory of its own."""

import contextlib
import json
import re
import signal
import socket
import subprocess
from pathlib import Path

from harness import environment
from harness.network import free_port
from harness.waiting import DEADLINE_SECONDS, wait_for

SIGNS_OF_A_CRASH = re.compile(
    r"assertion failed|AddressSanitizer|ThreadSanitizer|runtime error:|CRITICAL \*\*|ERROR:.*\.c:\d+|"
    r"core dumped|Segmentation"
)
STOP_SECONDS = 30


class Daemon:
    """
    A configuration is given without its head: @version, an @module line (by default where the host has a parallelize()
    of its own, and needs it), and the definitions that make `dir`, `port` and `port2` known to it (in backticks), are
    put in front.

    After each step that waits, a daemon that has ended by itself fails the test with its last words.
    """

    def __init__(self, directory, test_modules, module_directory=None):
        self.directory = Path(directory)
        self.module_line = environment.host_has_builtin()
        self.port = free_port()
        self.port2 = free_port()
        self.config_file = self.directory / "syslog-ng.conf"
        self._module_path = ":".join(
            str(path)
            for path in (
                module_directory or environment.module_directory(),
                test_modules,
                environment.host_module_directory(),
            )
        )
        self.control_socket = self.directory / "ctl"
        self._log_file = self.directory / "stderr.log"
        self._log_mark = 0
        self._process = None

    # configuration

    def write_config(self, config):
        self.config_file.write_text(self.head() + config)
        return self.config_file

    def head(self):
        return (
            f"{self.pragmas()}"
            f'@define dir "{self.directory}"\n'
            f'@define port "{self.port}"\n'
            f'@define port2 "{self.port2}"\n'
            "options { stats-freq(0); stats-level(1); keep-hostname(yes); use-dns(no); dns-cache(no); };\n"
            "options { time-reopen(1); };\n"
        )

    def pragmas(self):
        """What every configuration begins with."""
        return "@version: current\n" + ("@module parallelize\n" if self.module_line else "")

    def check_syntax(self, config=None):
        """Returns the finished `syslog-ng -s`, its messages in .stdout."""
        if config is not None:
            self.write_config(config)
        return subprocess.run(
            [*self._command(), "--syntax-only"],
            env=environment.daemon_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=30,
        )

    # life

    def start(self, config=None, arguments=("--stderr",), preload=(), variables=None):
        """
        Starts and waits until the daemon is up; fails the test if it does not come up.

        Without --stderr its messages go to its internal() source, and log() stays empty.
        """
        self.launch(config, arguments, preload, variables)
        self.wait_for(lambda: self._ctl("stats").returncode == 0, "an answer of the daemon")
        return self

    def launch(self, config=None, arguments=("--stderr",), preload=(), variables=None):
        """Starts without waiting."""
        if config is not None:
            self.write_config(config)
        self._log_mark = len(self.full_log())
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command(), *arguments],
                env={**environment.daemon_environment(preload), **(variables or {})},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    @property
    def pid(self):
        return self._process.pid

    def running(self):
        return self._process is not None and self._process.poll() is None

    def wait_for_exit(self, seconds=STOP_SECONDS):
        """Returns the exit code of a daemon that is expected to end by itself."""
        return self._process.wait(seconds)

    def reload(self, config=None):
        """Returns whether the configuration was taken; returns when the reload has finished."""
        if config is not None:
            self.write_config(config)
        finished_before = self._reloads_finished()
        answer = self._ctl("reload")
        if answer.returncode == 0:
            self.wait_for(lambda: self._reloads_finished() > finished_before, "the end of the reload")
        return answer.returncode == 0

    def stop(self):
        """Stops and fails the test unless the daemon ends in time, with success and without a complaint."""
        self.terminate()
        try:
            exit_code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the daemon did not stop within {STOP_SECONDS} s") from None
        assert exit_code == 0, f"exit code {exit_code}\n{self._last_words()}"
        self.check_log()

    def terminate(self):
        """Tells the daemon to stop, and returns at once; stop() then waits for the end of it."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self):
        """kill -9; nothing if it is not running."""
        if self.running():
            self._process.kill()
            self._process.wait()

    # what it says

    def full_log(self):
        """All that the daemons of this directory have said on stderr."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def log(self):
        """What the daemon has said since its last start."""
        return self.full_log()[self._log_mark :]

    def logged(self, pattern):
        """The lines of log() in which the regular expression is found."""
        return [line for line in self.log().splitlines() if re.search(pattern, line)]

    def wait_for_log(self, pattern):
        return self.wait_for(lambda: self.logged(pattern), f"a log line with {pattern!r}")

    def check_log(self):
        """Fails the test if any daemon of this directory has complained of a bug."""
        found = SIGNS_OF_A_CRASH.search(self.full_log())
        assert not found, f"{found[0]}\n{self._last_words()}"

    # what it counts

    def stats(self):
        """Returns {"component;id;instance;type": number}; dead counters are left out."""
        rows = (line.split(";") for line in self._ctl("stats").stdout.splitlines()[1:] if line.count(";") == 5)
        return {
            ";".join((component, id, instance, kind)): int(number)
            for component, id, instance, state, kind, number in rows
            if state != "o"
        }

    def counter(self, pattern):
        """The sum of the counters whose name the regular expression matches from the start."""
        return sum(number for name, number in self.stats().items() if re.match(pattern, name))

    def wait_until_no_message_is_left(self):
        """Not in any queue either: all of them are acknowledged and freed. Not behind a disk-buffer."""
        self.wait_for(lambda: self.counter("global;msg_allocated_bytes;") == 0, "the end of all messages")

    def windows(self):
        """
        Returns {"source": (free, whole)} of every connection and file: how many messages may come, and how many may
        while none is under way. Needs stats-level(4).
        """
        stats = self.stats()
        return {
            name.removesuffix(";free_window"): (number, stats[name.replace("free_window", "full_window")])
            for name, number in stats.items()
            if name.endswith(";free_window")
        }

    def query(self, pattern):
        """Returns {"name": number} of the host's `query get`."""
        rows = (line.rpartition("=") for line in self._ctl("query", "get", pattern).stdout.splitlines())
        return {name: int(number) for name, equals, number in rows if equals}

    def reset_stats(self):
        assert self._ctl("stats", "--reset").returncode == 0

    def prometheus(self):
        """The host's own text for Prometheus, where it has that."""
        return self._ctl("stats", "prometheus").stdout

    def report(self):
        """The answer to the control command, as it is."""
        return json.loads(self.control("PARALLELIZE"))

    def element(self, id=None):
        """What the report says of one element: of that id, or of the only one."""
        (element,) = [element for element in self.report()["elements"] if id in (None, element["id"])]
        return element

    def control(self, command):
        """Returns the daemon's answer to any command on its control socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self.control_socket))
            connection.sendall(command.encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n.\n"):
                received = connection.recv(65536)
                assert received, f"the daemon ends the answer to {command}: {answer!r}"
                answer += received
        return answer[: -len(b"\n.\n")].decode()

    def resident_kib(self):
        """Memory in use."""
        return int(self.process_status()["VmRSS"].split()[0])

    def process_status(self):
        """What the kernel says of the process, as text by name; nothing if it is gone."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
            return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return {}

    def thread_names(self):
        """The names of all threads, by thread id."""
        names = {}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                names[int(task.name)] = (task / "comm").read_text().strip()
        return names

    # what it writes

    def path(self, name):
        return self.directory / name

    def lines(self, name="out"):
        """The complete lines of an output file; none if there is no file yet."""
        path = self.path(name)
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def wait_for_lines(self, count, name="out"):
        """Returns the lines as soon as there are `count` of them, or more."""
        self.wait_for(
            lambda: self._line_count(name) >= count,
            lambda: f"{count} lines in {name}, which has {self._line_count(name)}",
        )
        return self.lines(name)

    def wait_for(self, condition, what, seconds=DEADLINE_SECONDS):
        """As wait_for() of harness.waiting, but ends at once when the daemon does."""

        def happened():
            running = self.running()
            value = condition()
            assert value or running, f"the daemon has ended, exit code {self._process.poll()}\n{self._last_words()}"
            return value

        return wait_for(happened, lambda: f"{what() if callable(what) else what}\n{self._last_words()}", seconds)

    # below: private

    def _command(self):
        return [
            environment.SYSLOG_NG,
            "--foreground",
            "--no-caps",
            f"--cfgfile={self.config_file}",
            f"--module-path={self._module_path}",
            f"--persist-file={self.directory / 'persist'}",
            f"--pidfile={self.directory / 'pid'}",
            f"--control={self.control_socket}",
        ]

    def _ctl(self, *command):
        return subprocess.run(
            [environment.SYSLOG_NG_CTL, f"--control={self.control_socket}", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )

    def _reloads_finished(self):
        return len(self.logged("Configuration reload finished"))

    def _line_count(self, name):
        path = self.path(name)
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def _last_words(self):
        return "\n".join(self.full_log().splitlines()[-30:])

