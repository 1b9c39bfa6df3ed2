"""Lines of ours between those of pytest's reporter, which stay whole."""

from __future__ import annotations

import pytest


class Between:
    """Begins a line of the terminal, and lets pytest go on where it was.

    A reporter that has written dots, or a test's name, has not ended that line: we do, and what
    pytest writes next stands on a line of its own. The name of a file is not told again before the
    next dot, and that of a test is, before its result.

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

    def begin(self) -> None:
        """Have the cursor in the first column."""
        if not self.is_own:
            self._reporter.ensure_newline()
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

    def pytest_runtest_logstart(self) -> None:
        """Forget lines of ours that came before this test: its name is written behind them."""
        self._interrupted = False

    @pytest.hookimpl(tryfirst=True)  # before the reporter writes the result
    def pytest_runtest_logreport(self) -> None:
        """Have the test's name before its result again, where lines of ours came between."""
        name = self._reporter.currentfspath
        if self._interrupted and isinstance(name, str):
            self._reporter.write(name)
        self._interrupted = False
