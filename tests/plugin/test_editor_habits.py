"""What people do with tests beside running them all: choose, repeat, complete, read about them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from pytest_dockerbin.session import Builder
from pytest_dockerbin.suite import suite_of

SUITE = """
import pytest

@pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7")
class TestHello:
    @pytest.mark.parametrize("number", [1, 2])
    def test_x(self, dockerbin_platform, number):
        assert (str(dockerbin_platform), number) != ("linux/arm/v7", 2)
"""
BROKEN = "test_hello.py::TestHello::test_x[linux/arm/v7-2]"


@pytest.fixture
def suite(pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_DOCKERBIN_PLATFORMS", raising=False)
    pytester.makepyfile(test_hello=SUITE)
    return pytester


def collected(result):
    return [line for line in result.outlines if "::" in line]


def test_ids_that_are_listed_choose_their_test(suite):
    """As editors do it: they collect, and start tests by what they have read."""
    listed = collected(suite.runpytest("--collect-only", "-q", "-p", "no:xdist"))
    assert len(listed) == 6
    assert BROKEN in listed
    result = suite.runpytest("--collect-only", "-q", BROKEN)
    assert collected(result) == [BROKEN]


@pytest.mark.parametrize(
    ("expression", "count"),
    [("arm64", 2), ("linux/arm/v7", 2), ("not arm", 2)],
)
def test_platforms_are_chosen_by_keywords(suite, expression, count):
    result = suite.runpytest("--collect-only", "-q", "-k", expression)
    assert len(collected(result)) == count


GROUPED = """
import pytest

@pytest.mark.xdist_group("one")
@pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x")
def test_x(dockerbin, worker_id):
    with open("workers", "a") as file:
        print(worker_id, file=file)
"""


@pytest.mark.skipif(
    pytest.version_tuple >= (9, 2), reason="there pytest-xdist forgets groups: its issue 1386"
)
def test_a_group_of_xdist_stays_with_one_worker(built_project):
    """Ids have slashes and brackets, and xdist writes the group behind them."""
    built_project.makepyfile(test_it=GROUPED)
    result = built_project.runpytest("-v", "-n2", "--dist=loadgroup")
    result.assert_outcomes(passed=4)
    assert len(set((built_project.path / "workers").read_text().split())) == 1
    assert re.search(r"^test_it\.py::test_x( +ok){4}$", result.stdout.str(), re.MULTILINE)


def test_the_one_that_failed_is_run_again(suite):
    suite.runpytest("-p", "no:xdist").assert_outcomes(passed=5, failed=1)
    result = suite.runpytest("--lf", "-v", "-p", "no:xdist")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"{glob(BROKEN)} FAILED*"])


def test_junit_names_the_platform(suite):
    suite.runpytest("--junitxml=junit.xml", "-p", "no:xdist")
    cases = ET.parse(suite.path / "junit.xml").iter("testcase")
    failed = [case for case in cases if case.find("failure") is not None]
    assert [(case.get("classname"), case.get("name")) for case in failed] == [
        ("test_hello.TestHello", "test_x[linux/arm/v7-2]")
    ]


def glob(text):
    return text.replace("[", "[[]")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("--dockerbin-cache=re", {"reuse"}),
        ("--dockerbin-progress ", {"auto", "plain", "quiet"}),
        ("--dockerbin-cac", {"--dockerbin-cache", "--dockerbin-cache-dir"}),
    ],
)
def test_shells_complete_options_and_their_values(pytester, monkeypatch, typed, offered):
    """With argcomplete, as pytest itself is completed."""
    line = f"pytest {typed}"
    for name, value in {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(pytester.path / "offered"),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }.items():
        monkeypatch.setenv(name, value)
    pytester.runpytest_subprocess()
    words = (pytester.path / "offered").read_text().split()
    assert {word.rpartition("=")[2] for word in words} == offered


def section(text, title):
    """Return one section of `pytest --help`: its options and what is said of each."""
    told = {}
    lines = iter(text.partition(f"{title}:\n")[2].partition("\n\n")[0].splitlines())
    for line in lines:
        if line.startswith("  -"):
            option, _, words = line.strip().partition("  ")
            told[option] = words.strip()
        else:
            told[option] = f"{told[option]} {line.strip()}".strip()
    return told


def test_help_says_of_every_option_what_it_does(pytester, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = pytester.runpytest("--help").stdout.str()
    told = section(text, "binaries built by Docker (pytest-dockerbin)")
    assert len(told) > 10
    for option, words in told.items():
        assert option.startswith("--dockerbin-")
        assert words, f"{option} says nothing"
        assert not words.endswith("."), f"{option} is no sentence"
        if "{" in option:  # the values to choose from are explained, and one is the default
            values = option.partition("{")[2].rstrip("}").split(",")
            assert all(f"{value}: " in words or f"{value}, " in words for value in values)
            assert "(default: " in words
    assert all(len(line) <= 100 for line in text.splitlines() if "dockerbin" in line)


def test_fixtures_are_explained_in_a_line_each(pytester):
    lines = pytester.runpytest("--fixtures", "-p", "no:xdist").outlines
    titles = [number for number, line in enumerate(lines) if line.startswith("dockerbin")]
    assert len(titles) == 6
    for number in titles:
        words, after = lines[number + 1 : number + 3]
        assert words.startswith("    ")
        assert words.endswith(".")
        assert after == ""


def test_markers_are_explained_with_an_example(pytester):
    text = pytester.runpytest("--markers").stdout.str()
    ours = [line for line in text.splitlines() if "dockerbin" in line]
    assert [line.partition(": ")[0] for line in ours] == [
        "@pytest.mark.platform(*platforms, emulated=True)",
        "@pytest.mark.dockerbin(**settings)",
    ]
    assert '"linux/arm64"' in ours[0]
    assert "build_args" in ours[1]


def test_the_plugin_may_be_named_in_a_conftest_instead(suite):
    """Then it is loaded later than pytest's own."""
    suite.makeconftest('pytest_plugins = ["pytest_dockerbin.plugin"]')
    options = ["--dockerbin-platforms=linux/amd64", "--dockerbin-report=report.json"]
    result = suite.runpytest("-p", "no:dockerbin", "-p", "no:xdist", *options)
    result.assert_outcomes(passed=2)
    assert (suite.path / "report.json").is_file()


def test_a_worker_stops_no_other_s_builds(suite, monkeypatch):
    """Only the controller knows that the session is over."""
    stopped = []
    monkeypatch.setattr(Builder, "stop", lambda *_: stopped.append("session"))
    config = suite.parseconfigure()
    suite_of(config).stop_workers()
    assert stopped == ["session"]
    config.workerinput = {}
    suite_of(config).stop_workers()
    assert stopped == ["session"]
