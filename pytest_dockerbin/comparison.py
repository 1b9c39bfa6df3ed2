"""One command on several platforms, side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from reprlib import repr as short_repr
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.artifact import Artifact
from pytest_dockerbin.results import Kind, signal_name

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from pytest_dockerbin.artifact import Binary
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.results import RunResult

# architecture -> bits, byte order, and whether C's char is signed, as the psABIs of Linux have it;
# programs for Windows and macOS have a signed char everywhere
_ABIS = {
    "386": (32, "little", "signed"),
    "amd64": (64, "little", "signed"),
    "arm": (32, "little", "unsigned"),
    "arm64": (64, "little", "unsigned"),
    "loong64": (64, "little", "signed"),
    "mips": (32, "big", "signed"),
    "mips64": (64, "big", "signed"),
    "mips64le": (64, "little", "signed"),
    "mipsle": (32, "little", "signed"),
    "ppc64": (64, "big", "unsigned"),
    "ppc64le": (64, "little", "unsigned"),
    "riscv64": (64, "little", "unsigned"),
    "s390x": (64, "big", "unsigned"),
    "wasm": (32, "little", "signed"),
}
_STREAMS = {"stdout": "standard output", "stderr": "standard error"}
_WIDEST = 40  # signs of a line of output that are shown
_BEFORE = 15  # how many of them come before the first that differs
_MOST_LINES = 50  # rows of a stream
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def compare(
    binaries: Mapping[Platform, Artifact] | Mapping[Platform, Binary],
    *args: str | os.PathLike[str],
    binary: str | None = None,
    **options: Any,  # noqa: ANN401 (those of Binary.run)
) -> Comparison:
    """Run a program with the same arguments on each platform, one after the other.

    Args:
        binaries: what to run: ``dockerbin_matrix``, or programs by platform.
        args: the program's arguments.
        binary: the program's name in each artifact; see `Artifact.binary`.
        options: `Binary.run`'s, such as ``input`` and ``timeout``.

    Raises:
        ArtifactError: an artifact has no such program, or several.
        UnavailableError: this host can't run a platform.
        TypeError: ``binaries`` are not by platform.
    """
    __tracebackhide__ = True
    if not isinstance(binaries, Mapping):
        raise TypeError(f"compare: expected programs by platform, got {binaries!r}")
    text = options.pop("text", True)
    programs = []
    for platform, one in binaries.items():
        programs.append((platform, one.binary(binary) if isinstance(one, Artifact) else one))
    raw = {}
    for platform, program in programs:
        raw[platform] = program.run(*args, **options, text=False)
    results = {platform: _decoded(run) if text else run for platform, run in raw.items()}
    return Comparison(MappingProxyType(results), MappingProxyType(raw))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one command gave on each platform; as text, a table.

    Attributes:
        results: the runs by platform.
        raw: the same runs with bytes as streams: what is compared.
    """

    results: Mapping[Platform, RunResult]
    raw: Mapping[Platform, RunResult] = field(repr=False)

    def table(self) -> str:
        """Return a table with a column for each platform.

        Its rows are what the platforms are like, how each run ended, and those lines of the output
        that are not the same everywhere: in quotes and with escapes, as Python writes text, and of
        a long line what is around the first difference.
        """
        return _table(self.raw, self._streams())

    def __str__(self) -> str:
        return self.table()

    def assert_same(
        self,
        *,
        stderr: bool = False,
        normalize: Callable[[str, Platform], str | bytes] | None = None,
    ) -> None:
        """Assert that all runs ended in the same way, with the same bytes on standard output.

        Args:
            stderr: compare standard error too.
            normalize: called with the text of each compared stream and its platform; returns what
                is compared, so that ``lambda text, platform: text.replace(str(platform), "X")``
                takes out what has to differ. Bytes that are not UTF-8 are in the text as by
                ``errors="surrogateescape"``.

        Raises:
            AssertionError: something differs, or no run exited by itself, with all of its output
                kept; the message is the table.
            TypeError: ``normalize`` returned something else.
        """
        __tracebackhide__ = True
        streams = self._streams()
        names = list(_STREAMS) if stderr else ["stdout"]
        if normalize:
            for name in names:
                streams[name] = _normalized(name, streams[name], normalize)
        ends = {(one.kind, one.returncode): _ended(one) for one in self.raw.values()}
        differing = ["the way they end"] if len(ends) > 1 else []
        differing += [_STREAMS[name] for name in names if len(set(streams[name].values())) > 1]
        if len(ends) == 1 and any(kind is not Kind.EXITED for kind, _ in ends):
            what = f"no run is complete: {', '.join(ends.values())} on every platform"
        elif differing:
            what = f"platforms differ in {' and '.join(differing)}"
        else:
            return
        raise AssertionError(f"{what}\n{_table(self.raw, streams)}")

    def _streams(self) -> dict[str, dict[Platform, str]]:
        """Return by name what each platform wrote, as text that is another for other bytes."""
        return {
            name: {platform: _text(getattr(run, name)) for platform, run in self.raw.items()}
            for name in _STREAMS
        }


def _decoded(run: RunResult) -> RunResult:
    """Return it as `Binary.run` gives it by default."""
    return replace(run, stdout=_text(run.stdout, "replace"), stderr=_text(run.stderr, "replace"))


def _text(stream: str | bytes, errors: str = "surrogateescape") -> str:
    return stream.decode(errors=errors) if isinstance(stream, bytes) else stream


def _normalized(
    name: str,
    texts: Mapping[Platform, str],
    normalize: Callable[[str, Platform], str | bytes],
) -> dict[Platform, str]:
    __tracebackhide__ = True
    found = {}
    for platform, text in texts.items():
        one: object = normalize(text, platform)
        if not isinstance(one, str | bytes):
            what = f"for {name} of {platform}"
            raise TypeError(f"normalize: expected text or bytes, not {short_repr(one)}, {what}")
        found[platform] = _text(one)
    return found


def _table(
    results: Mapping[Platform, RunResult], streams: Mapping[str, Mapping[Platform, str]]
) -> str:
    rows = [
        ("", [str(platform) for platform in results]),
        *zip(("bits", "byte order", "C char"), zip(*map(_abi, results), strict=True), strict=True),
        ("runner", [one.runner + ", emulated" * one.emulated for one in results.values()]),
        ("ended", [_ended(one) for one in results.values()]),
    ]
    for name, texts in streams.items():
        rows += _differing_lines(name, list(texts.values()))
    widths = [max(map(len, cells)) for cells in zip(*(row for _, row in rows), strict=True)]
    names = max(len(name) for name, _ in rows)
    return "\n".join(
        "  ".join(
            [name.ljust(names), *(cell.ljust(n) for cell, n in zip(row, widths, strict=True))]
        ).rstrip()
        for name, row in rows
    )


def _abi(platform: Platform) -> tuple[str, str, str]:
    """Return what most often makes a program behave differently."""
    bits, order, char = _ABIS[platform.architecture]
    return f"{bits}", order, char if platform.os == "linux" else "signed"


def _ended(result: RunResult) -> str:
    if result.kind is Kind.EXITED:
        return f"exit code {result.returncode}"
    if result.kind is Kind.SIGNALED:
        return signal_name(-result.returncode)
    return str(result.kind)


def _differing_lines(stream: str, texts: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield a row for each line that is not the same everywhere, up to a number of rows."""
    lines = list(zip_longest(*(_LINE.findall(text) for text in texts)))
    differing = [(number, row) for number, row in enumerate(lines, 1) if len(set(row)) > 1]
    for number, row in differing[:_MOST_LINES]:
        yield f"{stream} {number}", _cells(row)
    if len(differing) > _MOST_LINES:
        yield (
            f"{stream} ...",
            [f"({len(differing) - _MOST_LINES} more lines)"] + [""] * (len(texts) - 1),
        )


def _cells(row: Sequence[str | None]) -> list[str]:
    """Return a line of each platform, cut around the first difference between them."""
    lines = [line for line in row if line is not None]
    end = "\n" if all(line.endswith("\n") for line in lines) else ""
    begin = 0
    if any(len(_escaped(line[: _WIDEST + 1])) > _WIDEST for line in lines):
        signs = enumerate(zip_longest(*lines))
        begin = _begin(lines[0][: next((at for at, each in signs if len(set(each)) > 1), 0)])
    return ["(no line)" if line is None else _cell(line.removesuffix(end), begin) for line in row]


def _begin(same: str) -> int:
    """Return where the last part of ``same`` begins that is shown before what differs."""
    at = len(same)
    while at and len(_escaped(same[at - 1 :])) <= _BEFORE:
        at -= 1
    return at


def _cell(line: str, begin: int) -> str:
    end = begin
    while end < len(line) and len(_escaped(line[begin : end + 1])) <= _WIDEST:
        end += 1
    before, behind = "..." if begin else "", "..." if end < len(line) else ""
    return f"{before}'{_escaped(line[begin:end])}'{behind}"


def _escaped(text: str) -> str:
    return "".join(map(_escaped_sign, text))


def _escaped_sign(sign: str) -> str:
    """Return it as in a Python string; another for each sign, and for each byte that is none."""
    number = ord(sign)
    if sign.isprintable() and sign != "\\":
        return sign
    if 0xDC80 <= number <= 0xDCFF:  # noqa: PLR2004 (the range of surrogateescape)
        return f"\\x{number - 0xDC00:02x}"
    if number < 0x80:  # noqa: PLR2004 (ASCII)
        return repr(sign)[1:-1]
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"  # noqa: PLR2004
