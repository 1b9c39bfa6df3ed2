"""The matrix in the terminal: a row for each test, a column for each platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_dockerbin.report.grid import State
from pytest_dockerbin.report.wording import build_words, columns, cut, line, many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dockerbin.report.grid import BuildRow, Column, Grid, Row

_MOST_PLATFORMS = 6
_MOST_ROWS = 20  # what has one cause has it in most of them
_MOST_BUILDS = 8  # beyond them, only those that failed
_SHORTEST = 24  # signs that are left of a test's name
_GAP = "  "

_COLOURS = {
    State.FAILED: "red",
    State.ERROR: "red",
    State.EMULATOR: "yellow",
    State.SKIPPED: "yellow",
    State.XPASSED: "yellow",
    State.XFAILED: "yellow",
    State.PASSED: "green",
}


class Word(NamedTuple):
    """A piece of a line.

    Attributes:
        text: what stands there; the whole meaning is in it.
        colour: what pytest's terminal writer calls it, or nothing.
    """

    text: str
    colour: str = ""


def matrix(grid: Grid, width: int, *, everything: bool) -> list[list[Word]]:
    """Return the lines of a session's matrix; none where it tells nothing or does not fit.

    Args:
        grid: the session's.
        width: columns of the terminal.
        everything: whether rows in which all is fine are told too.
    """
    rows = [row for row in grid.rows if everything or not row.is_fine]
    if not rows or len(grid.columns) > _MOST_PLATFORMS:
        return []
    told = rows if everything else rows[:_MOST_ROWS]
    builds = list(grid.builds)
    if not everything and len(builds) > _MOST_BUILDS:
        builds = [row for row in builds if row.failed][:_MOST_BUILDS]
    lines = [
        [Word(""), *(Word(line(column.title)) for column in grid.columns)],
        [Word(""), *(Word(_runs_with(column)) for column in grid.columns)],
        *(_of_test(row) for row in told),
        *(_of_build(row) for row in builds),
    ]
    first, *widths = (
        max(columns(words[at].text) for words in lines) for at in range(len(lines[0]))
    )
    room = width - sum(widths) - len(_GAP) * len(widths)
    if room < min(first, _SHORTEST):
        return []
    widths = [min(first, room), *widths]
    aligned = [_aligned(words, widths) for words in lines]
    if len(told) < len(rows):
        more = many(len(rows) - len(told), "more test")
        at = len(aligned) - len(builds)
        aligned.insert(at, [Word(f"... and {more} that -v shows", "yellow")])
    if len(builds) < len(grid.builds):
        more = many(len(grid.builds) - len(builds), "more build")
        aligned.append([Word(f"... and {more} that -v shows")])
    return aligned


def _runs_with(column: Column) -> str:
    if not column.platform:
        return ""
    return line(column.runs_with) if column.facts and column.facts.runner else "not run"


def _of_test(row: Row) -> list[Word]:
    cells = (Word(cell.text, _COLOURS[cell.state]) if cell else Word("-") for cell in row.cells)
    return [Word(line(row.name)), *cells]


def _of_build(row: BuildRow) -> list[Word]:
    cells = (
        Word(build_words(build), "red" if build.source == "failed" else "") if build else Word("-")
        for build in row.cells
    )
    return [Word(f"build {line(row.title)}"), *cells]


def _aligned(words: Sequence[Word], widths: Sequence[int]) -> list[Word]:
    (name, colour), *others = words
    if columns(name) > widths[0]:  # of a long path the end tells most
        name = f"...{cut(name[::-1], widths[0] - 3)[::-1]}"
    padded = [Word(name + _blanks(name, widths[0]), colour)]
    padded += [
        word._replace(text=_GAP + _blanks(word.text, width) + word.text)
        for word, width in zip(others, widths[1:], strict=True)
    ]
    return padded


def _blanks(text: str, width: int) -> str:
    return " " * (width - columns(text))
