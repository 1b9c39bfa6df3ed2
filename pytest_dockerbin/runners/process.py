"""Follows one started program to its end: feeds it, reads it, ends what is left of it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections import deque
from contextlib import suppress
from typing import NamedTuple

_GRACE = 0.5  # seconds that output may still come after the program ended
_TURN = 0.05  # seconds between looks at the program, while it keeps its streams open
_BLOCK = 64 * 1024


class Ended(NamedTuple):
    """What a program left: both streams, whether it ended by itself, whether all was kept."""

    stdout: bytes
    stderr: bytes
    in_time: bool
    whole: bool


class Capture:
    """Keeps the beginning and the end of a stream, and counts what is left out between them.

    Args:
        most: bytes to keep; half of them of the beginning.
    """

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._left_out = 0

    def take(self, block: bytes) -> None:
        """Take the next bytes of the stream."""
        room = self._half - len(self._head)
        if room > 0:
            self._head += block[:room]
            block = block[room:]
        if not block:
            return
        self._tail.append(block)
        self._tail_size += len(block)
        while self._tail_size - len(self._tail[0]) >= self._half:
            dropped = len(self._tail.popleft())
            self._tail_size -= dropped
            self._left_out += dropped

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return not self._left_out

    def value(self) -> bytes:
        """Return what was kept, with a line in the place of what was not."""
        gap = b"\n[... %d bytes left out ...]\n" % self._left_out if self._left_out else b""
        return b"".join([bytes(self._head), gap, *self._tail])


def follow(
    process: subprocess.Popen[bytes], data: bytes | None, limit: float, max_output: int
) -> Ended:
    """Give ``data`` to a program and read it until it ends, or end it after ``limit`` seconds.

    Not `subprocess.Popen.communicate`: that waits for the streams, so a daemon that the program
    left behind would keep the caller until the limit. Here the program's own end decides. Its
    process group is killed at the end in any case.
    """
    streams = _Streams(process, data, max_output)
    try:
        in_time = streams.pump(process, time.monotonic() + limit)
    finally:
        _kill(process)
        streams.close()
    out, err = streams.stdout, streams.stderr
    return Ended(out.value(), err.value(), in_time, out.whole and err.whole)


class _Streams:
    def __init__(
        self, process: subprocess.Popen[bytes], data: bytes | None, max_output: int
    ) -> None:
        self._pipes = [p for p in (process.stdin, process.stdout, process.stderr) if p is not None]
        self._stdin = process.stdin
        self._rest = memoryview(data or b"")
        self.stdout = Capture(max_output)
        self.stderr = Capture(max_output)
        self._selector = selectors.DefaultSelector()
        for pipe, capture in ((process.stdout, self.stdout), (process.stderr, self.stderr)):
            if pipe is not None:
                self._selector.register(pipe, selectors.EVENT_READ, capture)
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
            key.data.take(block)
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
