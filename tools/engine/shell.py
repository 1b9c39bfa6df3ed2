"""Running programs and talking to the reader. No shell is ever involved."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SECOND = 1.0
MINUTE = 60 * SECOND
# Machines are slow and shared: bounds are there to end a hang, not to measure speed.
QUICK = MINUTE
LONG = 30 * MINUTE


def say(text: str) -> None:
    """Print one line about what was done, at once."""
    print(f"engine: {text}", flush=True)


def complain(text: str) -> None:
    """Print what failed."""
    for line in text.splitlines():
        print(f"engine: {line}", file=sys.stderr, flush=True)


def run(
    arguments: Sequence[str | Path],
    *,
    timeout: float = QUICK,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    cure: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program, and return its captured output.

    With ``check`` a failure is an :class:`EngineError` that carries the last line the
    program said. Without it a program that is missing or takes too long is reported
    as exit code 127 or 124, as a shell does.
    """
    command = [str(argument) for argument in arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=None if env is None else dict(env),
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired:
        done = subprocess.CompletedProcess(command, 124, "", f"no answer within {timeout:.0f} s")
    except OSError as error:
        done = subprocess.CompletedProcess(command, 127, "", str(error))
    if check and done.returncode != 0:
        shown = " ".join(command[:4])
        message = f"`{shown}` failed with exit code {done.returncode}: {why(done)}"
        raise EngineError(message, cure)
    return done


def why(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line of a failed program's output that says most."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    lines = lines or [line.strip() for line in done.stdout.splitlines() if line.strip()]
    for line in lines:
        # apt's errors; the lines after the first are its consequences.
        if line.startswith("E: "):
            return line.removeprefix("E: ")
    return lines[-1] if lines else "it said nothing"


def is_root() -> bool:
    """Tell whether this process may mount, install and start engines."""
    return os.geteuid() == 0
