"""Runs one docker command to its end, or ends it: when this returns, nothing of it is left."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import field
from typing import IO, TYPE_CHECKING, Protocol

from pytest_dockerbin import surroundings
from pytest_dockerbin.errors import EngineError
from pytest_dockerbin.frozen import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_dockerbin.progress import BuildLog
    from pytest_dockerbin.secret import Secret

_TURN = 0.2  # seconds between looks at what else could end the build
_PATIENCE = 2.0  # seconds that docker gets to tell the daemon, so that all is over after 3
_LAST_WORDS = 5.0  # seconds until its output is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """When a build is ended by us.

    Attributes:
        total: seconds from its start.
        silence: seconds without any output.
    """

    total: float = 1800.0
    silence: float = 600.0


class Guard(Protocol):
    """Ends a build if this process is killed: as `watchdog.Watchdog` does."""

    def start(self) -> AbstractContextManager[Mapping[str, str]]:
        """Have what is started inside the ``with`` block ended: it is to have these variables."""

    def group(self, number: int, /) -> AbstractContextManager[object]:
        """Have the process group ended if this process is killed inside the ``with`` block."""


class Unguarded:
    """For who runs a build with nobody to end it."""

    def start(self) -> AbstractContextManager[Mapping[str, str]]:
        """Do nothing."""
        return nullcontext({})

    def group(self, _number: int, /) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who looks after a running build.

    Attributes:
        guard: has it ended if this process is killed.
        stopped: tells whether the session is being stopped.
        check: raises when the build must not go on: this and ``stopped`` are asked several times a
            second.
        tell: gets the log, as often, to tell how far the build is.
    """

    guard: Guard = field(default_factory=Unguarded)
    stopped: Callable[[], bool] = bool
    check: Callable[[], object] = bool
    tell: Callable[[BuildLog], object] = bool


class SessionStopped(Exception):  # noqa: N818 (no error: somebody wished it)
    """The session is being stopped."""


class TimeUp(Exception):  # noqa: N818 (no error of the build's own)
    """Says in its text what was exceeded."""


def follow(
    command: list[str],
    log: BuildLog,
    timeouts: Timeouts,
    watch: Watch,
    variables: Mapping[str, Secret],
    *,
    stdin: Path | None = None,
    defaults: Mapping[str, str] | None = None,
) -> int:
    """Run the command, feed its output to ``log`` and return its exit code.

    Args:
        command: docker and its arguments.
        log: gets what it prints.
        timeouts: when to give up.
        watch: who looks after it.
        variables: what is in its environment besides this process's.
        stdin: the file that it reads; nothing when None.
        defaults: what is in its environment where nobody said otherwise.

    Raises:
        TimeUp: it took too long or was silent for too long.
        SessionStopped: the session is being stopped.
        EngineError: it could not be started.
    """
    now = time.monotonic()
    end, silent_end = now + timeouts.total, now + timeouts.silence
    next_look = now + _TURN
    ended = False
    with ExitStack() as stack:
        with watch.guard.start() as mark:
            environment = {**(defaults or {}), **_environment(variables), **mark}
            process, pieces = stack.enter_context(_process(command, environment, stdin))
            stack.enter_context(watch.guard.group(process.pid))
        while True:
            now = time.monotonic()
            if now >= end:
                raise TimeUp(f"took longer than {timeouts.total:g} s")
            if now >= silent_end:
                raise TimeUp(f"printed nothing for {timeouts.silence:g} s")
            if now >= next_look:
                next_look = now + _TURN
                watch.check()
                if watch.stopped():
                    raise SessionStopped
                watch.tell(log)
            try:
                piece = pieces.get(timeout=min(_TURN, end - now, silent_end - now))
            except queue.Empty:
                if ended:  # a child of it keeps its output open
                    break
                ended = process.poll() is not None  # its last words may still be on their way
                continue
            if piece is None:
                if _has_ended(process):
                    break
                pieces.put(None)  # it closed its output and goes on: the limits hold all the same
                continue
            silent_end = time.monotonic() + timeouts.silence
            log.feed(piece)
        log.close()
        return process.wait()


@contextmanager
def _process(
    command: list[str], environment: Mapping[str, str], stdin: Path | None
) -> Iterator[tuple[subprocess.Popen[str], queue.Queue[str | None]]]:
    """Start the command in a process group of its own, and leave none of it behind."""
    try:
        with open(stdin or os.devnull, "rb") as file:  # noqa: PTH123 (the latter is no path of ours)
            process = subprocess.Popen(
                command,
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=surroundings.folder(),
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
    except OSError as error:
        raise EngineError(f"the docker command can't be started: {error}") from error
    pieces: queue.Queue[str | None] = queue.Queue()
    assert process.stdout is not None  # noqa: S101 (asked for above)
    reader = threading.Thread(target=_read, args=(process.stdout, pieces), daemon=True)
    reader.start()
    try:
        yield process, pieces
    finally:
        _end(process)
        reader.join(_LAST_WORDS)  # and no longer: what escaped may keep the output open


def _read(stream: IO[str], pieces: queue.Queue[str | None]) -> None:
    with stream:  # closed by who reads: anybody else would wait for what keeps it open
        for line in stream:
            pieces.put(line)
    pieces.put(None)


def _has_ended(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(_TURN)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[str]) -> None:
    """End the whole process group: politely, so that the daemon cancels, then by force."""
    for number, patience in ((signal.SIGTERM, _PATIENCE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _environment(variables: Mapping[str, Secret]) -> dict[str, str]:
    return {
        **surroundings.variables(),
        **{name: secret.reveal() for name, secret in variables.items()},
        "BUILDX_METADATA_PROVENANCE": "disabled",
        "BUILDX_BAKE_ENTITLEMENTS_FS": "0",  # the user's folders are not below our own bake file
        "NO_COLOR": "1",
    }
