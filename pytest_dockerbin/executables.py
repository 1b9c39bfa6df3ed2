"""What an executable file is for, read from its first bytes.

Only what is needed to tell its platform and whether it is a program: a few microseconds a file and
no library. Sources: the ELF gABI and the processor supplements (``e_machine``, ``e_flags``),
Microsoft's "PE Format", and ``mach-o/loader.h`` and ``fat.h`` of Apple's XNU.
"""

from __future__ import annotations

import struct
from os import SEEK_END
from typing import TYPE_CHECKING, BinaryIO, Literal

from pytest_dockerbin.frozen import dataclass

if TYPE_CHECKING:
    from pytest_dockerbin.platforms import Platform

Format = Literal["ELF", "PE", "Mach-O"]
ByteOrder = Literal["little", "big"]
FloatAbi = Literal["hard", "soft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Executable:
    """The header of one executable or shared library.

    Attributes:
        format: ``ELF``, ``PE`` or ``Mach-O``.
        machines: Docker's architecture names, or the header's number as ``machine 0x...``; more
            than one only in a universal Mach-O file.
        bits: 32 or 64; 0 for a universal file.
        byte_order: of the machine.
        program: True for what can be started, False for a shared library.
        interpreter: the loader that the kernel starts for it (ELF ``PT_INTERP``), or None.
        float_abi: of an arm ELF file, where its header says so.
        extent: the bytes that the file must have for what is loaded of it (ELF ``PT_LOAD``): with
            fewer it is cut short. 0 where that is not told.
    """

    format: Format
    machines: tuple[str, ...]
    bits: int
    byte_order: ByteOrder
    program: bool
    interpreter: str | None = None
    float_abi: FloatAbi | None = None
    extent: int = 0

    def __str__(self) -> str:
        words = ["a", f"{self.bits}-bit" if self.bits else "universal"]
        if self.byte_order == "big":
            words.append("big-endian")
        words += ["/".join(self.machines), self.format, "file"]
        if self.float_abi:
            words.append(f"with {self.float_abi}-float ABI")
        return " ".join(words)

    def fits(self, platform: Platform) -> bool:
        """Tell whether this file was made for ``platform``.

        A variant is compared only where the header shows it: arm/v7 has hard float, arm/v5 has not.
        On arm/v6 both are in use, but a soft-float program finds no loader of its own there.
        """
        if platform.architecture not in self.machines or _FORMATS.get(platform.os) != self.format:
            return False
        if platform.variant == "v5":
            return self.float_abi != "hard"
        if platform.variant == "v6":
            return self.float_abi != "soft" or self.interpreter is None
        return self.float_abi != "soft"


_FORMATS: dict[str, Format] = {
    "linux": "ELF",
    "freebsd": "ELF",
    "netbsd": "ELF",
    "openbsd": "ELF",
    "windows": "PE",
    "darwin": "Mach-O",
}


def is_format_of(platform: Platform, name: Format) -> bool:
    """Tell whether executables of ``platform`` are of that format."""
    return _FORMATS.get(platform.os) == name


def expected_for(platform: Platform) -> str:
    """Say in words which kind of file belongs to ``platform``."""
    abi = {"v5": " with soft-float ABI", "v7": " with hard-float ABI"}
    floats = abi.get(platform.variant, "") if platform.architecture == "arm" else ""
    return f"an {platform.architecture} {_FORMATS.get(platform.os, 'executable')} file{floats}"


def format_of(start: bytes) -> Format | None:
    """Return the format whose sign a file's first 4 bytes are; the file may be anything else."""
    if start[:4] == b"\x7fELF":
        return "ELF"
    if start[:2] == b"MZ":
        return "PE"
    return "Mach-O" if start[:4] in _MACHO_MAGIC or start[:4] == _UNIVERSAL else None


def read_executable(file: BinaryIO) -> Executable | None:
    """Read the header of an open file; None when it is no ELF, PE or Mach-O executable or library.

    Object files, kernel modules and archives are data here: None. A file that begins as an
    executable and is cut short or malformed is None too, since no kernel starts it.
    """
    start = file.read(64)
    try:
        if start[:4] == b"\x7fELF":
            return _read_elf(file, start)
        if start[:2] == b"MZ":
            return _read_pe(file, start)
        if start[:4] in _MACHO_MAGIC:
            return _read_macho(start)
        if start[:4] == _UNIVERSAL:
            return _read_universal(file, start)
    except (struct.error, IndexError, KeyError):
        return None
    return None


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    if offset > _FARTHEST:
        return b""  # as behind the file's end: to seek there would be an error
    file.seek(offset)
    return file.read(size)


# -- ELF ------------------------------------------------------------------------------------------

_ET_EXEC, _ET_DYN = 2, 3
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_SHT_NOBITS, _SHF_EXECINSTR = 8, 4
_DT_SONAME, _DT_FLAGS_1 = 14, 0x6FFFFFFB
_DF_1_PIE = 0x08000000
_EF_ARM_ABI_FLOAT_SOFT, _EF_ARM_ABI_FLOAT_HARD = 0x200, 0x400
_MOST_HEADERS = 1024  # no sane file has more; a hostile one could make us read for long
_FARTHEST = 1 << 40  # file systems refuse offsets beyond what they could store

# (e_machine, bits, byte order) -> architecture
_ELF_MACHINES = {
    (3, 32, "little"): "386",
    (62, 64, "little"): "amd64",
    (40, 32, "little"): "arm",
    (183, 64, "little"): "arm64",
    (243, 64, "little"): "riscv64",
    (22, 64, "big"): "s390x",
    (21, 64, "little"): "ppc64le",
    (21, 64, "big"): "ppc64",
    (8, 32, "big"): "mips",
    (8, 32, "little"): "mipsle",
    (8, 64, "big"): "mips64",
    (8, 64, "little"): "mips64le",
    (258, 64, "little"): "loong64",
}


def elf_architecture(start: bytes) -> str | None:
    """Return the architecture that the first 20 bytes of an ELF file name.

    None when they are not those of an ELF file, or of a machine that Docker has no name for.
    """
    if len(start) < 20 or start[:4] != b"\x7fELF":  # noqa: PLR2004 (as far as e_machine)
        return None
    byte_order: ByteOrder = "big" if start[5] == 2 else "little"  # noqa: PLR2004
    machine = int.from_bytes(start[18:20], byte_order)
    return _ELF_MACHINES.get((machine, start[4] * 32, byte_order))


def _read_elf(file: BinaryIO, start: bytes) -> Executable | None:
    bits = {1: 32, 2: 64}[start[4]]
    byte_order: ByteOrder = "little" if start[5] == 1 else "big"
    mark = "<" if byte_order == "little" else ">"
    word = "Q" if bits == 64 else "I"  # noqa: PLR2004
    kind, machine, _, _, offset, sections, flags, _, size, count, _, section_count = (
        struct.unpack_from(f"{mark}HHI{word}{word}{word}IHHHHH", start, 16)
    )
    if kind not in (_ET_EXEC, _ET_DYN):
        return None
    interpreter, dynamic, extent = None, None, 0
    for index in range(min(count, _MOST_HEADERS)):
        segment = _read_at(file, offset + index * size, size)
        if bits == 64:  # noqa: PLR2004
            tag, _, start_at, _, _, length = struct.unpack_from(f"{mark}IIQQQQ", segment)
        else:
            tag, start_at, _, _, length = struct.unpack_from(f"{mark}IIIII", segment)
        if tag == _PT_LOAD:
            extent = max(extent, start_at + length)
        elif tag == _PT_INTERP:
            path = _read_at(file, start_at, min(length, 4096)).split(b"\0")[0]
            interpreter = path.decode(errors="replace") or None  # empty in a file of debug symbols
        elif tag == _PT_DYNAMIC:
            data = _read_at(file, start_at, min(length, 64 * 1024))
            data = data[: len(data) - len(data) % (bits // 4)]
            dynamic = dict(reversed(list(struct.iter_unpack(f"{mark}{word}{word}", data))))
    if extent > file.seek(0, SEEK_END):
        layout = f"{mark}4xIQ48x" if bits == 64 else f"{mark}4xII28x"  # noqa: PLR2004
        table = _read_at(file, sections, section_count * struct.calcsize(layout))
        if _is_debug_information(table, layout):
            extent = 0
    name = _ELF_MACHINES.get((machine, bits, byte_order))
    if name is None:
        # the right machine with the wrong class or byte order (x32, big-endian arm64) keeps its
        # number, so that it fits no platform
        name = f"machine {machine:#x}"
    return Executable(
        format="ELF",
        machines=(name,),
        bits=bits,
        byte_order=byte_order,
        program=kind == _ET_EXEC or _is_program(dynamic or {}, interpreter),
        interpreter=interpreter,
        float_abi=_float_abi(flags) if name == "arm" else None,
        extent=extent,
    )


def _is_debug_information(table: bytes, layout: str) -> bool:
    """Tell by its section headers a program's debug information in a file of its own.

    It keeps the program headers, of eu-strip unchanged, and nothing of the code.
    """
    whole = len(table) - len(table) % struct.calcsize(layout)
    sections = struct.iter_unpack(layout, table[:whole])
    return any(kind == _SHT_NOBITS and flags & _SHF_EXECINSTR for kind, flags in sections)


def _is_program(dynamic: dict[int, int], interpreter: str | None) -> bool:
    """Tell a position-independent program from a shared library (both are ``ET_DYN``)."""
    if dynamic.get(_DT_FLAGS_1, 0) & _DF_1_PIE:
        return True
    # glibc's own libc.so.6 has an interpreter too, but also a library's name
    return interpreter is not None and _DT_SONAME not in dynamic


def _float_abi(flags: int) -> FloatAbi | None:
    if flags & _EF_ARM_ABI_FLOAT_HARD:
        return "hard"
    return "soft" if flags & _EF_ARM_ABI_FLOAT_SOFT else None


# -- PE -------------------------------------------------------------------------------------------

_PE_MACHINES = {0x14C: "386", 0x8664: "amd64", 0x1C4: "arm", 0xAA64: "arm64"}
_IMAGE_FILE_DLL = 0x2000


def _read_pe(file: BinaryIO, start: bytes) -> Executable | None:
    (header_at,) = struct.unpack_from("<I", start, 0x3C)
    header = _read_at(file, header_at, 24)
    if header[:4] != b"PE\0\0":
        return None
    (machine,) = struct.unpack_from("<H", header, 4)
    (characteristics,) = struct.unpack_from("<H", header, 22)
    return Executable(
        format="PE",
        machines=(_PE_MACHINES.get(machine, f"machine {machine:#x}"),),
        bits=32 if machine in (0x14C, 0x1C4) else 64,
        byte_order="little",
        program=not characteristics & _IMAGE_FILE_DLL,
    )


# -- Mach-O ---------------------------------------------------------------------------------------

_MACHO_MAGIC: dict[bytes, tuple[int, ByteOrder]] = {
    b"\xce\xfa\xed\xfe": (32, "little"),
    b"\xcf\xfa\xed\xfe": (64, "little"),
    b"\xfe\xed\xfa\xce": (32, "big"),
    b"\xfe\xed\xfa\xcf": (64, "big"),
}
_UNIVERSAL = b"\xca\xfe\xba\xbe"  # and of a Java class file
_MACHO_MACHINES = {7: "386", 0x01000007: "amd64", 12: "arm", 0x0100000C: "arm64", 18: "ppc"}
_MH_EXECUTE, _MH_DYLIB, _MH_BUNDLE = 2, 6, 8


def _read_macho(start: bytes) -> Executable | None:
    bits, byte_order = _MACHO_MAGIC[start[:4]]
    mark = "<" if byte_order == "little" else ">"
    machine, _, kind = struct.unpack_from(f"{mark}III", start, 4)
    if kind not in (_MH_EXECUTE, _MH_DYLIB, _MH_BUNDLE):
        return None
    return Executable(
        format="Mach-O",
        machines=(_MACHO_MACHINES.get(machine, f"machine {machine:#x}"),),
        bits=bits,
        byte_order=byte_order,
        program=kind == _MH_EXECUTE,
    )


def _read_universal(file: BinaryIO, start: bytes) -> Executable | None:
    (count,) = struct.unpack_from(">I", start, 4)
    if not 1 <= count <= 20:  # noqa: PLR2004 (a Java class file: its version follows)
        return None
    members = []
    for index in range(count):
        _, _, offset, _, _ = struct.unpack(">IIIII", _read_at(file, 8 + index * 20, 20))
        header = _read_at(file, offset, 32)
        if header[:4] not in _MACHO_MAGIC:
            return None
        member = _read_macho(header)
        if member is None:
            return None
        members.append(member)
    return Executable(
        format="Mach-O",
        machines=tuple(name for member in members for name in member.machines),
        bits=0,
        byte_order=members[0].byte_order,
        program=any(member.program for member in members),
    )
