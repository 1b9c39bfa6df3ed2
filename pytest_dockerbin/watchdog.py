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
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pytest_dockerbin import watching
from pytest_dockerbin.errors import StoreError
from pytest_dockerbin.surroundings import variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


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
        with self._noted(watching.START, mark):
            yield {watching.MARK: mark}

    @contextmanager
    def group(self, number: int) -> Iterator[None]:
        """Have the process group ended if this process is killed inside the ``with`` block."""
        with self._noted(watching.GROUP, str(number)):
            yield

    @contextmanager
    def folder(self, path: Path) -> Iterator[None]:
        """Have the folder deleted if this process is killed inside the ``with`` block."""
        with self._noted(watching.FOLDER, str(path)):
            yield

    @contextmanager
    def command(self, *words: str) -> Iterator[None]:
        """Have a command run if this process is killed inside the ``with`` block.

        It is run again, for a moment, while it prints nothing: what it removes and names was asked
        for, and may not be there yet.
        """
        with self._noted(watching.COMMAND, json.dumps(words)):
            yield

    def programs(self, family: int) -> None:
        """Have the programs of a `lineage.family` ended if this process is killed from now on."""
        if self._family is None:
            self._family = str(family)
            self._tell("+", watching.FAMILY, self._family)

    @contextmanager
    def _noted(self, kind: str, what: str) -> Iterator[None]:
        self._tell("+", kind, what)
        try:
            yield
        finally:
            self._tell("-", kind, what)

    def _tell(self, sign: str, *words: str) -> None:
        line = f"{sign}{json.dumps(words)}\n".encode()
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
            self._tell("-", watching.FAMILY, self._family)
            self._family = None
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                with suppress(BrokenPipeError):
                    self._process.stdin.close()
                self._process.wait()
            self._process = None


def _start() -> subprocess.Popen[bytes]:
    # isolated and without site: it starts in 10 ms and no setting of the user's can stop it
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", watching.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            close_fds=True,
            env=variables(),
        )
    except OSError as error:
        raise StoreError.no_watchdog(error) from error
