from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from pytest_dockerbin.comparison import compare
from pytest_dockerbin.platforms import _VARIANTS, Platform
from pytest_dockerbin.results import Kind, RunResult

AMD64, ARM, S390X = map(Platform.parse, ("linux/amd64", "linux/arm/v7", "linux/s390x"))


def result(stdout="", stderr="", returncode=0, kind=Kind.EXITED, runner="native"):
    return RunResult(
        program=Path("hello"),
        platform=AMD64,
        args=("hello",),
        stdout=stdout.encode() if isinstance(stdout, str) else stdout,
        stderr=stderr.encode() if isinstance(stderr, str) else stderr,
        returncode=returncode,
        duration=0.1,
        kind=kind,
        runner=runner,
        emulated=runner != "native",
    )


class Program:
    """Gives a result, and keeps how it was run."""

    def __init__(self, result, calls=None):
        self.result = result
        self.calls = [] if calls is None else calls

    def run(self, *args, **options):
        self.calls.append((self.result, args, options))
        return self.result


def compared(runs):
    return compare({platform: Program(run) for platform, run in runs.items()})


def rows(comparison) -> list[str]:
    """Return the rows of output."""
    return [line for line in comparison.table().splitlines() if line.startswith("std")]


def cells(comparison) -> list[list[str]]:
    """Return the cells of the rows of output; for cells without two blanks one after the other."""
    return [
        [cell.strip() for cell in row.split("  ") if cell.strip()][1:] for row in rows(comparison)
    ]


SIZES = compared(
    {
        AMD64: result("sizes\nlong 8\nlittle\n"),
        ARM: result("sizes\nlong 4\nlittle\n", runner="binfmt"),
        S390X: result("sizes\nlong 8\nbig\nmore\n", runner="binfmt"),
    }
)
TABLE = """\
            linux/amd64  linux/arm/v7      linux/s390x
bits        64           32                64
byte order  little       little            big
C char      signed       unsigned          unsigned
runner      native       binfmt, emulated  binfmt, emulated
ended       exit code 0  exit code 0       exit code 0
stdout 2    'long 8'     'long 4'          'long 8'
stdout 3    'little'     'little'          'big'
stdout 4    (no line)    (no line)         'more'"""


def test_the_table_shows_what_differs_and_what_the_platforms_are_like():
    assert SIZES.table() == str(SIZES) == TABLE


def test_what_differs_is_an_assertion_with_the_table():
    with pytest.raises(AssertionError) as caught:
        SIZES.assert_same()
    assert str(caught.value) == f"platforms differ in standard output\n{TABLE}"


def test_what_is_the_same_passes():
    compared({AMD64: result("a\n"), ARM: result("a\n", "noise\n", runner="binfmt")}).assert_same()
    compared({AMD64: result("a")}).assert_same()
    compared({}).assert_same()


def test_the_end_of_a_run_is_compared():
    runs = {
        AMD64: result(returncode=1),
        ARM: result(returncode=-11, kind=Kind.SIGNALED),
        S390X: result(returncode=-9, kind=Kind.TIMEOUT),
    }
    with pytest.raises(AssertionError, match="differ in the way they end\n") as caught:
        compared(runs).assert_same()
    (row,) = (line.split() for line in str(caught.value).splitlines() if line.startswith("ended"))
    assert row == ["ended", "exit", "code", "1", "SIGSEGV", "timeout"]


def test_standard_error_is_compared_when_asked_for():
    runs = compared({AMD64: result(stderr="x"), ARM: result(stderr="y")})
    runs.assert_same()
    with pytest.raises(AssertionError, match="differ in standard error\n"):
        runs.assert_same(stderr=True)


def test_what_has_to_differ_is_normalized_away():
    runs = compared({p: result(f"built for {p}\n") for p in (AMD64, ARM)})
    with pytest.raises(AssertionError):
        runs.assert_same()
    runs.assert_same(normalize=lambda text, platform: text.replace(str(platform), "X"))
    with pytest.raises(AssertionError, match=r"stdout 1 +'BUILT FOR LINUX/AMD64' +'BUILT FOR"):
        runs.assert_same(normalize=lambda text, _: text.upper())


def test_only_what_is_compared_is_normalized():
    seen = []
    runs = compared({AMD64: result("a", "x"), ARM: result("a", "y")})
    runs.assert_same(normalize=lambda text, platform: seen.append((text, platform)) or text)
    assert seen == [("a", AMD64), ("a", ARM)]
    with pytest.raises(AssertionError, match="standard error\n"):
        runs.assert_same(stderr=True, normalize=lambda text, _: text.encode())
    runs.assert_same(stderr=True, normalize=lambda *_: b"\xff")


@pytest.mark.parametrize("returned", [None, 5, ["a"]])
def test_a_normalize_that_returns_no_text_is_an_error(returned):
    runs = compared({AMD64: result("a"), ARM: result("b")})
    with pytest.raises(TypeError) as caught:
        runs.assert_same(normalize=lambda *_: returned)
    assert str(caught.value) == (
        f"normalize: expected text or bytes, not {returned}, for stdout of linux/amd64"
    )
    assert hidden(caught)


def hidden(caught) -> bool:
    """Tell whether pytest shows none of our frames."""
    frames = [frame.f_locals for frame, _ in traceback.walk_tb(caught.tb)]
    return len(frames) > 1 and all("__tracebackhide__" in frame for frame in frames[1:])


@pytest.mark.parametrize(
    ("kind", "returncode", "end"),
    [
        (Kind.TIMEOUT, -9, "timeout"),
        (Kind.SIGNALED, -11, "SIGSEGV"),
        (Kind.SIGNALED, -40, "signal 40"),
        (Kind.OUTPUT_LIMIT, 0, "output-limit"),
        (Kind.EMULATOR_FAULT, 1, "emulator-fault"),
    ],
)
def test_runs_that_were_all_ended_alike_are_not_the_same(kind, returncode, end):
    for other in ("a\n", "b\n"):
        runs = [result(text, kind=kind, returncode=returncode) for text in ("a\n", other)]
        with pytest.raises(AssertionError) as caught:
            compared(dict(zip((AMD64, ARM), runs, strict=True))).assert_same()
        first, *table = str(caught.value).splitlines()
        assert first == f"no run is complete: {end} on every platform"
        assert table[5].split("  ")[-1].strip() == end
        assert hidden(caught)


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("a\n", "a", [["'a\\n'", "'a'"]]),
        ("a\n", "a\r\n", [["'a'", "'a\\r'"]]),
        ("a \n", "a\n", [["'a '", "'a'"]]),
        ("a\tb\n", "a b\n", [["'a\\tb'", "'a b'"]]),
        ("a\n", "a\n\n", [["(no line)", "''"]]),
        ("", "a", [["(no line)", "'a'"]]),
        ("a\\n", "a\n", [["'a\\\\n'", "'a\\n'"]]),
        ("a\x0bb", "a\x85b", [["'a\\x0bb'", "'a\\u0085b'"]]),
        ("é", "\xa0\U000e0001", [["'é'", "'\\u00a0\\U000e0001'"]]),
        ("a\x1b[31mb", "ab", [["'a\\x1b[31mb'", "'ab'"]]),
        (b"\xff", b"\xfe", [["'\\xff'", "'\\xfe'"]]),
        (b"\xff", "\ufffd", [["'\\xff'", "'\ufffd'"]]),
        (b"\xff", "\\xff", [["'\\xff'", "'\\\\xff'"]]),
        (b"\x85", "\x85", [["'\\x85'", "'\\u0085'"]]),
    ],
)
def test_every_difference_of_bytes_is_found_and_seen(one, other, shown):
    runs = compared({AMD64: result(one), ARM: result(other)})
    assert cells(runs) == shown
    with pytest.raises(AssertionError, match="platforms differ in standard output\n") as caught:
        runs.assert_same()
    assert hidden(caught)


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("a" * 40, "b" * 40, [["'" + "a" * 40 + "'", "'" + "b" * 40 + "'"]]),
        ("a" * 41, "b", [["'" + "a" * 40 + "'...", "'b'"]]),
        (
            "a" * 60 + "x86_64",
            "a" * 60 + "armv7l",
            [["...'" + "a" * 15 + "x86_64'", "...'" + "a" * 15 + "armv7l'"]],
        ),
        ("a" * 60, "a" * 61, [["...'" + "a" * 15 + "'", "...'" + "a" * 16 + "'"]]),
        (
            "\x01" * 50 + "a" + "c" * 50,
            "\x01" * 50 + "b",
            [["...'" + "\\x01" * 3 + "a" + "c" * 27 + "'...", "...'" + "\\x01" * 3 + "b'"]],
        ),
        ("\x01" * 11, "", [["'" + "\\x01" * 10 + "'...", "(no line)"]]),
        ("a" * 41 + "\n", "a" * 41, [["...'" + "a" * 15 + "\\n'", "...'" + "a" * 15 + "'"]]),
    ],
)
def test_long_lines_are_cut_around_the_first_difference(one, other, shown):
    assert cells(compared({AMD64: result(one), ARM: result(other)})) == shown


def test_many_differing_lines_are_counted():
    runs = {AMD64: result("a\n" * 60), ARM: result("b\n" * 60)}
    lines = compared(runs).table().splitlines()
    assert len(lines) == 6 + 50 + 1
    assert lines[-1].startswith("stdout ...  (10 more lines)")


@pytest.mark.parametrize("spelling", ["darwin/arm64", "windows/arm64"])
def test_char_is_signed_outside_of_linux(spelling):
    table = compared({Platform.parse(spelling): result()}).table()
    assert "C char      signed" in table


def test_every_platform_that_can_be_named_can_be_shown():
    for name in _VARIANTS:
        assert compared({Platform.parse(name): result()}).table()


def test_programs_are_run_with_the_same_arguments_in_order():
    calls, runs = [], {platform: result(str(platform)) for platform in (S390X, AMD64)}
    programs = {platform: Program(run, calls) for platform, run in runs.items()}
    found = compare(programs, "-v", "x", input="y", timeout=3)
    options = {"input": "y", "timeout": 3, "text": False}
    assert calls == [(run, ("-v", "x"), options) for run in runs.values()]
    assert list(found.results) == [S390X, AMD64]
    with pytest.raises(TypeError):
        found.results[AMD64] = None


def test_what_is_not_by_platform_is_refused():
    with pytest.raises(TypeError, match=r"compare: expected programs by platform, got \['a'\]"):
        compare(["a"])


def test_results_are_as_run_gives_them():
    run = Program(result(b"a\xff\r\n", b"\xfe"))
    text = compare({AMD64: run}).results[AMD64]
    assert (text.stdout, text.stderr) == ("a\ufffd\r\n", "\ufffd")
    data = compare({AMD64: run}, text=False).results[AMD64]
    assert (data.stdout, data.stderr) == (b"a\xff\r\n", b"\xfe")
