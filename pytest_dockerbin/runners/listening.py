"""Tells which TCP ports processes listen on.

From Linux's /proc (proc(5)), so that no server sees a connection that nobody made. Elsewhere there
is nothing but to connect, and only to a port that is known.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_LISTEN = b"0A"  # TCP_LISTEN of include/net/tcp_states.h
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def ports_of(processes: Callable[[], Iterable[int]], wanted: int | None) -> set[int]:
    """Return the ports on which one of the processes listens, by any address.

    Args:
        processes: returns them; asked only when anything listens.
        wanted: the only port of interest, or None.
    """
    if sys.platform != "linux":
        return {wanted} if wanted is not None and accepts(wanted) else set()
    listening = {inode: port for inode, port in _listening() if wanted in (None, port)}
    if not listening:
        return set()
    return {
        listening[inode] for pid in processes() for inode in _sockets(pid) if inode in listening
    }


def _listening() -> Iterator[tuple[int, int]]:
    """Return the inode and the port of every listening socket."""
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(name, "rb") as file:  # noqa: PTH123 (a name, not a path of ours)
                lines = file.read().splitlines()[1:]
        except FileNotFoundError:  # no such protocol
            continue
        for line in lines:
            words = line.split()
            if words[3] == _LISTEN:
                yield int(words[9]), int(words[1].rpartition(b":")[2], 16)


def _sockets(pid: int) -> Iterator[int]:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)  # noqa: PTH208 (names are all that is needed)
    except OSError:  # it ended; it is somebody else's
        return
    for name in names:
        try:
            found = _SOCKET.fullmatch(os.readlink(f"{folder}/{name}"))  # noqa: PTH115
        except OSError:
            continue
        if found:
            yield int(found[1])


def accepts(port: int) -> bool:
    """Tell whether somebody on this host answers at a port."""
    import socket  # noqa: PLC0415 (10 ms that Linux does not need)

    for host in ("127.0.0.1", "::1"):
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            continue
        return True
    return False
