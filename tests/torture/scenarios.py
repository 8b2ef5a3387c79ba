# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What happens to the daemon while messages come. A scenario says which inputs and outputs keep their promises in it, so
that what is missing in the end is missing because of a fault of ours; and what has to happen for a trial to be one of it.
"""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess

from harness import environment
from harness.network import LOOPBACK
from outputs import MEMORY, RELIABLE_DISK

ANY_INPUT = ("tcp", "tcp", "udp", "unix-stream", "unix-dgram", "file")
ANY_OUTPUT = ("file", "file", "fast server", "slow server", "blocked server", "reopened server")
STORM_SECONDS = 0.05
MIDWAY_SECONDS = 0.05       # what a reload or a start takes at most; something else comes in the middle of it
MIB = 1024 * 1024
EXHAUSTED_MIB = (0, 10)
SLACK_MIB = 32              # for what does not depend on messages: threads' stacks and heaps, two configurations
RELOADS_WHILE_STALLED = 3
DISK_KIB = 200
THREADS = 150
BROKEN = (
    'log { parallelize(workers(-1)); };',
    'log { parallelize(workers(2) worker-partition-key("$(nonsense")); };',
    'log { parallelize(workers(2) nonsense(1)); };',
    'log { source(s_0); parallelize(workers(2) empty-key(sometimes)); destination(d_out); };',
    'log { source(s_0); parallelize(workers(2)); destination(d_nowhere); };',
    'parser p_broken { parallelize(; };',
    '@include "/nonexistent/file.conf"',
)


class Scenario:
    """nothing but load"""

    event = "batches handed over"   # for Trial.count(): with fewer than `least` the trial has shown nothing
    least = 1
    inputs = ANY_INPUT
    outputs = ANY_OUTPUT
    survives = ""               # "stop", "kill": messages must survive that, so not every queue will do
    loses_tail_of = ()          # kinds of input of which the last messages may be lost by the host: what was not read
    output_folder = ""          # of a file output
    narrowed = {}               # what a trial is drawn from, where the usual would miss the point

    def missing(self):
        """Why it cannot be done here, or None."""
        return None

    def environment(self, trial):
        """A context around the whole trial."""
        return contextlib.nullcontext()

    def start_arguments(self, trial):
        """For Daemon.start()."""
        return {}

    def during(self, trial):
        """While messages come; returns soon after trial.busy() has become false."""
        while trial.busy():
            trial.pause(STORM_SECONDS)
        trial.count(self.event, trial.handed_over())


class ReloadStorm(Scenario):
    """a reload every 50 ms"""

    event = "reloads"
    least = 3

    def during(self, trial):
        for _ in trial.take_turns(STORM_SECONDS):
            trial.reload()


class Change(Scenario):
    """reloads that add, change, double and remove the element"""

    event = "reloads"

    def during(self, trial):
        while trial.busy():
            trial.reload(trial.random_elements())
            trial.pause(trial.dice.uniform(0, 5 * STORM_SECONDS))


class Broken(Scenario):
    """configurations that are refused, between reloads"""

    event = "refused"

    def during(self, trial):
        while trial.busy():
            trial.refused_reload(trial.configuration() + trial.dice.choice(BROKEN) + "\n", "Error parsing|Syntax error|[Ee]rror")
            if trial.dice.random() < 0.5:
                trial.reload(trial.random_elements())
            trial.pause(STORM_SECONDS)


class RefusedInit(Scenario):
    """configurations that fail when they are initialized: the old one comes back"""

    event = "refused"
    inputs = ("file",)      # connections do not survive that, with or without the element

    def during(self, trial):
        with socket.create_server((LOOPBACK, 0)) as taken:
            port = taken.getsockname()[1]
            bad = f'log {{ source {{ network(ip("127.0.0.1") port({port})); }}; destination(d_out); }};\n'
            while trial.busy():
                trial.refused_reload(trial.configuration(trial.random_elements()) + bad, "Address already in use")
                trial.pause(STORM_SECONDS)
                if trial.dice.random() < 0.5:
                    trial.reload(trial.random_elements())


class Stop(Scenario):
    """SIGTERM at random moments, and a new start"""

    event = "stops"
    inputs = ("file",)
    outputs = ANY_OUTPUT
    survives = "stop"

    def during(self, trial):
        while trial.busy():
            trial.pause(trial.dice.choice((0, 0.05, 0.3, 1)))
            trial.stop()
            trial.start(trial.random_elements())


class StopUnderLoad(Scenario):
    """SIGTERM while every kind of source sends; what was read leaves, as far as on a plain path"""

    event = "stops under load"
    outputs = ("file",)
    loses_tail_of = ANY_INPUT[:-1]
    narrowed = {"messages": (100_000,), "copy": ("plain",)}

    def during(self, trial):
        trial.wait_until(trial.something_came_out)
        trial.pause(trial.dice.uniform(0, 0.1))
        under_load = trial.busy()
        trial.give_up_sending()
        trial.stop()
        if under_load:
            trial.count(self.event)
        trial.start()


class Kill(Scenario):
    """kill -9 at random moments, and a new start"""

    event = "kills"
    inputs = ("file",)
    survives = "kill"

    def during(self, trial):
        while trial.busy():
            trial.pause(trial.dice.choice((0.05, 0.3, 1)))
            trial.kill()
            trial.start(trial.random_elements())


def pause_midway(trial):
    """Short more often than long: that is where most happens."""
    trial.pause(MIDWAY_SECONDS * trial.dice.random() ** 3)


class ReloadTwice(Scenario):
    """a reload while another one is under way"""

    event = "reloads in a reload"
    narrowed = {"messages": (10_000, 40_000)}

    def during(self, trial):
        while trial.busy():
            trial.begin_reload(trial.random_elements())
            pause_midway(trial)
            if trial.reloading():
                trial.count(self.event)
            trial.begin_reload(trial.random_elements())
            trial.settle()
            trial.pause(trial.dice.uniform(0, STORM_SECONDS))


class StopMidway(Scenario):
    """SIGTERM in the middle of a reload or a start, and a new start"""

    event = "stops midway"
    inputs = ("file",)
    survives = "stop"
    narrowed = {"messages": (10_000, 40_000)}
    ends_by = signal.SIGTERM

    def during(self, trial):
        while trial.busy():
            trial.pause(trial.dice.choice((0, 0.05, 0.3)))
            for _ in range(trial.dice.choice((1, 1, 2))):
                trial.begin_reload(trial.random_elements())
                pause_midway(trial)
            self._end(trial)
            for _ in range(trial.dice.choice((0, 1, 2))):
                trial.begin_start(trial.random_elements())
                pause_midway(trial)
                if trial.dice.random() < 0.3:
                    trial.begin_reload(trial.random_elements())
                    pause_midway(trial)
                self._end(trial)
            trial.start(trial.random_elements())

    def _end(self, trial):
        if trial.starting() or trial.reloading():
            trial.count(self.event)
            trial.count("in a start" if trial.starting() else "in a reload")
        trial.end_with(self.ends_by)


class KillMidway(StopMidway):
    """kill -9 in the middle of a reload or a start, and a new start"""

    event = "kills midway"
    survives = "kill"
    ends_by = signal.SIGKILL


class MemoryLimit(Scenario):
    """a destination that takes nothing, and no more memory than what the sources' windows hold"""

    event = "full windows"
    outputs = ("stalled server",)
    # several times as much as the limit, on a path that hands everything over at once; and not so many keys that the
    # host's own counters of each $PROGRAM take it
    narrowed = {"messages": (100_000,), "filling": ("mixed",), "burns": ((10,),), "works": ((0,),), "connections": (1, 3),
                "window": (200, 1000), "workers": (1, 2, 4), "queue": (MEMORY,), "keys": (1, 2, 5, 100, 1000)}

    def missing(self):
        return "AddressSanitizer keeps the memory that is freed" if environment.address_sanitizer() else None

    def during(self, trial):
        most = trial.drawn.most_unacknowledged(RELOADS_WHILE_STALLED)
        trial.limit_memory(SLACK_MIB + most * trial.drawn.bytes_in_memory() / MIB)
        for _ in range(RELOADS_WHILE_STALLED):
            trial.wait_until_nothing_is_read()
            trial.reload()
        trial.wait_until_nothing_is_read()
        trial.check_memory(most)


class MemoryExhausted(Scenario):
    """the host gets no more memory and aborts, and is started again without a limit"""

    event = "deaths"
    inputs = ("file",)
    outputs = ("stalled server",)
    survives = "kill"
    narrowed = {"messages": (40_000,), "filling": ("small", "mixed"), "window": (100_000,),
                "queue": (MEMORY, MEMORY, MEMORY, RELIABLE_DISK)}

    def missing(self):
        return "AddressSanitizer needs memory before the host does" if environment.address_sanitizer() else None

    def during(self, trial):
        trial.limit_memory(trial.dice.uniform(*EXHAUSTED_MIB))
        while trial.busy() and trial.daemon.running():
            trial.pause(STORM_SECONDS)
        if not trial.daemon.running():
            trial.died_of_the_limit()
            trial.start()
        else:
            trial.limit_memory(None)


class ThreadsRefused(Scenario):
    """no thread for a new configuration: the old one comes back"""

    event = "refused"
    inputs = RefusedInit.inputs

    def start_arguments(self, trial):
        return {"preload": [trial.test_modules / "preload/librefusethreads.so"],
                "variables": {"TEST_MAX_THREADS": str(THREADS)}}

    def during(self, trial):
        too_many = [trial.element_with_workers(2 * THREADS)]
        while trial.busy():
            trial.refused_reload(trial.configuration(too_many), r"Error creating the worker threads", off_too=False)
            trial.pause(STORM_SECONDS)
            trial.reload(trial.random_elements())


class FullDisk(Scenario):
    """the destination's file system is full for a while"""

    event = "full disks"
    outputs = ("file",)
    output_folder = "small/"
    narrowed = {"messages": (40_000,)}      # more than fits

    def missing(self):
        if os.geteuid() != 0:
            return "only root may mount a small tmpfs"
        probe = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/mnt"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return f"no tmpfs may be mounted here: {probe.stdout.strip()}" if probe.returncode else None

    @contextlib.contextmanager
    def environment(self, trial):
        folder = trial.folder / self.output_folder
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_KIB}k", "none", folder], check=True)
        try:
            yield
        finally:
            if trial.faults:
                shutil.copytree(folder, trial.folder / "kept-small", dirs_exist_ok=True)
            subprocess.run(["umount", "--lazy", folder], check=True)

    def during(self, trial):
        folder = trial.folder / self.output_folder
        trial.wait_until(lambda: not trial.busy() or self._is_full(trial))
        if self._is_full(trial):
            trial.count(self.event)
            trial.host_is_confused()
        trial.pause(trial.dice.uniform(0, 2))
        subprocess.run(["mount", "-o", "remount,size=1g", folder], check=True)
        while trial.busy():
            trial.pause(STORM_SECONDS)

    @staticmethod
    def _is_full(trial):
        return trial.daemon.logged("No space left on device")


class Clock(Scenario):
    """the daemon's clock jumps back and forth"""

    event = "clock steps"

    def start_arguments(self, trial):
        self._set_clock(trial, 0)
        return {"preload": [trial.test_modules / "preload/libshiftclock.so"],
                "variables": {"TEST_CLOCK_FILE": str(trial.folder / "clock")}}

    def during(self, trial):
        while trial.busy():
            self._set_clock(trial, trial.dice.choice((-3600, -86400, -10, -1, 10, 3600)))
            trial.count(self.event)
            trial.pause(3 * STORM_SECONDS)
            trial.reload()
        self._set_clock(trial, 0)

    @staticmethod
    def _set_clock(trial, seconds):
        # in place: the daemon has the file mapped
        with (trial.folder / "clock").open("r+b" if (trial.folder / "clock").exists() else "wb", buffering=0) as file:
            file.write(struct.pack("q", seconds))


class StopAndGo(Scenario):
    """SIGSTOP and SIGCONT"""

    event = "halts"

    def during(self, trial):
        while trial.busy():
            os.kill(trial.daemon.pid, signal.SIGSTOP)
            trial.count(self.event)
            trial.pause(trial.dice.uniform(0, 0.5))
            os.kill(trial.daemon.pid, signal.SIGCONT)
            trial.pause(trial.dice.uniform(0, 0.5))
            if trial.dice.random() < 0.3:
                trial.reload()


SCENARIOS = {
    "load": Scenario,
    "reload-storm": ReloadStorm,
    "change": Change,
    "broken": Broken,
    "refused-init": RefusedInit,
    "stop": Stop,
    "stop-under-load": StopUnderLoad,
    "kill": Kill,
    "reload-twice": ReloadTwice,
    "stop-midway": StopMidway,
    "kill-midway": KillMidway,
    "memory-limit": MemoryLimit,
    "memory-exhausted": MemoryExhausted,
    "threads-refused": ThreadsRefused,
    "full-disk": FullDisk,
    "clock": Clock,
    "stop-and-go": StopAndGo,
}
