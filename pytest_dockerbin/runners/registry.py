"""What is running, and on whose behalf: so that nothing outlives the test that started it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dockerbin.journal import Ran


class Program(Protocol):
    """A program that was started and not closed yet.

    Attributes:
        returncode: None while it runs.
    """

    @property
    def returncode(self) -> int | None: ...  # noqa: D102 (as above)

    def ran(self) -> Ran:
        """Return what is told of it; while it runs, of what it wrote until now."""

    def close(self) -> None:
        """End it."""


_running: dict[Program, object] = {}
_owners: list[object] = []


def enter(program: Program) -> None:
    """Note that a program runs, for whoever is the innermost `owner`: by default the test."""
    _running[program] = _owners[-1] if _owners else None


def forget(program: Program) -> None:
    """Note that a program was ended."""
    _running.pop(program, None)


@contextmanager
def owner(whom: object) -> Iterator[None]:
    """Let what is started inside the ``with`` block be ended with ``whom``, a fixture."""
    _owners.append(whom)
    try:
        yield
    finally:
        _owners.pop()


def running() -> list[tuple[Program, object]]:
    """Return what was started and not closed yet, each with its owner: None is the test."""
    return list(_running.items())


def end_those_of(whom: object) -> None:
    """End what was started for ``whom``; for the test when None."""
    for program in [program for program, its in _running.items() if its is whom]:
        program.close()


def end_all() -> None:
    """End whatever runs."""
    for program in list(_running):
        program.close()
