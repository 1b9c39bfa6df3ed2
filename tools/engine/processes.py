"""Finding and ending processes and mounts that belong to one engine of ours.

A process id alone proves nothing: it may have been given to another process since. Each
is held by a pidfd first, then looked at, then signalled.
"""

from __future__ import annotations

import os
import re
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

from engine.shell import run

PROC = Path("/proc")

# At least; between the sixth and the "-" there may be more.
_MOUNT_FIELDS = 10

_DAEMON = re.compile(r"dockerd")
_HELPERS = re.compile(
    r"dockerd|containerd|containerd-shim.*|docker-proxy|docker-init|runc|buildkit.*"
)


def mentions(argument: str, folder: Path) -> bool:
    """Tell whether a command line's argument is, or sets, a path below ``folder``."""
    _, _, value = argument.rpartition("=")
    return value.removeprefix("unix://").startswith(f"{folder}/")


def belongs(arguments: list[str], folder: Path, *, daemon_only: bool = False) -> bool:
    """Tell whether a command line is that of an engine's part that works in ``folder``.

    The program counts as much as the folder: somebody reading the engine's log is not a
    part of the engine.
    """
    if not arguments:
        return False
    program = Path(arguments[0]).name
    pattern = _DAEMON if daemon_only else _HELPERS
    return bool(pattern.fullmatch(program)) and any(
        mentions(argument, folder) for argument in arguments[1:]
    )


def command_line(pid: int) -> list[str]:
    """Return a process's command line; empty when it is gone, or a zombie."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(part) for part in raw.split(b"\0") if part]


def root_is_below(mountinfo: str, folder: Path) -> bool:
    """Tell whether a process's root filesystem is kept in ``folder``: a build step's, say."""
    for mount in parse_mountinfo(mountinfo):
        if mount.point == "/":
            return f"{folder}/" in f"{mount.root}/,{mount.options}"
    return False


class Mount:
    """One line of ``/proc/PID/mountinfo``."""

    __slots__ = ("options", "point", "root")

    def __init__(self, line: str) -> None:
        """Read the line; see proc(5)."""
        fields = line.split(" ")
        self.root = _unescape(fields[3])
        self.point = _unescape(fields[4])
        self.options = _unescape(fields[-1])


def parse_mountinfo(text: str) -> list[Mount]:
    """Read ``/proc/PID/mountinfo``."""
    return [Mount(line) for line in text.splitlines() if line.count(" ") >= _MOUNT_FIELDS - 1]


def mounts_below(mountinfo: str, folder: Path) -> list[str]:
    """Return the mount points below ``folder``, the last made first."""
    points = [mount.point for mount in parse_mountinfo(mountinfo)]
    return [point for point in reversed(points) if point.startswith(f"{folder}/")]


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def daemons(folder: Path) -> list[int]:
    """Return the dockerd processes that work in ``folder``."""
    return [pid for pid in _pids() if belongs(command_line(pid), folder, daemon_only=True)]


def parts(folder: Path) -> list[int]:
    """Return all processes of an engine that works in ``folder``."""
    return [pid for pid in _pids() if belongs(command_line(pid), folder)]


def steps(folder: Path) -> list[int]:
    """Return the processes of containers and build steps whose files are in ``folder``."""
    if root_is_below(_own_mountinfo(), folder):
        # This is a container, and its engine outside keeps its files in a folder of the same
        # name: these paths are not ours to compare, all processes here would match.
        return []
    found = []
    for pid in _pids():
        with suppress(OSError):
            mountinfo = (PROC / str(pid) / "mountinfo").read_text(errors="replace")
            if root_is_below(mountinfo, folder):
                found.append(pid)
    return found


def end(folder: Path, *, patience: float) -> bool:
    """End the engine that works in ``folder``, and everything it left; say if there was any.

    dockerd comes first and ends its parts itself; what a killed one left over follows.
    """
    ended = _end(daemons(folder), folder, patience)
    ended = _end(parts(folder), folder, patience / 2) or ended
    for pid in steps(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        ended = True
    return ended


def _end(pids: list[int], folder: Path, patience: float) -> bool:
    held: list[int] = []
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                held.append(os.pidfd_open(pid))
                # Looked at again now that the id cannot change hands.
                if not belongs(command_line(pid), folder):
                    os.close(held.pop())
        for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, patience)):
            for handle in held:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
            if _all_end(held, wait):
                break
        return bool(held)
    finally:
        for handle in held:
            os.close(handle)


def _all_end(handles: list[int], patience: float) -> bool:
    """Wait until each pidfd reports the end of its process."""
    deadline = time.monotonic() + patience
    waiting = list(handles)
    while waiting:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        ready, _, _ = select.select(waiting, [], [], left)
        waiting = [handle for handle in waiting if handle not in ready]
    return True


def unmount_below(folder: Path) -> bool:
    """Unmount what an engine left mounted below ``folder``; say if there was anything."""
    points = _mounts_below(folder)
    for point in points:
        if run(["umount", point], check=False).returncode != 0:
            # Still in use by something: detach it, the kernel frees it with its last user.
            run(["umount", "--lazy", point], check=False)
    return bool(points)


def has_mounts_below(folder: Path) -> bool:
    """Tell whether deleting ``folder`` would reach into something mounted there."""
    return bool(_mounts_below(folder))


def _mounts_below(folder: Path) -> list[str]:
    return mounts_below(_own_mountinfo(), folder)


def _own_mountinfo() -> str:
    return (PROC / "self/mountinfo").read_text(errors="replace")


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()]
