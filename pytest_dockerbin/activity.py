"""What a builder is busy with, told while it is: builds, and waiting for other processes."""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
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

    def rest(self) -> None:
        """Hear that nobody waits for any of it just now: it goes on in the background."""


class Silence:
    """Tells nobody."""

    def begin(self, what: str, text: str) -> None:
        """Do nothing."""

    def update(self, what: str, text: str) -> None:
        """Do nothing."""

    def end(self, what: str, text: str) -> None:
        """Do nothing."""

    def rest(self) -> None:
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

    def rest(self) -> None:
        """Do nothing: lines stay."""

    def _tell(self, what: str, text: str) -> None:
        self._said[what] = self._clock()
        self._say(f"{what}: {text}")


class Deferred:
    """Keeps what other threads tell until the thread that made this asks for it.

    Only that thread may write: pytest captures output for the whole process, and what was printed
    while a test runs would become the test's.

    Args:
        activity: hears of it.
    """

    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        self._owner = threading.get_ident()
        self._calls: deque[Callable[[], object]] = deque()
        self._updates: dict[str, str] = {}

    def begin(self, what: str, text: str) -> None:
        """Tell that something begins."""
        self.call(partial(self._activity.begin, what, text))

    def update(self, what: str, text: str) -> None:
        """Tell how far it is; of what is kept, the last counts."""
        if self.is_own:
            self._activity.update(what, text)
        else:
            self._updates[what] = text

    def end(self, what: str, text: str) -> None:
        """Tell that it is over."""
        self._updates.pop(what, None)
        self.call(partial(self._activity.end, what, text))

    def rest(self) -> None:
        """Tell that nobody waits."""
        self.call(self._activity.rest)

    def call(self, call: Callable[[], object]) -> None:
        """Call this in the thread that made this object: now, or when that asks for it."""
        if self.is_own:
            call()
        else:
            self._calls.append(call)

    @property
    def is_own(self) -> bool:
        """Whether this is the thread that made this object."""
        return threading.get_ident() == self._owner

    def flush(self) -> None:
        """Tell what was kept; for the thread that made this object."""
        while self._calls:
            self._calls.popleft()()
        for what in list(self._updates):
            text = self._updates.pop(what, None)
            if text is not None:
                self._activity.update(what, text)
