"""Tells whoever listens of each program that was run, when it has ended."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dockerbin.results import RunResult

    Listener = Callable[["Ran"], None]

_listeners: list[Listener] = []

current_test: ContextVar[object] = ContextVar("dockerbin_test", default=None)
"""The test on whose behalf programs are started now; whoever listens says what stands for it."""


class Ran(NamedTuple):
    """A program that was run.

    Attributes:
        result: how it ended.
        started: when, in epoch seconds.
        stopped: whether the test, or its end, ended it.
        test: what `current_test` was when it was started; None where that is now.
    """

    result: RunResult
    started: float
    stopped: bool = False
    test: object = None


def listen(listener: Listener) -> None:
    """Let ``listener`` hear of each run from now on."""
    _listeners.append(listener)


def forget(listener: Listener) -> None:
    """Tell ``listener`` of nothing more."""
    _listeners.remove(listener)


def note(result: RunResult) -> None:
    """Tell of a run that has just ended."""
    tell(Ran(result, time.time() - result.duration))


def tell(ran: Ran) -> None:
    """Tell of a program that was not waited for, and has ended."""
    for listener in _listeners:
        listener(ran)
