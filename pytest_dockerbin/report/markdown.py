"""The report in GitHub's Markdown: a table of tests and platforms, and what went wrong."""

from __future__ import annotations

import html
import itertools
import re
from typing import TYPE_CHECKING

from pytest_dockerbin.report.grid import Grid, State
from pytest_dockerbin.report.wording import (
    build_words,
    ending,
    headline,
    line,
    many,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_dockerbin.report.grid import BuildRow, Cell, Row
    from pytest_dockerbin.report.model import BuildReport, Report, TestReport

_SIGNS = {
    State.FAILED: "❌ FAIL",
    State.ERROR: "💥 ERROR",
    State.EMULATOR: "⚠️ EMULATOR",
    State.SKIPPED: "⏭️ skipped",
    State.XPASSED: "✅ xpass",
    State.XFAILED: "✅ xfail",
    State.PASSED: "✅ ok",
}
_SPECIAL = re.compile(r"(?<=www)\.|[^A-Za-z0-9 .,()=/-]")
_CUT_SHORT = (2, 3, 4)  # exit codes: interrupted, or not collected; pytest's own error; usage
_LAST_LINES = 50
_REASONS = 50
_ROOM = 400  # bytes for saying what was left out


def markdown(report: Report, limit: int | None = None) -> str:
    """Return the report in GitHub's Markdown.

    What strangers wrote, such as parameters and output, is in ``<code>`` or ``<pre>`` and escaped:
    it makes no table, no tag and mentions nobody.

    Args:
        report: of the session.
        limit: the most bytes, in UTF-8. Rows with problems stay longest; a line says how many
            rows and sections were left out.
    """
    grid = Grid.of(report)
    titles = (_code(column.title) for column in grid.columns)
    heads = (
        f"{title}<br><sub>{_escaped(column.runs_with)}</sub>"
        for title, column in zip(titles, grid.columns, strict=True)
    )
    room = _Room(limit)
    top = room.must([f"### dockerbin: {headline(report)}", ""])
    if report.exit_status in _CUT_SHORT:
        top += room.must([f"*{ending(report.exit_status)}*", ""])
    head = []
    if grid.columns:
        head = room.must([_row(["test", *heads]), _row(["---"] * (len(grid.columns) + 1))])
    builds = room.may({row.title: _builds(row) for row in grid.builds})
    missing = room.may(dict(map(_missing, report.missing)))
    notes = room.may({note: f"- {_code(note)}" for note in report.notes})
    rows = room.may({row.name: _test(row) for row in sorted(grid.rows, key=_urgency)})
    failed = {f"{build.title} {build.platform}": build for build in report.builds if build.text}
    sections = room.may({name: _failed(build) for name, build in failed.items()})
    problems: dict[str, list[TestReport]] = {}
    for test in report.tests:
        if not test.is_fine and test.reason:
            problems.setdefault(test.reason, []).append(test)
    reasons = room.may(dict(itertools.islice(map(_reason, problems.items()), _REASONS)))
    parts = [
        [*head, *(rows[row.name] for row in grid.rows if row.name in rows), *builds.values()],
        [*missing.values(), *notes.values()],
        list(sections.values()),
        _folded("why tests failed or were skipped", list(reasons.values())),
        _left_out(len(grid.rows) - len(rows), len(failed) - len(sections)),
    ]
    return "\n".join([*top, *("\n".join([*part, ""]) for part in parts if part)])


class _Room:
    """What is left of the bytes that a report may have."""

    def __init__(self, limit: int | None) -> None:
        self._left = None if limit is None else limit - _ROOM

    def must(self, parts: Iterable[str]) -> list[str]:
        """Return parts without which there would be no report."""
        taken = list(parts)
        if self._left is not None:
            self._left -= sum(map(_size, taken))
        return taken

    def may(self, parts: dict[str, str]) -> dict[str, str]:
        """Return those of the parts, the first ones first, for which there is room."""
        if self._left is None:
            return parts
        taken = {}
        for name, part in parts.items():
            if _size(part) <= self._left:
                self._left -= _size(part)
                taken[name] = part
        return taken


def _size(part: str) -> int:
    return len(part.encode(errors="replace")) + 1


def _urgency(row: Row) -> tuple[bool, str]:
    return row.is_fine, row.name


def _left_out(rows: int, sections: int) -> list[str]:
    words = [many(rows, "row")] if rows else []
    if sections:
        words.append(many(sections, "failed build"))
    return [f"*Left out, for lack of room: {' and '.join(words)}.*"] if words else []


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _test(row: Row) -> str:
    return _row([_code(row.name), *map(_cell, row.cells)])


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "–"  # noqa: RUF001 (a dash)
    of = f" {cell.count} of {len(cell.tests)}" if cell.tally else ""
    return f"{_SIGNS[cell.state]}{of}"


def _missing(missing: tuple[str, int]) -> tuple[str, str]:
    reason, count = missing
    return reason, f"- {many(count, 'test')} did **not** run: {_code(reason)}"


def _builds(row: BuildRow) -> str:
    return _row([f"**build** {_code(row.title)}", *map(_build, row.cells)])


def _build(build: BuildReport | None) -> str:
    if build is None:
        return "–"  # noqa: RUF001 (a dash)
    return f"💥 {build_words(build)}" if build.error else build_words(build)


def _failed(build: BuildReport) -> str:
    """Return a section about a build: what failed, and the last lines of what it said."""
    last = shown(build.text).splitlines()[-_LAST_LINES:]
    reason = build.reason or build.error
    summary = reason if build.platform in reason else f"{build.platform}: {reason}"
    # <pre> has no blank line before its end tag's line: GitHub takes all of it as it is
    text = html.escape("\n".join(last), quote=False)
    return (
        f"<details><summary><code>{_escaped(summary)}</code></summary>\n\n"
        f"<pre>\n{text}\n</pre>\n\n</details>"
    )


def _reason(problem: tuple[str, list[TestReport]]) -> tuple[str, str]:
    reason, tests = problem
    more = f" and {len(tests) - 1:,} more" if len(tests) > 1 else ""
    return reason, f"- {_code(tests[0].node)}{more}: {_code(reason)}"


def _folded(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]


def _code(text: str) -> str:
    """Return a text as code, in which GitHub finds neither links nor people."""
    text = line(text)
    plain = text and not {"`", "|"} & set(text)
    return f"`{text}`" if plain else f"<code>{_escaped(text)}</code>"


def _escaped(text: str) -> str:
    """Return a text no sign of which means anything in Markdown or HTML."""
    return _SPECIAL.sub(lambda sign: f"&#{ord(sign[0])};", line(text))
