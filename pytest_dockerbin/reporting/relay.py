"""Lines of pytest-xdist's workers, which their controller writes between pytest's own.

What a worker writes on its standard error stands in the middle of the controller's line of dots,
and of other workers' lines.
"""

from __future__ import annotations

from contextlib import suppress
from threading import RLock
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_CHANNEL = "dockerbin_lines"  # in a worker's input


def to_controller(config: pytest.Config) -> Callable[[str], None] | None:
    """Return what lets this worker's controller write a line; None where it does not listen."""
    channel = getattr(config, "workerinput", {}).get(_CHANNEL)
    if channel is None:
        return None

    def send(line: str) -> None:
        with suppress(OSError):  # the controller is gone, and nobody reads it
            channel.send(line.encode(errors="replace").decode())

    return send


class Relay:
    """Registered on a pytest-xdist controller.

    Lines come in threads of execnet's. None is written while the reporter writes what it has to
    say of a test, nor before the first test begins: until then xdist rewrites a line of its own.

    Args:
        say: writes a line.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._lock = RLock()
        self._early: list[str] | None = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401 (xdist has no types)
        """Give a worker a way to be heard."""
        channel = node.gateway.newchannel()
        channel.setcallback(self._take)
        node.workerinput[_CHANNEL] = channel

    def _take(self, line: str) -> None:
        with self._lock:
            if self._early is None:
                self._say(line)
            else:
                self._early.append(line)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self) -> Generator[None, object, object]:
        """Write what workers said before, and nothing meanwhile."""
        with self._lock:
            early, self._early = self._early, None
            for line in early or ():
                self._say(line)
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self) -> Generator[None, object, object]:
        """Write nothing meanwhile."""
        with self._lock:
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logfinish(self) -> Generator[None, object, object]:
        """Write nothing meanwhile."""
        with self._lock:
            return (yield)
