# SPDX-License-Identifier: LGPL-2.1-or-later
"""One trial: a daemon, those who send to it, what it writes to, and the scenario that attacks it."""

import contextlib
import dataclasses
import os
import re
import resource
import signal
import subprocess
import time
import traceback
from collections import Counter
from pathlib import Path

import outputs
import plan
import traffic
import verdict
from harness import environment
from harness.daemon import Daemon
from harness.network import free_port
from harness.waiting import POLL_SECONDS, poll
from scenarios import MIB

STUCK_SECONDS = 60
COUNTERS_SECONDS = 2            # by then they are up to date
NOTHING_READ_SECONDS = 0.5
DELIVERED_MESSAGES = 200        # at most so many are in the kernel's buffers towards a server that takes nothing
KILLED_MESSAGES = 1000          # at most so many were written when the daemon was killed, and not yet acknowledged
DYING_SECONDS = 2               # from the first sign of it
ALLOCATED = "global;msg_allocated_bytes;"
SIGNS_OF_EXHAUSTION = re.compile(r"failed to allocate|bad_alloc|Cannot allocate memory|Resource temporarily unavailable")


@dataclasses.dataclass
class Outcome:
    messages: int
    seconds: float
    events: str
    reached: bool       # what makes the trial one of its scenario
    faults: list

    def summary(self):
        return f"{self.messages} messages in {self.seconds:.1f} s; {self.events}"

    def amounts(self):
        """Messages by kind of fault."""
        amounts = Counter()
        for fault in self.faults:
            amounts[fault.kind] += fault.amount
        return amounts


class Stuck(Exception):
    pass


def run(drawn, folder, test_modules, off, strictly=True):
    """off: without the element; strictly: then the order has to be what the host alone keeps."""
    trial = Trial(drawn, folder, test_modules, off, drawn.order(off and strictly))
    started = time.monotonic()
    try:
        with drawn.scenario.environment(trial):
            trial.go()
    finally:
        trial.end()
    return Outcome(sum(trial.sent().values()), time.monotonic() - started, trial.events(),
                   trial.reached(), trial.faults)


class Trial:
    """What a scenario sees."""

    def __init__(self, drawn, folder, test_modules, off, order):
        self.drawn = drawn
        self.folder = folder
        self.test_modules = Path(test_modules)
        self.dice = drawn.random()
        self.daemon = Daemon(folder, test_modules)
        self.faults = []
        self._off = off
        self._ports = [free_port() for _ in drawn.inputs]
        self._elements = drawn.elements[:1]
        self._attack_ends = None
        self._senders = []
        self._outputs = []
        self._checks = []
        self._counts = {}
        self._notes = []
        self._commands = []
        self._replays_begin = {}    # by source
        self._open_replays = []     # (source, verdict.Replay)
        self._state_is_kept = False
        self._windows_count = True
        self._tail_may_miss = frozenset(name for part in drawn.inputs if part.kind in drawn.scenario.loses_tail_of
                                        for name in part.senders)
        self._promises = [verdict.Promise(order=order, empty_key_ordered=drawn.empty_key_ordered,
                                          tail_may_miss=self._tail_may_miss)
                          for order in (order, "total" if drawn.copy == "plain" else order)]

    def go(self):
        try:
            self._prepare()
            self._attack()
            self._wait_for_everything()
            self._check_windows()
            self.daemon.stop()
            self._check_bookmarks()
        except Stuck as stuck:
            self._fault("crash" if self._is_dead() else "stuck", str(stuck))
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            self._fault("crash" if self._is_dead() else "daemon", str(error))
        except Exception:       # what the trial itself did not expect
            self._fault(verdict.UNEXPECTED, traceback.format_exc())
        if self.faults:
            self._keep_state()
        self._read_outputs()
        self._promises[0].slips = self._outputs[0].hang_ups
        for check in self._checks:
            self.faults += check.finish(self.sent())
        if self._tail_may_miss:
            self.faults += verdict.compare_reach(*self._checks, sorted(self._tail_may_miss))
        if self.faults:
            self._describe_outputs()

    def end(self):
        for sender in self._senders:
            sender.give_up.set()
        if self.daemon.running():
            self.daemon.kill()
        for command in self._commands:
            command.wait()
        for part in (*self._senders, *self._outputs):
            part.close()

    def sent(self):
        """What has to come out, by source."""
        return {sender.stream.name: sender.stream.produced for sender in self._senders}

    def events(self):
        return ", ".join([f"{count} {event}" for event, count in self._counts.items()] + self._notes) or "undisturbed"

    def reached(self):
        return self._counts.get(self.drawn.scenario.event, 0) >= self.drawn.scenario.least

    # for scenarios: time

    def busy(self):
        """Messages are still on their way, and the attack has not lasted too long."""
        self._read_outputs()
        return time.monotonic() < self._attack_ends and not self._complete()

    def pause(self, seconds):
        time.sleep(seconds)

    def take_turns(self, seconds):
        """Every so many seconds, for as long as busy(); at once if the last turn has taken longer."""
        due = time.monotonic()
        while self.busy():
            yield
            due = max(due + seconds, time.monotonic())
            self.pause(max(0, due - time.monotonic()))

    def wait_until(self, condition):
        poll(condition, STUCK_SECONDS)

    def something_came_out(self):
        return self._read_outputs() > 0

    def handed_over(self):
        """Batches, to the workers."""
        def batches():
            return self.daemon.counter("parallelize;.*;batches$")

        return poll(batches, COUNTERS_SECONDS)

    # for scenarios: configurations

    def configuration(self, elements=None):
        return self.drawn.configuration(self._ports, self._elements if elements is None else elements, self._off)

    def random_elements(self):
        """None, one, or two of them."""
        return self.dice.sample(self.drawn.elements, k=self.dice.choice((0, 1, 1, 1, 2)))

    def element_with_workers(self, workers):
        return dataclasses.replace(self.drawn.elements[0], workers=workers)

    def reload(self, elements=None):
        if elements is not None:
            self._elements = elements
        with self._host_may_repeat():
            assert self.daemon.reload(self.configuration()), "a good configuration was refused"
        self.count("reloads")

    def refused_reload(self, text, reason, off_too=True):
        """`off_too`: without the element the configuration would be refused as well."""
        if self._off and (not off_too or "parallelize" in text):
            return self.reload()
        said_before = len(self.daemon.log())
        with self._host_may_repeat():
            assert not self.daemon.reload(text), "a bad configuration was taken"
        assert re.search(reason, self.daemon.log()[said_before:]), f"no reason like {reason!r} was given"
        self.count("refused")

    # for scenarios: life

    def start(self, elements=None):
        if elements is not None:
            self._elements = elements
        with self._host_may_repeat() if "starts" in self._counts else contextlib.nullcontext():
            self.daemon.start(self.configuration(), **self.drawn.scenario.start_arguments(self))
        self.count("starts")

    def stop(self):
        self.daemon.stop()
        self.count("stops")

    def kill(self):
        self.count("kills")
        self._note_kill()
        self.daemon.kill()

    # for scenarios: the middle of things

    def begin_reload(self, elements):
        """Returns while the daemon is at it, or has not even begun. It may refuse, if it is at another one."""
        self._expect_repeats()
        self._elements = elements
        # in one piece: the daemon may be reading the one before
        fresh = self.daemon.path("syslog-ng.conf.new")
        fresh.write_text(self.daemon.head() + self.configuration())
        fresh.replace(self.daemon.config_file)
        if self.dice.random() < 0.5:
            os.kill(self.daemon.pid, signal.SIGHUP)
        else:
            self._commands.append(subprocess.Popen(
                [environment.SYSLOG_NG_CTL, f"--control={self.daemon.control_socket}", "reload"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def reloading(self):
        """The new configuration is being parsed, or initialized."""
        said = self.daemon.logged("Setting current version|syslog-ng starting up|Configuration reload finished")
        return bool(said) and "Setting current version" in said[-1]

    def settle(self):
        """Until nothing is left of begin_reload()."""
        for command in self._commands:
            command.wait(STUCK_SECONDS)
        # a signal is looked at before a command that comes later
        self.daemon.wait_for(lambda: self.daemon.stats() and not self.reloading(), "the end of all reloads", STUCK_SECONDS)
        self._end_replays()

    def begin_start(self, elements):
        self._expect_repeats()
        self._elements = elements
        self.daemon.launch(self.configuration(), **self.drawn.scenario.start_arguments(self))

    def starting(self):
        return not self.daemon.logged("syslog-ng starting up")

    def end_with(self, number):
        """SIGTERM or SIGKILL, whatever the daemon is at."""
        codes = {0}
        if number == signal.SIGKILL:
            self._note_kill()
            codes = {-number}
        if self.starting():
            # the host has not asked for signals yet
            codes |= {-signal.SIGTERM, -signal.SIGHUP}
        os.kill(self.daemon.pid, number)
        code = self.daemon.wait_for_exit()
        assert code in codes, f"exit code {code}\n{self.daemon.log()[-3000:]}"
        self._end_replays()
        if code in (-signal.SIGTERM, -signal.SIGHUP):
            self.count("before it listens to signals")
        self.daemon.check_log()

    def give_up_sending(self):
        for sender in self._senders:
            sender.give_up.set()

    def limit_memory(self, more_mib):
        """Of writable memory, beyond what it has now; None: no limit."""
        if more_mib is None:
            limit = resource.RLIM_INFINITY
        else:
            self._memory_before = self._writable_bytes()
            limit = self._memory_before + int(more_mib * MIB)
        resource.prlimit(self.daemon.pid, resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
        self._memory_limit = more_mib

    def wait_until_nothing_is_read(self):
        """The sources' windows are full, or everything has been read."""
        last, since = -1, 0

        def quiet():
            nonlocal last, since
            received = self._received()
            if received != last:
                last, since = received, time.monotonic()
            return time.monotonic() - since > NOTHING_READ_SECONDS

        self.daemon.wait_for(quiet, lambda: f"a pause in reading, after {last} messages", STUCK_SECONDS)

    def check_memory(self, most_unacknowledged):
        """After limit_memory(), and while the destination takes nothing."""
        received = self._received()
        if received < sum(sender.stream.count for sender in self._senders):
            self.count("full windows")
        if received > most_unacknowledged + DELIVERED_MESSAGES:
            self._fault("window", f"{received} messages have been read, the windows have {most_unacknowledged}")
        grown = (self._writable_bytes() - self._memory_before) / MIB
        self._notes.append(f"grown by {grown:.0f} MiB of {self._memory_limit:.0f}")

    def died_of_the_limit(self):
        self._note_kill()
        code = self.daemon.wait_for_exit()
        assert code in (-signal.SIGABRT, -signal.SIGTRAP) and SIGNS_OF_EXHAUSTION.search(self.daemon.log()), \
            f"exit code {code}, and no word of memory"
        self.count("deaths")

    def count(self, event, times=1):
        if times:
            self._counts[event] = self._counts.get(event, 0) + times

    def host_is_confused(self):
        """Without the element, too, it now repeats messages and acknowledges them twice: only losses count."""
        self._windows_count = False
        self._promises[0] = self._checks[0].promise = dataclasses.replace(
            self._promises[0], order="none", torn_lines=1, replays={name: [verdict.Replay()] for name in self.sent()})

    # below: private

    def _note_kill(self):
        for promise in self._promises:
            # what a disk-buffer has begins again, and so does what a file source brings
            promise.kills += 2 if self.drawn.queue == outputs.RELIABLE_DISK else 1
            promise.torn_lines += 1
            if self.drawn.queue == outputs.RELIABLE_DISK:
                promise.replays = {name: [verdict.Replay()] for name in self._file_windows()}
        if self.drawn.queue == outputs.MEMORY:
            self._grant_replays(KILLED_MESSAGES, ordered=self.drawn.output not in outputs.SERVERS)

    def _file_windows(self):
        return {name: part.window for part in self.drawn.inputs if part.kind == "file" for name in part.senders}

    @contextlib.contextmanager
    def _host_may_repeat(self):
        """
        Each time a network destination is initialized again, the host sends once more what was not quite written, and
        a file source reads again from the oldest message that has not been acknowledged: what still waits in the
        destination's queue, and what has overtaken that. As the window opens in the order of the source, all this is
        no more than a window.
        """
        self._expect_repeats()
        yield
        self._end_replays()

    def _expect_repeats(self):
        if self.drawn.output in outputs.SERVERS:
            self._promises[0].repeats += 1
            self._grant_replays()

    def _grant_replays(self, more=0, ordered=False):
        """
        Of what a file source has brought and not all destinations had the first time; `more`: they have it, and did not
        say so. Later times may go back as far: what is read again waits behind what waits already, and moves the
        bookmark only then.
        """
        self._read_outputs()
        for name, window in self._file_windows().items():
            first_missing = min(check.complete_up_to(name) for check in self._checks)
            begin = self._replays_begin.setdefault(name, max(0, first_missing - more))
            for promise in self._promises:
                replay = verdict.Replay(begin, most=window + more, ordered=ordered)
                promise.replays[name].append(replay)
                self._open_replays.append((name, replay))

    def _end_replays(self):
        """What is read from now on has not been read before."""
        sent = self.sent()
        for name, replay in self._open_replays:
            replay.end = sent[name]
        self._open_replays.clear()

    def _writable_bytes(self):
        status = self.daemon.process_status()
        assert "VmData" in status, "the daemon has no memory any more"
        return int(status["VmData"].split()[0]) * 1024

    def _received(self):
        return self.daemon.stats().get("center;;received;processed", 0)

    def _fault(self, kind, text):
        self.faults.append(verdict.Fault(kind, text))

    def _prepare(self):
        drawn = self.drawn
        self._outputs = [self._open_output(drawn.output)] + ([outputs.File(self.folder / "copy")] if drawn.copy else [])
        for index, part in enumerate(drawn.inputs):
            self._senders += [self._new_sender(part.kind, index, name) for name in part.senders]
        sent = {sender.stream.name: sender.stream.count + (isinstance(sender, traffic.FileSender))
                for sender in self._senders}
        self._checks = [verdict.Check(promise, sent, place)
                        for promise, place, _ in zip(self._promises, ("out", "copy"), self._outputs)]
        for index, part in enumerate(drawn.inputs):
            if part.kind == "file":
                (self.folder / f"{index}.in").touch()

    def _open_output(self, name):
        if name in outputs.SERVERS:
            return outputs.SERVERS[name](self.daemon.port2, self.drawn.random(), self.folder / "received")
        return outputs.File(self.folder / self.drawn.scenario.output_folder / "out")

    def _new_sender(self, kind, index, name):
        stream = traffic.Stream(**plan.stream_arguments(self.drawn, name))
        path = self.folder / f"{index}.sock"
        if kind == "tcp":
            return traffic.tcp_sender(stream, self._ports[index])
        if kind == "udp":
            return traffic.UdpSender(stream, self._ports[index])
        if kind == "unix-stream":
            return traffic.unix_stream_sender(stream, path)
        if kind == "unix-dgram":
            return traffic.UnixDatagramSender(stream, path)
        return traffic.FileSender(stream, self.folder / f"{index}.in")

    def _attack(self):
        self.start()
        self._attack_ends = time.monotonic() + self.drawn.attack_seconds
        for sender in self._senders:
            sender.start()
        self.drawn.scenario.during(self)
        self._outputs[0].calm_down()

    def _read_outputs(self):
        lines = 0
        for output, check in zip(self._outputs, self._checks):
            for line in output.take_lines():
                check.add(line)
                lines += 1
        return lines

    def _complete(self):
        if any(sender.is_alive() for sender in self._senders):
            return False
        return self._missing() == 0

    def _missing(self):
        """Of the sources whose messages must all come out."""
        sent = {source: count for source, count in self.sent().items() if source not in self._tail_may_miss}
        return sum(check.missing(sent) for check in self._checks)

    def _wait_for_everything(self):
        deadline = time.monotonic() + STUCK_SECONDS
        while not self._complete():
            if self._read_outputs():
                deadline = time.monotonic() + STUCK_SECONDS
            if not self.daemon.running():
                raise AssertionError(f"the daemon has ended\n{self.daemon.log()[-3000:]}")
            errors = [sender.error for sender in self._senders if sender.error]
            if errors:
                raise Stuck(errors[0])
            if time.monotonic() > deadline:
                raise Stuck(f"nothing came out for {STUCK_SECONDS} s, {self._missing()} messages are missing")
            time.sleep(POLL_SECONDS)

    def _check_windows(self):
        """
        All is acknowledged: every source has its whole window again, and no message is left in memory. Several connections
        of one unix socket share their counters, which then mean nothing; and what comes out of a disk-buffer is taken off the
        memory in use without having been added to it.
        """
        if not self._windows_count:
            return
        shared = any(part.kind == "unix-stream" for part in self.drawn.inputs)

        def all_free():
            stats = self.daemon.stats()
            left = [number for name, number in stats.items() if name.startswith(ALLOCATED)]
            return (left == [0] or self.drawn.queue != outputs.MEMORY) and stats and all(
                number == stats.get(name.replace("free_window", "full_window"))
                for name, number in stats.items() if name.endswith("free_window") and not (shared and "AF_UNIX" in name))

        if not poll(all_free, STUCK_SECONDS / 4):
            windows = [f"{name}={number}" for name, number in self.daemon.stats().items()
                       if name.endswith("_window") or name.startswith(ALLOCATED)]
            self._fault("ack", "; ".join(windows))
            self._keep_state()

    def _check_bookmarks(self):
        """A file source goes on where it ended: one more message comes, and nothing else."""
        files = [sender for sender in self._senders if isinstance(sender, traffic.FileSender)]
        if not files:
            return
        self.start()
        for sender in files:
            sender.send_one_more()
        self._wait_for_everything()
        self.daemon.stop()

    def _is_dead(self):
        """Or about to be: its connections may end before it does, and a core takes a while."""
        poll(lambda: not self.daemon.running(), DYING_SECONDS)
        poll(lambda: self.daemon.process_status().get("CoreDumping") != "1", STUCK_SECONDS)
        return not self.daemon.running()

    def _describe_outputs(self):
        (self.folder / "outputs").write_text("".join(f"{output.describe()}\n" for output in (*self._outputs, *self._checks)))

    def _keep_state(self):
        """For whoever has to find out: what all threads do, and the counters, or what a core says of it; the first time."""
        if self._state_is_kept:
            return
        self._state_is_kept = True
        if self.daemon.running():
            (self.folder / "stats").write_text("".join(f"{name}={number}\n"
                                                       for name, number in self.daemon.stats().items()))
            target = ["-p", str(self.daemon.pid)]
        else:
            core = _find_core(self.daemon)
            if not core:
                return
            target = ["/usr/sbin/syslog-ng", str(core)]
        with (self.folder / "stacks").open("wb") as stacks, contextlib.suppress(OSError):
            subprocess.run(["gdb", "-batch", "-ex", "thread apply all bt", *target], stdout=stacks,
                           stderr=subprocess.STDOUT, timeout=120)


def _find_core(daemon):
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith("|"):
        return None
    name = pattern.replace("%p", str(daemon.pid)).replace("%e", "syslog-ng")
    candidates = [daemon.directory / name, daemon.directory / f"{name}.{daemon.pid}"]
    return next((path for path in candidates if path.exists()), None)
