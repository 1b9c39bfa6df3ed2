"""What a failing test's report says of the program that failed in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dockerbin.report.wording import duration, many
from pytest_dockerbin.results import command_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_dockerbin.report.model import RunReport


def section(runs: Sequence[RunReport]) -> tuple[str, str] | None:
    """Return heading and text about the last run that was not fine; None where all were."""
    failed = [run for run in runs if not run.is_fine]
    if not failed:
        return None
    lines = list(_lines(failed[-1]))
    if len(failed) > 1:
        others = many(len(failed) - 1, "earlier run")
        lines.append(f"{others} of this test did not end with exit code 0 either")
    return f"dockerbin run: {_title(failed[-1])}", "\n".join(lines)


def everything(runs: Sequence[RunReport]) -> str:
    """Return all that is kept of runs, for a report that has the room."""
    return "\n\n".join("\n".join((_title(run), *_lines(run))) for run in runs)


def _title(run: RunReport) -> str:
    what = f"{run.program} for {run.platform} ({_runs_with(run)})"
    return f"{what}, {_end(run)}, {duration(run.seconds)}"


def _runs_with(run: RunReport) -> str:
    return run.emulator or f"{run.runner}, emulated" if run.emulated else run.runner


def _end(run: RunReport) -> str:
    if run.kind == "exited":
        return f"exit code {run.returncode}"
    return run.signal if run.kind == "signaled" and run.signal else run.kind


def _lines(run: RunReport) -> Iterator[str]:
    yield from command_lines(run.args, run.variables)
    for name, text in (("stdout", run.stdout), ("stderr", run.stderr)):
        if text:
            yield f"{name}, its end:"
        for line in text.splitlines():
            yield f"| {line}"  # a line of its own words is never a CI service's command
    if run.hint:
        yield f"hint:   {run.hint}"
