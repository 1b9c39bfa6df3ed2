"""One command on several platforms, side by side."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.artifact import Artifact
from pytest_dockerbin.progress import clean
from pytest_dockerbin.results import Kind

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

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
_WIDEST = 40  # signs of a line of output that are shown
_MOST_LINES = 50  # rows of a stream


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
    """
    programs = {
        platform: one.binary(binary) if isinstance(one, Artifact) else one
        for platform, one in binaries.items()
    }
    results = {platform: one.run(*args, **options) for platform, one in programs.items()}
    return Comparison(MappingProxyType(results))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one command gave on each platform; as text, a table.

    Attributes:
        results: the runs by platform.
    """

    results: Mapping[Platform, RunResult]

    def table(self) -> str:
        """Return a table with a column for each platform.

        Its rows are what the platforms are like, how each run ended, and those lines of the output
        that are not the same everywhere.
        """
        return _table(self.results, _texts(self.results, None))

    def __str__(self) -> str:
        return self.table()

    def assert_same(
        self, *, stderr: bool = False, normalize: Callable[[str, Platform], str] | None = None
    ) -> None:
        """Assert that all runs ended in the same way, with the same standard output.

        Args:
            stderr: compare standard error too.
            normalize: called with the text of each compared stream and its platform; returns what
                is compared, so that ``lambda text, platform: text.replace(str(platform), "X")``
                takes out what has to differ.

        Raises:
            AssertionError: something differs; the message is the table.
        """
        __tracebackhide__ = True
        texts = _texts(self.results, normalize)
        compared: dict[str, list[object]] = {
            "the way they end": [(one.kind, one.returncode) for one in self.results.values()],
            "standard output": [streams["stdout"] for streams in texts.values()],
        }
        if stderr:
            compared["standard error"] = [streams["stderr"] for streams in texts.values()]
        differing = [what for what, values in compared.items() if len(set(values)) > 1]
        if differing:
            raise AssertionError(
                f"platforms differ in {' and '.join(differing)}\n{_table(self.results, texts)}"
            )


def _texts(
    results: Mapping[Platform, RunResult], normalize: Callable[[str, Platform], str] | None
) -> dict[Platform, dict[str, str]]:
    """Return both streams of each run as text."""

    def text(stream: str | bytes, platform: Platform) -> str:
        shown = stream.decode(errors="backslashreplace") if isinstance(stream, bytes) else stream
        return normalize(shown, platform) if normalize else shown

    return {
        platform: {"stdout": text(one.stdout, platform), "stderr": text(one.stderr, platform)}
        for platform, one in results.items()
    }


def _table(results: Mapping[Platform, RunResult], texts: Mapping[Platform, dict[str, str]]) -> str:
    rows = [
        ("", [str(platform) for platform in results]),
        *zip(("bits", "byte order", "C char"), zip(*map(_abi, results), strict=True), strict=True),
        ("runner", [one.runner + ", emulated" * one.emulated for one in results.values()]),
        ("ended", [_ended(one) for one in results.values()]),
    ]
    for stream in ("stdout", "stderr"):
        rows += _differing_lines(stream, [both[stream] for both in texts.values()])
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
        return signal.Signals(-result.returncode).name
    return str(result.kind)


def _differing_lines(stream: str, texts: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield a row for each line that is not the same everywhere, up to a number of rows."""
    lines = list(zip_longest(*(text.splitlines() for text in texts)))
    differing = [(number, row) for number, row in enumerate(lines, 1) if len(set(row)) > 1]
    for number, row in differing[:_MOST_LINES]:
        yield f"{stream} {number}", [_cell(line) for line in row]
    if len(differing) > _MOST_LINES:
        yield (
            f"{stream} ...",
            [f"({len(differing) - _MOST_LINES} more lines)"] + [""] * (len(texts) - 1),
        )


def _cell(line: str | None) -> str:
    if line is None:
        return "(no line)"
    shown = clean(line.strip())
    return shown if len(shown) <= _WIDEST else f"{shown[: _WIDEST - 3]}..."
