"""Writes whole small programs as a linker leaves them: ELF, PE and Mach-O."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from elf import AMD64, ET_DYN

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
PT_GNU_STACK, PT_GNU_RELRO = 0x6474E551, 0x6474E552
DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT = 1, 4, 5, 6, 10, 11
DT_SONAME, DT_RPATH, DT_BIND_NOW, DT_RUNPATH, DT_FLAGS = 14, 15, 24, 29, 30
DT_VERSYM, DT_FLAGS_1, DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFF0, 0x6FFFFFFB, 0x6FFFFFFE, 0x6FFFFFFF
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOBITS, SHT_DYNSYM = 1, 2, 3, 8, 11
SHF_EXECINSTR = 4
WEAK = 2


@dataclass(frozen=True)
class Need:
    """A version that a program asks a library for."""

    library: str
    version: str
    symbols: tuple[str, ...] = ()
    flags: int = 0


@dataclass
class Linked:
    """An ELF program; ``bytes()`` writes it."""

    machine: int = AMD64
    kind: int = ET_DYN
    bits: int = 64
    order: str = "<"
    interpreter: str | None = "/lib64/ld-linux-x86-64.so.2"
    needed: tuple[str, ...] = ("libc.so.6",)
    needs: tuple[Need, ...] = ()
    unversioned: tuple[str, ...] = ()
    texts: tuple[tuple[int, str], ...] = ()  # other tags with a name: DT_RUNPATH
    tags: tuple[tuple[int, int], ...] = ()
    relro: bool = True
    stack: int | None = 6
    build_id: bytes | None = bytes(range(20))
    symtab: tuple[str, ...] | None = ()
    debug: bool = False
    code: int | None = None  # type of the section of code
    loaded: int | None = None  # bytes that PT_LOAD names; the whole file
    sections: bool = True
    dynamic: bool = True
    strings: bytearray = field(default_factory=lambda: bytearray(b"\0"))

    def _word(self) -> str:
        return "Q" if self.bits == 64 else "I"

    def _pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self.order + layout, *values)

    def _name(self, text: str) -> int:
        self.strings += text.encode() + b"\0"
        return len(self.strings) - len(text) - 1

    def _symbol(self, name: int) -> bytes:
        if self.bits == 64:
            return self._pack("IBBHQQ", name, 0x12, 0, 0, 0, 0)
        return self._pack("IIIBBH", name, 0, 0, 0x12, 0, 0)

    def _dynamic_tables(self) -> tuple[bytes, bytes, bytes]:
        """Return dynsym, versym and verneed."""
        symbols, numbers = [self._symbol(0)], [0]
        for name in self.unversioned:
            symbols.append(self._symbol(self._name(name)))
            numbers.append(1)
        libraries = {need.library: [] for need in self.needs}
        for number, need in enumerate(self.needs, 2):
            libraries[need.library].append((number, need))
            for name in need.symbols:
                symbols.append(self._symbol(self._name(name)))
                numbers.append(number)
        verneed = b""
        for index, (library, entries) in enumerate(libraries.items(), 1):
            length = 16 + 16 * len(entries)
            following = length if index < len(libraries) else 0
            verneed += self._pack("HHIII", 1, len(entries), self._name(library), 16, following)
            for place, (number, need) in enumerate(entries, 1):
                after = 16 if place < len(entries) else 0
                name = self._name(need.version)
                verneed += self._pack("IHHII", 0, need.flags, number, name, after)
        return b"".join(symbols), self._pack(f"{len(numbers)}H", *numbers), verneed

    def __bytes__(self) -> bytes:
        word, wide = self._word(), self.bits == 64
        header_size, segment_size, section_size = (64, 56, 64) if wide else (52, 32, 40)
        dynsym, versym, verneed = self._dynamic_tables()
        names = [(DT_NEEDED, self._name(name)) for name in self.needed]
        names += [(tag, self._name(text)) for tag, text in self.texts]
        count = 3 + self.dynamic + bool(self.interpreter) + self.relro
        data = bytearray(header_size + segment_size * count)

        def put(content: bytes) -> int:
            data.extend(bytes(-len(data) % 8))
            data.extend(content)
            return len(data) - len(content)

        segments = []
        if self.interpreter:
            text = self.interpreter.encode() + b"\0"
            segments.append((PT_INTERP, 4, put(text), len(text)))
        note = b""
        if self.build_id is not None:
            note = self._pack("III", 4, len(self.build_id), 3) + b"GNU\0" + self.build_id
        segments.append((PT_NOTE, 4, put(note), len(note)))
        at = {"strings": put(bytes(self.strings)), "dynsym": put(dynsym)}
        if self.dynamic:
            table = self._dynamic_table(put, at, names, versym, verneed)
            segments.append((PT_DYNAMIC, 6, put(table), len(table)))
        if self.relro:
            segments.append((PT_GNU_RELRO, 4, 0, 0))
        if self.stack is not None:
            segments.append((PT_GNU_STACK, self.stack, 0, 0))
        section_count, sections_at = 0, 0
        if self.sections:
            section_count, sections_at = self._put_sections(put, at, len(dynsym))
        segments.insert(0, (PT_LOAD, 5, 0, self.loaded or len(data)))
        data[:header_size] = (
            b"\x7fELF" + bytes([self.bits // 32, 1 if self.order == "<" else 2, 1]) + bytes(9)
        ) + self._pack(
            f"HHI{word}{word}{word}IHHHHHH",
            self.kind, self.machine, 1, 0, header_size, sections_at, 0, header_size,
            segment_size, len(segments), section_size, section_count, max(section_count - 1, 0),
        )  # fmt: skip
        for index, (tag, flags, start, size) in enumerate(segments):
            if wide:
                entry = self._pack("IIQQQQQQ", tag, flags, start, start, start, size, size, 8)
            else:
                entry = self._pack("IIIIIIII", tag, start, start, start, size, size, flags, 8)
            place = header_size + index * segment_size
            data[place : place + segment_size] = entry
        return bytes(data)

    def _dynamic_table(self, put, at, names, versym: bytes, verneed: bytes) -> bytes:
        hashes = put(self._pack("IIII", 1, len(versym) // 2, 0, 0))
        tags = [*names, *self.tags]
        tags += [(DT_HASH, hashes), (DT_STRTAB, at["strings"]), (DT_STRSZ, len(self.strings))]
        tags += [(DT_SYMTAB, at["dynsym"]), (DT_SYMENT, 24 if self.bits == 64 else 16)]
        if verneed:
            tags += [(DT_VERSYM, put(versym)), (DT_VERNEED, put(verneed))]
            tags += [(DT_VERNEEDNUM, len({need.library for need in self.needs}))]
        return b"".join(self._pack(self._word() * 2, *tag) for tag in [*tags, (0, 0)])

    def _put_sections(self, put, at: dict[str, int], dynsym_size: int) -> tuple[int, int]:
        """Write symbol tables, debug information and section headers; return count and place."""
        entry = 24 if self.bits == 64 else 16
        names = bytearray(b"\0")
        sections = [(0, 0, 0, 0, 0, 0, 0)]

        def add(
            name: str,
            kind: int,
            start: int,
            size: int,
            link: int = 0,
            each: int = 0,
            *,
            flags: int = 0,
        ) -> None:
            sections.append((len(names), kind, flags, start, size, link, each))
            names.extend(name.encode() + b"\0")

        add(".dynstr", SHT_STRTAB, at["strings"], len(self.strings))
        add(".dynsym", SHT_DYNSYM, at["dynsym"], dynsym_size, 1, entry)
        if self.symtab is not None:
            texts = b"\0" + b"".join(name.encode() + b"\0" for name in self.symtab)
            add(".strtab", SHT_STRTAB, put(texts), len(texts))
            add(".symtab", SHT_SYMTAB, put(bytes(entry)), entry, 3, entry)
        if self.debug:
            add(".debug_info", SHT_PROGBITS, put(b"debug"), 5)
        if self.code is not None:
            add(".text", self.code, 0, 0, flags=SHF_EXECINSTR)
        place = len(names)
        names.extend(b".shstrtab\0")
        sections.append((place, SHT_STRTAB, 0, put(bytes(names)), len(names), 0, 0))
        word = self._word()
        table = b"".join(
            self._pack(f"II{word}{word}{word}{word}II{word}{word}", n, k, f, 0, o, s, li, 0, 1, e)
            for n, k, f, o, s, li, e in sections
        )
        return len(sections), put(table)


def windows_program(
    *,
    flags: int = 0x8160,
    characteristics: int = 0x22,
    libraries: tuple[str, ...] = ("KERNEL32.dll",),
    cookie: int = 0x1234,
    symbols: int = 0,
    pdb: bytes = b"RSDS",
) -> bytes:
    """Return a PE32+ program with one section: imports, debug directory and load configuration."""
    base = 0x1000  # where the section is loaded, and 0x400 in the file
    section = bytearray(20 * (len(libraries) + 1))

    def put(content: bytes) -> int:
        section.extend(bytes(-len(section) % 8))
        section.extend(content)
        return base + len(section) - len(content)

    for index, library in enumerate(libraries):
        hint = put(b"\0\0ExitProcess\0")
        lookup = put(struct.pack("<QQ", hint, 0))
        address = put(struct.pack("<QQ", hint, 0))
        name = put(library.encode() + b"\0")
        struct.pack_into("<IIIII", section, 20 * index, lookup, 0, 0, name, address)
    pdb += bytes(range(16)) + struct.pack("<I", 1) + b"x.pdb\0"
    at = put(pdb)
    debug = put(struct.pack("<IIHHIIII", 0, 0, 0, 0, 2, len(pdb), at, at - base + 0x400))
    config = put(struct.pack("<I84xQ", 96, cookie))
    directories = [(0, 0)] * 16
    directories[1] = (base, 20 * (len(libraries) + 1)) if libraries else (0, 0)
    directories[6], directories[10] = (debug, 28), (config, 96)
    size = -(-len(section) // 0x200) * 0x200
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        0x20B, 14, 0, 0, size, 0, base, base, 0x140000000, 0x1000, 0x200, 6, 0, 0, 0, 6, 0, 0,
        0x1000 + size, 0x400, 0, 3, flags, 1 << 20, 1 << 12, 1 << 20, 1 << 12, 0, 16,
    ) + b"".join(struct.pack("<II", *entry) for entry in directories)  # fmt: skip
    headers = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x80)
    headers = headers.ljust(0x80, b"\0") + b"PE\0\0"
    headers += struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, symbols, len(optional), characteristics)
    headers += optional
    headers += struct.pack(
        "<8sIIIIIIHHI", b".rdata", size, base, size, 0x400, 0, 0, 0, 0, 0x40000040
    )
    return headers.ljust(0x400, b"\0") + bytes(section).ljust(size, b"\0")


def mac_program(
    *,
    machine: int = 0x0100000C,
    flags: int = 0x200085,
    libraries: tuple[str, ...] = ("/usr/lib/libSystem.B.dylib",),
    rpath: str | None = None,
    uuid: bytes | None = bytes(range(16)),
    local_symbols: int = 0,
    names: bytes = b"\0___stack_chk_fail\0",
) -> bytes:
    """Return a 64-bit Mach-O program: a segment, symbol tables, loader and libraries."""

    def text_command(kind: int, before: bytes, text: str) -> bytes:
        start = 12 + len(before)
        content = text.encode() + b"\0"
        content += bytes(-(start + len(content)) % 8)
        return struct.pack("<III", kind, start + len(content), start) + before + content

    def commands(end: int) -> list[bytes]:
        found = [
            struct.pack("<II16sQQQQIIII", 0x19, 72, b"__TEXT", 0, end, 0, end, 5, 5, 0, 0),
            struct.pack("<IIIIII", 0x2, 24, end - len(names), 0, end - len(names), len(names)),
            struct.pack("<IIII", 0xB, 80, 0, local_symbols) + bytes(64),
            text_command(0xE, b"", "/usr/lib/dyld"),
        ]
        if uuid is not None:
            found.append(struct.pack("<II16s", 0x1B, 24, uuid))
        found += [text_command(0xC, bytes(12), name) for name in libraries]
        if rpath:
            found.append(text_command(0x8000001C, b"", rpath))
        return found

    length = sum(map(len, commands(len(names))))
    found = commands(32 + length + len(names))
    header = struct.pack("<IIIIIIII", 0xFEEDFACF, machine, 0, 2, len(found), length, flags, 0)
    return header + b"".join(found) + names
