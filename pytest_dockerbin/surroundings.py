"""What a build takes from its process: variables of the environment, and the working folder.

A test may change both for itself, with ``monkeypatch``. A build that goes on in the background
meanwhile must not see that: it keeps those that it was asked for in.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pytest_dockerbin.frozen import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Variables of an environment, and a working folder."""

    variables: Mapping[str, str]
    folder: Path | None

    @classmethod
    def now(cls) -> Self:
        """Return those of this process as they are now."""
        return cls(dict(os.environ), Path.cwd())


_kept: ContextVar[Surroundings | None] = ContextVar("kept", default=None)


@contextmanager
def kept(surroundings: Surroundings) -> Iterator[None]:
    """Let this thread's builds see ``surroundings``, whatever becomes of the process's own."""
    token = _kept.set(surroundings)
    try:
        yield
    finally:
        _kept.reset(token)


def variables() -> dict[str, str]:
    """Return a copy of the environment's variables, for whatever is started to have as its own.

    Without one, `subprocess` starts it with the C library's own: a background build and a test
    that sets a variable at once made the kernel refuse one start in five (EFAULT).
    """
    found = _kept.get()
    return dict(found.variables if found else os.environ)


def folder() -> Path | None:
    """Return the working folder for what is started; None for the process's own."""
    found = _kept.get()
    return found.folder if found else None
