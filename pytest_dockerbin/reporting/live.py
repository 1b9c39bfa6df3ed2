"""Tells of builds in the terminal while they run, and leaves pytest's own output whole."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from pytest_dockerbin.activity import Lines, Silence
from pytest_dockerbin.report.wording import cut
from pytest_dockerbin.reporting.relay import to_controller
from pytest_dockerbin.settings import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import pytest

    from pytest_dockerbin.activity import Activity

BETWEEN = "dockerbin-between"
"""The name of the plugin that knows where pytest's own lines end; there is none without them."""

_PAUSE = 0.2  # seconds between two states of the line: a person reads no faster
_ERASE = "\r\x1b[2K"  # ECMA-48: carriage return, erase in line


def activity_of(config: pytest.Config, progress: Progress) -> Activity:
    """Return what tells this process's user what is being built.

    It is one line that rewrites itself where pytest's own reporter writes to a terminal, and else
    lines; those of an xdist worker are written by its controller.
    """
    if progress is Progress.QUIET or config.get_verbosity() < 0:
        return Silence()
    uncaptured = _uncaptured(config)
    between = config.pluginmanager.get_plugin(BETWEEN)
    if hasattr(config, "workerinput") or between is None:
        return Lines(speaker(config))
    is_terminal = bool(between.isatty) and os.environ.get("TERM") != "dumb"
    # a reporter of somebody else's moves the cursor by itself
    if progress is Progress.AUTO and between.is_own and is_terminal:
        return LiveLine(_on_terminal(uncaptured, between.begin))
    return Lines(speaker(config))


def speaker(config: pytest.Config) -> Callable[[str], None]:
    """Return what writes a line of ours where this process's user sees it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER") if hasattr(config, "workerinput") else None
    prefix = f"[{worker}] " if worker else ""
    write = to_controller(config) or writer(config)
    return lambda line: write(f"{prefix}dockerbin: {line}")


def writer(config: pytest.Config) -> Callable[[str], None]:
    """Return what writes a line between pytest's own, or on standard error where it writes none."""
    uncaptured = _uncaptured(config)
    plugins = config.pluginmanager

    def write(line: str) -> None:
        between, rich = plugins.get_plugin(BETWEEN), plugins.get_plugin("rich-terminal-reporter")
        with uncaptured():
            if between:
                between.say(line)
            elif rich:  # pytest-rich's, in the place of pytest's own: it paints over other lines
                rich.console.print(line, markup=False, highlight=False, soft_wrap=True)
            else:
                sys.stderr.write(f"{line}\n")  # at once: other workers write there too
                sys.stderr.flush()

    return write


def _uncaptured(config: pytest.Config) -> Callable[[], AbstractContextManager[None]]:
    capture = config.pluginmanager.get_plugin("capturemanager")
    return capture.global_and_fixture_disabled if capture else nullcontext


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


def _on_terminal(
    uncaptured: Callable[[], AbstractContextManager[None]], begin_line: Callable[[], None]
) -> Callable[[str], None]:
    def show(text: str) -> None:
        with uncaptured():
            begin_line()
            # not in the last column, behind which some terminals begin a new line
            shown = cut(text, shutil.get_terminal_size().columns - 1)
            encoding = sys.stdout.encoding
            # past pytest's own writer, which counts the columns of what it wrote
            sys.stdout.write(_ERASE + shown.encode(encoding, "replace").decode(encoding))
            sys.stdout.flush()

    return show
