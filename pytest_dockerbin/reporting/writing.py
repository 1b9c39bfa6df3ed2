"""``--dockerbin-report``: what is written of a session when it has ended."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from pytest_dockerbin.options import runs_nothing
from pytest_dockerbin.suite import suite_of

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dockerbin.report.model import Report
    from pytest_dockerbin.reporting.collector import Collector

_MOST_SUMMARY = 900 * 1024  # GitHub drops the whole summary of a step that is over 1 MiB
_LEAST_SUMMARY = 16 * 1024


class Writing:
    """Registered where there is a report to write, or GitHub's summary of a job's step.

    Args:
        config: pytest's.
        collector: knows what the session did.
    """

    def __init__(self, config: pytest.Config, collector: Collector) -> None:
        self._config = config
        self._collector = collector
        self._written: list[str] = []
        self._problems: list[str] = []

    @pytest.hookimpl(trylast=True)  # after the builds of this process and of workers are known
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the reports; workers leave that to their controller."""
        if runs_nothing(self._config) or hasattr(self._config, "workerinput"):
            return
        report = self._collector.report(int(exitstatus), whole=True)
        suite = suite_of(self._config)
        for path in suite.reports:
            try:
                _replace(path, _rendered(report, path.suffix))
            except OSError as error:
                self._problems.append(f"report {self._named(path)} not written: {error.strerror}")
            else:
                self._written.append(f"report written to {self._named(path)}")
        if suite.github_summary and (report.tests or report.builds):
            try:
                _append(suite.github_summary, report)
            except OSError as error:
                self._problems.append(f"GITHUB_STEP_SUMMARY not written: {error.strerror}")

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which files there are; with ``-q`` only which are missing."""
        written = self._written if self._config.get_verbosity() >= 0 else []
        for line in (*written, *self._problems):
            terminalreporter.ensure_newline()
            terminalreporter.write_line(f"dockerbin: {line}")

    def _named(self, path: Path) -> str:
        """Return a path as a user would type it."""
        here = self._config.invocation_params.dir
        return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)


def _rendered(report: Report, suffix: str) -> str:
    """Return the report in the format that a suffix names; only that one's module is loaded."""
    if suffix == ".json":
        from pytest_dockerbin.report.document import document  # noqa: PLC0415

        return document(report)
    if suffix == ".md":
        from pytest_dockerbin.report.markdown import markdown  # noqa: PLC0415

        return markdown(report)
    if suffix == ".svg":
        from pytest_dockerbin.report.svg import svg  # noqa: PLC0415

        return svg(report)
    from pytest_dockerbin.report.html import html  # noqa: PLC0415

    return html(report)


def _replace(path: Path, text: str) -> None:
    """Write a whole file, or leave what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _append(path: Path, report: Report) -> None:
    """Add the report to what the step's other commands have said there."""
    from pytest_dockerbin.report.markdown import markdown  # noqa: PLC0415

    with path.open("ab") as file:
        room = _MOST_SUMMARY - file.tell()
        if room < _LEAST_SUMMARY:
            raise OSError(errno.EFBIG, "the step has written too much already")
        file.write(f"\n{markdown(report, limit=room)}\n".encode())
