"""Tells why a program can't be started: before it is tried where that can be told, or after."""

from __future__ import annotations

import errno
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dockerbin.executables import read_executable
from pytest_dockerbin.results import Kind
from pytest_dockerbin.runners.mounts import is_noexec, mount_of
from pytest_dockerbin.runners.qemu import architecture_of
from pytest_dockerbin.runners.verdict import CANNOT_EXECUTE, NO_LOADER, Verdict, needs_loader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dockerbin.executables import Executable

_QEMU = re.compile(r"qemu-([a-z0-9_]+)(?:-static)?")


def refusal(program: Path, prefix: tuple[str, ...], env: Mapping[str, str]) -> Verdict | None:
    """Tell why an emulator that is started with ``prefix`` will not run the program, if that is so.

    Raises:
        FileNotFoundError: there is no such program; QEMU would end with 1 and say nothing.
    """
    try:
        found = _header(program)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(program)) from None
    emulator = _QEMU.fullmatch(Path(prefix[0]).name)
    target = architecture_of(emulator[1]) if emulator else None
    if target and found and target not in found.machines:
        return _refused(
            Kind.WRONG_PLATFORM,
            CANNOT_EXECUTE,
            f"{program} is {found}; {prefix[0]} emulates {target}",
        )
    sysroot = _option(prefix, "-L") or env.get("QEMU_LD_PREFIX")
    loader = found.interpreter if found else None
    # without either QEMU has a folder of its own, which only it knows
    if emulator and sysroot and loader and not _is_there(loader, sysroot):
        return _refused(
            Kind.NO_LOADER,
            NO_LOADER,
            f"{program} needs {loader}, which is neither in {sysroot} nor here",
            needs_loader(loader),
        )
    return None


def why_not_started(program: Path, prefix: tuple[str, ...], error: OSError) -> Verdict:
    """Tell why the system did not start a program.

    Args:
        program: the exported file.
        prefix: the emulator's words, if it was started by name.
        error: what the system said.

    Raises:
        OSError: ``error``, where the reason lies in how the test called it: a working folder that
            is not there, a program without the x bit.
    """
    named = Path(error.filename or program)
    if prefix and error.errno == errno.ENOENT and named == Path(prefix[0]):
        return _refused(Kind.NO_EMULATOR, CANNOT_EXECUTE, f"there is no emulator {prefix[0]}")
    if named != program:
        raise error
    if error.errno == errno.ENOEXEC:
        return not_executable(program)
    if error.errno == errno.ENOENT and program.exists():
        return no_loader(program, "here")
    if error.errno == errno.EACCES and is_noexec(program):
        said = f"{program} lies on {mount_of(program)}, which is mounted noexec"
        hint = "name another folder: --dockerbin-cache-dir=DIR"
        return _refused(Kind.EXITED, CANNOT_EXECUTE, said, hint)
    raise error


def not_executable(program: Path) -> Verdict:
    """Tell that nothing executes a file of that format."""
    found = _header(program)
    if found is None:
        said = f"{program} can't be executed: it is neither a program nor a script with a #! line"
        return _refused(Kind.WRONG_PLATFORM, CANNOT_EXECUTE, said)
    said = f"{program} can't be executed: {found}, and no binfmt_misc handler for it"
    return _refused(Kind.NO_EMULATOR, CANNOT_EXECUTE, said, "apt-get install qemu-user-static")


def no_loader(program: Path, where: str) -> Verdict:
    """Tell that a program's loader, or a script's interpreter, is not there."""
    loader = interpreter_of(program) or "its interpreter"
    said = f"{program} needs {loader}, which is not {where}"
    return _refused(Kind.NO_LOADER, NO_LOADER, said, needs_loader(loader))


def _refused(kind: Kind, code: int, said: str, hint: str = "") -> Verdict:
    return Verdict(kind, code, f"dockerbin: {said}\n".encode(), hint=hint)


def interpreter_of(program: Path) -> str | None:
    """Return what a program names as its loader, or a script as its interpreter."""
    with program.open("rb") as file:
        found = read_executable(file)
        file.seek(0)
        first = file.readline(256)
    if found:
        return found.interpreter
    words = first[2:].split() if first.startswith(b"#!") else []
    return words[0].decode(errors="replace") if words else None


def _header(program: Path) -> Executable | None:
    with program.open("rb") as file:
        return read_executable(file)


def _option(words: tuple[str, ...], name: str) -> str | None:
    values = [value for word, value in pairwise(words) if word == name]
    return values[-1] if values else None  # the last one counts


def _is_there(loader: str, sysroot: str) -> bool:
    # a link in the sysroot is followed by QEMU as the kernel does: from the host's root
    return os.path.exists(sysroot + loader) or os.path.exists(loader)  # noqa: PTH110 (joins an absolute path)
