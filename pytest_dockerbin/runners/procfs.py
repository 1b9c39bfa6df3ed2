"""Reads small files of Linux's /proc (proc(5)), some of them often."""

from __future__ import annotations

import os

_MOST = 8192


def read(path: str) -> bytes:
    """Return a file's beginning; nothing when there is no such process, or no /proc."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _MOST)
    except OSError:  # it ended meanwhile
        return b""
    finally:
        os.close(descriptor)


class Kept:
    """A file that is needed often, and kept open: of /proc/loadavg that takes 2 µs and not 13.

    Args:
        path: its name.
        flags: as for `os.open`.
    """

    def __init__(self, path: str, flags: int = os.O_RDONLY) -> None:
        self._path = path
        self._flags = flags | os.O_CLOEXEC
        self._descriptor = -1
        self._is: tuple[int, int] | None = None

    def descriptor(self) -> int:
        """Return its descriptor, which is nobody's to close.

        Raises:
            OSError: it can't be opened.
        """
        if self._is is None or self._identity() != self._is:  # a test may close what it likes
            self._descriptor = os.open(self._path, self._flags)
            self._is = self._identity()
        return self._descriptor

    def read(self) -> bytes:
        """Return its beginning as it is now; nothing when there is none."""
        try:
            return os.pread(self.descriptor(), _MOST, 0)
        except OSError:
            return b""

    def _identity(self) -> tuple[int, int] | None:
        try:
            facts = os.fstat(self._descriptor)
        except OSError:
            return None
        return facts.st_dev, facts.st_ino


def peak_memory(pid: int) -> int | None:
    """Return the most memory that a process has had resident so far, in bytes; None if unknown."""
    _, found, rest = read(f"/proc/{pid}/status").partition(b"VmHWM:")
    return int(rest.split(None, 1)[0]) * 1024 if found else None
