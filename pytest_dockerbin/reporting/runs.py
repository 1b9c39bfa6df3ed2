"""What a failing test's report says of the programs that failed in it, or run for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.report.model import RunReport
from pytest_dockerbin.report.wording import duration, many
from pytest_dockerbin.results import command_lines, title
from pytest_dockerbin.runners.registry import running

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pytest_dockerbin.errors import RunError

_RUNNING = "running"  # stands in the place of how it ended
_MOST_RUNNING = 2  # programs of which a failing test's report tells
_LINES_OF_RUNNING = 10  # of each stream: a server's are told of each test that fails beside it


def sections(
    runs: Sequence[RunReport], fixtures: Collection[str], error: RunError | None
) -> list[tuple[str, str]]:
    """Return headings and texts: the last run that was not fine, and what ran beside the test.

    Args:
        runs: those of the test that have ended.
        fixtures: names of its fixtures: what these started is told of too.
        error: what ended the test, if that tells of its run already.
    """
    both = sorted((*runs, *_begun(fixtures)), key=lambda run: run.started + run.seconds)
    failed = [run for run in both if run.kind != _RUNNING and not run.is_fine]
    told = []
    if failed and error is None:
        lines = list(_lines(failed[-1]))
        if len(failed) > 1:
            others = many(len(failed) - 1, "earlier run")
            lines.append(f"{others} of this test did not end with exit code 0 either")
        told.append((_heading(failed[-1]), "\n".join(lines)))
    beside = [run for run in both if run.kind == _RUNNING or run.stopped]
    if error is not None:  # it begins with the name of the program that it tells of
        beside = [run for run in beside if not error.summary.startswith(_quoted(run))]
    return told + [
        (_heading(run), "\n".join(_lines(run, _LINES_OF_RUNNING)))
        for run in beside[-_MOST_RUNNING:]
    ]


def _begun(fixtures: Collection[str]) -> Iterator[RunReport]:
    """Yield what is told now of programs that nobody has closed yet."""
    for program, owner in running():
        if owner is None or getattr(owner, "argname", None) in fixtures:
            run = RunReport.of(program.ran())
            yield run if program.returncode is not None else replace(run, kind=_RUNNING)


def everything(runs: Sequence[RunReport]) -> str:
    """Return all that is kept of runs, for a report that has the room."""
    return "\n\n".join("\n".join((_title(run), *_lines(run))) for run in runs)


def _heading(run: RunReport) -> str:
    return f"dockerbin run: {_title(run)}"


def _title(run: RunReport) -> str:
    what = f"{run.program} for {run.platform} ({_runs_with(run)})"
    return f"{what}, {_end(run)}, {duration(run.seconds)}"


def _quoted(run: RunReport) -> str:
    return title(Path(run.program), Platform.parse(run.platform))


def _runs_with(run: RunReport) -> str:
    return run.emulator or f"{run.runner}, emulated" if run.emulated else run.runner


def _end(run: RunReport) -> str:
    if run.kind == _RUNNING:
        return "still running"
    if run.kind == "exited":
        how = f"exit code {run.returncode}"
    else:
        how = run.signal if run.kind == "signaled" and run.signal else run.kind
    return f"stopped by the test, {how}" if run.stopped else how


def _lines(run: RunReport, most: int = 0) -> Iterator[str]:
    yield from command_lines(run.args, run.variables)
    for name, text in (("stdout", run.stdout), ("stderr", run.stderr)):
        if text:
            yield f"{name}, its end:"
        for line in text.splitlines()[-most:]:
            yield f"| {line}"  # a line of its own words is never a CI service's command
    if run.hint:
        yield f"hint:   {run.hint}"
