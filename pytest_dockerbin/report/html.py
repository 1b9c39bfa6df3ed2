"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_dockerbin.report.exports import Exports
from pytest_dockerbin.report.grid import WORDS, Grid, State
from pytest_dockerbin.report.templating import render, source
from pytest_dockerbin.report.timeline import Timeline
from pytest_dockerbin.report.wording import (
    duration,
    headline,
    line,
    shown,
)
from pytest_dockerbin.tables import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dockerbin.report.grid import Cell, Column, Row
    from pytest_dockerbin.report.model import Report, RunReport, TestReport

_MOST_PROBLEMS = 100


class _Verdict(NamedTuple):
    """A cell of the matrix.

    Attributes:
        number: of its details among the data.
    """

    number: int
    cell: Cell


class _Problem(NamedTuple):
    """Tests that failed for one reason."""

    state: State
    reason: str
    number: int
    test: TestReport
    more: int


def html(report: Report) -> str:
    """Return the report as one HTML file: no other file is needed, and none is fetched.

    Of a test's runs and output nothing is in the document before somebody asks for it, so that
    thousands of tests open fast.
    """
    grid = Grid.of(report)
    numbered: list[tuple[Cell, Column]] = []
    rows = [(row, list(_numbered(row, grid, numbered))) for row in grid.rows]
    problems = list(_problems(numbered))
    style, script = source("report.css"), source("report.js")
    return render(
        "report.html",
        report=report,
        title=headline(report),
        grid=grid,
        tallies=_tallies(Counter(map(State.of, report.tests))),
        platforms=[
            (
                each,
                _tallies(Counter(State.of(t) for t in report.tests if t.platform == each.platform)),
            )
            for each in report.platforms
        ],
        files=[(file, list(found)) for file, found in groupby(rows, key=_file)],
        problems=problems[:_MOST_PROBLEMS],
        more_problems=max(0, len(problems) - _MOST_PROBLEMS),
        words=WORDS,
        timelines=Timeline.all_of(report.builds),
        has_steps=any(build.timeline for build in report.builds),
        failed=[build for build in report.builds if build.error],
        exports=Exports.all_of(report.builds),
        details=[_details(cell, column) for cell, column in numbered],
        style=style,
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _numbered(
    row: Row, grid: Grid, numbered: list[tuple[Cell, Column]]
) -> Iterator[_Verdict | None]:
    for cell, column in zip(row.cells, grid.columns, strict=True):
        if cell:
            numbered.append((cell, column))
        yield _Verdict(len(numbered) - 1, cell) if cell else None


def _file(row: tuple[Row, object]) -> str:
    return row[0].name.partition("::")[0]


def _tallies(counts: Counter[State]) -> list[tuple[State, int]]:
    return [(state, counts[state]) for state in reversed(State) if counts[state]]


def _problems(numbered: list[tuple[Cell, Column]]) -> Iterator[_Problem]:
    """Yield why tests failed, the worst first; tests that failed for the same reason are one."""
    found: dict[tuple[State, str], list[tuple[int, TestReport]]] = {}
    for number, (cell, _) in enumerate(numbered):
        for test in cell.tests:
            if not test.is_fine and test.outcome != "skipped":
                found.setdefault((State.of(test), test.reason), []).append((number, test))
    order = list(State)
    for (state, reason), tests in sorted(found.items(), key=lambda each: order.index(each[0][0])):
        # the one that has the whole text, not "told at another test"
        number, test = max(tests, key=lambda each: len(each[1].text))
        yield _Problem(state, reason, number, test, len(tests) - 1)


# -- what the script shows when a cell is opened ----------------------------------------------


def _details(cell: Cell, column: Column) -> dict[str, Any]:
    return {
        "title": line(cell.tests[0].name),
        "platform": line(column.title),
        "tests": [_test(test) for test in cell.tests],
    }


def _test(test: TestReport) -> dict[str, Any]:
    state = State.of(test)
    by = f", worker {test.worker}" if test.worker else ""
    return {
        "name": line(test.node),
        "state": state.value,
        "word": WORDS[state],
        "facts": line(f"{duration(test.seconds)}{by}"),
        "reason": line(test.reason),
        "text": shown(test.text),
        "runs": [_run(run) for run in test.runs],
    }


def _run(run: RunReport) -> dict[str, Any]:
    facts = [
        ("command", shlex.join([*_env(run), *run.args])),
        ("ended", _ended(run)),
        ("took", f"{duration(run.seconds)}, {duration(run.cpu_time)} of processor time"),
        ("memory", size_text(run.max_rss) if run.max_rss is not None else ""),
        ("ran with", _ran_with(run)),
    ]
    return {
        "title": line(f"{run.program} for {run.platform}"),
        "fine": run.is_fine,
        "facts": [(name, line(text)) for name, text in facts if text],
        "hint": shown(run.hint),
        "streams": [
            (f"{name}, last lines", shown(text))
            for name, text in (("stdout", run.stdout), ("stderr", run.stderr))
            if text.strip()
        ],
    }


def _env(run: RunReport) -> list[str]:
    return ["env", *map("=".join, run.variables.items())] if run.variables else []


def _ended(run: RunReport) -> str:
    how = run.signal or f"exit code {run.returncode}"
    if run.stopped:
        return f"stopped by the test ({how})"
    return how if run.kind in ("exited", "signaled") else f"{run.kind.replace('-', ' ')} ({how})"


def _ran_with(run: RunReport) -> str:
    return f"{run.runner}, {run.emulator or 'emulated'}" if run.emulated else run.runner
