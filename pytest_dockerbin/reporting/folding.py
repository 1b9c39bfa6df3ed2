"""One error stands for its repetitions in the terminal."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Self

import pytest

from pytest_dockerbin.reporting.notes import STOP

if TYPE_CHECKING:
    from collections.abc import Collection, Generator


class ErrorFolding:
    """Lets one error stand for its repetitions in the terminal.

    pytest prints a heading and a text for each error, and each failure. Those of tests that were
    stopped by a cause which another test tells in full are taken out while pytest prints them; they
    are back for the short summary and the counts. There, each is a line.
    """

    def __init__(self) -> None:
        self.all: dict[str, list[pytest.TestReport]] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, object, object]:
        """Take repetitions out before pytest's own summary begins."""
        self.all = {name: terminalreporter.stats.get(name, []) for name in ("error", "failed")}
        stops = [getattr(report, STOP, None) for report in chain(*self.all.values())]
        told = {stop["cause"] for stop in stops if stop and stop["first"]}
        for name, reports in self.all.items():
            kept = [report for report in reports if not _is_repetition(report, told)]
            if len(kept) < len(reports):
                terminalreporter.stats[name] = kept
        return (yield)


def _is_repetition(report: pytest.TestReport, told: Collection[str]) -> bool:
    stop = getattr(report, STOP, None)
    return stop is not None and not stop["first"] and stop["cause"] in told


class ErrorUnfolding:
    """Brings back what `ErrorFolding` took out, once pytest has printed the errors."""

    def __init__(self, folding: ErrorFolding) -> None:
        self._folding = folding

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how many were left out, restore them, and leave each one line of the summary."""
        count = 0
        for name, reports in self._folding.all.items():
            for report in reports:
                stop = getattr(report, STOP, None)
                if stop and stop["first"]:  # on CI, pytest's short summary would tell it all again
                    report.longrepr = _Line(f"dockerbin: {stop['reason']}")
            left = len(reports) - len(terminalreporter.stats.get(name, []))
            if left:
                terminalreporter.stats[name] = reports
                count += left
        if count and terminalreporter.config.option.tbstyle != "no":
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
