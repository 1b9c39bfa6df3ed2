"""``--dockerbin-report`` in runs that need no engine."""

from __future__ import annotations

import json
import re

import pytest

from pytest_dockerbin.report import FORMATS

TEST = """
import pytest

@pytest.mark.platform("linux/amd64", "linux/arm64")
def test_it(dockerbin_platform):
    assert dockerbin_platform.architecture == "amd64"

def test_other():
    pass
"""


@pytest.fixture(autouse=True)
def no_summary(monkeypatch):
    for name in ("GITHUB_STEP_SUMMARY", "CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def suite(pytester):
    pytester.makepyfile(test_suite=TEST)
    return pytester


def outcomes(path):
    return [(test["platform"], test["outcome"]) for test in json.loads(path.read_text())["tests"]]


def test_each_report_is_written_and_named(suite):
    wanted = [f"--dockerbin-report=out/deep/report{suffix}" for suffix in FORMATS]
    run = suite.runpytest_inprocess(*wanted)
    assert run.ret == pytest.ExitCode.TESTS_FAILED
    run.stdout.fnmatch_lines(
        [f"dockerbin: report written to out/deep/report{suffix}" for suffix in FORMATS]
    )
    folder = suite.path / "out" / "deep"
    assert sorted(each.name for each in folder.iterdir()) == sorted(
        f"report{suffix}" for suffix in FORMATS
    )
    assert outcomes(folder / "report.json") == [
        ("linux/amd64", "passed"),
        ("linux/arm64", "failed"),
    ]


def test_relative_paths_are_those_of_whoever_said_them(suite):
    suite.makeini("[pytest]\ndockerbin_report = ini.json")
    below = suite.mkdir("below")
    (below / "test_suite.py").write_text(TEST)
    suite.path.joinpath("test_suite.py").unlink()
    suite.chdir()
    run = suite.runpytest_subprocess("--rootdir=.", "below")
    assert outcomes(suite.path / "ini.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(below)
        run = suite.runpytest_inprocess("--dockerbin-report=said.json")
    run.stdout.fnmatch_lines(["dockerbin: report written to said.json"])
    assert outcomes(below / "said.json")


@pytest.mark.parametrize("name", ["report.pdf", "report", "report.html.gz"])
def test_an_unknown_suffix_is_refused_at_once(suite, name):
    run = suite.runpytest_inprocess(f"--dockerbin-report={name}")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in run.errlines if line]
    assert line == (
        f"ERROR: dockerbin: --dockerbin-report: {name!r} has none of the suffixes "
        ".html, .md, .svg, .json"
    )


def test_a_folder_is_refused_at_once(suite):
    suite.mkdir("folder.md")
    run = suite.runpytest_inprocess("--dockerbin-report=folder.md")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(["ERROR: dockerbin: --dockerbin-report: *folder.md' is a folder"])


def test_a_report_without_any_test_of_ours_is_written_all_the_same(pytester):
    pytester.makepyfile("def test_it(): pass")
    run = pytester.runpytest_inprocess("--dockerbin-report=report.json")
    assert run.ret == 0
    assert outcomes(pytester.path / "report.json") == []


def test_nothing_is_written_when_tests_are_only_collected(suite):
    suite.runpytest_inprocess("--dockerbin-report=report.json", "--collect-only")
    assert not (suite.path / "report.json").exists()


def test_it_is_written_after_x_too(suite):
    suite.runpytest_inprocess("--dockerbin-report=report.json", "-x", "-k", "arm64")
    assert outcomes(suite.path / "report.json") == [("linux/arm64", "failed")]


def test_a_report_that_cannot_be_written_is_one_line_at_the_end(suite):
    (suite.path / "file").write_text("")
    run = suite.runpytest_inprocess("-q", "--dockerbin-report=file/report.md", "-k", "amd64")
    assert run.ret == 0
    run.stdout.fnmatch_lines(["dockerbin: report file/report.md not written: *"])


def test_quiet_runs_write_and_do_not_say_so(suite):
    run = suite.runpytest_inprocess("-q", "--dockerbin-report=report.md")
    assert (suite.path / "report.md").exists()
    run.stdout.no_fnmatch_line("*report written*")


def test_an_older_report_is_replaced(suite):
    (suite.path / "report.md").write_text("old")
    suite.runpytest_inprocess("--dockerbin-report=report.md")
    assert (suite.path / "report.md").read_text().startswith("### dockerbin: 1 passed, 1 failed")


def test_xdist_writes_one_report_of_all_workers(suite):
    suite.runpytest_inprocess("-n2", "--dockerbin-report=report.json")
    assert sorted(outcomes(suite.path / "report.json")) == [
        ("linux/amd64", "passed"),
        ("linux/arm64", "failed"),
    ]


# -- the summary of a GitHub Actions job ----------------------------------------------------------


@pytest.fixture
def summary(suite, monkeypatch):
    path = suite.path / "summary"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def test_github_s_summary_gets_the_report_beside_what_is_there(suite, summary):
    summary.write_text("before\n")
    suite.runpytest_inprocess()
    assert summary.read_text().startswith("before\n\n### dockerbin: 1 passed, 1 failed")


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_github_s_summary_stays_as_it_is_without_tests_of_ours(pytester, summary, workers):
    pytester.makepyfile(test_suite="def test_it(): pass")
    pytester.runpytest_inprocess(*workers)
    assert not summary.exists()


def test_github_s_summary_can_be_declined(suite, summary):
    suite.makeini("[pytest]\ndockerbin_github_summary = false")
    suite.runpytest_inprocess()
    assert not summary.exists()


def test_a_full_summary_is_left_alone(suite, summary):
    summary.write_text("x" * 900 * 1024)
    run = suite.runpytest_inprocess()
    run.stdout.fnmatch_lines(["dockerbin: GITHUB_STEP_SUMMARY not written: *"])
    assert summary.stat().st_size == 900 * 1024


ORDERS = """
import pytest

@pytest.mark.platform("linux/s390x", "linux/arm64", "linux/amd64", "linux/386")
@pytest.mark.parametrize("number", range(8))
def test_marked(dockerbin, dockerbin_platform, number):
    assert number != 3

def test_unmarked(dockerbin):
    raise AssertionError
"""


def named(text):
    """The platforms in a text, each where it stands first."""
    return list(dict.fromkeys(re.findall(r"linux/\w+", text)))


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "workers"])
@pytest.mark.parametrize(
    ("asked", "order"),
    [
        (
            ("--dockerbin-platforms=linux/386,linux/arm64", "--dockerbin-platforms=linux/amd64"),
            ["linux/386", "linux/arm64", "linux/amd64"],
        ),
        (
            ("-o", "dockerbin_platforms=linux/arm64 linux/s390x"),
            ["linux/arm64", "linux/s390x", "linux/amd64", "linux/386"],
        ),
        (
            ("-k", "test_marked"),
            ["linux/s390x", "linux/arm64", "linux/amd64", "linux/386"],
        ),
    ],
    ids=["option", "ini", "marker"],
)
def test_platforms_are_told_in_the_order_in_which_they_were_asked_for(
    built_project, workers, asked, order
):
    built_project.makepyfile(test_suite=ORDERS)
    reports = [f"--dockerbin-report=report{suffix}" for suffix in FORMATS]
    run = built_project.runpytest_subprocess(*workers, *asked, *reports)
    _, _, summary = str(run.stdout).partition("dockerbin: tests x platforms")
    matrix, _, lines = summary.partition(" dockerbin =")
    assert named(matrix) == order
    assert named(lines) == order
    texts = {suffix: (built_project.path / f"report{suffix}").read_text() for suffix in FORMATS}
    data = json.loads(texts[".json"])
    assert [each["platform"] for each in data["platforms"]] == order
    assert [each["platform"] for each in data["builds"]] == order
    for suffix in (".md", ".svg", ".html"):
        body = texts[suffix].partition("</style>")[2] or texts[suffix]
        assert named(body)[: len(order)] == order, suffix
