"""What to do about a run that failed, where the trap is known.

Each hint says what is known and no more: a crash under emulation is the program's more often than
the emulator's. Sources: QEMU's "User Mode Emulation" and issues of those who fell into the traps.
"""

from __future__ import annotations

import mmap
import re
import signal
from typing import TYPE_CHECKING, NamedTuple

from pytest_dockerbin.executables import read_executable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_dockerbin.executables import Executable

_GO = b"\xff Go buildinf:"  # debug/buildinfo of Go's library
_OPTIONS = (
    *("usage: ", "Log items ", "qemu: unknown option ", "qemu: missing argument for option "),
    "qemu: could not open gdbserver ",
)


class _Trap(NamedTuple):
    """What a program says when it is in a trap, and the way out.

    Attributes:
        words: what it says on standard error.
        hint: the way out.
        emulated: whether it is one under emulation only.
        bits: of the programs that can get into it; 0 for all.
    """

    words: re.Pattern[bytes]
    hint: str
    emulated: bool = True
    bits: int = 0


_TRAPS = (
    _Trap(  # EOVERFLOW, as glibc and musl have it (Azure/iot-hub-device-update#350)
        re.compile(rb"Value too large (?:for defined data type|to be stored)"),
        "a 32-bit program can't hold this host's 64-bit inode numbers: "
        "build it with -D_FILE_OFFSET_BITS=64",
        emulated=False,
        bits=32,
    ),
    _Trap(
        re.compile(rb"Exec format error"),
        "it started another program of its platform, which only the kernel's binfmt_misc "
        "handlers or --dockerbin-runner=container can do",
    ),
    _Trap(  # ENOSYS, as C, Go and Node.js have it (moby/qemu#4, qemu-user-static#114)
        re.compile(rb"[Ff]unction not implemented|\bENOSYS\b"),
        "QEMU knows no ptrace, seccomp, io_uring, bpf, userfaultfd and namespaces: a test of "
        "them needs a real processor: @pytest.mark.platform(..., emulated=False)",
    ),
    _Trap(  # tikv/jemallocator#80
        re.compile(rb"<jemalloc>: Unsupported system page size"),
        "its jemalloc was built for smaller memory pages than this machine has: "
        "configure it with --with-lg-page=16",
        emulated=False,
    ),
    _Trap(  # what the loaders of glibc and musl say
        re.compile(
            rb"error while loading shared libraries: |: version `[^'\n]+' not found \(required by "
            rb"|^Error loading shared library |^Error relocating ",
            re.MULTILINE,
        ),
        "the libraries here are not those that it was built with: link it statically, or give it "
        "its own: the setting sysroot_target, or --dockerbin-runner=container:IMAGE",
        emulated=False,
    ),
)

# what looks at the processor before it uses it: glibc (sysdeps/x86/dl-get-cpu-features.c), and Go's
# runtime (asm_amd64.s, os_linux_arm.go), for GOAMD64 and GOARM
_TOO_OLD = re.compile(
    rb"Fatal glibc error: CPU (?:does not support|lacks) .*"
    rb"|This program can only be run on AMD64 processors with v\d microarchitecture support"
    rb"|runtime: this CPU has no .*cannot run"
)


class _KnownBad(NamedTuple):
    """Versions of QEMU that crash sound programs.

    Attributes:
        since: the first of them.
        before: the first that is none of them any more.
    """

    since: tuple[int, ...]
    before: tuple[int, ...]


# docker/buildx#542; tonistiigi/binfmt#215, #240, #243, #245 and LP#2096782: ldconfig and others die
# by SIGSEGV. Of 9.2.2 most of them said that it helps
_KNOWN_BAD = (_KnownBad((5, 1), (5, 3)), _KnownBad((6, 2), (9, 2, 2)))
_CRASHES = (signal.SIGSEGV, signal.SIGBUS)  # not SIGABRT: mostly a failed assertion


def needs_loader(loader: str) -> str:
    """Return the hint for a program without its loader."""
    return (
        f"link it statically, or give it {loader}: the setting sysroot_target, "
        "or --dockerbin-runner=container:IMAGE"
    )


def hint_of_words(program: Path, stderr: bytes, *, emulated: bool, cpu: str) -> str:
    """Return the hint for what a program says on standard error, if it has one."""
    if (cpu or emulated) and _TOO_OLD.search(stderr):
        return _baseline(cpu) if cpu else _NEWER_MODEL
    for trap in _TRAPS:
        if (emulated or not trap.emulated) and trap.words.search(stderr):
            found = header_of(program) if trap.bits else None
            if not trap.bits or (found and found.bits == trap.bits):
                return trap.hint
    return ""


def hint_of_signal(number: int, *, emulated: bool, cpu: str, version: str) -> str:
    """Return the hint for a signal that ended a program, if it has one."""
    if number == signal.SIGILL:
        if cpu:
            return _baseline(cpu)
        return _NEWER_MODEL if emulated else _NEWER_PROCESSOR
    if number in _CRASHES and is_known_bad(version):
        return (
            f"its own fault, or that of {version}, which is known to crash sound programs: "
            "QEMU 9.2.2 or newer, or a real processor, tells"
        )
    return ""


def hint_of_timeout(program: Path, *, emulated: bool) -> str:
    """Return the hint for a program that was not done in time."""
    if emulated and _is_go(program):
        return (
            "Go programs may hang under emulation: "
            'run(env={"GODEBUG": "asyncpreemptoff=1", "GOMAXPROCS": "1"})'
        )
    return "a longer limit: run(timeout=...), or the ini key dockerbin_run_timeout"


def hint_of_fault(said: str, version: str, models: Callable[[], str]) -> str:
    """Return the hint for a failure of the emulator.

    Args:
        said: what it says of it.
        version: which it is.
        models: gives the command that lists its CPU models.
    """
    if "CPU model" in said:
        return f"`{models()}` lists the models that this emulator has"
    if said.startswith(_OPTIONS) or "reserved virtual address space" in said:
        return "QEMU refused an option of its runner, or a QEMU_* variable that the test sets"
    if is_known_bad(version):
        return f"{version} is known for it, the program is not to blame: try 9.2.2 or newer"
    return "this is the emulator's failure, not the program's; another version of it may do"


def is_known_bad(version: str) -> bool:
    """Tell whether a version, such as ``QEMU 7.2.22``, is known to crash sound programs."""
    numbers = re.match(r"QEMU (\d+(?:\.\d+)*)", version)
    if numbers is None:
        return False
    own = tuple(map(int, numbers[1].split(".")))
    return any(bad.since <= own < bad.before for bad in _KNOWN_BAD)


_NEWER_MODEL = (
    "illegal instruction: the emulated processor lacks one that the program uses; "
    "a newer model may have it: --dockerbin-runner='qemu:-cpu max'"
)
_NEWER_PROCESSOR = "illegal instruction: the program was built for a newer processor than this one"


def _baseline(cpu: str) -> str:
    return (
        f"illegal instruction on baseline CPU {cpu}: the program needs a newer one; "
        "was it built with -march=native, GOAMD64, target-cpu or the like?"
    )


def header_of(program: Path) -> Executable | None:
    """Return what a program's header says; nothing of one that can't be read."""
    try:
        with program.open("rb") as file:
            return read_executable(file)
    except OSError:
        return None


def _is_go(program: Path) -> bool:
    try:
        with (
            program.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return data.find(_GO) >= 0
    except (OSError, ValueError):  # ValueError: an empty file can't be mapped
        return False
