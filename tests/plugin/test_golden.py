"""Whole outputs, as people see them: header, plan, progress, failures, matrix, what did not run.

Each is compared with a file of ``golden/``, without what differs from run to run and what is
pytest's own to tell about its surroundings. ``WRITE_GOLDEN=1`` writes the files anew, for eyes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"

TESTS = """\
import pytest

ALL = pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7")

@ALL
def test_fine(dockerbin):
    assert (dockerbin / "text").exists()

@ALL
@pytest.mark.parametrize("n", range(3))
def test_numbers(dockerbin, n):
    assert n != 1

@ALL
@pytest.mark.skip(reason="not today")
def test_skipped(dockerbin):
    pass

@ALL
def test_missing(dockerbin_platform, request):
    if dockerbin_platform.architecture == "arm64":
        request.getfixturevalue("dockerbin_binary")

@ALL
def test_program(dockerbin_platform):
    if not dockerbin_platform.native:
        return
    from pathlib import Path
    from pytest_dockerbin import Binary
    from pytest_dockerbin.runners.host import HostRunner
    runner = HostRunner(name="native", timeout=600.0, timeout_factor=1.0)
    program = Binary(
        path=Path("/bin/sh"), platform=dockerbin_platform, size=0, sha256="",
        runner=lambda *_: runner,
    )
    program.run("-c", "echo '::error::no'; echo oh >&2; kill -SEGV $$")
    raise AssertionError("the program fell over")

def test_plain():
    pass
"""

ARGUMENTS = (
    *("-ra", "--tb=short", "--dockerbin-runner=linux/arm64=none", "-p", "no:cacheprovider"),
    "--dockerbin-jobs=0",  # nothing in the background: which build ends first is chance
)

_SURROUNDINGS = re.compile(
    r"(platform linux|rootdir:|configfile:|plugins:|cachedir:|metadata:|hypothesis profile|created:"
    r"|bringing up|\[gwN\] linux --|\[gwN\] Python|initialized:|scheduling tests)"
)
_RESULTS = re.compile(r"[.FEs]+( +\[ *\d+%\])?")
_MASKS = (
    (r"\x1b\[[0-9;]*m", ""),
    (r"sessions/\d{8}-\d{6}-[0-9a-f]{8}", "sessions/SESSION"),
    (r"[0-9a-f]{12}-linux", "KEY-linux"),
    (r"\bgw\d", "gwN"),
    (r"in \d+\.\d+s( \(.*?\))?", "in N s"),
    (r"\b\d+(\.\d+)? m?s\b", "N s"),
    (r"^([=_-])\1* (.+) \1+$", r"\1\1\1\1\1 \2 \1\1\1\1\1"),
    (r"(?<=\S) {2,}", "  "),  # of columns, whose widths depend on times
    (r"^ {10,}", " " * 10),
    (r"^(ERROR|FAILED) (\S+) - .*", r"\1 \2"),  # each pytest has its own way to cut a reason
)


@pytest.fixture
def seen(built_project, monkeypatch, tmp_path):
    """Run the tests and return what is seen of them, without what differs from run to run."""

    def seen(*args, width=80):
        monkeypatch.setenv("FAKE_BROKEN", "linux/arm/v7")
        monkeypatch.setenv("COLUMNS", str(width))
        built_project.makepyfile(test_it=TESTS)
        result = built_project.runpytest_subprocess(*ARGUMENTS, *args)
        assert result.errlines == []
        text = "\n".join(result.outlines)
        for path, name in ((built_project.path, "PROJECT"), (tmp_path / "cache", "CACHE")):
            text = text.replace(str(path), name)
        for mask, mark in _MASKS:
            text = re.sub(mask, mark, text, flags=re.MULTILINE)
        return [line.rstrip() for line in text.split("\n") if not _SURROUNDINGS.match(line)]

    return seen


def check(name, lines):
    """Compare with a golden file."""
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("WRITE_GOLDEN"):
        file.write_text("\n".join(lines) + "\n")
    assert lines == file.read_text().splitlines()


@pytest.mark.parametrize(
    ("name", "args", "width"),
    [
        ("alone", (), 80),
        ("verbose", ("-v",), 80),
        ("quiet", ("-q",), 80),
        ("narrow", (), 50),
    ],
)
def test_what_is_seen(seen, name, args, width):
    check(name, seen(*args, width=width))


def test_what_is_seen_with_workers(seen):
    """One file of tests is one worker's, in this mode, so that their order is the same always."""
    lines = seen("-n4", "--dist=loadfile")
    results = [line.split()[0] for line in lines if _RESULTS.fullmatch(line)]
    others = [line for line in lines if not _RESULTS.fullmatch(line)]
    check("workers", [*others, f"results: {''.join(results)}"])


@pytest.mark.parametrize("variables", [{"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}])
def test_colours_add_nothing_that_has_to_be_read(seen, monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert seen() == (GOLDEN / "alone.txt").read_text().splitlines()
