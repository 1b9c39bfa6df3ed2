"""Runs programs on this host: by its own processor, or by an emulator that the kernel starts.

The kernel's ``binfmt_misc`` starts an emulator for a foreign program (Linux documentation,
"Kernel Support for miscellaneous Binary Formats"), so both ways are a plain execution; what differs
is what the result must be told by.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dockerbin.errors import EmulatorError
from pytest_dockerbin.results import Kind, RunResult
from pytest_dockerbin.runners.process import follow
from pytest_dockerbin.runners.tiny import tiny_program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dockerbin.platforms import Platform

_CODE = 42  # no shell, loader or emulator ends with it by itself
_TRIES = 2  # an emulator may fail once under load


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRunner:
    """Executes the file itself.

    Attributes:
        name: ``native`` or ``binfmt``.
        timeout: seconds that a run may take when it says nothing else.
        timeout_factor: what any limit is multiplied by.
    """

    name: str
    timeout: float
    timeout_factor: float

    @property
    def emulated(self) -> bool:
        """Whether the kernel starts an emulator for the program."""
        return self.name == "binfmt"

    def run(  # noqa: D102 (as the protocol says)
        self,
        command: tuple[str, ...],
        *,
        input: str | bytes | None,  # noqa: A002
        env: Mapping[str, str],
        cwd: Path | None,
        timeout: float | None,
        text: bool,
    ) -> RunResult:
        limit = (self.timeout if timeout is None else timeout) * self.timeout_factor
        data = input.encode() if isinstance(input, str) else input
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
        ended = follow(process, data, limit)
        duration = time.monotonic() - started
        kind = Kind.SIGNALED if process.returncode < 0 else Kind.EXITED
        stdout, stderr = (
            stream.decode(errors="replace") if text else stream for stream in ended[:2]
        )
        return RunResult(
            args=command,
            returncode=process.returncode,
            stdout=stdout,  # type: ignore[arg-type] # bytes only for text=False, as documented
            stderr=stderr,  # type: ignore[arg-type]
            duration=duration,
            runner=self.name,
            emulated=self.emulated,
            kind=kind if ended.in_time else Kind.TIMEOUT,
        )


def prove(platform: Platform, folder: Path) -> None:
    """Execute a tiny program of ``platform``; return when it ran.

    Args:
        platform: which platform to try.
        folder: where the program may be written.

    Raises:
        EmulatorError: it did not run; the message says what happened.
    """
    program = tiny_program(platform, _CODE)
    if program is None:
        raise _cannot(platform, f"there is no way to run {platform.os} programs here")
    if platform.architecture == "amd64" and platform.variant and not platform.native:
        raise _cannot(platform, f"its processor is not amd64/{platform.variant}")
    file = folder / f"probe-{platform.slug}"
    file.write_bytes(program)
    file.chmod(0o700)
    said = ""
    for _ in range(_TRIES):
        said = _try(file)
        if not said:
            return
    raise _cannot(platform, said)


def _try(file: Path) -> str:
    """Execute the file; return what went wrong, or nothing."""
    try:
        run = subprocess.run(
            [file],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
            env={},  # QEMU_VERSION and its like would keep the program from running
        )
    except OSError as error:
        return f"{error.strerror or error}"
    except subprocess.TimeoutExpired:
        return "a tiny program did not end within 60 s"
    if run.returncode == _CODE:
        return ""
    printed = " ".join(run.stderr.decode(errors="replace").split())
    return f"a tiny program ended with {run.returncode} instead of {_CODE} {printed}".strip()


def _cannot(platform: Platform, said: str) -> EmulatorError:
    return EmulatorError.on_host(str(platform), platform.architecture, said)
