"""Tiny Linux programs, one for each architecture, that end with a given exit code.

Whether a host runs a platform's programs is decided by running one of these: tables of emulators
say what is registered, not what works. Each is an ELF header, one program header and the few
instructions of ``exit(code)``. Sources: the ELF gABI, each processor's manual, and the kernel's
``arch/*/include/uapi/asm/unistd.h`` for the number of ``exit``.
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
    "mips64le": _Machine(8, 64, "<", 0x60000000),  # MIPS64
    "ppc64le": _Machine(21, 64, "<", 2),  # ELFv2
    "riscv64": _Machine(243, 64, "<", 0x5),  # compressed, double float
    "s390x": _Machine(22, 64, ">"),
}


def tiny_program(platform: Platform, code: int) -> bytes | None:
    """Return a program of ``platform`` that ends with exit code ``code`` (0 to 127).

    None for what has no program here: other systems than Linux, and rare architectures.
    """
    machine = _MACHINES.get(platform.architecture)
    if platform.os != "linux" or machine is None:
        return None
    text = _exit(platform.architecture, machine, code)
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


def _exit(architecture: str, machine: _Machine, code: int) -> bytes:
    match architecture:
        case "amd64":  # mov edi, code; mov eax, 60; syscall
            return b"\xbf" + struct.pack("<I", code) + b"\xb8\x3c\0\0\0\x0f\x05"
        case "386":  # mov ebx, code; mov eax, 1; int 0x80
            return b"\xbb" + struct.pack("<I", code) + b"\xb8\x01\0\0\0\xcd\x80"
        case "s390x":  # lghi %r2, code; svc 1
            return b"\xa7\x29" + struct.pack(">H", code) + b"\x0a\x01"
    words = {
        "arm": (0xE3A00000 | code, 0xE3A07001, 0xEF000000),  # mov r0; mov r7, #1; svc 0
        "arm64": (0xD2800000 | code << 5, 0xD2800BA8, 0xD4000001),  # mov x0; mov x8, #93; svc 0
        "loong64": (0x02800004 | code << 10, 0x0281740B, 0x002B0000),  # li a0; li a7, 93; syscall
        "mips64le": (0x24040000 | code, 0x240213C2, 0x0000000C),  # li a0; li v0, 5058; syscall
        "ppc64le": (0x38600000 | code, 0x38000001, 0x44000002),  # li r3; li r0, 1; sc
        "riscv64": (0x00000513 | code << 20, 0x05D00893, 0x00000073),  # li a0; li a7, 93; ecall
    }[architecture]
    return struct.pack(f"{machine.mark}III", *words)
