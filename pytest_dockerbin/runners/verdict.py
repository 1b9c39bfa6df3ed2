"""Tells how a run ended: by its wait status, the emulator's words and the file, never by one alone.

An exit code says little under emulation: QEMU ends with 1 or 255 when it can't do its work, and so
does many a program. Sources: the messages of QEMU's ``linux-user`` (``main.c``, ``elfload.c``,
``signal.c``, the ``cpu_loop.c`` of each processor), ``cpu.c`` and ``tcg``, of 5.0 to 10.0, and what
7.2 was seen to do.
"""

from __future__ import annotations

import mmap
import re
import signal
from typing import TYPE_CHECKING, NamedTuple

from pytest_dockerbin.executables import read_executable
from pytest_dockerbin.results import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_dockerbin.executables import Executable
    from pytest_dockerbin.runners.process import Ended

CANNOT_EXECUTE, NO_LOADER = 126, 127  # as shells have it (POSIX, "Exit Status for Commands")

_LOADER = re.compile(rb"^\S+: Could not open '(/[^'\n]*)': No such file", re.MULTILINE)
_FOREIGN = re.compile(rb"^.*Invalid ELF image for this architecture", re.MULTILINE)
_FAULTS = re.compile(
    rb"^(?:"
    rb"qemu: (?:0x[0-9a-f]+: )?unhandled CPU exception 0x.*"
    rb"|qemu: fatal: .*"
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
_OPTIONS = (
    *("usage: ", "Log items ", "qemu: unknown option ", "qemu: missing argument for option "),
    "qemu: could not open gdbserver ",
)
_WARNINGS = re.compile(  # before the program begins
    rb"\A(?:\S+: warning: TCG doesn't support requested feature: [^\n]*\n)+"
)
_UNCAUGHT = re.compile(
    rb"^qemu: uncaught target signal \d+ \([^)\n]*\) - [^\n]*\n?\Z", re.MULTILINE
)
_OVERFLOW = re.compile(rb"Value too large (?:for defined data type|to be stored)")  # EOVERFLOW
_LIBRARIES = re.compile(  # what the loaders of glibc and musl say
    rb"error while loading shared libraries: |: version `[^'\n]+' not found \(required by "
    rb"|^Error loading shared library |^Error relocating ",
    re.MULTILINE,
)
_GO = b"\xff Go buildinf:"  # debug/buildinfo of Go's library


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
    models: Callable[[], str] = str,
) -> Verdict:
    """Tell how a run ended that was started.

    Args:
        program: the exported file.
        ended: what it left.
        code: its exit code, or minus the number of the signal that ended it.
        emulated: whether an emulator ran it.
        cpu: the processor that it was to run on, where one was asked for.
        models: gives the command that lists the emulator's CPU models.
    """
    warnings = _WARNINGS.match(ended.stderr) if emulated else None
    if warnings is None:
        return _verdict(program, ended, code, emulated=emulated, cpu=cpu, models=models)
    ended = ended._replace(stderr=ended.stderr[warnings.end() :])
    found = _verdict(program, ended, code, emulated=emulated, cpu=cpu, models=models)
    said = warnings[0].decode(errors="replace") + found.emulator_said
    return found._replace(emulator_said=said.strip())


def _verdict(
    program: Path, ended: Ended, code: int, *, emulated: bool, cpu: str, models: Callable[[], str]
) -> Verdict:
    stderr = ended.stderr
    if not ended.in_time:
        return Verdict(Kind.TIMEOUT, code, stderr, hint=_hint_of_timeout(program, emulated))
    kind = Kind.EXITED if ended.whole else Kind.OUTPUT_LIMIT
    if code == 0:
        return Verdict(kind, code, stderr)
    if emulated:
        found = _by_emulator(program, ended, code, models)
        if found:
            return found
    if code < 0:
        said, stderr = _without_last_words(stderr) if emulated else ("", stderr)
        return Verdict(Kind.SIGNALED, code, stderr, said, _hint_of_signal(-code, emulated, cpu))
    hint = _hint_of_exit(program, stderr) if emulated else ""
    return Verdict(kind, code, stderr, hint=hint or _hint_of_libraries(stderr))


def needs_loader(loader: str) -> str:
    """Return the hint for a program without its loader."""
    return (
        f"link it statically, or give it {loader}: the setting sysroot_target, "
        "or --dockerbin-runner=container"
    )


def _by_emulator(
    program: Path, ended: Ended, code: int, models: Callable[[], str]
) -> Verdict | None:
    """Tell an end that QEMU made itself."""
    stderr = ended.stderr
    loader = _LOADER.search(stderr)
    if loader and _loader_of(program) == loader[1].decode(errors="replace"):
        said, hint = loader[0].decode(errors="replace"), needs_loader(loader[1].decode())
        return Verdict(Kind.NO_LOADER, NO_LOADER, stderr, said, hint)
    foreign = _FOREIGN.search(stderr)
    if foreign and code == 255:  # noqa: PLR2004 (QEMU's code for it)
        said = foreign[0].decode(errors="replace")
        hint = "the runner's emulator is for another architecture than the program"
        return Verdict(Kind.WRONG_PLATFORM, CANNOT_EXECUTE, stderr, said, hint)
    refused = _REFUSED.match(ended.stdout) if code == 1 else None
    fault = _FAULTS.search(stderr) or refused
    if fault:
        said = fault[0].decode(errors="replace").strip().splitlines()[0]
        return Verdict(Kind.EMULATOR_FAULT, code, stderr, said, _hint_of_fault(said, models))
    return None


def _without_last_words(stderr: bytes) -> tuple[str, bytes]:
    """Take off the line that QEMU adds when a signal ends a program: without it there is none."""
    found = _UNCAUGHT.search(stderr)
    if found is None:
        return "", stderr
    return found[0].decode(errors="replace").strip(), stderr[: found.start()]


# -- hints ----------------------------------------------------------------------------------------


def _hint_of_fault(said: str, models: Callable[[], str]) -> str:
    if "CPU model" in said:
        return f"`{models()}` lists the models that this emulator has"
    if said.startswith(_OPTIONS) or "reserved virtual address space" in said:
        return "QEMU refused an option of its runner, or a QEMU_* variable that the test sets"
    return "this is QEMU's failure, not the program's; another version of it may do"


def _hint_of_signal(number: int, emulated: bool, cpu: str) -> str:
    if number != signal.SIGILL:
        return ""
    if cpu:
        return (
            f"illegal instruction on baseline CPU {cpu}: the program needs a newer one; "
            "was it built with -march=native, GOAMD64, target-cpu or the like?"
        )
    if emulated:
        return (
            "illegal instruction: the emulated processor lacks one that the program uses; "
            "a newer model may have it: --dockerbin-runner='qemu:-cpu max'"
        )
    return "illegal instruction: the program was built for a newer processor than this one"


def _hint_of_timeout(program: Path, emulated: bool) -> str:
    if emulated and _is_go(program):
        return (
            "Go programs may hang under emulation: "
            'run(env={"GODEBUG": "asyncpreemptoff=1", "GOMAXPROCS": "1"})'
        )
    return "a longer limit: run(timeout=...), or the ini key dockerbin_run_timeout"


def _hint_of_exit(program: Path, stderr: bytes) -> str:
    if _OVERFLOW.search(stderr) and (found := _header(program)) and found.bits == 32:  # noqa: PLR2004
        return (
            "a 32-bit program can't hold this host's 64-bit inode numbers: "
            "build it with -D_FILE_OFFSET_BITS=64"
        )
    if b"Exec format error" in stderr:
        return (
            "it started another program of its platform, which only the kernel's binfmt_misc "
            "handlers or --dockerbin-runner=container can do"
        )
    return ""


def _hint_of_libraries(stderr: bytes) -> str:
    if not _LIBRARIES.search(stderr):
        return ""
    return (
        "the libraries here are not those that it was built with: link it statically, or give it "
        "its own: the setting sysroot_target, or --dockerbin-runner=container"
    )


# -- the file -------------------------------------------------------------------------------------


def _header(program: Path) -> Executable | None:
    try:
        with program.open("rb") as file:
            return read_executable(file)
    except OSError:
        return None


def _loader_of(program: Path) -> str | None:
    found = _header(program)
    return found.interpreter if found else None


def _is_go(program: Path) -> bool:
    try:
        with (
            program.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return data.find(_GO) >= 0
    except (OSError, ValueError):  # ValueError: an empty file can't be mapped
        return False
