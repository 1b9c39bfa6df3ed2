"""Tells how two exports of the same build differ: which file, and where in it."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from pytest_dockerbin.executables import format_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pytest_dockerbin.manifest import FileRecord

_SHOWN = 24  # bytes or signs of a difference
_BEFORE = 8  # of them before it
_BLOCK = 64 * 1024
_MOST_TEXT = 2**20  # bytes; larger files are told by offsets


class Section(NamedTuple):
    """A part of a program's file: its name, where it begins and how long it is, in bytes."""

    name: str
    offset: int
    size: int


class Export(NamedTuple):
    """An exported tree, and its files."""

    tree: Path
    files: Iterable[FileRecord]


def differences(one: Export, two: Export) -> list[str]:
    """Return a line or two for each file in which two exports differ; none when they are equal.

    Names, modes, link targets and contents count; times and owners do not.
    """
    first, second = ({file.name: file for file in export.files} for export in (one, two))
    lines: list[str] = []
    for name in sorted(first.keys() | second.keys()):
        if name not in second:
            lines.append(f"{name}: only in the first build")
        elif name not in first:
            lines.append(f"{name}: only in the second build")
        elif first[name] != second[name]:
            lines += _of_file(first[name], second[name], one.tree / name, two.tree / name)
    return lines


def _of_file(first: FileRecord, second: FileRecord, one: Path, two: Path) -> Iterator[str]:
    if first.link != second.link:
        yield f"{first.name}: {_kind(first)} / {_kind(second)}"
        return
    if first.mode != second.mode:
        yield f"{first.name}: mode {first.mode:o} / {second.mode:o}"
    if first.size != second.size:
        yield f"{first.name}: {first.size} / {second.size} bytes"
    if first.sha256 != second.sha256:
        yield f"{first.name}: {_of_content(one, two)}"


def _kind(file: FileRecord) -> str:
    return "a file" if file.link is None else f"a link to {file.link}"


def _of_content(one: Path, two: Path) -> str:
    with one.open("rb") as file:
        kind = format_of(file.read(4))
    if kind == "ELF":
        return _of_elf(one, two)
    if kind is None and max(one.stat().st_size, two.stat().st_size) <= _MOST_TEXT:
        try:
            return _of_text(one.read_text("utf-8"), two.read_text("utf-8"))
        except UnicodeDecodeError:  # no text
            pass
    return _of_bytes(one, two, ())


def _of_text(one: str, two: str) -> str:
    lines = zip_longest(one.splitlines(), two.splitlines(), fillvalue="")
    for number, (first, second) in enumerate(lines, 1):
        if first != second:
            at = _first(first, second)
            part = slice(max(at - _BEFORE, 0), at + _SHOWN - _BEFORE)
            return f"line {number}: {first[part]!r} / {second[part]!r}"
    return "line ends"


def _of_elf(one: Path, two: Path) -> str:
    from pytest_dockerbin.inspection.elf import sections  # noqa: PLC0415 (only for a difference)

    with one.open("rb") as file:
        found = [Section(*section) for section in sections(file)]
    return _of_bytes(one, two, found)


def _of_bytes(one: Path, two: Path, sections: Iterable[Section]) -> str:
    with one.open("rb") as first, two.open("rb") as second:
        at = 0
        while (block := first.read(_BLOCK)) == (other := second.read(_BLOCK)) and block:
            at += len(block)
        at += _first(block, other)
        begin = max(at - _BEFORE, 0)
        first.seek(begin)
        second.seek(begin)
        shown = f"{first.read(_SHOWN)!r} / {second.read(_SHOWN)!r}"
    around = next((each for each in sections if each.offset <= at < each.offset + each.size), None)
    if around:
        return f"section {around.name}, {at - around.offset:#x} bytes into it: {shown}"
    return f"from byte {at:#x}: {shown}"


def _first(one: str | bytes, two: str | bytes) -> int:
    """Return the place of the first difference."""
    pairs = zip(one, two, strict=False)
    return next(
        (at for at, (first, second) in enumerate(pairs) if first != second),
        min(len(one), len(two)),
    )
