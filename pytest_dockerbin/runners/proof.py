"""Proves that programs of a platform run here: by running one."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, TypeVar

from pytest_dockerbin.runners.tiny import tiny_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_dockerbin.platforms import Platform

_T = TypeVar("_T")
_CODE = 42  # no shell, loader or emulator ends with it by itself
_PATIENCE = 60.0  # seconds
_QEMU = re.compile(r"^qemu-\S+ version (\d[\w.]*)", re.MULTILINE)


class ProofError(Exception):
    """A tiny program did not run; the message says what happened instead."""


def write_tiny(platform: Platform, folder: Path) -> Path | None:
    """Write a tiny program of ``platform`` into ``folder``; None where there is none of it."""
    program = tiny_program(platform, _CODE)
    if program is None:
        return None
    file = folder / f"probe-{platform.slug}"
    file.write_bytes(program)
    file.chmod(0o700)
    return file


def prove(command: tuple[str, ...], variables: Mapping[str, str] | None = None) -> None:
    """Run a command that ends with a tiny program; return when that ran.

    Args:
        command: the program, and what runs it before it.
        variables: the environment beside PATH; nothing else is handed down.

    Raises:
        ProofError: it did not run.
    """

    def attempt() -> None:
        run = _run(command, variables or {})
        if run.returncode != _CODE:
            raise _other_end(run)

    _retried(attempt)


def emulator_of(command: tuple[str, ...]) -> str:
    """Return the version of the QEMU that a command leads to; nothing where it is none.

    With ``QEMU_VERSION`` in its environment QEMU prints its version and runs nothing
    (linux-user/main.c); everything else runs the tiny program.

    Raises:
        ProofError: neither happened.
    """

    def attempt() -> str:
        run = _run(command, {"QEMU_VERSION": "1"})
        version = qemu_version(run.stdout) if run.returncode == 0 else ""
        if not version and run.returncode != _CODE:
            raise _other_end(run)
        return version

    return _retried(attempt)


def qemu_version(printed: str) -> str:
    """Return ``QEMU 7.2.22`` from the line that QEMU prints of its version; nothing without it."""
    found = _QEMU.search(printed)
    return f"QEMU {found[1]}" if found else ""


def output_of(command: tuple[str, ...], variables: Mapping[str, str] | None = None) -> str:
    """Return what a command prints instead of running a program: ``--version``, ``-cpu help``.

    Raises:
        ProofError: it can't be started.
    """
    return _run(command, variables or {}).stdout


def _retried(attempt: Callable[[], _T]) -> _T:
    """Try twice: an emulator may fail once under load."""
    try:
        return attempt()
    except ProofError:
        return attempt()


def _run(
    command: tuple[str, ...], variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PATIENCE,
            env={"PATH": os.environ.get("PATH", os.defpath), **variables},
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise ProofError(error.strerror or str(error)) from None
    except subprocess.TimeoutExpired:
        raise ProofError(f"a tiny program did not end within {_PATIENCE:.0f} s") from None


def _other_end(run: subprocess.CompletedProcess[str]) -> ProofError:
    printed = " ".join(run.stderr.split())
    said = f"a tiny program ended with {run.returncode} instead of {_CODE}"
    return ProofError(f"{said}: {printed}" if printed else said)
