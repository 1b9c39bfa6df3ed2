"""One error stands for its repetitions in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import pytest

from pytest_dockerbin.reporting.notes import STOP

if TYPE_CHECKING:
    from collections.abc import Generator


class ErrorFolding:
    """Lets one error stand for its repetitions in the terminal.

    pytest prints a heading and a text for each error. Those of tests that were stopped by a cause
    which another test tells in full are taken out of the errors while pytest prints them; they are
    back for the short summary and the counts. There, each is a line.
    """

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, object, object]:
        """Take repetitions out before pytest's own summary begins."""
        self._errors = terminalreporter.stats.get("error", [])
        stops = [getattr(report, STOP, None) for report in self._errors]
        told = {stop["cause"] for stop in stops if stop and stop["first"]}
        kept = [
            report
            for report, stop in zip(self._errors, stops, strict=True)
            if not stop or stop["first"] or stop["cause"] not in told
        ]
        if len(kept) < len(self._errors):
            terminalreporter.stats["error"] = kept
        return (yield)


class ErrorUnfolding:
    """Brings back what `ErrorFolding` took out, once pytest has printed the errors."""

    def __init__(self, folding: ErrorFolding) -> None:
        self._folding = folding

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how many were left out, restore them, and leave each one line of the summary."""
        errors = self._folding._errors  # noqa: SLF001 (two halves of one thing)
        for report in errors:
            stop = getattr(report, STOP, None)
            if stop and stop["first"]:  # on CI, pytest's short summary would tell it all again
                report.longrepr = _Line(f"dockerbin: {stop['reason']}")
        count = len(errors) - len(terminalreporter.stats.get("error", []))
        if count:
            terminalreporter.stats["error"] = errors
            if terminalreporter.config.option.tbstyle != "no":
                more = "1 more error has" if count == 1 else f"{count} more errors have"
                terminalreporter.write_line(f"dockerbin: {more} a cause that is told above")


class _Line(str):
    """A line of the short summary; pytest 8 looks for it where texts of other errors have it."""

    __slots__ = ()

    @property
    def reprcrash(self) -> Self:
        return self

    @property
    def message(self) -> str:
        return self
