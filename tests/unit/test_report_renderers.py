"""Reports as those read them who show them: GitHub's Markdown renderer, and an HTML 5 parser."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import cmarkgfm
import html5lib
import pytest
import sample_report
from cmarkgfm.cmark import Options

from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.report.html import html
from pytest_dockerbin.report.markdown import markdown
from pytest_dockerbin.report.model import BuildReport, Report

EMPTY = Report(started=0.0, seconds=0.0, version="0", exit_status=5)


class Rendered(HTMLParser):
    """What GitHub's renderer makes of a text: how many elements of each kind, and the words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = Counter(), ""
        self.feed(cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE))

    def handle_starttag(self, tag, attrs):  # noqa: ARG002 (the parser's signature)
        self.tags[tag] += 1

    def handle_data(self, data):
        self.words += data


def test_github_makes_a_table_of_the_matrix():
    shown = Rendered(markdown(sample_report.report()))
    assert shown.tags["table"] == 1
    assert shown.tags["tr"] == 1 + 61 + 2
    assert shown.tags["th"] == 5
    assert shown.tags["td"] == 5 * (61 + 2)
    assert (shown.tags["details"], shown.tags["pre"], shown.tags["h3"]) == (2, 1, 1)
    assert not {"a", "img", "em"} & set(shown.tags)
    for words in ("FAIL 1 of 3", "test_roundtrip", "undefined reference to `__atomic_load_8'"):
        assert words in shown.words


def test_github_shows_how_a_session_ended_that_was_cut_short():
    build = BuildReport.begun("key", Platform.parse("linux/arm64"), "app/", ())
    shown = Rendered(markdown(replace(EMPTY, exit_status=2, builds=(build,))))
    assert shown.tags["em"] == 1
    assert "interrupted, exit code 2" in shown.words
    assert "interrupted" in html(replace(EMPTY, builds=(build,)))
    assert shown.tags["pre"] == 0  # nothing is known of the build
    assert "no tests" not in Rendered(markdown(EMPTY)).words.partition("no tests")[2]


def test_the_page_tells_of_a_server_that_was_stopped():
    server = sample_report.run(
        "linux/arm64", kind="signaled", returncode=-15, signal="SIGTERM", stopped=True
    )
    assert server.is_fine
    test = sample_report.result("t.py::test_x", "linux/arm64", "failed", runs=(server,))
    assert "stopped by the test (SIGTERM)" in html(replace(EMPTY, tests=(test,)))


def test_github_makes_no_element_of_what_strangers_wrote():
    shown = Rendered(markdown(sample_report.hostile()))
    ours = {"h3", "p", "table", "thead", "tbody", "tr", "th", "td", "br", "sub", "code", "strong"}
    assert set(shown.tags) <= ours | {"ul", "li", "details", "summary", "pre"}
    assert (shown.tags["table"], shown.tags["tr"], shown.tags["td"]) == (1, 3, 4)
    assert "<img src=x onerror=alert(1)>" in shown.words


@pytest.mark.parametrize(
    "report", [EMPTY, sample_report.report(), sample_report.hostile()], ids=["empty", "sample", "x"]
)
def test_the_page_is_valid_html(report):
    html5lib.HTMLParser(strict=True).parse(html(report))


def test_the_page_has_commands_that_can_be_repeated():
    page = html(sample_report.report())
    assert '["command", "env QEMU_CPU=cortex-a15 /cache/session/linux_arm_v7/tree/bin/' in page
    assert '["command", "/cache/session/linux_amd64/tree/bin/server --version"]' in page
