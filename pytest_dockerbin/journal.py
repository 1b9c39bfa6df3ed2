"""Tells whoever listens of each program that was run, when it has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dockerbin.results import RunResult

    Listener = Callable[[RunResult, float, bool], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Let ``listener`` get each result from now on.

    And when it began, in epoch seconds; and whether the test, or its end, ended the program.
    """
    _listeners.append(listener)


def forget(listener: Listener) -> None:
    """Tell ``listener`` of nothing more."""
    _listeners.remove(listener)


def note(result: RunResult, *, stopped: bool = False) -> None:
    """Tell of a program that has just ended.

    Args:
        result: how.
        stopped: whether the test, or its end, ended it.
    """
    for listener in _listeners:
        listener(result, time.time() - result.duration, stopped)
