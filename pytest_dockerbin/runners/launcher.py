"""Files that run a program as its runner does, for code that wants one path."""

from __future__ import annotations

import hashlib
import os
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_launcher(
    program: Path,
    folder: Path,
    *,
    prefix: tuple[str, ...],
    variables: Mapping[str, str],
    argv0: str = "",
) -> Path:
    """Return a script that becomes the program: same process, so same signals and exit status.

    It is named as the program, in a folder that it shares with the other programs of the same
    folder only, so that this can be put on PATH.

    Args:
        program: the exported file.
        folder: where launchers are kept.
        prefix: words before the program.
        variables: environment that its runner needs.
        argv0: the option of ``prefix`` for the name by which the program is called.
    """
    place = hashlib.sha256(os.fsencode(program.parent.absolute())).hexdigest()[:12]
    launcher = folder / place / program.name
    text = _script(program.absolute(), prefix, variables, argv0)
    if not _holds(launcher, text):
        launcher.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        new = launcher.with_name(f".{launcher.name}.{os.urandom(4).hex()}")
        new.write_bytes(text)
        new.chmod(0o755)
        new.replace(launcher)
    return launcher


def _script(
    program: Path, prefix: tuple[str, ...], variables: Mapping[str, str], argv0: str
) -> bytes:
    exports = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    called = f'{argv0} "$0" ' if argv0 else ""
    words = f"{shlex.join(prefix)} {called}" if prefix else ""
    text = f'#!/bin/sh\n{"".join(exports)}exec {words}{shlex.quote(str(program))} "$@"\n'
    return os.fsencode(text)


def _holds(file: Path, text: bytes) -> bool:
    try:
        return file.read_bytes() == text and os.access(file, os.X_OK)
    except OSError:
        return False
