"""Starts a program, feeds and reads it, and ends it with all that it began."""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import IO, TYPE_CHECKING, NamedTuple

from pytest_dockerbin.runners.lineage import apart, end_marked, marked, marked_processes
from pytest_dockerbin.runners.listening import ports_of
from pytest_dockerbin.runners.procfs import Kept, peak_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_GRACE = 0.5  # seconds that output may still come after the program ended
_TURN = 0.2  # seconds between looks at a program that is silent
_TURN_WITHOUT_PIDFD = 0.05  # the same where nothing else tells that it has ended
_LOOK = 0.005  # seconds between looks at its memory, while it prints
_BLOCK = 64 * 1024
_BUSY_PATIENCE = 2.0  # seconds

_nothing = Kept(os.devnull, os.O_RDWR)  # `subprocess` would open it for each run: 9 µs


class Usage(NamedTuple):
    """What a program and the processes that it waited for used.

    Attributes:
        cpu_time: seconds of user and system time.
        max_rss: bytes of the largest of them; None when it was too quick to be seen.
    """

    cpu_time: float
    max_rss: int | None


class Ended(NamedTuple):
    """What a program left.

    Attributes:
        stdout: standard output.
        stderr: standard error.
        in_time: whether it ended by itself.
        whole: whether all of both was kept.
        cut_by: what was raised here meanwhile, such as by pytest-timeout's signal, or None.
    """

    stdout: bytes
    stderr: bytes
    in_time: bool = True
    whole: bool = True
    cut_by: BaseException | None = None


class Capture:
    """Keeps the beginning and the end of a stream, and counts what is left out between them.

    Args:
        most: bytes to keep; half of them of the beginning.
    """

    def __init__(self, most: int) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._most_head = most // 2
        self._most_tail = most - most // 2
        self._size = 0

    def take(self, block: bytes) -> None:
        """Take the next bytes of the stream."""
        self._size += len(block)
        room = self._most_head - len(self._head)
        if room > 0:
            self._head += block[:room]
            block = block[room:]
        if not block:
            return
        self._tail.append(block)
        self._tail_size += len(block)
        while self._tail_size - len(self._tail[0]) >= self._most_tail:
            self._tail_size -= len(self._tail.popleft())

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return self._size <= self._most_head + self._most_tail

    def value(self) -> bytes:
        """Return what was kept, with a line in the place of what was not."""
        tail = b"".join(self._tail)[-self._most_tail :]
        left_out = self._size - len(self._head) - len(tail)
        gap = b"\n[... %d bytes left out ...]\n" % left_out if left_out else b""
        return bytes(self._head) + gap + tail


class Process:
    """A started program, in a process group of its own and without a terminal.

    It stays a zombie until `end`, so that until then nobody else gets its number.

    Args:
        command: its words; the first is a path, or is looked for in ``env``'s PATH.
        stdin: as `subprocess.Popen` takes it; ``stdout`` and ``stderr`` likewise.
        stdout: see there.
        stderr: see there.
        env: its whole environment.
        cwd: its working folder; this process's when None.
        buffered: whether pipes are files for others, and not only read and written here.
        at_end: called once, when all that it began has ended.

    Raises:
        OSError: it could not be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: int | IO[bytes] | None,
        stdout: int | IO[bytes] | None,
        stderr: int | IO[bytes] | None,
        env: Mapping[str, str],
        cwd: Path | str | None,
        buffered: bool = True,
        at_end: Callable[[], object] | None = None,
    ) -> None:
        self._at_end = at_end
        if stdin == subprocess.DEVNULL:
            stdin = _nothing.descriptor()
        self.started = time.monotonic()
        deadline = self.started + _BUSY_PATIENCE
        while True:
            try:
                with marked() as self._mark:
                    self._popen = subprocess.Popen(
                        command,
                        stdin=stdin,
                        stdout=stdout,
                        stderr=stderr,
                        env=env,
                        cwd=cwd,
                        bufsize=-1 if buffered else 0,
                        **apart(),
                    )
                break
            except OSError as error:
                # a process forked while the file was written has it open until it executes
                # something itself, and the kernel starts no such file meanwhile (golang/go#22315)
                if error.errno != errno.ETXTBSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self.pid = self._popen.pid
        self.stdin = self._popen.stdin
        self.stdout = self._popen.stdout
        self.stderr = self._popen.stderr
        self._looked = self.started
        self._seen_rss: int | None = None
        self.usage: Usage | None = None  # once it was ended with all that it began
        self._lock = threading.Lock()

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the signal's number; None while it runs."""
        if self._popen.returncode is not None:
            return self._popen.returncode
        with suppress(ChildProcessError):  # ended by another thread meanwhile
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if ended is None:
                return None
            return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        return self._popen.returncode

    def wait(self, timeout: float | None) -> bool:
        """Wait until it has ended; return whether it has after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            self._pause(left)
        return True

    def _pause(self, most: float | None) -> None:
        """Sleep until it has perhaps ended."""
        if not hasattr(os, "pidfd_open"):  # coverage: not Linux
            time.sleep(0.01)
            return
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(None if most is None else most * 1000 + 1)
        finally:
            os.close(descriptor)

    def signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        with self._lock:
            if self.usage is None:
                os.kill(self.pid, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to its process group, if it still runs."""
        with self._lock:
            if self.usage is None:
                with suppress(ProcessLookupError, PermissionError):  # macOS says so of zombies
                    os.killpg(self.pid, number)

    def members(self) -> list[int]:
        """Return the processes that belong to it: itself, and what it began."""
        return marked_processes(self._mark)

    def ports(self, wanted: int | None) -> set[int]:
        """Return the TCP ports on which one of them listens; of interest is ``wanted``, or any."""
        return ports_of(self.members, wanted)

    def open_end(self) -> int | None:
        """Return a descriptor that can be read once it has ended, for poll(2); None elsewhere."""
        return os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else None

    def look(self) -> None:
        """Take note of its memory, now and then: at its end the kernel does not tell it alone."""
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            self._seen_rss = peak_memory(self.pid) or self._seen_rss

    def end(self) -> Usage:
        """End it and all that it began, wherever that went; return what it used."""
        with self._lock:
            if self.usage is None:
                with suppress(ProcessLookupError, PermissionError):  # macOS says so of zombies
                    os.killpg(self.pid, signal.SIGKILL)
                _, status, used = os.wait4(self.pid, 0)
                self._popen.returncode = os.waitstatus_to_exitcode(status)
                end_marked(self._mark, self.pid, self.started)
                cpu_time = used.ru_utime + used.ru_stime
                self.usage = Usage(cpu_time, _max_rss(used, self._seen_rss))
                if self._at_end is not None:
                    self._at_end()
            return self.usage


def _max_rss(used: resource.struct_rusage, seen: int | None) -> int | None:
    """Tell a program's peak memory.

    Until it executes its file, a new process has its parent's memory, and Linux counts that
    (``exec_mmap`` keeps the larger one). So a peak below our own is known only as it was seen.
    """
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2) of both systems
    if used.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
        return used.ru_maxrss * unit
    return seen


def follow(process: Process, data: bytes | None, limit: float, max_output: int) -> Ended:
    """Give ``data`` to a program and read it until it ends, or end it after ``limit`` seconds.

    Not `subprocess.Popen.communicate`: that waits for the streams, so a daemon that the program
    left behind would keep the caller until the limit. Here the program's own end decides. What it
    began is ended in any case. What is raised here meanwhile is returned with what came till then.
    """
    streams = _Streams(process, data, max_output)
    in_time, cut_by = False, None
    try:
        in_time = streams.pump(time.monotonic() + limit)
    except BaseException as error:  # noqa: BLE001 (raised again when the run was told of)
        cut_by = error
    finally:
        process.end()
        streams.close()
    out, err = streams.stdout, streams.stderr
    return Ended(out.value(), err.value(), in_time, out.whole and err.whole, cut_by)


class _Streams:
    """Moves bytes between a program and us.

    By poll(2) itself: `selectors` takes 15 µs of a run that takes 600.
    """

    def __init__(self, process: Process, data: bytes | None, max_output: int) -> None:
        self._process = process
        self._rest = memoryview(data or b"")
        self.stdout = Capture(max_output)
        self.stderr = Capture(max_output)
        self._open: dict[int, tuple[IO[bytes], Capture | None]] = {}
        self._poll = select.poll()
        for pipe, capture in ((process.stdout, self.stdout), (process.stderr, self.stderr)):
            if pipe is not None:
                self._add(pipe, capture, select.POLLIN)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            self._add(process.stdin, None, select.POLLOUT)
        self._end = process.open_end()
        if self._end is not None:  # coverage: always on Linux
            self._poll.register(self._end, select.POLLIN)

    def _add(self, pipe: IO[bytes], capture: Capture | None, events: int) -> None:
        self._open[pipe.fileno()] = pipe, capture
        self._poll.register(pipe.fileno(), events)

    def pump(self, deadline: float) -> bool:
        """Move bytes until the program has ended; return whether it did before the deadline."""
        ended = False
        # each turn may take the program's place on a busy processor: with turns of 50 ms an arm64
        # program that runs for 80 took 5 % longer
        turn = _TURN if self._end is not None else _TURN_WITHOUT_PIDFD
        while self._open or not ended:
            left = deadline - time.monotonic()
            if left <= 0:
                return ended or self._process.returncode is not None
            ready = self._poll.poll(min(left, turn) * 1000 + 1)
            self._process.look()
            for descriptor, _ in ready:
                if descriptor != self._end:
                    self._move(descriptor)
            if not ended and self._has_ended(ready):
                ended = True
                deadline = min(deadline, time.monotonic() + _GRACE)
        return True

    def _has_ended(self, ready: list[tuple[int, int]]) -> bool:
        if self._end is None:  # coverage: not Linux
            return self._process.returncode is not None
        if not any(descriptor == self._end for descriptor, _ in ready):
            return False
        self._poll.unregister(self._end)
        return True

    def close(self) -> None:
        """Close what is still open."""
        for pipe, _ in self._open.values():
            pipe.close()
        self._open.clear()
        if self._end is not None:  # coverage: always on Linux
            os.close(self._end)

    def _move(self, descriptor: int) -> None:
        pipe, capture = self._open[descriptor]
        if capture is None:
            done = self._write(descriptor)
        else:
            block = os.read(descriptor, _BLOCK)
            capture.take(block)
            done = not block
        if done:
            self._poll.unregister(descriptor)
            del self._open[descriptor]
            pipe.close()

    def _write(self, descriptor: int) -> bool:
        """Give the program what it takes; return whether it wants no more."""
        try:
            self._rest = self._rest[os.write(descriptor, self._rest[:_BLOCK]) :]
        except BlockingIOError:
            return False
        except BrokenPipeError:  # the program does not want it
            return True
        return not self._rest
