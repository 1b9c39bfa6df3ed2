"""Writes the headers of executables for every machine: as much of a file as the kernel looks at."""

from __future__ import annotations

import struct

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
PT_DYNAMIC, PT_INTERP = 2, 3
DT_SONAME, DT_FLAGS_1, DF_1_PIE = 14, 0x6FFFFFFB, 0x08000000
AMD64, ARM64, ARM = 62, 183, 40
ARM_SOFT, ARM_HARD = 0x05000200, 0x05000400


def elf(
    machine=AMD64,
    *,
    kind=ET_EXEC,
    bits=64,
    order="<",
    flags=0,
    interpreter=None,
    dynamic=None,
) -> bytes:
    """Return an ELF file: header, program headers, and what they point to."""
    word = "Q" if bits == 64 else "I"
    header_size, segment_size = (64, 56) if bits == 64 else (52, 32)
    contents = []
    if interpreter is not None:
        contents.append((PT_INTERP, interpreter.encode() + b"\0"))
    if dynamic is not None:
        entries = [*dynamic, (0, 0)]
        contents.append(
            (PT_DYNAMIC, b"".join(struct.pack(f"{order}{word}{word}", *e) for e in entries))
        )
    at = header_size + segment_size * len(contents)
    segments, data = b"", b""
    for tag, content in contents:
        size = len(content)
        if bits == 64:
            segments += struct.pack(f"{order}IIQQQQQQ", tag, 4, at, at, at, size, size, 1)
        else:
            segments += struct.pack(f"{order}IIIIIIII", tag, at, at, at, size, size, 4, 1)
        data += content
        at += size
    return (
        header(machine, kind, bits, order, flags=flags, offset=header_size, count=len(contents))
        + segments
        + data
    )


def header(machine, kind, bits, order, *, flags=0, offset=0, count=0) -> bytes:
    """Return an ELF header alone, with the program headers said to be at ``offset``."""
    word = "Q" if bits == 64 else "I"
    header_size, segment_size = (64, 56) if bits == 64 else (52, 32)
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    return ident + struct.pack(
        f"{order}HHI{word}{word}{word}IHHHHHH",
        kind, machine, 1, 0, offset, 0, flags, header_size, segment_size, count, 0, 0, 0,
    )  # fmt: skip


def pe(machine=0x8664, *, dll=False, at=0x80) -> bytes:
    """Return the headers of a Windows program."""
    start = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", at)
    characteristics = 0x2022 if dll else 0x22
    file_header = struct.pack("<HHIIIHH", machine, 0, 0, 0, 0, 240, characteristics)
    return start.ljust(at, b"\0") + b"PE\0\0" + file_header


def macho(machine=0x0100000C, *, kind=2, bits=64, order="<") -> bytes:
    """Return the header of a macOS program."""
    magic = 0xFEEDFACF if bits == 64 else 0xFEEDFACE
    return struct.pack(f"{order}IIIIIII", magic, machine, 0, kind, 0, 0, 0).ljust(32, b"\0")


def universal(*members: bytes) -> bytes:
    """Return a macOS file of several programs."""
    table, data, at = b"", b"", 8 + 20 * len(members)
    for member in members:
        table += struct.pack(">IIIII", 0, 0, at, len(member), 0)
        data += member
        at += len(member)
    return struct.pack(">II", 0xCAFEBABE, len(members)) + table + data
