"""Tells why a program can't be started: before it is tried where that can be told, or after."""

from __future__ import annotations

import errno
import os
import re
from enum import Enum
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dockerbin.executables import is_format_of, read_executable
from pytest_dockerbin.results import Kind
from pytest_dockerbin.runners.hints import needs_loader
from pytest_dockerbin.runners.mounts import is_noexec, mount_of
from pytest_dockerbin.runners.qemu import NO_PREFIX, PREFIX, architecture_of
from pytest_dockerbin.runners.verdict import CANNOT_EXECUTE, NO_LOADER, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dockerbin.executables import Executable
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.results import Command

_QEMU = re.compile(r"qemu-([a-z0-9_]+)(?:-static)?")
_VERSION = "QEMU_VERSION"


class Emulation(Enum):
    """How QEMU gets to run a program."""

    NONE = 0
    """Not at all, or nobody knows."""
    BY_NAME = 1
    """It is started by its name, whatever that is."""
    BY_KERNEL = 2
    """The kernel starts it."""
    IN_CONTAINER = 3
    """A kernel does, and the program finds a container's files."""


def refusal(
    command: Command, prefix: tuple[str, ...], env: Mapping[str, str], emulation: Emulation
) -> Verdict | None:
    """Tell why the program will not be run, if that is so; its header is read for it.

    A program of another architecture than its platform's is not run at all: the kernel may well
    find something that runs it, and it would not be what the runner was proved to be.

    Args:
        command: what is to be run.
        prefix: the words with which a runner is started for it.
        env: the variables that it will get.
        emulation: how QEMU gets to run it.

    Raises:
        FileNotFoundError: there is no such program; QEMU would end with 1 and say nothing.
        PermissionError: QEMU would do the same of a program without the x bit.
    """
    __tracebackhide__ = True
    program = command.program
    try:
        found = _header(program)
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(program)) from None
    except PermissionError:  # what can't be read may be executed
        return None
    if found and not _is_for(found, command.platform):
        return _foreign(found, command)
    if not prefix and emulation is Emulation.NONE:
        return None
    return _refused_by_qemu(command, prefix, env, emulation, found)


def _refused_by_qemu(
    command: Command,
    prefix: tuple[str, ...],
    env: Mapping[str, str],
    emulation: Emulation,
    found: Executable | None,
) -> Verdict | None:
    """Tell why QEMU would not run the program; some of it QEMU itself says badly or not at all."""
    __tracebackhide__ = True
    program = command.program
    named = _QEMU.fullmatch(Path(prefix[0]).name) if prefix else None
    by_name = bool(named) or emulation is Emulation.BY_NAME
    if by_name and (found is None or found.format != "ELF"):
        return _nothing_for_qemu(found, command)
    if by_name and not os.stat(program).st_mode & 0o111:  # noqa: PTH116 (QEMU would end with 1)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(program))
    target = architecture_of(named[1]) if named else None
    if target and found and target not in found.machines:
        return _refused(
            Kind.WRONG_PLATFORM,
            CANNOT_EXECUTE,
            f"{program.name} is {found}; {prefix[0]} emulates {target}",
        )
    if not by_name and emulation is Emulation.NONE:  # a command of which nothing is known
        return None
    if _VERSION in env:
        said = f"{_VERSION} is set: QEMU would print its version, and not run {program.name}"
        return _refused(Kind.EMULATOR_FAULT, CANNOT_EXECUTE, said, f"take {_VERSION} out of env")
    if found and emulation is not Emulation.IN_CONTAINER:
        return _without_loader(program, found, _option(prefix, "-L") or env.get(PREFIX))
    return None


def _without_loader(program: Path, found: Executable, folder: str | None) -> Verdict | None:
    loader = found.interpreter
    # without a folder QEMU has one of its own, which only it knows
    if not folder or not loader or _is_there(loader, folder):
        return None
    where = "not here" if folder == NO_PREFIX else f"neither in {folder} nor here"
    said = f"{program.name} needs {loader}, which is {where}"
    return _refused(Kind.NO_LOADER, NO_LOADER, said, needs_loader(loader))


def has_loader(program: Path) -> bool:
    """Tell whether a program names a loader; False of one that can't be read."""
    try:
        found = _header(program)
    except OSError:
        return False
    return bool(found and found.interpreter)


def _is_for(found: Executable, platform: Platform) -> bool:
    """Tell whether a processor of the platform executes it: amd64 has all of 386.

    Only of ELF files, which kernels start by their machine; what other files are for is up to
    whoever runs them.
    """
    runs = {"amd64": ("amd64", "386")}.get(platform.architecture, (platform.architecture,))
    return found.format != "ELF" or any(machine in runs for machine in found.machines)


def _foreign(found: Executable, command: Command) -> Verdict:
    said = f"{command.program.name} is {found}, and its platform is {command.platform}"
    unknown = [machine for machine in found.machines if machine.startswith("machine ")]
    hint = f"{unknown[0]} is unknown: no platform has it" if unknown else ""
    return _refused(Kind.WRONG_PLATFORM, CANNOT_EXECUTE, said, hint)


def _nothing_for_qemu(found: Executable | None, command: Command) -> Verdict:
    what, hint = str(found or "no program"), ""
    if found is None and (shell := interpreter_of(command.program)):
        what, hint = "a script", f"run {shell}, if it is exported, with the script as its argument"
    said = f"{command.program.name} is {what}; QEMU, started by its name, runs ELF programs only"
    return _refused(Kind.WRONG_PLATFORM, CANNOT_EXECUTE, said, hint)


def why_not_started(command: Command, prefix: tuple[str, ...], error: OSError) -> Verdict:
    """Tell why the system did not start a program.

    Args:
        command: what was to be run.
        prefix: the emulator's words, if it was started by name.
        error: what the system said.

    Raises:
        OSError: the reason lies in how the test called it: a wrapper that is not there, a program
            without the x bit.
    """
    __tracebackhide__ = True
    program = command.program
    named = os.fspath(error.filename or program)
    if command.cwd and named == str(command.cwd):
        raise mistake("cwd", named, error) from None
    if command.wrapper and named == command.wrapper[0]:
        raise mistake("wrapper", named, error) from None
    if prefix and error.errno == errno.ENOENT and named == prefix[0]:
        return _refused(Kind.NO_EMULATOR, CANNOT_EXECUTE, f"there is no emulator {prefix[0]}")
    if named == str(program):
        if error.errno == errno.ENOEXEC:
            return not_executable(command)
        if error.errno == errno.ENOENT and program.exists():
            return no_loader(program, "here")
        if error.errno == errno.EACCES and is_noexec(program):
            said = f"{program.name} lies on {mount_of(program)}, which is mounted noexec"
            hint = "name another folder: --dockerbin-cache-dir=DIR"
            return _refused(Kind.EXITED, CANNOT_EXECUTE, said, hint)
    raise OSError(*error.args[:2], error.filename) from None  # without the frames of subprocess


def mistake(argument: str, value: str, error: OSError) -> OSError:
    """Return the error of an argument of ``run`` that names what the system can't use."""
    number = error.errno or errno.ENOENT
    said = "there is no such program" if number == errno.ENOENT else os.strerror(number)
    return OSError(number, f"{argument}: {said}", value)


def not_executable(command: Command) -> Verdict:
    """Tell that nothing executes a file of that format."""
    program = command.program
    found = _header(program)
    if found is None:
        said = f"{program.name} can't be executed: neither a program nor a script with a #! line"
        return _refused(Kind.WRONG_PLATFORM, CANNOT_EXECUTE, said)
    if not is_format_of(command.platform, found.format):
        return _foreign(found, command)
    said = f"{program.name} can't be executed: {found}, and no binfmt_misc handler for it"
    return _refused(Kind.NO_EMULATOR, CANNOT_EXECUTE, said, "apt-get install qemu-user-static")


def no_loader(program: Path, where: str) -> Verdict:
    """Tell that a program's loader, or a script's interpreter, is not there."""
    needed = interpreter_of(program) or "its interpreter"
    said = f"{program.name} needs {needed}, which is not {where}"
    script = _header(program) is None
    hint = (
        f"a script needs its interpreter: put {needed} there, or run it in an image that has one: "
        "--dockerbin-runner=container:IMAGE"
        if script
        else needs_loader(needed)
    )
    return _refused(Kind.NO_LOADER, NO_LOADER, said, hint)


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
    facts = os.stat(program)  # noqa: PTH116 (half the time of Path.stat)
    return _header_of(program, (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))


@lru_cache(maxsize=64)  # most sessions run a few programs, often: each reading takes 25 µs
def _header_of(program: Path, _: tuple[int, ...]) -> Executable | None:
    """Read a file's header, once for each state of it."""
    with program.open("rb") as file:
        return read_executable(file)


def _option(words: tuple[str, ...], name: str) -> str | None:
    values = [value for word, value in pairwise(words) if word == name]
    return values[-1] if values else None  # the last one counts


def _is_there(loader: str, sysroot: str) -> bool:
    # a link in the sysroot is followed by QEMU as the kernel does: from the host's root
    return os.path.exists(sysroot + loader) or os.path.exists(loader)  # noqa: PTH110 (joins an absolute path)
