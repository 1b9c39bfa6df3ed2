"""Locks between processes: what is waited for, and whom for, is said.

They are the kernel's own (``flock``), so that a killed holder frees them at once; a lock file is
never deleted, since that would let a second holder in.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import field
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from pytest_dockerbin.activity import Silence
from pytest_dockerbin.errors import BuildTimeoutError, StoppedError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.tables import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from filelock import FileLock

    from pytest_dockerbin.activity import Activity

_PATIENCE = 5.0  # seconds of silent waiting
_PAUSE = 0.05  # seconds between two looks whether one of several locks is free
_TURN = 1.0  # seconds between two looks at who holds a lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How to wait.

    Attributes:
        activity: hears of a wait that is longer than 5 seconds: who holds the lock, since when.
        stopped: tells whether the session is being stopped, so that waiting is in vain.
        limit: seconds after which waiting is given up.
    """

    activity: Activity = field(default_factory=Silence)
    stopped: Callable[[], bool] = bool
    limit: float = inf


@contextmanager
def hold(path: Path, what: str, waiting: Waiting, *, log: Path | None = None) -> Iterator[None]:
    """Hold the lock at ``path`` inside the ``with`` block; wait for whoever holds it.

    Args:
        path: the lock file, made when it is not there.
        what: what the lock is for, in the line that is said while waiting.
        waiting: how to wait.
        log: where those who wait can read what the holder does.

    Raises:
        StoppedError: the session was stopped while this waited.
        BuildTimeoutError: the holder takes longer than may be waited.
        OSError, NotImplementedError: there can be no such lock here.
    """
    from filelock import Timeout  # noqa: PLC0415 (17-28 ms; only where builds are)

    lock = file_lock(path, log)
    started = time.monotonic()
    said = False
    try:
        while True:
            left = max(0.0, started + waiting.limit - time.monotonic())
            try:
                lock.acquire(
                    timeout=min(left, _TURN if said else _PATIENCE), cancel_check=waiting.stopped
                )
                break
            except Timeout:
                if waiting.stopped():
                    raise StoppedError.while_waiting(what) from None
                holder, its_log = _holder(path)
                if time.monotonic() >= started + waiting.limit:
                    raise BuildTimeoutError.while_waiting(what, holder, waiting.limit) from None
                if said:
                    waiting.activity.update(what, f"waiting for {holder}")
                else:
                    waiting.activity.begin(what, f"waiting for {holder}{its_log}")
                said = True
    finally:
        if said:
            waiting.activity.end(what, "")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def hold_one(paths: Sequence[Path], what: str, waiting: Waiting) -> Iterator[None]:
    """Hold one of several locks inside the ``with`` block; wait until one is free.

    Where there can be no locks, none is held: these keep a number small and protect nothing.

    Args:
        paths: the lock files; with none, there is nothing to wait for.
        what: what the lock is for.
        waiting: how to wait.

    Raises:
        StoppedError: the session was stopped while this waited.
    """
    from filelock import Timeout  # noqa: PLC0415

    held = None
    try:
        locks = [file_lock(path) for path in paths]
        while locks and held is None:
            for lock in locks:
                with suppress(Timeout):
                    lock.acquire(timeout=0)
                    held = lock
                    break
            else:
                if waiting.stopped():
                    raise StoppedError.while_waiting(what)
                time.sleep(_PAUSE)
    except (OSError, NotImplementedError):
        held = None
    try:
        yield
    finally:
        if held:
            held.release()


def is_held(path: Path) -> bool:
    """Tell whether any process holds the lock at ``path``."""
    from filelock import Timeout  # noqa: PLC0415

    try:
        with file_lock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True


def file_lock(path: Path, log: Path | None = None) -> FileLock:
    """Return the lock at ``path``, not yet acquired; its holder names ``log`` to those who wait."""
    from filelock import FileLock  # noqa: PLC0415

    return FileLock(
        path,
        mode=0o600,
        thread_local=False,  # a session may be left in another thread than it was begun in
        fallback_to_soft=False,  # a marker file in a lock's place would follow other rules
        preserve_lock_file=True,  # an unlinked lock lets a second holder in
        poll_interval=0.1,
        on_acquired=partial(_sign, log),
    )


def _sign(log: Path | None, descriptor: int) -> None:
    """Write who holds the lock, for those who wait, and on a second line where its log is."""
    os.ftruncate(descriptor, 0)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    words = (os.getpid(), socket.gethostname(), f"{time.time():.0f}", worker)
    os.pwrite(descriptor, os.fsencode(f"{' '.join(map(str, words))}\n{log or ''}"), 0)


def _holder(path: Path) -> tuple[str, str]:
    """Describe the holder and its log by what it wrote; it may be about to change."""
    try:
        who, _, log = os.fsdecode(path.read_bytes()).partition("\n")
        pid, host, since, *worker = who.split()
        seconds = max(0, int(time.time()) - int(since))
    except (OSError, ValueError):
        return "another process", ""
    name = worker[0] if worker else f"process {pid}"
    elsewhere = "" if host == socket.gethostname() else f" on {host}"
    told = f"{name}{elsewhere} (pid {pid}), which has had it for {seconds // 60}:{seconds % 60:02}"
    return told, f" (log {plain(log)})" if log else ""
