"""Proves that this host executes programs of a platform: by executing one."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from pytest_dockerbin.errors import EmulatorError
from pytest_dockerbin.runners.mounts import is_noexec, mount_of
from pytest_dockerbin.runners.tiny import tiny_program

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dockerbin.platforms import Platform

_CODE = 42  # no shell, loader or emulator ends with it by itself
_TRIES = 2  # an emulator may fail once under load


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
    if is_noexec(file):
        raise EmulatorError.on_noexec(str(platform), mount_of(file))
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
