"""Follows one started program to its end: feeds it, reads it, ends what is left of it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from typing import IO, NamedTuple

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
    deadline = time.monotonic() + limit
    streams: dict[IO[bytes], list[bytes]] = {}
    rest = memoryview(data or b"")
    try:
        with selectors.DefaultSelector() as selector:
            for stream in (process.stdout, process.stderr):
                assert stream is not None  # noqa: S101 (the caller made both pipes)
                streams[stream] = []
                selector.register(stream, selectors.EVENT_READ)
            if process.stdin is not None:
                os.set_blocking(process.stdin.fileno(), False)
                selector.register(process.stdin, selectors.EVENT_WRITE)
            in_time = True
            while selector.get_map():
                now = time.monotonic()
                if now >= deadline:
                    in_time = process.poll() is not None
                    break
                ready = selector.select(min(deadline - now, _TURN))
                for key, _ in ready:
                    stream = key.fileobj  # type: ignore[assignment] # what was registered above
                    if stream is process.stdin:
                        rest = _write(selector, process.stdin, rest)
                    else:
                        _read(selector, stream, streams[stream])  # type: ignore[arg-type,index]
                if not ready and process.poll() is not None:
                    deadline = min(deadline, time.monotonic() + _GRACE)
        if in_time:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                in_time = False
    finally:
        _kill(process)
        for pipe in (process.stdin, *streams):
            if pipe is not None:
                _close(pipe)
    stdout, stderr = (b"".join(blocks) for blocks in streams.values())
    return Ended(stdout, stderr, in_time)


def _read(selector: selectors.BaseSelector, stream: IO[bytes], blocks: list[bytes]) -> None:
    block = os.read(stream.fileno(), _BLOCK)
    if block:
        blocks.append(block)
    else:
        selector.unregister(stream)


def _write(selector: selectors.BaseSelector, stream: IO[bytes], rest: memoryview) -> memoryview:
    try:
        rest = rest[os.write(stream.fileno(), rest[:_BLOCK]) :]
    except BlockingIOError:
        return rest
    except BrokenPipeError:  # the program does not want it
        rest = rest[:0]
    if not rest:
        selector.unregister(stream)
        _close(stream)
    return rest


def _close(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except BrokenPipeError:  # nobody reads what was never written
        pass


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the program's process group, and reap the program."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # none left; macOS says so of zombies
        pass
    process.wait()
