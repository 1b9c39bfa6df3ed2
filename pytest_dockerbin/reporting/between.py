"""Lines of ours between those of pytest's reporter, which stay whole."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


class Between:
    """Begins a line of the terminal, and lets pytest go on where it was.

    A reporter that has written dots, or a test's name, has not ended that line: we do, and what
    pytest writes next stands on a line of its own. The name of a file is not told again before the
    next dot, and that of a test is, before its result. The name of the next test stands in the line
    below ours: pytest ends the line before it, and would leave one blank.

    Args:
        config: pytest's.
        reporter: its own, or somebody else's, which goes on as it does.
    """

    def __init__(self, config: pytest.Config, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter
        self._writer = config.get_terminal_writer()
        self.is_own = type(reporter) is pytest.TerminalReporter
        self.isatty = bool(reporter.isatty)
        self._interrupted = False
        self._tests_run = False
        self._is_ours = False  # the last line, after tests had begun

    def begin(self) -> None:
        """Have the cursor in the first column."""
        if not self.is_own:
            self._reporter.ensure_newline()
        self._is_ours = self._tests_run
        if self._writer.width_of_current_line:
            self._writer.line()
            self._interrupted = self.is_own
            if isinstance(self._reporter.currentfspath, int):  # a result, which nothing follows
                self._reporter.currentfspath = None

    def say(self, line: str) -> None:
        """Write a line."""
        self.begin()
        if self.is_own:  # whose `write_line` would forget the file
            self._writer.line(line)
        else:
            self._reporter.write_line(line)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logstart(self) -> Generator[None, object, object]:
        """Forget lines of ours that came before this test: its name is written behind them."""
        self._interrupted = False
        self._tests_run = True
        if not self._is_ours or not self.is_own:
            return (yield)
        self._is_ours = False
        with self._no_blank_line():
            return (yield)

    @contextmanager
    def _no_blank_line(self) -> Iterator[None]:
        """Let the writer begin no line where one has begun."""
        line = self._writer.line

        def once(s: str = "", **markup: bool) -> None:
            if s or self._writer.width_of_current_line:
                line(s, **markup)

        self._writer.line = once  # type: ignore[method-assign] # until the name is written
        try:
            yield
        finally:
            del self._writer.line

    @pytest.hookimpl(tryfirst=True)  # before the reporter writes the result
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Have the test's name before its result again, where lines of ours came between.

        With pytest-xdist a result has a line of its own, and its test's name behind it.
        """
        name = self._reporter.currentfspath
        if self._interrupted and isinstance(name, str):
            if hasattr(report, "node"):
                self._reporter.currentfspath = None
            else:
                self._reporter.write(name)
        self._interrupted = False
