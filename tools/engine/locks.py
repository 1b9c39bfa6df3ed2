"""Locks between runs of this tool. The kernel drops them with the process."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.shell import LONG, say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked(path: Path, *, timeout: float = LONG) -> Iterator[None]:
    """Hold the lock file ``path``; wait, and say so, while another run holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    with path.open("a") as file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    message = f"another run has held {path} for {timeout:.0f} s"
                    cure = f"see who it is with `fuser {path}`"
                    raise EngineError(message, cure) from None
                if not told:
                    say(f"waiting for another run of this script ({path})")
                    told = True
                time.sleep(0.2)
        yield
