# SPDX-License-Identifier: LGPL-2.1-or-later
"""
A snippet: a piece of configuration as an administrator writes it, in a file of its own, tests/differential/snippets/
NAME.conf. Other files NAME.* are put into the daemon's directory.

Either it has a log path of its own, or it is a part of one: then it stands between the element and a file destination.
The first comment says what it is. Further comments at its beginning:

  # template: TEXT      a part's output: a template, in double quotes. Several are joined by "|"
  # source: KIND ...    syslog (the default: RFC 5424, lines may be within), bsd, or raw (bsd with flags(no-parse)); then
                        further options of the source
  # key: TEMPLATE       what the order is kept for (default: ${HOST} ${PROGRAM})
  # needs: VERSION (REASON)         of the daemon, at least
  # needs: module NAME              libNAME.so of the daemon
  # needs: filterx                of the daemon
  # needs: file NAME                below /usr/share/syslog-ng/include
  # VARIANT: skip (REASON)          not with this variant
  # VARIANT: totals (REASON)        compare sums of the last number of each record

In the text, in backticks: `element` is the place of the element, `resequence` of a resequence(), `begin` and `end` are what
a record begins and ends with, `dir` is the daemon's directory. The source is called s_input.
"""

import dataclasses
import re
from pathlib import Path

from harness import environment

SNIPPETS = Path(__file__).resolve().parent / "snippets"
INCLUDES = Path("/usr/share/syslog-ng/include")
VARIANTS = ("round-robin", "keyed", "resequenced")
DRIVERS = {"syslog": ("syslog", ""), "bsd": ("network", ""), "raw": ("network", "flags(no-parse)")}
KEY = "${.test.key}"
# What the element is for. Without this cost, the thread that reads would process all messages itself.
COST = 'filter { "$(test-burn-up-to MICROSECONDS)" eq "" };'
SOURCE = """
options { log-fifo-size(1000000); };
source s_input {
    channel {
        source {
            DRIVER(ip("127.0.0.1") port(`port`) transport("tcp") max-connections(1) log-iw-size(20000)
                   log-fetch-limit(1000) OPTIONS);
        };
        rewrite { set("KEY" value(".test.key")); };
    };
};
"""
PART = """
log {
    source(s_input);
    `element`
    PART
    `resequence`
    destination { file("`dir`/out" template("`begin`TEMPLATE`end`")); };
    flags(flow-control);
};
"""


@dataclasses.dataclass
class Snippet:
    name: str
    path: Path
    text: str
    what: str
    settings: list      # of (name, value)

    def get(self, name, default=None):
        return next((value for key, value in self.settings if key == name), default)

    def missing(self):
        """Why the daemon cannot run it, or nothing."""
        for need in (value for key, value in self.settings if key == "needs"):
            kind, _, name = need.partition(" ")
            if kind == "module" and not (Path(environment.host_module_directory()) / f"lib{name}.so").exists():
                return f"the daemon has no module {name}"
            if kind == "file" and not (INCLUDES / name).exists():
                return f"no {name} is installed"
            if kind == "filterx" and not environment.host_has_filterx():
                return "the daemon has no filterx"
            if kind[0].isdigit() and numbers(environment.host_version()) < numbers(kind):
                return f"needs syslog-ng {need}"
        return None

    def exception(self, variant):
        """("skip" or "totals", reason), or nothing."""
        value = self.get(variant)
        return re.fullmatch(r"(skip|totals) \((.*)\)", value).groups() if value else None

    def source_kind(self):
        return self.get("source", "syslog").split()[0]

    def configuration(self, variant, options, cost, kind):
        """Without its head. `variant`: None for no element; `cost`: of a message, at most, in microseconds."""
        driver, source_options = DRIVERS[kind]
        source_options += " " + self.get("source", "").partition(" ")[2]
        source = SOURCE.replace("DRIVER", driver).replace("OPTIONS", source_options)
        text = self.text
        if not re.search(r"^log\b", text, re.MULTILINE):
            template = "|".join(value for key, value in self.settings if key == "template")
            text = PART.replace("PART", text).replace("TEMPLATE", template)
        key = f'worker-partition-key("{KEY}")' if variant == "keyed" else ""
        element = COST.replace("MICROSECONDS", str(cost))
        if variant:
            element = f"parallelize({options} {key}); {element}"
        resequence = "resequence();" if variant == "resequenced" else ""
        return (source.replace("KEY", self.get("key", "${HOST} ${PROGRAM}"))
                + text.replace("`element`", element).replace("`resequence`", resequence)
                .replace("`begin`", KEY + "\\t").replace("`end`", "\\x1e\\n"))

    def files(self):
        return [path for path in SNIPPETS.glob(f"{self.name}.*") if path != self.path]


def numbers(version):
    return [int(number) for number in version.split(".")]


def read(path):
    head = re.match(r"(?:#.*\n)*", path.read_text())[0]
    comments = [line.removeprefix("#").strip() for line in head.splitlines()]
    comments = [line for line in comments if line and not line.startswith("SPDX-License-Identifier:")]
    found = [re.fullmatch(r"(template|source|key|needs|round-robin|keyed|resequenced): (.*)", line) for line in comments]
    return Snippet(path.stem, path, path.read_text()[len(head):], comments[0], [each.groups() for each in found if each])


def read_all():
    return [read(path) for path in sorted(SNIPPETS.glob("*.conf"))]
