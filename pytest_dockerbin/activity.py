"""What a builder is busy with, told while it is: builds, and waiting for other processes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERVAL = 30.0  # seconds; CI services and people take a job for dead after some minutes


class Activity(Protocol):
    """Hears of one thing at a time, each with its name, such as ``linux/arm64 app``.

    All texts are on one line and without control characters.
    """

    def begin(self, what: str, text: str) -> None:
        """Hear that something begins."""

    def update(self, what: str, text: str) -> None:
        """Hear how far it is: several times a second."""

    def end(self, what: str, text: str) -> None:
        """Hear that it is over; how it ended, or nothing where there is no more to tell."""


class Silence:
    """Tells nobody."""

    def begin(self, what: str, text: str) -> None:
        """Do nothing."""

    def update(self, what: str, text: str) -> None:
        """Do nothing."""

    def end(self, what: str, text: str) -> None:
        """Do nothing."""


class Lines:
    """Tells it in lines: when something begins, each half minute, and when it is over.

    Args:
        say: gets each line.
        interval: seconds between two lines of the same thing.
        clock: gives seconds.
    """

    def __init__(
        self,
        say: Callable[[str], object],
        *,
        interval: float = _INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._interval = interval
        self._clock = clock
        self._said: dict[str, float] = {}

    def begin(self, what: str, text: str) -> None:
        """Say that something begins."""
        self._tell(what, text)

    def update(self, what: str, text: str) -> None:
        """Say how far it is, where nothing was said of it for long."""
        if self._clock() >= self._said.get(what, -self._interval) + self._interval:
            self._tell(what, text)

    def end(self, what: str, text: str) -> None:
        """Say how it ended."""
        self._said.pop(what, None)
        if text:
            self._say(f"{what}: {text}")

    def _tell(self, what: str, text: str) -> None:
        self._said[what] = self._clock()
        self._say(f"{what}: {text}")
