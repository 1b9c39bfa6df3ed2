"""Reads small files of Linux's /proc (proc(5))."""

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


def peak_memory(pid: int) -> int | None:
    """Return the most memory that a process has had resident so far, in bytes; None if unknown."""
    _, found, rest = read(f"/proc/{pid}/status").partition(b"VmHWM:")
    return int(rest.split(None, 1)[0]) * 1024 if found else None
