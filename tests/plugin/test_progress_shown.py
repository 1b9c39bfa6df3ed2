"""What is seen of builds before and while they run, in a terminal and without one."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

PLATFORMS = "--dockerbin-platforms=linux/amd64,linux/arm64"


@pytest.fixture
def project(built_project, monkeypatch):
    """Three tests, of which one builds, with a docker that takes a second."""
    monkeypatch.setenv("FAKE_SECONDS", "1")
    built_project.makepyfile(
        test_it="""
        def test_plain():
            print("what tests print")

        def test_text(dockerbin):
            assert len((dockerbin / "text").read_text()) == 2048

        def test_last():
            pass
        """
    )
    return built_project


def ours(lines):
    """Return the lines of ours without what differs from run to run."""
    found = [line for line in lines if re.match(r"(\[gw\d\] )?dockerbin: ", line)]
    masked = [re.sub(r"\(log .*\.log\)", "(log LOG)", line) for line in found]
    return [re.sub(r"\d+\.\d s", "N s", line) for line in masked]


def in_order(lines):
    """Return lines sorted by platform: which build ends first is chance, as they run at once."""
    return sorted(lines, key=lambda line: "linux/arm64 app/" in line)


BEFORE = [
    "dockerbin: linux/amd64 (native), linux/arm64 (from --dockerbin-platforms)",
    "dockerbin: 1 build x 2 platforms",
]
WHILE = [
    "dockerbin: linux/amd64 app/: building (log LOG)",
    "dockerbin: linux/amd64 app/: built in N s, 1 file, 2.0 KiB",
    "dockerbin: linux/arm64 app/: building (log LOG)",
    "dockerbin: linux/arm64 app/: built in N s, 1 file, 2.0 KiB",
]


@pytest.mark.parametrize("args", [(), ("-v",), ("-s",), ("-p", "no:capture")])
def test_without_a_terminal_there_are_lines(project, args):
    result = project.runpytest_subprocess(PLATFORMS, *args)
    result.assert_outcomes(passed=4)
    told = ours(result.outlines)
    assert told[:2] == BEFORE
    assert in_order(told[2:]) == WHILE


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("-q",), []),
        (("--dockerbin-progress=quiet",), BEFORE),
        (("-o", "dockerbin_progress=quiet"), BEFORE),
        (("--dockerbin-progress=plain",), [*BEFORE, *WHILE]),
    ],
)
def test_how_much_is_told(project, args, expected):
    result = project.runpytest_subprocess(PLATFORMS, *args)
    result.assert_outcomes(passed=4)
    told = ours(result.outlines)
    assert told[:2] == expected[:2]
    assert in_order(told[2:]) == expected[2:]


def test_an_unknown_way_is_one_line(project):
    result = project.runpytest_subprocess("-o", "dockerbin_progress=plane")
    assert [line for line in result.errlines if line] == [
        "ERROR: dockerbin: ini dockerbin_progress: unknown value 'plane'; did you mean 'plain'?"
    ]


def test_workers_tell_on_standard_error_who_they_are(project):
    result = project.runpytest_subprocess(PLATFORMS, "-n2")
    result.assert_outcomes(passed=4)
    told = ours(result.errlines)
    assert all(re.match(r"\[gw[01]\] ", line) for line in told)
    assert sorted(line.partition(" ")[2] for line in told) == sorted(WHILE)


def test_without_pytest_s_reporter_it_is_told_on_standard_error(project):
    result = project.runpytest_subprocess(PLATFORMS, "-p", "no:terminal")
    assert result.ret == 0
    assert in_order(ours(result.errlines)) == WHILE


def test_a_build_that_fails_is_said_to_have_failed(project, monkeypatch):
    monkeypatch.setenv("FAKE_BROKEN", "linux/amd64")
    result = project.runpytest_subprocess("--dockerbin-platforms=linux/amd64")
    assert ours(result.outlines)[2:4] == [WHILE[0], "dockerbin: linux/amd64 app/: failed"]


def in_terminal(project, *args):
    """Run pytest in a terminal of 60 columns, and return what it wrote."""
    ours, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", PLATFORMS, *args],
        cwd=project.path,
        env=environment,
        stdin=its,
        stdout=its,
        stderr=its,
    ) as process:
        os.close(its)
        written = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # nobody has the other end any more
                break
            if not piece:
                break
            written += piece
    os.close(ours)
    assert process.returncode == 0, written.decode()
    return written.decode()


def left_on_screen(written):
    """Return the lines that a person sees in the end."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", written.replace("\r\n", "\n"))
    return [line.rpartition("\x1b[2K")[2] for line in plain.split("\n")]


@pytest.mark.parametrize("args", [(), ("-s",), ("-v",)])
def test_in_a_terminal_one_line_is_rewritten_and_gone_in_the_end(project, args):
    written = in_terminal(project, *args)
    states = re.findall(r"\r\x1b\[2K([^\r\n\x1b]*)", written)
    assert any("s, [build 1/1] RUN make" in state for state in states)
    assert all(len(state) < 60 for state in states)
    seen = left_on_screen(written)
    assert not any(word in line for line in seen for word in ("building", "RUN make"))
    if not args:
        results = (re.fullmatch(r"(?:test_it\.py )?(\.+)(?: +\[100%\])?", line) for line in seen)
        assert "".join(found[1] for found in results if found) == "...."


@pytest.mark.parametrize("args", [("--dockerbin-progress=plain",), ("-n2",)])
def test_a_terminal_can_have_lines_too(project, args):
    seen = left_on_screen(in_terminal(project, *args))
    assert sum("building (log" in line for line in seen) == 2


def test_the_plan_tells_how_many_builds_there_are(project):
    project.makepyfile(
        test_more="""
        import pytest

        @pytest.mark.platform("linux/amd64")
        @pytest.mark.dockerbin(build_args={"A": "1"})
        def test_other(dockerbin):
            pass

        @pytest.mark.skip
        def test_skipped(dockerbin):
            pass
        """
    )
    result = project.runpytest_subprocess(PLATFORMS)
    assert "dockerbin: 2 builds x 2 platforms, 3 in all" in result.outlines
