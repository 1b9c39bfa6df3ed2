from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_dockerbin.comparison import Comparison, compare
from pytest_dockerbin.platforms import _VARIANTS, Platform
from pytest_dockerbin.results import Kind

AMD64, ARM, S390X = map(Platform.parse, ("linux/amd64", "linux/arm/v7", "linux/s390x"))


def result(stdout="", stderr="", returncode=0, kind=Kind.EXITED, runner="native"):
    return SimpleNamespace(
        stdout=stdout,
        stderr=stderr,
        returncode=returncode,
        kind=kind,
        runner=runner,
        emulated=runner != "native",
    )


SIZES = Comparison(
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
stdout 2    long 8       long 4            long 8
stdout 3    little       little            big
stdout 4    (no line)    (no line)         more"""


def test_the_table_shows_what_differs_and_what_the_platforms_are_like():
    assert SIZES.table() == str(SIZES) == TABLE


def test_what_differs_is_an_assertion_with_the_table():
    with pytest.raises(AssertionError) as caught:
        SIZES.assert_same()
    assert str(caught.value) == f"platforms differ in standard output\n{TABLE}"


def test_what_is_the_same_passes():
    Comparison({AMD64: result("a\n"), ARM: result("a\n", "noise\n", runner="binfmt")}).assert_same()
    Comparison({AMD64: result("a")}).assert_same()
    Comparison({}).assert_same()


def test_the_end_of_a_run_is_compared():
    runs = {
        AMD64: result(returncode=1),
        ARM: result(returncode=-11, kind=Kind.SIGNALED),
        S390X: result(returncode=-9, kind=Kind.TIMEOUT),
    }
    with pytest.raises(AssertionError, match="differ in the way they end\n") as caught:
        Comparison(runs).assert_same()
    (row,) = (line.split() for line in str(caught.value).splitlines() if line.startswith("ended"))
    assert row == ["ended", "exit", "code", "1", "SIGSEGV", "timeout"]


def test_standard_error_is_compared_when_asked_for():
    runs = Comparison({AMD64: result(stderr="x"), ARM: result(stderr="y")})
    runs.assert_same()
    with pytest.raises(AssertionError, match="differ in standard error\n"):
        runs.assert_same(stderr=True)


def test_what_has_to_differ_is_normalized_away():
    runs = Comparison({p: result(f"built for {p}\n") for p in (AMD64, ARM)})
    with pytest.raises(AssertionError):
        runs.assert_same()
    runs.assert_same(normalize=lambda text, platform: text.replace(str(platform), "X"))
    with pytest.raises(AssertionError, match=r"stdout 1 +BUILT FOR LINUX/AMD64 +BUILT FOR"):
        runs.assert_same(normalize=lambda text, _: text.upper())


def test_bytes_long_lines_and_escapes_can_be_shown():
    runs = {AMD64: result(b"\xff\x01", b""), ARM: result(b"x" * 50 + b"\x1b[2J", b"")}
    row = Comparison(runs).table().splitlines()[-1]
    assert row.split() == ["stdout", "1", "\\xff", "x" * 37 + "..."]


def test_many_differing_lines_are_counted():
    runs = {AMD64: result("a\n" * 60), ARM: result("b\n" * 60)}
    lines = Comparison(runs).table().splitlines()
    assert len(lines) == 6 + 50 + 1
    assert lines[-1].startswith("stdout ...  (10 more lines)")


@pytest.mark.parametrize("spelling", ["darwin/arm64", "windows/arm64"])
def test_char_is_signed_outside_of_linux(spelling):
    table = Comparison({Platform.parse(spelling): result()}).table()
    assert "C char      signed" in table


def test_every_platform_that_can_be_named_can_be_shown():
    for name in _VARIANTS:
        assert Comparison({Platform.parse(name): result()}).table()


def test_programs_are_run_with_the_same_arguments_in_order():
    calls = []

    class Program:
        def __init__(self, platform):
            self.platform = platform

        def run(self, *args, **options):
            calls.append((self.platform, args, options))
            return result(str(self.platform))

    found = compare({p: Program(p) for p in (S390X, AMD64)}, "-v", "x", input="y", timeout=3)
    assert calls == [(p, ("-v", "x"), {"input": "y", "timeout": 3}) for p in (S390X, AMD64)]
    assert {p: one.stdout for p, one in found.results.items()} == {
        S390X: "linux/s390x",
        AMD64: "linux/amd64",
    }
    with pytest.raises(TypeError):
        found.results[AMD64] = None
