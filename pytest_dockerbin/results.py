"""What running a program gave, and what runs programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pytest_dockerbin.errors import RunError
from pytest_dockerbin.progress import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class Kind(StrEnum):
    """How a run ended."""

    EXITED = "exited"
    SIGNALED = "signaled"
    TIMEOUT = "timeout"
    NO_LOADER = "no-loader"
    WRONG_PLATFORM = "wrong-platform"
    NO_EMULATOR = "no-emulator"
    OUTPUT_LIMIT = "output-limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The end of one run of a program.

    Attributes:
        args: the command, runner included.
        returncode: the exit code; ``-N`` when signal N ended the program, as in `subprocess`.
        stdout: standard output: text, or bytes after ``run(text=False)``.
        stderr: standard error, likewise.
        duration: seconds from start to end.
        runner: what ran it: ``native``, ``binfmt``, ``qemu`` or the name of the user's command.
        emulated: whether instructions of another processor were emulated.
        kind: how it ended; a string such as ``"exited"``. A program that could not be started
            ends with 126, or 127 without its loader, and the reason on standard error.
    """

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    duration: float
    runner: str
    emulated: bool
    kind: Kind

    @property
    def signal(self) -> int | None:
        """The number of the signal that ended the program, or None."""
        return -self.returncode if self.returncode < 0 else None

    def check(self) -> None:
        """Do nothing when the exit code is 0.

        Raises:
            RunError: with runner, command, and the last lines of both streams.
        """
        if self.kind is Kind.EXITED and self.returncode == 0:
            return
        how = {
            Kind.EXITED: f"exit code {self.returncode}",
            Kind.SIGNALED: f"signal {self.signal}",
            Kind.TIMEOUT: f"no end within {self.duration:.1f} s",
            Kind.OUTPUT_LIMIT: f"exit code {self.returncode}, and more output than is kept",
        }.get(self.kind, str(self.kind))
        ran = f"{self.runner}, emulated" if self.emulated else self.runner
        raise RunError(
            f"{self.args[0]} ended with {how} ({ran})",
            details="\n".join(
                [
                    f"argv:   {list(self.args)!r}",
                    *_last_lines("stdout", self.stdout),
                    *_last_lines("stderr", self.stderr),
                ]
            ),
        )


def _last_lines(name: str, text: str | bytes, most: int = 40) -> Iterable[str]:
    shown = text.decode(errors="replace") if isinstance(text, bytes) else text
    lines = shown.splitlines()
    if lines:
        yield f"{name}:" if len(lines) <= most else f"{name} (last {most} of {len(lines)} lines):"
    for line in lines[-most:]:
        yield f"| {clean(line)}"  # a line of its own words is never a CI service's command


class Sysroot(NamedTuple):
    """Where dynamic programs of a platform find their loader and libraries.

    Attributes:
        folder: stands for the root of the file system.
        loader: the path inside it of the loader that the program names, without a leading ``/``.
    """

    folder: Path
    loader: str


class Runner(Protocol):
    """A way to run programs of one platform on this host.

    Attributes:
        name: ``native``, ``binfmt``, ``qemu`` or the name of the user's command.
        emulated: whether instructions of another processor are emulated.
    """

    @property
    def name(self) -> str:
        """What `RunResult.runner` says."""

    @property
    def emulated(self) -> bool:
        """What `RunResult.emulated` says."""

    def run(
        self,
        command: tuple[str, ...],
        *,
        input: str | bytes | None,  # noqa: A002 (subprocess's name for it)
        env: Mapping[str, str],
        cwd: Path | None,
        timeout: float | None,
        text: bool,
        max_output: int,
    ) -> RunResult:
        """Run ``command`` to its end."""

    def with_sysroot(self, sysroot: Sysroot) -> Runner:
        """Return a runner like this whose programs find loader and libraries in ``sysroot``."""

    def launcher(self, program: Path) -> Path:
        """Return a file that runs ``program`` as this does: itself where the kernel alone can."""
