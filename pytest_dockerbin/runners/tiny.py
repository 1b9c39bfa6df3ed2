"""Tiny Linux programs, for each architecture: one ends, one waits, one sends a signal.

Whether a host runs a platform's programs is decided by running one of the first: tables of
emulators say what is registered, not what works. The others do in an empty container what nothing
else is there for. Each is an ELF header, one program header and the few instructions of a system
call or two. Sources: the ELF gABI, each processor's manual, and the kernel's
``arch/*/include/uapi/asm/unistd.h`` for the numbers of system calls.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pytest_dockerbin.platforms import Platform


class _Machine(NamedTuple):
    number: int  # e_machine
    bits: int
    mark: str  # byte order, as struct has it
    flags: int = 0  # e_flags


_MACHINES = {
    "386": _Machine(3, 32, "<"),
    "amd64": _Machine(62, 64, "<"),
    "arm": _Machine(40, 32, "<", 0x05000400),  # EABI 5, hard float
    "arm64": _Machine(183, 64, "<"),
    "loong64": _Machine(258, 64, "<", 0x43),  # object ABI 1, double float
    "mips": _Machine(8, 32, ">", 0x50001000),  # MIPS32, o32
    "mips64": _Machine(8, 64, ">", 0x60000000),  # MIPS64
    "mips64le": _Machine(8, 64, "<", 0x60000000),
    "mipsle": _Machine(8, 32, "<", 0x50001000),
    "ppc64": _Machine(21, 64, ">", 2),  # ELFv2: with ELFv1 the entry is no instruction
    "ppc64le": _Machine(21, 64, "<", 2),
    "riscv64": _Machine(243, 64, "<", 0x5),  # compressed, double float
    "s390x": _Machine(22, 64, ">"),
}


class _Calls(NamedTuple):
    """Numbers of system calls."""

    exit: int
    kill: int
    wait: int  # pause, or ppoll where there is none


_GENERIC = _Calls(93, 129, 73)
_OLD = _Calls(1, 37, 29)
_MIPS = _Calls(4001, 4037, 4029)
_MIPS64 = _Calls(5058, 5060, 5033)
_CALLS = {
    "386": _OLD,
    "amd64": _Calls(60, 62, 34),
    "arm": _OLD,
    "arm64": _GENERIC,
    "loong64": _GENERIC,
    "mips": _MIPS,
    "mips64": _MIPS64,
    "mips64le": _MIPS64,
    "mipsle": _MIPS,
    "ppc64": _OLD,
    "ppc64le": _OLD,
    "riscv64": _GENERIC,
    "s390x": _OLD,
}


_SAME_INSTRUCTIONS = {"mips64": "mips", "mips64le": "mips", "mipsle": "mips", "ppc64le": "ppc64"}


def tiny_program(platform: Platform, code: int) -> bytes | None:
    """Return a program of ``platform`` that ends with exit code ``code`` (0 to 127).

    None for other systems than Linux.
    """
    calls = _CALLS.get(platform.architecture)
    return _program(platform, (calls.exit, code)) if calls else None


def idle_program(platform: Platform) -> bytes | None:
    """Return a program that waits for ever, or None likewise.

    It is made for process 1 of a container: signals from inside do not reach that.
    """
    calls = _CALLS.get(platform.architecture)
    return _program(platform, (calls.wait, 0, 0)) if calls else None


def signal_program(platform: Platform, number: int) -> bytes | None:
    """Return a program that sends a signal to all processes of its container, or None likewise.

    All but process 1 and itself, as kill(2) says of -1.
    """
    calls = _CALLS.get(platform.architecture)
    return _program(platform, (calls.kill, -1, number), (calls.exit, 0)) if calls else None


def _program(platform: Platform, *calls: tuple[int, ...]) -> bytes | None:
    """Return a program that makes system calls: each a number and its arguments."""
    machine = _MACHINES[platform.architecture]
    if platform.os != "linux":
        return None
    text = b"".join(_call(platform.architecture, machine, *call) for call in calls)
    word, base = ("Q", 0x400000) if machine.bits == 64 else ("I", 0x10000)  # noqa: PLR2004
    header_size, segment_size = (64, 56) if machine.bits == 64 else (52, 32)  # noqa: PLR2004
    start = header_size + segment_size
    size = start + len(text)
    header = struct.pack(
        f"{machine.mark}4sBBBBQHHI{word}{word}{word}IHHHHHH",
        b"\x7fELF",
        1 if machine.bits == 32 else 2,  # noqa: PLR2004
        1 if machine.mark == "<" else 2,
        1,
        0,
        0,
        2,  # ET_EXEC
        machine.number,
        1,
        base + start,
        header_size,
        0,
        machine.flags,
        header_size,
        segment_size,
        1,
        0,
        0,
        0,
    )
    readable_executable, page = 5, 0x10000  # 64 KiB: the largest page size in use
    if machine.bits == 64:  # noqa: PLR2004
        segment = struct.pack(
            f"{machine.mark}IIQQQQQQ", 1, readable_executable, 0, base, base, size, size, page
        )
    else:
        segment = struct.pack(
            f"{machine.mark}IIIIIIII", 1, 0, base, base, size, size, readable_executable, page
        )
    return header + segment + text


def _call(architecture: str, machine: _Machine, number: int, *arguments: int) -> bytes:
    """Return the instructions of one system call with one or two small arguments."""
    numbered = list(enumerate(arguments))
    match architecture:
        case "amd64":  # mov edi, ..; mov esi, ..; mov eax, number; syscall
            moves = [(0xBF - at, value) for at, value in numbered] + [(0xB8, number)]
            return b"".join(struct.pack("<Bi", *move) for move in moves) + b"\x0f\x05"
        case "386":  # mov ebx, ..; mov ecx, ..; mov eax, number; int 0x80
            moves = [((0xBB, 0xB9)[at], value) for at, value in numbered] + [(0xB8, number)]
            return b"".join(struct.pack("<Bi", *move) for move in moves) + b"\xcd\x80"
        case "s390x":  # lghi %r2, ..; lghi %r3, ..; svc number
            loads = [struct.pack(">BBh", 0xA7, 0x29 + 0x10 * at, value) for at, value in numbered]
            return b"".join(loads) + struct.pack("BB", 0x0A, number)
    words = [_load(architecture, at, value) for at, value in numbered]
    words += {
        "arm": (0xE3A07000 | number, 0xEF000000),  # mov r7, #number; svc 0
        "arm64": (0xD2800008 | number << 5, 0xD4000001),  # mov x8, #number; svc 0
        "loong64": (0x0280000B | number << 10, 0x002B0000),  # li a7, number; syscall
        "mips": (0x24020000 | number, 0x0000000C),  # li v0, number; syscall
        "ppc64": (0x38000000 | number, 0x44000002),  # li r0, number; sc
        "riscv64": (0x00000893 | number << 20, 0x00000073),  # li a7, number; ecall
    }[_SAME_INSTRUCTIONS.get(architecture, architecture)]
    return struct.pack(f"{machine.mark}{len(words)}I", *words)


def _load(architecture: str, at: int, value: int) -> int:
    """Return the instruction that loads an argument: at 0 the first one."""
    match _SAME_INSTRUCTIONS.get(architecture, architecture):
        case "arm":  # mov or mvn
            return (0xE3A00000 | value if value >= 0 else 0xE3E00000 | ~value) | at << 12
        case "arm64":  # movz or movn
            return (0xD2800000 | value << 5 if value >= 0 else 0x92800000 | ~value << 5) | at
        case "loong64":  # addi.w
            return 0x02800004 | (value & 0xFFF) << 10 | at
        case "mips":  # addiu
            return 0x24040000 | value & 0xFFFF | at << 16
        case "ppc64":  # addi
            return 0x38000000 | value & 0xFFFF | (3 + at) << 21
    return 0x00000513 | (value & 0xFFF) << 20 | at << 7  # riscv64: addi
