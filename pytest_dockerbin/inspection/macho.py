"""Mach-O files: programs for macOS. Source: ``mach-o/loader.h`` of Apple's XNU."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from macholib import mach_o
from macholib.MachO import MachO

from pytest_dockerbin.inspection.info import BinaryInfo, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from macholib.MachO import MachOHeader

    from pytest_dockerbin.executables import ByteOrder, Executable

_LIBRARIES = (
    mach_o.LC_LOAD_DYLIB,
    mach_o.LC_LOAD_WEAK_DYLIB,
    mach_o.LC_REEXPORT_DYLIB,
    mach_o.LC_LAZY_LOAD_DYLIB,
)
_SEGMENTS = (mach_o.LC_SEGMENT, mach_o.LC_SEGMENT_64)
_LEFT_BY_STRIP = 1  # Apple's strip keeps one local symbol, radr://5614542


def read_macho(path: Path, header: Executable, size: int) -> BinaryInfo:
    """Read a Mach-O file; of a universal file, what holds for each program in it.

    Raises:
        UnreadableError and others: it is cut short or malformed.
    """
    _expect_commands(path, header, size)
    headers = MachO(str(path), allow_unknown_load_commands=True).headers
    strings = [_expect_whole(path, header, size) for header in headers]
    needed = tuple(dict.fromkeys(_texts(headers, *_LIBRARIES)))
    ids = [command.uuid for command, _ in _commands(headers, mach_o.LC_UUID)]
    return BinaryInfo(
        format=header.format,
        machine="/".join(header.machines),
        bits=header.bits,
        byte_order=header.byte_order,
        size=size,
        linkage="dynamic" if needed else "static",
        interpreter=next(_texts(headers, mach_o.LC_LOAD_DYLINKER), None),
        needed=needed,
        rpath=tuple(dict.fromkeys(_texts(headers, mach_o.LC_RPATH))),
        stripped=all(
            command.nlocalsym <= _LEFT_BY_STRIP
            for command, _ in _commands(headers, mach_o.LC_DYSYMTAB)
        ),
        build_id="/".join(uuid.hex() for uuid in ids) if len(ids) == len(headers) else None,
        pie=all(
            one.header.flags & mach_o.MH_PIE or one.header.filetype != mach_o.MH_EXECUTE
            for one in headers
        ),
        nx=not any(one.header.flags & mach_o.MH_ALLOW_STACK_EXECUTION for one in headers),
        canary=all(b"___stack_chk_fail\0" in names for names in strings),
    )


def _expect_commands(path: Path, header: Executable, size: int) -> None:
    """Raise unless the load commands of each program are in the file, as macholib takes it."""
    with path.open("rb") as file:
        starts = [0]
        if not header.bits:  # universal
            table = file.read(8 + 20 * len(header.machines))[8:]
            starts = [at for _, _, at, _, _ in struct.iter_unpack(">IIIII", table)]
        for start in starts:
            file.seek(start)
            data = file.read(24)
            byte_order: ByteOrder = "big" if data[:2] == b"\xfe\xed" else "little"
            length = int.from_bytes(data[20:24], byte_order)
            end = start + (32 if b"\xcf" in data[:4] else 28) + length
            if end > size:
                raise UnreadableError.cut_short(size, end)


def _commands(headers: list[MachOHeader], *kinds: int) -> Iterator[tuple[Any, bytes]]:
    """Yield the load commands of some kinds, with the bytes that follow each."""
    for header in headers:
        for kind, command, data in header.commands:
            if kind.cmd in kinds:
                yield command, data


def _texts(headers: list[MachOHeader], *kinds: int) -> Iterator[str]:
    for _, data in _commands(headers, *kinds):
        yield data.partition(b"\0")[0].decode(errors="replace")


def _expect_whole(path: Path, header: MachOHeader, size: int) -> bytes:
    """Return the names of a program's symbols; raise unless all of its segments are in the file."""
    ends = [header.offset + c.fileoff + c.filesize for c, _ in _commands([header], *_SEGMENTS)]
    names = b""
    with path.open("rb") as file:
        for table, _ in _commands([header], mach_o.LC_SYMTAB):
            ends.append(header.offset + table.stroff + table.strsize)
            if ends[-1] <= size:
                file.seek(header.offset + table.stroff)
                names += file.read(table.strsize)
    if max(ends, default=0) > size:
        raise UnreadableError.cut_short(size, max(ends))
    return names
