"""Tells whoever listens of each program that was run to its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dockerbin.results import RunResult

    Listener = Callable[[RunResult, float], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Let ``listener`` get each result from now on, and when it began, in epoch seconds."""
    _listeners.append(listener)


def forget(listener: Listener) -> None:
    """Tell ``listener`` of nothing more."""
    _listeners.remove(listener)


def note(result: RunResult) -> None:
    """Tell of a run that has just ended."""
    for listener in _listeners:
        listener(result, time.time() - result.duration)
