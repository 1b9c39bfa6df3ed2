"""Finds and ends what a program left behind, wherever it went.

A program may leave its process group and its parent (``setsid``, a daemon's double fork), and clear
its environment. What it can't easily lose is its resource limits: they go to every child. Linux has
one that means nothing since 2.4.25, ``RLIMIT_LOCKS`` (getrlimit(2)), and shows it in
``/proc/PID/limits``. So each program is started with a number of its own there, its mark, and at
the run's end whatever carries the mark is killed.

Measured against the alternatives, with ``/bin/true``: a supervising process that is kept for many
runs costs a quarter of a run, a new one for each run 20 ms. ``PR_SET_CHILD_SUBREAPER`` in the
pytest process would also adopt the orphans of anybody else's programs. A look at every process
takes 2 ms; only those that were made since the program are looked at. Where there is no /proc, as
on macOS, a program's process group is all that is ended.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pytest_dockerbin.runners.procfs import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_RLIMIT_LOCKS = 10  # asm-generic/resource.h; no name in Python
_LINE = b"Max file locks"
_RUN_BITS = 20  # of a mark; above them is the number of the process that started the program
_FAMILY_BITS = 40
_MANY = 1000  # process ids: to look at each takes longer than to list /proc
_SOON = 1.0  # seconds in which the process ids do not come round
_PATIENCE = 2.0  # seconds for what is killed to go

_lock = threading.Lock()
_family = 0
_runs = 0


def family() -> int:
    """Return the number that all marks of this process have in common."""
    global _family  # noqa: PLW0603 (it is the process's)
    if not _family:
        _family = int.from_bytes(os.urandom(_FAMILY_BITS // 8)) | 1
    return _family


def _renew() -> None:
    """Give a forked process a number of its own: else it would end its parent's programs."""
    global _family, _lock  # noqa: PLW0603
    _family = 0
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


@contextmanager
def marked() -> Iterator[int]:
    """Give what is started inside the ``with`` block a new mark, and let it write no core files.

    Both by this process's own soft limits, and not between fork and exec: with a function there
    `subprocess` can't use vfork. What another thread starts meanwhile is not ended for it: it is
    this process's child or of its session, and what a program left behind is neither. (Core files:
    QEMU would leave two in the working folder.)
    """
    global _runs  # noqa: PLW0603
    with _lock:
        _runs = (_runs + 1) % (1 << _RUN_BITS)
        mark = family() << _RUN_BITS | _runs
        before = []
        try:
            for limit, soft in _limits(mark):
                old, hard = resource.getrlimit(limit)
                if hard in (resource.RLIM_INFINITY, -1) or soft <= hard:
                    before.append((limit, (old, hard)))
                    resource.setrlimit(limit, (soft, hard))
            yield mark
        finally:
            for limit, both in before:
                resource.setrlimit(limit, both)


def _limits(mark: int) -> Iterable[tuple[int, int]]:
    yield resource.RLIMIT_CORE, 0
    if sys.platform == "linux":
        yield _RLIMIT_LOCKS, mark


def marked_processes(mark: int) -> list[int]:
    """Return the processes that carry ``mark``."""
    return [pid for pid in _processes() if _mark_of(pid) == mark]


def end_marked(mark: int, program: int, started: float) -> None:
    """Kill what carries ``mark``.

    Args:
        mark: of a program that has ended.
        program: its process id: what it began has later ones.
        started: when, by the monotonic clock.
    """
    soon = time.monotonic() - started < _SOON
    _end_all(lambda found: found == mark, since=program if soon else None)


def end_family(number: int) -> None:
    """Kill whatever is left of the programs that the process with this `family` started."""
    _end_all(lambda found: found >> _RUN_BITS == number, since=None)


def _end_all(ours: Callable[[int], bool], since: int | None) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        newest = _newest()
        if newest == since:
            return  # nothing was made since: the way of most runs
        if _kill_all(_made_since(since, newest), ours):
            since = None  # it may have begun more, and takes a moment to go
            time.sleep(0.002)
        else:
            since = newest  # what we looked at may have forked before it ended


def _kill_all(candidates: Iterable[int], ours: Callable[[int], bool]) -> bool:
    """Kill what is ours among the candidates; return whether anything was."""
    found = False
    for pid in candidates:
        mark = _mark_of(pid)
        if mark is not None and ours(mark) and _is_left_behind(pid):
            found = True
            with suppress(ProcessLookupError, PermissionError):  # gone; became somebody else's
                os.kill(pid, signal.SIGKILL)
    return found


def _newest() -> int:
    """Return the id of the newest process or thread, the last number of /proc/loadavg (proc(5))."""
    words = read("/proc/loadavg").split()
    return int(words[-1]) if words else -1


def _made_since(since: int | None, newest: int) -> Iterable[int]:
    if since is not None and since <= newest < since + _MANY:
        return range(since + 1, newest + 1)
    return _processes()


def _processes() -> Iterable[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 (2 times)
    except FileNotFoundError:
        return []


def _mark_of(pid: int) -> int | None:
    text = read(f"/proc/{pid}/limits")
    at = text.find(_LINE)
    words = text[at + len(_LINE) :].split(None, 1) if at >= 0 else []
    return int(words[0]) if words and words[0].isdigit() else None


def _is_left_behind(pid: int) -> bool:
    """Tell whether a process lives and may be of a program, which has a session of its own."""
    # the name in brackets may hold anything, brackets too
    words = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    if not words or words[0] in (b"Z", b"X"):
        return False
    parent, session, we = int(words[1]), int(words[3]), os.getpid()
    # orphans come to us where we are the first process of a container
    return session != os.getsid(0) and (parent != we or we == 1)
