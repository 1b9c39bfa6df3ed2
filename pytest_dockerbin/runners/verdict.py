"""Tells how a run ended: by its wait status, the emulator's words and the file, never by one alone.

An exit code says little under emulation: QEMU ends with 1 or 255 when it can't do its work, and so
does many a program. Sources: the messages of QEMU's ``linux-user`` (``main.c``, ``elfload.c``,
``signal.c``, the ``cpu_loop.c`` of each processor), ``cpu.c`` and ``tcg``, of 5.0 to 10.0, and what
7.2 was seen to do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pytest_dockerbin.results import Kind
from pytest_dockerbin.runners.hints import (
    header_of,
    hint_of_fault,
    hint_of_signal,
    hint_of_timeout,
    hint_of_words,
    needs_loader,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_dockerbin.runners.process import Ended

CANNOT_EXECUTE, NO_LOADER = 126, 127  # as shells have it (POSIX, "Exit Status for Commands")

_LOADER = re.compile(  # QEMU's words, and those of Apple's Rosetta in a Linux machine
    rb"^(?:\S+: Could not open '(/[^'\n]*)': No such file.*"
    rb"|rosetta error: failed to open elf at (/\S*).*)",
    re.MULTILINE,
)
_FOREIGN = re.compile(rb"^.*Invalid ELF image for this architecture", re.MULTILINE)
_FAULTS = re.compile(
    rb"^(?:"
    rb"qemu: (?:0x[0-9a-f]+: )?unhandled CPU exception 0x.*"
    rb"|qemu: fatal: .*"
    rb"|rosetta error: .*"
    rb"|qemu: (?:unknown option|missing argument for option|could not open gdbserver on) .*"
    rb"|\S+: (?:.*: )?requires more than reserved virtual address space .*"
    rb"|\S+: (?:.*: )?[Uu]nable to (?:find CPU model '|find a guest_base|reserve 0x).*"
    rb"|\S+: QEMU internal SIG[A-Z]+ \{.*|QEMU internal SIG[A-Z]+ \{.*"
    rb"|\S+:\d+: tcg fatal error.*"
    rb"|ERROR:(?:\.\./)*(?:accel|linux-user|qom|target|tcg|util)/\S+:\d+:.*"
    rb"|\S+: (?:\.\./)*(?:accel|linux-user|qom|target|tcg|util)/\S+:\d+: .*Assertion .*"
    rb")$",
    re.MULTILINE,
)
_REFUSED = re.compile(  # what QEMU prints in the place of a program whose options it can't read
    rb"\A(?:usage: qemu-\S+ \[options\] program \[arguments\.\.\.\]\n"
    rb"|Log items \(comma separated\):\nout_asm )"
)
_WARNINGS = re.compile(  # before the program begins
    rb"\A(?:\S+: warning: TCG doesn't support requested feature: [^\n]*\n)+"
)
_UNCAUGHT = re.compile(
    rb"^qemu: uncaught target signal \d+ \([^)\n]*\) - [^\n]*\n?\Z", re.MULTILINE
)


class Verdict(NamedTuple):
    """How a run ended.

    Attributes:
        kind: the kind of end.
        returncode: the exit code or minus the signal's number; for what was never started, 126
            or 127, whoever found that out.
        stderr: standard error without what QEMU added about a signal, or warned of.
        emulator_said: what QEMU said itself, or nothing.
        hint: what to do about it, or nothing.
    """

    kind: Kind
    returncode: int
    stderr: bytes
    emulator_said: str = ""
    hint: str = ""


def verdict(
    program: Path,
    ended: Ended,
    *,
    code: int,
    emulated: bool,
    cpu: str = "",
    version: str = "",
    models: Callable[[], str] = str,
) -> Verdict:
    """Tell how a run ended that was started.

    Args:
        program: the exported file.
        ended: what it left.
        code: its exit code, or minus the number of the signal that ended it.
        emulated: whether an emulator ran it.
        cpu: the processor that it was to run on, where one was asked for.
        version: of the emulator, such as ``QEMU 7.2.22``.
        models: gives the command that lists the emulator's CPU models.
    """
    if code == 0 and not ended.stderr and ended.in_time and ended.whole:  # as most runs end
        return Verdict(Kind.EXITED, code, b"")
    case = _Case(program, emulated=emulated, cpu=cpu, version=version, models=models)
    warnings = _WARNINGS.match(ended.stderr) if emulated else None
    if warnings is None:
        return _verdict(case, ended, code)
    found = _verdict(case, ended._replace(stderr=ended.stderr[warnings.end() :]), code)
    said = warnings[0].decode(errors="replace") + found.emulator_said
    return found._replace(emulator_said=said.strip())


class _Case(NamedTuple):
    """What ran, as `verdict` says."""

    program: Path
    emulated: bool
    cpu: str
    version: str
    models: Callable[[], str]


def _verdict(case: _Case, ended: Ended, code: int) -> Verdict:
    stderr = ended.stderr
    if ended.cut_by is not None:
        hint = f"not its own limit ended it, but {type(ended.cut_by).__name__}, raised here"
        return Verdict(Kind.TIMEOUT, code, stderr, hint=hint)
    if not ended.in_time:
        hint = hint_of_timeout(case.program, emulated=case.emulated)
        return Verdict(Kind.TIMEOUT, code, stderr, hint=hint)
    kind = Kind.EXITED if ended.whole else Kind.OUTPUT_LIMIT
    if code == 0:
        return Verdict(kind, code, stderr)
    if case.emulated:
        found = _by_emulator(case, ended, code)
        if found:
            return found
    if code < 0:
        said, stderr = _without_last_words(stderr) if case.emulated else ("", stderr)
        hint = hint_of_words(case.program, stderr, emulated=case.emulated, cpu=case.cpu)
        hint = hint or hint_of_signal(
            -code, emulated=case.emulated, cpu=case.cpu, version=case.version
        )
        return Verdict(Kind.SIGNALED, code, stderr, said, hint)
    hint = hint_of_words(case.program, stderr, emulated=case.emulated, cpu=case.cpu)
    return Verdict(kind, code, stderr, hint=hint)


def _by_emulator(case: _Case, ended: Ended, code: int) -> Verdict | None:
    """Tell an end that the emulator made itself."""
    stderr = ended.stderr
    loader = _LOADER.search(stderr)
    needed = (loader[1] or loader[2]).decode(errors="replace") if loader else ""
    if loader and _loader_of(case.program) == needed:
        said = loader[0].decode(errors="replace")
        return Verdict(Kind.NO_LOADER, NO_LOADER, stderr, said, needs_loader(needed))
    foreign = _FOREIGN.search(stderr)
    if foreign and code == 255:  # noqa: PLR2004 (QEMU's code for it)
        said = foreign[0].decode(errors="replace")
        hint = "the runner's emulator is for another architecture than the program"
        return Verdict(Kind.WRONG_PLATFORM, CANNOT_EXECUTE, stderr, said, hint)
    refused = _REFUSED.match(ended.stdout) if code == 1 else None
    fault = _FAULTS.search(stderr) or refused
    if fault:
        said = fault[0].decode(errors="replace").strip().splitlines()[0]
        hint = hint_of_fault(said, case.version, case.models)
        return Verdict(Kind.EMULATOR_FAULT, code, stderr, said, hint)
    return None


def _without_last_words(stderr: bytes) -> tuple[str, bytes]:
    """Take off the line that QEMU adds when a signal ends a program: without it there is none."""
    found = _UNCAUGHT.search(stderr)
    if found is None:
        return "", stderr
    return found[0].decode(errors="replace").strip(), stderr[: found.start()]


def _loader_of(program: Path) -> str | None:
    found = header_of(program)
    return found.interpreter if found else None
