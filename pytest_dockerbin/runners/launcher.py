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
    return _placed(program, folder, _script(program.absolute(), prefix, variables, argv0))


def write_container_launcher(
    program: Path,
    folder: Path,
    *,
    words: tuple[str, ...],
    image: str,
    variables: Mapping[str, str],
) -> Path:
    """Return a script that runs the program in a container, with the caller's variables.

    Not those that say where things are on this host.

    Args:
        program: the exported file.
        folder: where launchers for the container are kept.
        words: the command, up to its options.
        image: what comes between the options and the program's arguments.
        variables: environment by which docker finds its engine.
    """
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    text = _IN_CONTAINER.format(exports=exports, words=shlex.join(words), image=shlex.quote(image))
    return _placed(program, folder, os.fsencode(text))


# by names, which docker looks up: no value has to be quoted. A word of a value that looks like a
# name is none of a variable, and docker passes over it
_IN_CONTAINER = """\
#!/bin/sh
set -f
names=
for word in $(export -p); do
  name=${{word%%=*}}
  case $name in
    "$word" | *[!A-Za-z0-9_]* | [0-9]* | DOCKER_* | HOME | HOSTNAME | PATH | PWD | QEMU_*) ;;
    *) names="$names --env $name" ;;
  esac
done
{exports}exec {words} $names --workdir "$PWD" {image} "$@"
"""


def _placed(program: Path, folder: Path, text: bytes) -> Path:
    place = hashlib.sha256(os.fsencode(program.parent.absolute())).hexdigest()[:12]
    launcher = folder / place / program.name
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
