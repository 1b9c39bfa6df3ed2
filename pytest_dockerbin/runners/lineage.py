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
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.runners.procfs import Kept, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_RLIMIT_LOCKS = 10  # asm-generic/resource.h; no name in Python
_LINE = b"Max file locks"
_RUN_BITS = 20  # of a mark; above them is the number of the process that started the program
_FAMILY_BITS = 40
_MANY = 1000  # process ids: to look at each takes longer than to list /proc
_SOON = 1.0  # seconds in which the process ids do not come round
_PATIENCE = 2.0  # seconds for what is killed to go

_lock = threading.Lock()
_loadavg = Kept("/proc/loadavg")
_family = 0
_runs = 0


def family() -> int:
    """Return the number that all marks of this process have in common."""
    global _family  # noqa: PLW0603 (it is the process's)
    if not _family:
        _family = int.from_bytes(os.urandom(_FAMILY_BITS // 8)) | 1
    return _family


def _renew() -> None:  # coverage: forked
    """Give a forked process a number of its own: else it would end its parent's programs."""
    global _family, _lock  # noqa: PLW0603
    _family = 0
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # coverage: always on Linux
    os.register_at_fork(after_in_child=_renew)


@lru_cache(maxsize=1)
def apart() -> Mapping[str, Any]:
    """Return the words for `subprocess.Popen` that keep a program from our group and terminal.

    Where we have a terminal, a session: a program could ask a person for a password by /dev/tty.
    Where there is none, as on CI, a process group does the same. Linux gives each new session a
    scheduling group of its own (sched(7), "The autogroup feature"), and on a machine with more to
    do than processors a program waited for its turn in it before it was even executed: `fork_exec`
    took 7 ms instead of 0.5, a run of an arm64 program 15 % longer.
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return {"process_group": 0}
    return {"start_new_session": True}


class marked:  # noqa: N801 (used as a word of `with`)
    """Give what is started inside the ``with`` block a new mark, and let it write no core files.

    Both by this process's own soft limits, and not between fork and exec: with a function there
    `subprocess` can't use vfork. What another thread starts meanwhile is not ended for it: it is
    of this process's group or descends from it, and what a program left behind is neither. (Core
    files: QEMU would leave two in the working folder.)

    A class, since a generator takes 5 µs more of each run.
    """

    __slots__ = ("_before",)

    def __enter__(self) -> int:
        global _runs  # noqa: PLW0603
        _lock.acquire()
        self._before: list[tuple[int, tuple[int, int]]] = []
        _runs = (_runs + 1) % (1 << _RUN_BITS)
        mark = family() << _RUN_BITS | _runs
        try:
            self._limit(resource.RLIMIT_CORE, 0)
            if sys.platform == "linux":  # coverage: always on Linux
                self._limit(_RLIMIT_LOCKS, mark)
        except BaseException:
            self.__exit__()
            raise
        return mark

    def _limit(self, limit: int, soft: int) -> None:
        old, hard = before = resource.getrlimit(limit)
        if old != soft and (hard in (resource.RLIM_INFINITY, -1) or soft <= hard):
            self._before.append((limit, before))
            resource.setrlimit(limit, (soft, hard))

    def __exit__(self, *_: object) -> None:
        for limit, both in self._before:
            resource.setrlimit(limit, both)
        _lock.release()


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
    own = os.getpgrp()
    for pid in candidates:
        try:
            if os.getpgid(pid) == own:
                continue
        except OSError:  # most of them are gone, which this tells in a fifth of the time
            continue
        mark = _mark_of(pid)
        if mark is not None and ours(mark) and _is_left_behind(pid):
            found = True
            with suppress(ProcessLookupError, PermissionError):  # gone; became somebody else's
                os.kill(pid, signal.SIGKILL)
    return found


def _newest() -> int:
    """Return the id of the newest process or thread, the last number of /proc/loadavg (proc(5))."""
    words = _loadavg.read().split()
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
    """Tell whether a process lives, and does not descend from this one."""
    state, parent = _facts(pid)
    if state in ("", "Z", "X"):
        return False
    we = os.getpid()
    # orphans come to us where we are the first process of a container
    while we != 1 and parent > 1:
        if parent == we:
            return False
        _, parent = _facts(parent)
    return True


def _facts(pid: int) -> tuple[str, int]:
    """Return a process's state and parent; nothing of one that is gone."""
    # the name in brackets may hold anything, brackets too
    words = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return (words[0].decode(), int(words[1])) if words else ("", 0)
