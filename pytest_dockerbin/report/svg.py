"""The report as a picture: the matrix for a README or a release's page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_dockerbin.report.grid import Grid
from pytest_dockerbin.report.templating import render
from pytest_dockerbin.report.wording import build_words, headline, line, many, outcomes, runs_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dockerbin.report.grid import Row
    from pytest_dockerbin.report.model import Report

_MOST_ROWS = 40
_MOST_SIGNS = 46  # of a row's name
_SIGN = 7.3  # pixels of a sign of 12 px, generously: nobody knows the reader's font
_COLUMN, _ROW, _HEAD = 124, 26, 92  # pixels


class _Box(NamedTuple):
    x: float
    kind: str
    text: str


class _Line(NamedTuple):
    y: float
    name: str
    boxes: tuple[_Box, ...]


def svg(report: Report) -> str:
    """Return the matrix as an SVG image that needs nothing else.

    Of more than 40 tests those with problems are shown, as many as fit; a line counts the others.
    """
    grid = Grid.of(report)
    rows = _chosen(grid.rows)
    names = [_short(row.name) for row in rows] + [
        f"build {_short(row.title)}" for row in grid.builds
    ]
    left = max([len(name) * _SIGN for name in names] + [180.0]) + 36
    columns = [
        (left + place * _COLUMN, column.title, _short(column.runs_with, 19))
        for place, column in enumerate(grid.columns)
    ]
    cells = [
        [(cell.state.value, cell.text) if cell else None for cell in row.cells] for row in rows
    ]
    cells += [
        [
            ("failed" if each.error else "build", build_words(each)) if each else None
            for each in row.cells
        ]
        for row in grid.builds
    ]
    lines = [
        _Line(
            y=_HEAD + place * _ROW + (8 if place >= len(rows) else 0),
            name=name,
            boxes=tuple(_Box(left + at * _COLUMN, *cell) for at, cell in enumerate(found) if cell),
        )
        for place, (name, found) in enumerate(zip(names, cells, strict=True))
    ]
    title = f"dockerbin: {headline(report)}"
    return render(
        "matrix.svg",
        title=title,
        description="; ".join(_described(report)),
        columns=columns,
        lines=lines,
        rest=_rest(len(grid.rows) - len(rows)),
        width=max(left + len(columns) * _COLUMN + 16, len(title) * 9.0 + 40),
        height=_HEAD + len(lines) * _ROW + 44,
    )


def _chosen(rows: tuple[Row, ...]) -> list[Row]:
    problems = [row for row in rows if not row.is_fine]
    return list(rows if len(rows) <= _MOST_ROWS else problems[:_MOST_ROWS])


def _rest(count: int) -> str:
    return f"{many(count, 'more test')} not shown" if count else ""


def _short(text: str, most: int = _MOST_SIGNS) -> str:
    """Return the end of a name, which tells more than its beginning."""
    text = line(text)
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _described(report: Report) -> Iterator[str]:
    for each in report.platforms:
        yield f"{each.platform} ({runs_with(each)}): {outcomes(report.counts(each.platform))}"
