"""ELF files, as the kernel and the loader see them: by segments, not by sections.

Sections are looked at only for what the loader does not need: symbol tables and debug information.
Sources: the ELF gABI, the LSB's chapter on symbol versions, and ``elf.h`` of glibc.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from elftools.elf.segments import NoteSegment

from pytest_dockerbin.inspection.info import BinaryInfo, SymbolVersion, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from elftools.elf.segments import Segment

    from pytest_dockerbin.executables import Executable
    from pytest_dockerbin.inspection.info import Linkage, Relro

_MOST = 10_000  # dynamic entries, notes, versions: no sane file has more; a hostile one may
_PF_X = 1
_DF_BIND_NOW, _DF_1_NOW = 0x8, 0x1
_VER_FLG_WEAK, _VERSYM_HIDDEN = 0x2, 0x8000


def read_elf(file: BinaryIO, header: Executable, size: int) -> BinaryInfo:
    """Read an ELF program or library of ``size`` bytes.

    Raises:
        UnreadableError, ELFError and others: it is cut short or malformed.
    """
    elf = ELFFile(file)
    _expect_whole(elf, size)
    segments = list(elf.iter_segments())
    dynamic = _Dynamic(file, elf, segments, size)
    symbols = _symbol_tables(elf, "SHT_SYMTAB")
    debugged = any(s.name.startswith((".debug_", ".zdebug_")) for s in elf.iter_sections())
    linkage = _linkage(elf, header, dynamic)
    canary = dynamic.names(b"__stack_chk_fail") or any(
        b"__stack_chk_fail" in table.stringtable.data() for table in symbols
    )
    return BinaryInfo(
        format=header.format,
        machine="/".join(header.machines),
        bits=header.bits,
        byte_order=header.byte_order,
        size=size,
        linkage=linkage,
        interpreter=header.interpreter,
        needed=dynamic.texts("DT_NEEDED"),
        versions=tuple(dynamic.versions()),
        rpath=_folders(dynamic.texts("DT_RPATH")),
        runpath=_folders(dynamic.texts("DT_RUNPATH")),
        stripped=not symbols and not debugged,
        build_id=_build_id(segments),
        pie=elf["e_type"] == "ET_DYN",
        relro=_relro(segments, dynamic),
        nx=any(s["p_type"] == "PT_GNU_STACK" and not s["p_flags"] & _PF_X for s in segments),
        canary=canary if canary or symbols or linkage == "dynamic" else None,
    )


def sections(file: BinaryIO) -> list[tuple[str, int, int]]:
    """Return the sections of an ELF file that are in it: name, offset and size in bytes.

    A file whose sections can't be read has none here.
    """
    try:
        found = ELFFile(file).iter_sections()
        return [
            (section.name, section["sh_offset"], section["sh_size"])
            for section in islice(found, _MOST)
            if section["sh_type"] not in ("SHT_NULL", "SHT_NOBITS")
        ]
    except Exception:  # noqa: BLE001 (whatever the library meets in a malformed file)
        return []


def _expect_whole(elf: ELFFile, size: int) -> None:
    """Raise unless all that the headers name is in the file: what is missing would pass checks."""
    tables = [(elf["e_phoff"], elf["e_phentsize"] * elf.num_segments())]
    if elf["e_shoff"]:
        tables.append((elf["e_shoff"], elf["e_shentsize"] * elf.num_sections()))
    _expect_inside(tables, size)
    _expect_inside(((s["p_offset"], s["p_filesz"]) for s in elf.iter_segments()), size)
    _expect_inside(
        (
            (s["sh_offset"], s["sh_size"])
            for s in elf.iter_sections()
            if s["sh_type"] not in ("SHT_NOBITS", "SHT_NULL")
        ),
        size,
    )


def _expect_inside(ranges: Iterable[tuple[int, int]], size: int) -> None:
    for offset, length in ranges:
        if offset + length > size:
            raise UnreadableError.cut_short(size, offset + length)


def _symbol_tables(elf: ELFFile, kind: str) -> list[SymbolTableSection]:
    return [s for s in elf.iter_sections(kind) if isinstance(s, SymbolTableSection)]


def _linkage(elf: ELFFile, header: Executable, dynamic: _Dynamic) -> Linkage:
    if header.interpreter is not None or dynamic.values("DT_NEEDED"):
        return "dynamic"
    if elf["e_type"] != "ET_DYN":
        return "static"
    return "dynamic" if dynamic.values("DT_SONAME") else "static-pie"


def _relro(segments: Iterable[Segment], dynamic: _Dynamic) -> Relro:
    if not any(segment["p_type"] == "PT_GNU_RELRO" for segment in segments):
        return "none"
    now = (
        dynamic.values("DT_BIND_NOW")
        or any(flags & _DF_BIND_NOW for flags in dynamic.values("DT_FLAGS"))
        or any(flags & _DF_1_NOW for flags in dynamic.values("DT_FLAGS_1"))
    )
    return "full" if now else "partial"


def _build_id(segments: Iterable[Segment]) -> str | None:
    for segment in segments:
        if isinstance(segment, NoteSegment):
            for note in islice(segment.iter_notes(), _MOST):
                if note["n_type"] == "NT_GNU_BUILD_ID":
                    return str(note["n_desc"])
    return None


def _folders(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(folder for path in paths for folder in path.split(":") if folder)


class _Need(NamedTuple):
    """One version that is asked for, with the number that the symbols give it."""

    number: int
    version: SymbolVersion


class _Dynamic:
    """What the loader reads; empty for a program that needs none."""

    def __init__(
        self, file: BinaryIO, elf: ELFFile, segments: Iterable[Segment], size: int
    ) -> None:
        self._file, self._elf, self._size = file, elf, size
        self._mark = "<" if elf.little_endian else ">"
        self._segment = next((s for s in segments if isinstance(s, DynamicSegment)), None)
        self._tags: list[tuple[Any, int]] = []
        self._strings = b""
        if self._segment is not None:
            tags = list(islice(self._segment.iter_tags(), _MOST))
            self._tags = [(tag["d_tag"], tag["d_val"]) for tag in tags]
            length = next(iter(self.values("DT_STRSZ")), 0)
            self._strings = self._table("DT_STRTAB", length)

    def values(self, tag: str) -> list[int]:
        """Return the values of all entries with that tag."""
        return [value for name, value in self._tags if name == tag]

    def texts(self, tag: str) -> tuple[str, ...]:
        """Return the names of all entries with that tag."""
        return tuple(self._text(value) for value in self.values(tag))

    def names(self, name: bytes) -> bool:
        """Tell whether a symbol of that name is asked for or offered."""
        return name in self._strings

    def versions(self) -> Iterator[SymbolVersion]:
        """Yield each version that is asked for, with the symbols that ask for it."""
        needs = list(self._needs())
        symbols: dict[int, set[str]] = {need.number: set() for need in needs}
        for name, number in self._symbols() if needs else ():
            if number in symbols:
                symbols[number].add(self._text(name))
        for number, version in needs:
            yield SymbolVersion(
                name=version.name,
                library=version.library,
                symbols=tuple(sorted(symbols[number])),
                weak=version.weak,
            )

    def _needs(self) -> Iterator[_Need]:
        """Follow the chain of ``Verneed``, and in each the one of ``Vernaux``."""
        if not self.values("DT_VERNEED"):
            return
        data, mark = self._table("DT_VERNEED", None), self._mark
        at, following, seen = 0, 1, 0
        while following:
            _, count, library, first, following = struct.unpack_from(f"{mark}HHIII", data, at)
            entry = at + first
            seen += 1 + count
            if seen > _MOST:
                raise UnreadableError(f"it asks for more than {_MOST} symbol versions")
            for _ in range(count):
                _, flags, number, name, after = struct.unpack_from(f"{mark}IHHII", data, entry)
                yield _Need(
                    number,
                    SymbolVersion(
                        name=self._text(name),
                        library=self._text(library),
                        weak=bool(flags & _VER_FLG_WEAK),
                    ),
                )
                entry += after
            at += following

    def _symbols(self) -> Iterator[tuple[int, int]]:
        """Yield name and version number of each dynamic symbol."""
        if self._segment is None or not self.values("DT_VERSYM"):
            return
        # the hash table, which the loader uses, does not count a program's symbols when it offers
        # none itself
        tables = _symbol_tables(self._elf, "SHT_DYNSYM")
        count = tables[0].num_symbols() if tables else self._segment.num_symbols()
        layout = "IBBHQQ" if self._elf.elfclass == 64 else "IIIBBH"  # noqa: PLR2004
        symbol = struct.Struct(self._mark + layout)
        names = symbol.iter_unpack(self._table("DT_SYMTAB", count * symbol.size))
        numbers = struct.iter_unpack(f"{self._mark}H", self._table("DT_VERSYM", count * 2))
        for (name, *_), (number,) in zip(names, numbers, strict=True):
            yield name, number & ~_VERSYM_HIDDEN

    def _table(self, tag: str, length: int | None) -> bytes:
        """Return ``length`` bytes of what a tag leads to; all bytes that follow without it."""
        if self._segment is None or not self.values(tag):
            return b""
        _, offset = self._segment.get_table_offset(tag)
        if offset is None:
            raise UnreadableError(f"{tag} leads to no part of the file")
        _expect_inside([(offset, length or 0)], self._size)
        self._file.seek(offset)
        return self._file.read(self._size - offset if length is None else length)

    def _text(self, offset: int) -> str:
        end = self._strings.index(b"\0", offset)
        return self._strings[offset:end].decode(errors="replace")
