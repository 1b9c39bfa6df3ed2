"""Follows one started program to its end: feeds it, reads it, ends what is left of it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from typing import NamedTuple

_GRACE = 0.5  # seconds that output may still come after the program ended
_TURN = 0.05  # seconds between looks at the program, while it keeps its streams open
_BLOCK = 64 * 1024


class Ended(NamedTuple):
    """What a program left: both streams, and whether it ended by itself."""

    stdout: bytes
    stderr: bytes
    in_time: bool


def follow(process: subprocess.Popen[bytes], data: bytes | None, limit: float) -> Ended:
    """Give ``data`` to a program and read it until it ends, or end it after ``limit`` seconds.

    Not `subprocess.Popen.communicate`: that waits for the streams, so a daemon that the program
    left behind would keep the caller until the limit. Here the program's own end decides. Its
    process group is killed at the end in any case.
    """
    streams = _Streams(process, data)
    try:
        in_time = streams.pump(process, time.monotonic() + limit)
    finally:
        _kill(process)
        streams.close()
    return Ended(b"".join(streams.stdout), b"".join(streams.stderr), in_time)


class _Streams:
    def __init__(self, process: subprocess.Popen[bytes], data: bytes | None) -> None:
        self._pipes = [p for p in (process.stdin, process.stdout, process.stderr) if p is not None]
        self._stdin = process.stdin
        self._rest = memoryview(data or b"")
        self.stdout: list[bytes] = []
        self.stderr: list[bytes] = []
        self._selector = selectors.DefaultSelector()
        for pipe, blocks in ((process.stdout, self.stdout), (process.stderr, self.stderr)):
            if pipe is not None:
                self._selector.register(pipe, selectors.EVENT_READ, blocks)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            self._selector.register(process.stdin, selectors.EVENT_WRITE)

    def pump(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        """Move bytes until the program has ended; return whether it did before the deadline."""
        ended = False
        while self._selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return process.poll() is not None
            ready = self._selector.select(min(left, _TURN))
            for key, _ in ready:
                if key.fileobj is self._stdin:
                    self._write(key.fd)
                else:
                    self._read(key)
            if not ended and process.poll() is not None:
                ended = True
                deadline = min(deadline, time.monotonic() + _GRACE)
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Close what is still open."""
        self._selector.close()
        for pipe in self._pipes:
            with suppress(BrokenPipeError):  # nobody reads what was never written
                pipe.close()

    def _read(self, key: selectors.SelectorKey) -> None:
        block = os.read(key.fd, _BLOCK)
        if block:
            key.data.append(block)
        else:
            self._selector.unregister(key.fileobj)

    def _write(self, descriptor: int) -> None:
        try:
            self._rest = self._rest[os.write(descriptor, self._rest[:_BLOCK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # the program does not want it
            self._rest = self._rest[:0]
        if not self._rest and self._stdin is not None:
            self._selector.unregister(self._stdin)
            with suppress(BrokenPipeError):
                self._stdin.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the program's process group, and reap the program."""
    with suppress(ProcessLookupError, PermissionError):  # none left; macOS says so of zombies
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
