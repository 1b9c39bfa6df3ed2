"""What running a program gave, and what runs programs."""

from __future__ import annotations

import signal as signals
from dataclasses import dataclass, field
from enum import StrEnum
from shlex import quote
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol, Self

from pytest_dockerbin.errors import RunError
from pytest_dockerbin.progress import clean

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from pytest_dockerbin.platforms import Platform

_LAST_LINES = 40
_LAST_LINE = 60  # characters of it in a repr, of which pytest shows 240


class Kind(StrEnum):
    """How a run ended."""

    EXITED = "exited"
    SIGNALED = "signaled"
    TIMEOUT = "timeout"
    NO_LOADER = "no-loader"
    WRONG_PLATFORM = "wrong-platform"
    NO_EMULATOR = "no-emulator"
    EMULATOR_FAULT = "emulator-fault"
    OUTPUT_LIMIT = "output-limit"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RunResult:
    """The end of one run of a program; as a string, all of it for a person.

    Attributes:
        program: the exported file.
        platform: what it was built for.
        args: the command, wrapper and runner included.
        returncode: the exit code; ``-N`` when signal N ended the program, as in `subprocess`. A
            program that could not be started ends with 126, or 127 without its loader, and the
            reason on standard error.
        stdout: standard output: text, or bytes after ``run(text=False)``.
        stderr: standard error, likewise; without the line that QEMU adds when a signal ends the
            program, and its warnings about features that it does not emulate, so that runs can be
            compared.
        duration: seconds from start to end.
        runner: what ran it: ``native``, ``binfmt``, ``qemu``, ``container``, ``docker`` or the name
            of the user's command.
        emulated: whether instructions of another processor were emulated.
        kind: how it ended; a string such as ``"exited"``.
        max_rss: bytes of memory, the most that the program or a process that it waited for had
            resident, the emulator included. None when it was too quick to be seen: below pytest's
            own size the system does not tell it, and it is looked at while the program prints,
            and 5 times a second. Not known of a container either.
        cpu_time: seconds of processor time, of user and system, of the same processes; 0 in a
            container, where it is not known.
        emulator: what emulates, with its version, such as ``QEMU 7.2.22``; empty if not known.
        emulator_said: the lines in which QEMU said what happened, or nothing.
        hint: what to do about a failure, or nothing.
        variables: what the runner added to the environment, such as QEMU_CPU; what the program got,
            where the test set it too.
    """

    program: Path
    platform: Platform
    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    duration: float
    runner: str
    emulated: bool
    kind: Kind
    max_rss: int | None = None
    cpu_time: float = 0.0
    emulator: str = ""
    emulator_said: str = ""
    hint: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def signal(self) -> int | None:
        """The number of the signal that ended the program, or None."""
        return -self.returncode if self.returncode < 0 else None

    def check(self) -> None:
        """Do nothing when the exit code is 0.

        Raises:
            RunError: with runner, command, and the last lines of both streams.
        """
        __tracebackhide__ = True
        if self.kind is Kind.EXITED and self.returncode == 0:
            return
        raise RunError(self._summary(), details=self._details(), hint=self.hint or None)

    def _summary(self) -> str:
        return f"{title(self.program, self.platform)} {self._end()} ({self._runner()})"

    def _end(self) -> str:
        match self.kind:
            case Kind.EXITED:
                return f"ended with exit code {self.returncode}"
            case Kind.SIGNALED:
                return f"was ended by {signal_name(-self.returncode)}"
            case Kind.TIMEOUT:
                return f"did not end within {self.duration:.1f} s"
            case Kind.OUTPUT_LIMIT:
                return f"ended with exit code {self.returncode}, and more output than is kept"
            case Kind.EMULATOR_FAULT:
                return "was not run to its end: its emulator failed"
        return f"could not be run: {self.kind}"

    def _runner(self) -> str:
        how = f"{self.runner}, emulated" if self.emulated else self.runner
        return f"{how} by {self.emulator}" if self.emulated and self.emulator else how

    def _details(self) -> str:
        said = self.emulator_said.splitlines()
        lines = [
            *command_lines(self.args, self.variables),
            *(f"QEMU:   {clean(it)}" for it in said),
        ]
        lines += last_lines("stdout", self.stdout)
        own = (line for line in _text(self.stderr).splitlines() if line not in said)
        lines += last_lines("stderr", "\n".join(own))
        return "\n".join(lines)

    def __str__(self) -> str:
        lines = [self._summary(), self._details()]
        return "\n".join([*lines, f"hint:     {self.hint}"] if self.hint else lines)

    def __repr__(self) -> str:
        # pytest shows it in one line when an assertion about one of the attributes fails
        words = [f"<RunResult: {self._summary()}"]
        for name, stream in (("stderr", self.stderr), ("stdout", self.stdout)):
            lines = _text(stream).splitlines()
            if lines:
                words.append(f"; {name} ends with {clean(lines[-1])[-_LAST_LINE:]!r}")
        return "".join(words) + ">"


def signal_name(number: int) -> str:
    """Return a signal's name, such as ``SIGSEGV``; ``signal 40`` for one that has none."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def title(program: Path, platform: Platform) -> str:
    """Return what a message calls a program: ``hello for linux/arm64``."""
    return f"{quote(program.name)} for {platform}"


def command_lines(args: Iterable[str], variables: Mapping[str, str]) -> Iterable[str]:
    """Return the lines with which a person can repeat a run."""
    if variables:
        settings = (f"{name}={quote(value)}" for name, value in variables.items())
        yield f"env:    {clean(' '.join(settings))}"
    yield f"argv:   {list(args)!r}"


def last_lines(name: str, stream: str | bytes) -> Iterable[str]:
    """Return the end of a program's output for a person, each line marked as the program's."""
    lines = _text(stream).splitlines()
    shown = lines[-_LAST_LINES:]
    if lines:
        part = f" (last {len(shown)} of {len(lines)} lines)" if len(shown) < len(lines) else ""
        yield f"{name}{part}:"
    for line in shown:
        yield f"| {clean(line)}"  # a line of its own words is never a CI service's command


def _text(stream: str | bytes) -> str:
    return stream.decode(errors="replace") if isinstance(stream, bytes) else stream


class Sysroot(NamedTuple):
    """Where dynamic programs of a platform find their loader and libraries.

    Attributes:
        folder: stands for the root of the file system.
        loader: the path inside it of the loader that the program names, without a leading ``/``.
    """

    folder: Path
    loader: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is to be run.

    Attributes:
        program: the exported file.
        platform: what it was built for.
        args: its arguments.
        env: all variables that it gets, but for those of its runner.
        cwd: its working folder; this process's when None.
        wrapper: words before it all, the runner's too.
    """

    program: Path
    platform: Platform
    args: tuple[str, ...] = ()
    env: Mapping[str, str]
    cwd: Path | None = None
    wrapper: tuple[str, ...] = ()


class RunningProgram(Protocol):
    """A program that was started and is not waited for: what ``popen`` returns.

    It can be used as a `subprocess.Popen`, and it is ended with all that it began at the end of the
    test, or of the fixture that started it. Its output never blocks it: what nobody reads is kept,
    the last of it, up to ``max_output`` bytes a stream.

    Attributes:
        args: the command, wrapper and runner included.
        stdin: where to write what it reads, if ``stdin=PIPE`` was given, else None.
        stdout: its output from the beginning on, unless ``stdout`` was given, else None.
        stderr: likewise.
    """

    args: tuple[str, ...]
    stdin: IO[str] | None
    stdout: IO[str] | None
    stderr: IO[str] | None

    @property
    def pid(self) -> int:
        """Its process id; the emulator's or docker's, where one is started for it."""

    @property
    def returncode(self) -> int | None:
        """The exit code, ``-N`` when signal N ended it, None while it runs."""

    def poll(self) -> int | None:
        """Return ``returncode``."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends, and return its exit code.

        Raises:
            subprocess.TimeoutExpired: it runs on after ``timeout`` seconds.
        """

    def communicate(
        self,
        input: str | bytes | None = None,  # noqa: A002 (subprocess's name for it)
        timeout: float | None = None,
    ) -> tuple[str, str]:
        """Give it ``input``, wait until it ends, and return what it wrote and nobody read yet.

        Raises:
            subprocess.TimeoutExpired: it runs on after ``timeout`` seconds.
        """

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing happens when it has ended."""

    def terminate(self) -> None:
        """Ask it to end: SIGTERM."""

    def kill(self) -> None:
        """End it: SIGKILL."""

    def wait_for_line(self, pattern: str | re.Pattern[str], timeout: float = 10.0) -> re.Match[str]:
        """Wait until it prints a line in which ``pattern`` is found, and return the match.

        Lines of both streams count, also those that were read already, but for what came before
        the last match of an earlier call.

        Args:
            pattern: as for `re.search`.
            timeout: seconds, times the factor under emulation.

        Raises:
            RunError: it ended before, or time is up; its last lines are in the message.
            TypeError: ``pattern`` is not of text.
            ValueError: both streams go elsewhere, so there is no line to wait for.
        """

    def wait_for_port(self, port: int | None = None, timeout: float = 10.0) -> int:
        """Wait until it, or a process that it began, listens on a TCP port; return the port.

        Args:
            port: which one; any when None, for a program that takes a free one (port 0).
            timeout: seconds, times the factor under emulation.

        Raises:
            RunError: it ended before, or time is up; its last lines are in the message.
            TypeError, ValueError: ``port`` is no number of 1 to 65535.
        """

    def close(self) -> None:
        """End it and all that it began: SIGTERM, and SIGKILL after 2 s."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Runner(Protocol):
    """A way to run programs of one platform.

    Attributes:
        name: ``native``, ``binfmt``, ``qemu``, ``container``, ``docker`` or the name of the user's
            command.
        emulated: whether instructions of another processor are emulated.
        version: of the emulator, such as ``QEMU 7.2.22``; empty without one.
    """

    @property
    def name(self) -> str:
        """What `RunResult.runner` says."""

    @property
    def emulated(self) -> bool:
        """What `RunResult.emulated` says."""

    @property
    def version(self) -> str:
        """What `RunResult.emulator` says."""

    def run(
        self,
        command: Command,
        *,
        input: str | bytes | None,  # noqa: A002 (subprocess's name for it)
        timeout: float | None,
        text: bool,
        max_output: int,
    ) -> RunResult:
        """Run ``command`` to its end."""

    def with_sysroot(self, sysroot: Sysroot) -> Runner:
        """Return a runner like this whose programs find loader and libraries in ``sysroot``."""

    def with_tree(self, tree: Path) -> Runner:
        """Return a runner like this for programs of an exported ``tree``."""

    def launcher(self, program: Path) -> Path:
        """Return a file that runs ``program`` as this does: itself where the kernel alone can."""

    def popen(
        self,
        command: Command,
        *,
        stdin: int | IO[bytes] | None,
        stdout: int | IO[bytes] | None,
        stderr: int | IO[bytes] | None,
        text: bool,
        max_output: int,
    ) -> RunningProgram:
        """Start ``command`` and return at once."""
