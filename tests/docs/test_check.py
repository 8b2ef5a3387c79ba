# SPDX-License-Identifier: LGPL-2.1-or-later
"""The check of the documentation finds what it is for."""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
LOADER = importlib.machinery.SourceFileLoader("check", str(Path(__file__).with_name("check")))
check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", LOADER))
LOADER.exec_module(check)


@pytest.fixture
def page(tmp_path):
    """Writes a page, and returns it with all pages."""

    def write(text, name="page.md"):
        (tmp_path / name).write_text(text)
        pages = {path: check.Page(path, path.relative_to(tmp_path)) for path in check.find_pages(tmp_path)}
        return pages[tmp_path / name], pages

    return write


def test_links(page):
    page("# Title\n\n## One `two()`\n\n## Again\n\n## Again\n", "other.md")
    good = "[a](other.md) [b](other.md#one-two) [c](other.md#again-1) [d](#here) [e](https://example.org/)\n\n## Here\n"
    assert list(check.check_links(*page(good))) == []
    for wrong in ("[a](missing.md)", "[a](other.md#again-2)", "[a](#missing)", "![a](missing.svg)"):
        assert len(list(check.check_links(*page(wrong)))) == 1, wrong
    for code in ("`[a](missing.md)`", "```\n[a](missing.md)\n```\n", "<!-- [a](missing.md) -->"):
        assert list(check.check_links(*page(code))) == [], code


@pytest.mark.parametrize("wrong", ["The host stops.", "a filter behind it", "it stands in front of the source", "it helps"])
def test_words(page, wrong):
    assert [error.split(":")[1] for error in check.check_words(*page(f"# Title\n\n{wrong}\n"))] == ["3"]
    for code in (f"`{wrong}`", f"```\n{wrong}\n```", f"<!-- {wrong} -->"):
        assert list(check.check_words(*page(code))) == [], code


def test_the_host_of_a_message(page):
    assert list(check.check_words(*page("The host that `${HOST}` names.\n"))) == []


def test_sentences(page):
    word = "word " * 13
    found, _ = page(f"{word}\n{word}.\n\n- {word}. {word.capitalize()}.\n\n| {word}{word}| {word}|\n\n```\n{word}{word}\n```\n")
    assert [line for line, _ in found.long_sentences()] == [1, 6]


def test_reachable(tmp_path, page):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[one](docs/one.md)\n")
    (tmp_path / "docs/one.md").write_text("[two](two.md#anchor)\n")
    page("\n", "docs/two.md")
    _, pages = page("\n", "docs/lost.md")
    assert check.check_reachable(tmp_path, pages) == ["docs/lost.md: README.md does not lead there"]


def test_names_of_log_messages_and_metrics(tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "docs/reference").mkdir(parents=True)
    (tmp_path / "modules/code.cpp").write_text(
        'msg_warning("WARNING: one \\"two\\"; "\n            "three", evt_tag_int("four", 4));\n'
        '// don\'t "\nchar quote = \'"\';  /* " */\n'
        'warn("WARNING: six");\n'
        'Metric metrics[] = {{"parallelized_five_total", "five"}};\n')
    messages, metrics = (tmp_path / "docs/reference" / name for name in ("log-messages.md", "metrics.md"))
    messages.write_text("""- `WARNING: one "two"; three; four-five='4', ...`\\\n  Text.\n\n- `WARNING: six`\n""")
    metrics.write_text("| `parallelized_five_total` |\n")
    assert check.check_log_messages(tmp_path) + check.check_metrics(tmp_path) == []
    messages.write_text("- `WARNING: one; four='4'`\n\n- `WARNING: six`\n")
    metrics.write_text("| `parallelized_six_total` |\n")
    assert len(check.check_log_messages(tmp_path)) == len(check.check_metrics(tmp_path)) == 2
