"""The process that `watchdog` starts: ends what a killed test process leaves behind.

Each process that builds starts one, and most have nothing to do in the end: so this is a program of
few imports, alone and without site, and what it needs at its end it loads there. That takes 18 ms
of processor time instead of 35.

It reads lines: ``+`` or ``-``, and what is to be done, or no longer, as a list in JSON.
"""

from __future__ import annotations

import os
import signal
import sys
import time

PATIENCE = 2.0  # seconds between asking a process group to end and forcing it
GROUP, FOLDER, FAMILY, COMMAND, START = "group", "folder", "family", "command", "start"
MARK = "PYTEST_DOCKERBIN_START"  # the environment variable of what is being started


def watch() -> None:  # coverage: no site
    """Wait until the test process is gone, and do what it left to be done."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    noted: dict[bytes, None] = {}
    for line in sys.stdin.buffer:
        sign, what = line[:1], line[1:]
        if sign == b"+":
            noted[what] = None
        else:
            noted.pop(what, None)
    if noted:
        _do(list(noted))


def _do(lines: list[bytes]) -> None:  # coverage: no site
    import json  # noqa: PLC0415 (see the top; as below)

    noted = [json.loads(line) for line in lines]
    groups = {int(what) for kind, what in noted if kind == GROUP}
    for kind, what in noted:
        if kind == START:
            groups |= _groups_of(f"{MARK}={what}".encode())
    _end_groups(groups)
    from pathlib import Path  # noqa: PLC0415

    # by the package's place: this file is started alone and with nothing on the path
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from pytest_dockerbin.folders import delete  # noqa: PLC0415
    from pytest_dockerbin.runners.lineage import end_family  # noqa: PLC0415

    for kind, what in noted:
        if kind == FOLDER:
            delete(Path(what))
        elif kind == FAMILY:
            end_family(int(what))
        elif kind == COMMAND:
            _run(json.loads(what))


def _run(command: list[str]) -> None:  # coverage: no site
    import subprocess  # noqa: PLC0415

    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if subprocess.run(command, check=False, stdout=subprocess.PIPE).stdout:
            return
        time.sleep(0.1)


def _groups_of(variable: bytes) -> set[int]:  # coverage: no site
    """Return the process groups in which something has the variable."""
    groups = set()
    for pid in os.listdir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112, PTH208
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
                found = variable in file.read().split(b"\0")
            if found:
                groups.add(os.getpgid(int(pid)))
        except OSError:  # no process, another user's, or one that just ended
            continue
    return groups


def _end_groups(groups: set[int]) -> None:  # coverage: no site
    deadline = time.monotonic() + PATIENCE
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in list(groups):
            try:
                os.killpg(group, number)
            except ProcessLookupError:
                groups.remove(group)
        while groups and time.monotonic() < deadline:
            time.sleep(0.02)
            groups = {group for group in groups if _lives(group)}
        deadline = time.monotonic() + PATIENCE  # they write until they are gone


def _lives(group: int) -> bool:  # coverage: no site
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":  # coverage: no site
    watch()
