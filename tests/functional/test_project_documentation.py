# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Every configuration in the project's own documentation passes the daemon's syntax check.

The word after the fence says what a snippet is:
  ```config          statements: as they are, an @version line is left out
  ```config-log      elements of a log path, between its source and its destination
  ```config-builtin  statements for hosts that have a parallelize() of their own
  ```output          what a program has printed
"""

import re
from collections import namedtuple

import pytest

from harness.environment import REPOSITORY, host_has_builtin

README = REPOSITORY / "README.md"
FENCE = re.compile(r"^ *```(?P<word>\S*)[^\n]*\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
CONFIGURATION_WORDS = ("config", "config-log", "config-builtin")
OUTPUT = "output"
SHOWS_THE_ELEMENT = re.compile(r"\bparallelize\([^)]")
LOG_PATH = """
log {
    source { network(port(2000)); };
    %s
    destination { file("/dev/null"); };
};
"""

Block = namedtuple("Block", "place word body")


def documents():
    return [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]


def blocks(document):
    """The fenced blocks of a document."""
    text = document.read_text()
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(f"{document.relative_to(REPOSITORY)}:{line}", found["word"], found["body"])


def all_blocks():
    return [block for document in documents() if document.exists() for block in blocks(document)]


def configuration(block):
    if block.word == "config-log":
        return LOG_PATH % block.body
    return re.sub(r"^ *@version:.*\n", "", block.body, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=block.place) for block in all_blocks() if block.word in CONFIGURATION_WORDS]
)
def test_snippet_passes_the_syntax_check(syslog_ng, block):
    if block.word == "config-builtin" and not host_has_builtin():
        pytest.skip("this host has no parallelize() of its own")
    checked = syslog_ng.check_syntax(configuration(block))
    assert checked.returncode == 0, checked.stdout


def test_readme_shows_a_configuration():
    assert any(block.word in CONFIGURATION_WORDS and "parallelize(" in block.body for block in blocks(README))


def test_no_block_that_shows_the_element_escapes_the_syntax_check():
    escaped = [
        block.place
        for block in all_blocks()
        if block.word not in (*CONFIGURATION_WORDS, OUTPUT) and SHOWS_THE_ELEMENT.search(block.body)
    ]
    assert escaped == []
