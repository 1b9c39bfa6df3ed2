"""What `Binary.info` tells of a program."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dockerbin.executables import ByteOrder, Format

Linkage = Literal["static", "static-pie", "dynamic"]
Relro = Literal["none", "partial", "full"]

# glibc has versions that are no number, and that no symbol asks for: its loader has to know them
_MARKERS = {"GLIBC_ABI_DT_RELR": "GLIBC_2.36"}


class UnreadableError(ValueError):
    """What a file is that can't be inspected, in words for a person: ``it is cut short``."""

    @classmethod
    def cut_short(cls, size: int, named: int) -> Self:
        """A file of ``size`` bytes whose headers name ``named``."""
        return cls(f"it is cut short: {size} bytes, its headers name {named}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolVersion:
    """One version of a library's symbols that a program asks for; ELF only.

    Attributes:
        name: ``GLIBC_2.34``.
        library: the needed library that has to know it: ``libc.so.6``.
        symbols: those that are asked for in this version, sorted.
        weak: the loader goes on where the library does not know the version.
    """

    name: str
    library: str
    symbols: tuple[str, ...] = ()
    weak: bool = False

    @property
    def family(self) -> str:
        """What comes before the number: ``GLIBC``."""
        return self._parts()[0]

    @property
    def version(self) -> str | None:
        """The number: ``2.34``; None for a name without one, such as ``GLIBC_PRIVATE``."""
        return self._parts()[1]

    def _parts(self) -> tuple[str, str | None]:
        found = re.fullmatch(r"(.+?)_(\d.*)", _MARKERS.get(self.name, self.name))
        if found:
            return found[1], found[2]
        return self.name.partition("_")[0], None


def number_of(version: str) -> tuple[int, ...]:
    """Return what versions are compared by: 2.4 is older than 2.34."""
    return tuple(map(int, re.findall(r"\d+", version)))


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryInfo:
    """What a program says of itself.

    Attributes:
        format: ``ELF``, ``PE`` or ``Mach-O``.
        machine: Docker's name of the architecture; several, joined by ``/``, in a universal file.
        bits: 32 or 64; 0 for a universal file.
        byte_order: ``little`` or ``big``.
        size: bytes.
        linkage: ``static``; ``static-pie``, loaded anywhere without a loader; ``dynamic``, which
            needs a loader or libraries. Told by PT_INTERP and DT_NEEDED, not by the type of the
            file, which static-pie programs share with libraries.
        interpreter: the loader that starts it, or None.
        needed: the libraries that it names, in its order.
        versions: the symbol versions that it asks for.
        rpath: folders where its libraries are looked for first (DT_RPATH, LC_RPATH).
        runpath: the same after ``LD_LIBRARY_PATH`` (DT_RUNPATH).
        stripped: it has neither a table of its own symbols nor debug information. MSVC's are
            always in a file of their own.
        build_id: hexadecimal; the GNU build id, LC_UUID, or GUID and age of the PDB; None without.
        pie: it can be loaded at any address.
        relro: how much of its relocations is read-only once it runs, ``full`` with immediate
            binding too (``-z relro -z now``); None for other formats than ELF.
        nx: the file asks for a stack that is not executable. An ELF file that does not say so does
            not.
        canary: some code in it, of its libraries' static parts too, checks the stack; None where
            that can't be told: static and stripped.
    """

    format: Format
    machine: str
    bits: int
    byte_order: ByteOrder
    size: int
    linkage: Linkage
    interpreter: str | None = None
    needed: tuple[str, ...] = ()
    versions: tuple[SymbolVersion, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    stripped: bool
    build_id: str | None = None
    pie: bool
    relro: Relro | None = None
    nx: bool
    canary: bool | None

    @property
    def symbol_versions(self) -> Mapping[str, str]:
        """The newest version of each family, such as ``{"GLIBC": "2.34", "GLIBCXX": "3.4.29"}``.

        These libraries must be at least that new where the program runs.
        """
        newest: dict[str, str] = {}
        for found in self.versions:
            version = found.version
            if version is None or found.weak:
                continue
            if number_of(version) > number_of(newest.get(found.family, "")):
                newest[found.family] = version
        return newest
