# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Random soups of options, checked by `syslog-ng --syntax-only`: never a crash, and always success or an error that says
where: in which file, and in which of the statement's lines.

Several statements are checked at once; when they fail, each of them is checked alone.
"""

import concurrent.futures
import os
import pathlib
import random
import re
import subprocess
import tempfile

from harness.daemon import SIGNS_OF_A_CRASH, Daemon

AT_ONCE = 8

NUMBERS = ("0", "1", "2", "8", "1024", "1025", "-1", "007", "0x10", "1.5", "1e3", "99999999999999999999", "100000001",
           "4294967296", "''", "\"3\"", "auto", "yes")
STRINGS = ('""', '"$HOST"', '"${HOST}"', '"$(echo $HOST)"', '"$(nonsense)"', '"${unclosed"', '"$("', '"%s%n"', "'$PROGRAM'",
           '"\\n\\t\\x00"', '"a\\"b"', '"' + "k" * 5000 + '"', '"${.sdata.a@1.b:-x}"', "bareword", "12", '"é\\xff"', "`undefined`",
           'string("$HOST")', 'int64(5)', 'nonsense("x")', 'string(',
           '"$(list-head ${a})"', '"@define x y"', '"#"', '"$(if (\'${A}\' eq \'b\') \'c\' \'d\')"')
NUMERIC = ("workers", "partitions", "batch-size", "batch_size", "log-fetch-limit", "log_fetch_limit", "prefetch")
TEXTUAL = ("worker-partition-key", "worker_partition_key", "partition-key", "partition_key", "id")
WORDS = ("empty-key(ordered)", "empty-key(round-robin)", "empty_key(round_robin)", "empty-key()", "empty-key(nonsense)",
         "nonsense(1)", "workers", "workers()", "parallelize()", "(", ")", "()", "{", "}", ";", ",", "#x\n", "->", "@", "\\",
         "\n", "..", "flags(no-parse)", "log-fifo-size(1)", "\x01", "workers(2", "'")
PLACES = (
    "log {{ source {{ internal(); }}; {}; destination {{ file(\"/dev/null\"); }}; }};",
    "log {{ source {{ internal(); }}; {}; {}; destination {{ file(\"/dev/null\"); }}; }};",
    "log {{ source {{ internal(); }}; parser {{ {}; }}; }};",
    "parser p_{number} {{ {}; }};",
    "parser p_{number} {{ channel {{ {}; }}; }};",
    "log {{ source {{ channel {{ source {{ internal(); }}; {}; }}; }}; }};",
    "destination d_{number} {{ channel {{ {}; destination {{ file(\"/dev/null\"); }}; }}; }};",
    "log {{ source {{ internal(); }}; if (\"${{HOST}}\" eq \"a\") {{ {}; }} else {{ {}; }}; }};",
    "log {{ source {{ internal(); }}; junction {{ channel {{ {}; }}; channel {{ {}; flags(final); }}; }}; }};",
    "block parser b_{number}(n(2)) {{ {}; }}; log {{ source {{ internal(); }}; parser {{ b_{number}(n(3)); }}; }};",
    "rewrite r_{number} {{ channel {{ {}; }}; }};",
    "filter f_{number} {{ {}; }};",
    "source s_{number} {{ {}; }};",
    "options {{ {}; }};",
    "{};",
)


class Soup:
    def __init__(self, seed):
        self._dice = random.Random(seed)

    def statement(self, number):
        place = self._dice.choice(PLACES)
        elements = [self._element() for _ in range(2)]
        text = place.format(*elements, number=number)
        return self._spoilt(text) if self._dice.random() < 0.15 else text

    def _element(self):
        dice = self._dice
        name = dice.choice(("parallelize",) * 8 + ("parallelize-element", "resequence"))
        options = [self._option() for _ in range(dice.choice((0, 1, 1, 2, 3, 6)))]
        return f"{name}({dice.choice((' ', '', chr(10))).join(options)})"

    def _option(self):
        dice = self._dice
        kind = dice.random()
        if kind < 0.45:
            return f"{dice.choice(NUMERIC)}({dice.choice(NUMBERS) if dice.random() < 0.4 else dice.randrange(1, 50)})"
        if kind < 0.85:
            return f"{dice.choice(TEXTUAL)}({dice.choice(STRINGS)})"
        return dice.choice(WORDS)

    def _spoilt(self, text):
        """Something is missing, twice there, or out of place."""
        begin, end = sorted((self._dice.randrange(len(text)), min(len(text), self._dice.randrange(len(text)) + 10)))
        piece = text[begin:end]
        return self._dice.choice((
            text[:begin] + text[end:], text[:end] + piece + text[end:], text[:begin] + piece[::-1] + text[end:], text[:end],
        ))


class Checker:
    """Counts what came out of it."""

    def __init__(self, folder, test_modules):
        self._folder = folder
        self._test_modules = test_modules
        self.valid = self.invalid = 0
        self.faults = []

    def check(self, seed):
        """A batch of statements."""
        soup = Soup(seed)
        statements = [soup.statement(number) for number in range(AT_ONCE)]
        if not self._passes("\n".join(statements), seed):
            statements = [statement for statement in statements if self._passes(statement, seed, alone=True)]
            self.invalid += AT_ONCE - len(statements)
        self.valid += len(statements)

    def _passes(self, text, seed, alone=False):
        """alone: an error has to be a good one."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            daemon = Daemon(folder, self._test_modules)
            daemon.config_file.write_bytes((daemon.head() + text + "\n").encode(errors="surrogateescape"))
            try:
                done = daemon.check_syntax()
            except subprocess.TimeoutExpired as timeout:
                self._fault(seed, text, "it hangs", str(timeout))
                return False
        crash = SIGNS_OF_A_CRASH.search(done.stdout)
        if done.returncode < 0 or crash:
            self._fault(seed, text, f"exit code {done.returncode}, {crash and crash[0]}", done.stdout)
        elif done.returncode != 0 and alone and not says_where(done.stdout, daemon, text):
            self._fault(seed, text, "an error that does not say where", done.stdout)
        return done.returncode == 0

    def _fault(self, seed, text, reason, output):
        self.faults.append(f"{reason} (seed {seed})\n--- configuration\n{text}\n--- output\n{output[-2000:]}")


def says_where(output, daemon, text):
    """Whether it names the file, and a line of the text or the end of the file behind it."""
    first = daemon.head().count("\n") + 1
    lines = range(first, first + text.count("\n") + 2)
    return any(int(line) in lines for line in re.findall(rf"{re.escape(str(daemon.config_file))}:(\d+)\b", output))


def run(count, seed, folder, test_modules):
    """Checks at least `count` statements; returns the checker."""
    checker = Checker(pathlib.Path(folder), test_modules)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(checker.check, range(seed, seed + -(-count // AT_ONCE))))
    return checker
