"""Ends what a killed test process leaves behind.

A SIGKILL, and a SIGTERM too, ends pytest without any teardown: the docker client it started would
go on for as long as the build takes. So a second, tiny process holds the reading end of a pipe from
the first build on. When the pipe closes, whatever closed it, the watchdog ends the process groups
that are still noted, deletes such folders and runs such commands, and ends the exported
programs that the dead process started, with all that they began.
Measured against the alternative, ``PR_SET_PDEATHSIG`` set between fork and exec: that is Linux's
only, follows the thread that forked and not the process, and forbids posix_spawn.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATIENCE = 2.0  # seconds between asking a process group to end and forcing it
_GROUP, _FOLDER, _FAMILY, _COMMAND, _START = "group", "folder", "family", "command", "start"
_MARK = "PYTEST_DOCKERBIN_START"  # the environment variable of what is being started


class Watchdog:
    """The watching process; started when the first thing is noted, ended with this process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._family: str | None = None
        if hasattr(os, "register_at_fork"):  # coverage: always on Linux
            os.register_at_fork(after_in_child=self._forget)

    @contextmanager
    def start(self) -> Iterator[Mapping[str, str]]:
        """Have what is started inside the ``with`` block ended if this process is killed there.

        Between the start of a process and `group` it has no number yet that could be noted. It is
        found by its environment, which must have the variables that the block gets: where there
        is no /proc, as on macOS, that moment is left open.
        """
        mark = os.urandom(8).hex()
        with self._noted(_START, mark):
            yield {_MARK: mark}

    @contextmanager
    def group(self, number: int) -> Iterator[None]:
        """Have the process group ended if this process is killed inside the ``with`` block."""
        with self._noted(_GROUP, str(number)):
            yield

    @contextmanager
    def folder(self, path: Path) -> Iterator[None]:
        """Have the folder deleted if this process is killed inside the ``with`` block."""
        with self._noted(_FOLDER, str(path)):
            yield

    @contextmanager
    def command(self, *words: str) -> Iterator[None]:
        """Have a command run if this process is killed inside the ``with`` block.

        It is run again, for a moment, while it prints nothing: what it removes and names was asked
        for, and may not be there yet.
        """
        with self._noted(_COMMAND, json.dumps(words)):
            yield

    def programs(self, family: int) -> None:
        """Have the programs of a `lineage.family` ended if this process is killed from now on."""
        if self._family is None:
            self._family = str(family)
            self._tell("+", _FAMILY, self._family)

    @contextmanager
    def _noted(self, kind: str, what: str) -> Iterator[None]:
        self._tell("+", kind, what)
        try:
            yield
        finally:
            self._tell("-", kind, what)

    def _tell(self, *words: str) -> None:
        line = json.dumps(words).encode() + b"\n"
        with self._lock:
            if self._process is None:
                self._process = _start()
            assert self._process.stdin is not None  # noqa: S101 (asked for in _start)
            with suppress(BrokenPipeError):  # somebody killed the watchdog; the session goes on
                self._process.stdin.write(line)
                self._process.stdin.flush()

    def _forget(self) -> None:  # coverage: forked
        """Drop a forked child's copy of the pipe: it would hold the watchdog back."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None
        self._family = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let the watchdog end; nothing is noted any more."""
        if self._family is not None:
            self._tell("-", _FAMILY, self._family)
            self._family = None
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                with suppress(BrokenPipeError):
                    self._process.stdin.close()
                self._process.wait()
            self._process = None


def _start() -> subprocess.Popen[bytes]:
    # not at the top: the watchdog has no site
    from pytest_dockerbin.surroundings import variables  # noqa: PLC0415

    # isolated and without site: it starts in 10 ms and no setting of the user's can stop it
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            close_fds=True,
            env=variables(),
        )
    except OSError as error:
        from pytest_dockerbin.errors import StoreError  # noqa: PLC0415 (as above)

        raise StoreError.no_watchdog(error) from error


# -- in the watching process -----------------------------------------------------------------------


def _watch() -> None:  # coverage: no site
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    noted: dict[tuple[str, str], None] = {}
    for line in sys.stdin.buffer:
        sign, kind, what = json.loads(line)
        if sign == "+":
            noted[kind, what] = None
        else:
            noted.pop((kind, what), None)
    groups = [int(what) for kind, what in noted if kind == _GROUP]
    for kind, what in noted:
        if kind == _START:
            groups += _groups_of(f"{_MARK}={what}".encode())
    _end_groups(groups)
    for kind, what in noted:
        if kind == _FOLDER:
            _delete(what)
        elif kind == _FAMILY:
            _end_programs(int(what))
        elif kind == _COMMAND:
            _run(json.loads(what))


def _run(command: list[str]) -> None:  # coverage: no site
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if subprocess.run(command, check=False, stdout=subprocess.PIPE).stdout:
            return
        time.sleep(0.1)


def _end_programs(family: int) -> None:  # coverage: no site
    # only now, and by the package's place: this file is started alone and with nothing on the path
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from pytest_dockerbin.runners.lineage import end_family  # noqa: PLC0415

    end_family(family)


def _groups_of(variable: bytes) -> set[int]:  # coverage: no site
    """Return the process groups in which something has the variable."""
    groups = set()
    for pid in os.listdir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112, PTH208
        # others' processes, and those that just ended
        with suppress(OSError, ValueError), open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            if variable in file.read().split(b"\0"):
                groups.add(os.getpgid(int(pid)))
    return groups


def _end_groups(groups: list[int]) -> None:  # coverage: no site
    deadline = time.monotonic() + _PATIENCE
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in list(groups):
            try:
                os.killpg(group, number)
            except ProcessLookupError:
                groups.remove(group)
        while groups and time.monotonic() < deadline:
            time.sleep(0.02)
            groups[:] = [group for group in groups if _lives(group)]
        deadline = time.monotonic() + _PATIENCE  # they write until they are gone


def _delete(folder: str) -> None:  # coverage: no site
    shutil.rmtree(folder, ignore_errors=True)
    if not os.path.isdir(folder):  # noqa: PTH112 (no pathlib: this starts in 10 ms)
        return
    for base, below, _ in os.walk(folder):  # images have folders that their owner may not write to
        for path in (base, *(f"{base}/{name}" for name in below)):
            if not os.path.islink(path):  # noqa: PTH114
                with suppress(OSError):
                    os.chmod(path, 0o700)  # noqa: PTH101
    shutil.rmtree(folder, ignore_errors=True)


def _lives(group: int) -> bool:  # coverage: no site
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":  # coverage: no site
    _watch()
