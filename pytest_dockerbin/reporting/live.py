"""Tells of builds in the terminal while they run, and leaves pytest's own output whole."""

from __future__ import annotations

import os
import shutil
import sys
import time
import unicodedata
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from pytest_dockerbin.activity import Lines, Silence
from pytest_dockerbin.settings import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from pytest_dockerbin.activity import Activity

_PAUSE = 0.2  # seconds between two states of the line: a person reads no faster
_ERASE = "\r\x1b[2K"  # ECMA-48: carriage return, erase in line


def activity_of(config: pytest.Config, progress: Progress) -> Activity:
    """Return what tells this process's user what is being built.

    It is one line that rewrites itself where pytest's own reporter writes to a terminal, and else
    lines; those of an xdist worker go to its standard error, which is the user's.
    """
    if progress is Progress.QUIET or config.get_verbosity() < 0:
        return Silence()
    plugins = config.pluginmanager
    capture = plugins.get_plugin("capturemanager")
    uncaptured = capture.global_and_fixture_disabled if capture else nullcontext
    reporter = plugins.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):
        return Lines(_on_stderr(uncaptured))

    def say(line: str) -> None:
        with uncaptured():
            reporter.ensure_newline()
            reporter.write_line(f"dockerbin: {line}")

    # a reporter of somebody else's moves the cursor by itself
    is_own = type(reporter) is pytest.TerminalReporter
    is_terminal = bool(reporter.isatty) and os.environ.get("TERM") != "dumb"
    if progress is Progress.AUTO and is_own and is_terminal:
        return LiveLine(_on_terminal(uncaptured, reporter.ensure_newline))
    return Lines(say)


class LiveLine:
    """One line of the terminal that is rewritten, and gone when there is no more to tell.

    Args:
        show: lets a text stand in the line instead of what is there; nothing, when it is empty.
        clock: gives seconds.
    """

    def __init__(
        self,
        show: Callable[[str], object],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show = show
        self._clock = clock
        self._next = 0.0
        self._stands = False

    def begin(self, what: str, text: str) -> None:
        """Show that something begins."""
        self._next = 0.0
        self.update(what, text)

    def update(self, what: str, text: str) -> None:
        """Show how far it is."""
        if self._clock() >= self._next:
            self._next = self._clock() + _PAUSE
            self._stands = True
            self._show(f"dockerbin: {what}: {text}")

    def end(self, what: str, text: str) -> None:  # noqa: ARG002 (the summary tells how it ended)
        """Take the line away."""
        self.rest()

    def rest(self) -> None:
        """Take the line away, if it stands: there may be pytest's own results in its place."""
        if self._stands:
            self._stands = False
            self._show("")


def _on_stderr(uncaptured: Callable[[], AbstractContextManager[None]]) -> Callable[[str], None]:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    prefix = f"[{worker}] " if worker else ""

    def say(line: str) -> None:
        with uncaptured():
            print(f"{prefix}dockerbin: {line}", file=sys.stderr, flush=True)  # noqa: T201 (as meant)

    return say


def _on_terminal(
    uncaptured: Callable[[], AbstractContextManager[None]], ensure_newline: Callable[[], None]
) -> Callable[[str], None]:
    def show(text: str) -> None:
        with uncaptured():
            ensure_newline()
            # not in the last column, behind which some terminals begin a new line
            shown = _cut(text, shutil.get_terminal_size().columns - 1)
            encoding = sys.stdout.encoding
            # past pytest's own writer, which counts the columns of what it wrote
            sys.stdout.write(_ERASE + shown.encode(encoding, "replace").decode(encoding))
            sys.stdout.flush()

    return show


def _cut(text: str, width: int) -> str:
    """Return as much of a text as stands in ``width`` columns."""
    used = 0
    for index, sign in enumerate(text):
        used += 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        if used > width:
            return text[:index]
    return text
