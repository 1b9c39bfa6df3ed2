"""A program on this host that was started and is not waited for: what ``popen`` returns."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Self

from pytest_dockerbin.errors import RunError
from pytest_dockerbin.invocation import check_pattern, check_port, check_timeout
from pytest_dockerbin.journal import Ran, current_test, tell
from pytest_dockerbin.results import command_lines, last_lines, signal_name
from pytest_dockerbin.runners.process import Ended
from pytest_dockerbin.runners.registry import enter, forget
from pytest_dockerbin.runners.spool import Spool, SpoolReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from pytest_dockerbin.results import RunResult
    from pytest_dockerbin.runners.process import Process

_PATIENCE = 2.0  # seconds between asking a program to end and forcing it
_GRACE = 0.5  # seconds that output may still come after the program ended
_ENDING = {signal.SIGINT, signal.SIGKILL, signal.SIGQUIT, signal.SIGTERM}
_TURN = 0.05  # seconds between looks whether it still runs, and whether it listens


class HostProgram:
    """As `RunningProgram` says.

    Args:
        process: what was started.
        title: what messages call it.
        args: the whole command.
        variables: what its runner added to the environment.
        text: whether the streams are of text.
        max_output: bytes of each stream that are kept.
        factor: what any timeout is multiplied by.
        told: gives what is told of it: of what it left, its exit code, and how many seconds it ran.
    """

    def __init__(
        self,
        process: Process,
        *,
        title: str,
        args: tuple[str, ...],
        variables: Mapping[str, str],
        text: bool,
        max_output: int,
        factor: float,
        told: Callable[[Ended, int, float], RunResult],
    ) -> None:
        self.args = args
        self._title = title
        self._variables = variables
        self._process = process
        self._factor = factor
        self._told = told
        self._sent: set[int] = set()
        self._started = time.time()
        self._ended_at: float | None = None
        self._test = current_test.get()
        self._text = text
        self._changed = threading.Condition()
        self._names: dict[str, Spool] = {}
        self._matched: dict[str, int] = {}  # by stream, the place behind the last match
        self.stdin = _writer(process.stdin, text=text)
        self.stdout = self._spooled("stdout", process.stdout, max_output)
        self.stderr = self._spooled("stderr", process.stderr, max_output)
        enter(self)

    def _spooled(self, name: str, pipe: IO[bytes] | None, most: int) -> IO[Any] | None:
        if pipe is None:
            return None
        spool = self._names[name] = Spool(pipe, most, self._changed)
        self._matched[name] = 0
        reader = io.BufferedReader(SpoolReader(spool))
        if not self._text:
            return reader
        return io.TextIOWrapper(reader, encoding="utf-8", errors="replace")

    # -- as subprocess.Popen has it ---------------------------------------------------------------

    @property
    def pid(self) -> int:  # noqa: D102 (as the protocol says)
        return self._process.pid

    @property
    def returncode(self) -> int | None:  # noqa: D102
        code = self._process.returncode
        if code is not None and self._ended_at is None:
            # nobody looked before; but what it wrote was read till its end
            ends = [spool.ended_at for spool in self._names.values() if spool.ended_at]
            self._ended_at = min(ends, default=time.monotonic())
        return code

    def poll(self) -> int | None:  # noqa: D102
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:  # noqa: D102
        limit = None if timeout is None else timeout * self._factor
        if not self._process.wait(limit):
            raise subprocess.TimeoutExpired(self.args, limit or 0.0)
        code = self.returncode
        assert code is not None  # noqa: S101 (it has ended)
        return code

    def communicate(  # noqa: D102
        self,
        input: str | bytes | None = None,  # noqa: A002
        timeout: float | None = None,
    ) -> tuple[Any, Any]:
        if self.stdin is not None:  # by a thread: the program may never read it
            threading.Thread(target=self._write, args=(self.stdin, input), daemon=True).start()
        self.wait(timeout)
        self._end_output()
        nothing: str | bytes = "" if self._text else b""
        out, err = (s.read() if s is not None else nothing for s in (self.stdout, self.stderr))
        return out, err

    def _write(self, stdin: IO[Any], data: str | bytes | None) -> None:
        with suppress(OSError, ValueError):  # it does not want it; it was closed meanwhile
            if data:
                stdin.write(data)
            stdin.close()

    def send_signal(self, number: int) -> None:  # noqa: D102
        if self.returncode is None:
            self._sent.add(number)
        self._process.signal(number)

    def terminate(self) -> None:  # noqa: D102
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:  # noqa: D102
        self.send_signal(signal.SIGKILL)

    # -- waiting ----------------------------------------------------------------------------------

    def wait_for_line(  # noqa: D102
        self, pattern: str | re.Pattern[str], timeout: float = 10.0
    ) -> re.Match[str]:
        __tracebackhide__ = True
        check_timeout(timeout, zero=True)
        check_pattern(pattern)
        wanted = re.compile(pattern)
        at = dict(self._matched)
        for _ in self._turns(timeout, self._no_line(wanted.pattern)):
            for name, spool in self._names.items():
                for line, behind in spool.lines(at[name]):
                    at[name] = behind
                    if found := wanted.search(line):
                        self._matched[name] = behind
                        return found
        raise AssertionError  # coverage: for types (they end by an error)

    def wait_for_port(self, port: int | None = None, timeout: float = 10.0) -> int:  # noqa: D102
        __tracebackhide__ = True
        check_timeout(timeout, zero=True)
        if port is not None:
            check_port(port)
        what = "a TCP port" if port is None else f"TCP port {port}"
        for _ in self._turns(timeout, f"nothing listened on {what}"):
            if ports := self._process.ports(port):
                return min(ports)
        raise AssertionError  # coverage: for types (they end by an error)

    def _no_line(self, pattern: str) -> str:
        """Say that no line matched.

        Raises:
            ValueError: none can, since no stream is read.
        """
        __tracebackhide__ = True
        if not self._names:
            raise ValueError(
                "there is no line to wait for: popen sends stdout and stderr elsewhere"
            )
        of = f" of {next(iter(self._names))}" if len(self._names) == 1 else ""
        return f"no line{of} matched {pattern!r}"

    def _turns(self, timeout: float, missing: str) -> Iterator[None]:
        """Return again and again while the program runs and its time is not up.

        Raises:
            RunError: after that.
        """
        __tracebackhide__ = True
        deadline = time.monotonic() + timeout * self._factor
        while True:
            code = self.returncode  # known before the look: what it left then is looked at too
            if code is not None:
                self._end_output()
            yield
            if code is not None:
                how = f"exit code {code}" if code >= 0 else signal_name(-code)
                raise self._error(f"ended with {how}, and {missing}")
            if time.monotonic() > deadline:
                raise self._error(f"runs, but {missing} within {timeout * self._factor:g} s")
            with self._changed:
                self._changed.wait(_TURN)

    def _error(self, what: str) -> RunError:
        lines = [*command_lines(self.args, self._variables)]
        for name, spool in self._names.items():
            lines += last_lines(name, spool.kept())
        return RunError(f"{self._title} {what}", details="\n".join(lines))

    # -- its end ----------------------------------------------------------------------------------

    def close(self) -> None:  # noqa: D102
        if self.returncode is None:
            self._sent.add(signal.SIGTERM)
            self._process.signal_group(signal.SIGTERM)
            self._process.wait(_PATIENCE)
        is_first = self._process.usage is None
        self._process.end()
        self._end_output()
        forget(self)
        if is_first:
            tell(self.ran()._replace(test=self._test))
        if self.stdin is not None:
            with suppress(OSError):  # what it did not read
                self.stdin.close()

    def ran(self) -> Ran:
        """Return what is told of it; while it runs, of what it wrote until now."""
        left = {name: spool.kept() for name, spool in self._names.items()}
        ended = Ended(left.get("stdout", b""), left.get("stderr", b""))
        code = self.returncode
        stopped = bool(self._sent & _ENDING) or (code is not None and -code in self._sent)
        seconds = (self._ended_at or time.monotonic()) - self._process.started
        return Ran(self._told(ended, code or 0, seconds), self._started, stopped)

    def _end_output(self) -> None:
        """Wait for the last output; end what keeps the streams open after the program."""
        for spool in self._names.values():
            spool.join(_GRACE)
        if not all(spool.ended for spool in self._names.values()):
            self._process.end()
            for spool in self._names.values():
                spool.join(_GRACE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        code = self.returncode
        state = "running" if code is None else f"ended with {code}"
        return f"<RunningProgram: {list(self.args)!r}, process {self.pid}, {state}>"


def _writer(pipe: IO[bytes] | None, *, text: bool) -> IO[Any] | None:
    if pipe is None or not text:
        return pipe
    return io.TextIOWrapper(pipe, encoding="utf-8", line_buffering=True)
