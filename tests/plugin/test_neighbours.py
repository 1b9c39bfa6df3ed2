"""Beside plugins that write in the terminal in pytest's place; tox's environment ``neighbours``."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

PLATFORMS = "--dockerbin-platforms=linux/amd64,linux/arm64"
JOBS = "--dockerbin-jobs=0"  # which of two builds ends first is chance otherwise
LINES = [
    "dockerbin: linux/amd64 app/: building (log LOG)",
    "dockerbin: linux/amd64 app/: built in N s, 1 file, 2.0 KiB",
    "dockerbin: linux/arm64 app/: building (log LOG)",
    "dockerbin: linux/arm64 app/: failed",
]


@pytest.fixture
def in_terminal(built_project, monkeypatch):
    """Run three tests with a plugin in a terminal of 400 columns; returns exit code and output."""
    folder = os.environ.get("DOCKERBIN_NEIGHBOURS")
    if not folder:
        pytest.skip("needs pytest-sugar and pytest-rich: tox run -e neighbours")
    monkeypatch.setenv("PYTHONPATH", folder)
    monkeypatch.setenv("FAKE_BROKEN", "linux/arm64")
    built_project.makepyfile(
        test_it="""
        def test_plain(): pass

        def test_text(dockerbin): pass

        def test_last(): pass
        """
    )

    def run(*args):
        ours, its = pty.openpty()
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", PLATFORMS, JOBS, *args]
        environment = {**os.environ, "COLUMNS": "400", "TERM": "xterm"}
        with subprocess.Popen(
            command, cwd=built_project.path, env=environment, stdin=its, stdout=its, stderr=its
        ) as process:
            os.close(its)
            written = b""
            try:
                while piece := os.read(ours, 65536):
                    written += piece
            except OSError:  # nobody has the other end any more
                pass
        os.close(ours)
        return process.returncode, written.decode()

    return run


def told(written):
    """Return our lines about builds, as they stand in the terminal: each from the first column."""
    lines = re.split(r"\r?\n|\r", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", written))
    found = [line.rstrip() for line in lines if re.match(r"dockerbin: \S+ app/: ", line)]
    found = [re.sub(r"\(log .*\.log\)", "(log LOG)", line) for line in found]
    return [re.sub(r"\d+\.\d s", "N s", line) for line in found]


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_pytest_sugar_does_not_mix_with_our_lines(in_terminal, workers):
    code, written = in_terminal("-p", "no:rich", *workers)
    assert "pytest-sugar" in written
    assert code == pytest.ExitCode.TESTS_FAILED
    if workers:
        assert sum("] dockerbin: linux/" in line for line in written.split("\n")) == len(LINES)
    else:
        assert told(written) == LINES
    assert "tests x platforms" in written
    assert re.search(r"3 passed", written)
    assert written.count("INTERNALERROR") == 0


def test_pytest_rich_does_not_paint_over_our_lines(in_terminal):
    """Beside pytest-xdist it ends in an error of its own, without us too."""
    code, written = in_terminal("--rich", "-p", "no:sugar")
    assert "pytest session starts" in written
    assert code == pytest.ExitCode.TESTS_FAILED
    assert told(written) == LINES
