"""PE files: programs for Windows. Source: Microsoft's "PE Format"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pefile

from pytest_dockerbin.inspection.info import BinaryInfo, UnreadableError

if TYPE_CHECKING:
    from pytest_dockerbin.executables import Executable

_RELOCS_STRIPPED = 0x1
_DYNAMIC_BASE, _NX_COMPAT = 0x40, 0x100
_DIRECTORIES = ("IMPORT", "DELAY_IMPORT", "DEBUG", "LOAD_CONFIG")


def read_pe(data: bytes, header: Executable) -> BinaryInfo:
    """Read the whole of a PE file.

    Raises:
        UnreadableError, PEFormatError and others: it is cut short or malformed.
    """
    pe = pefile.PE(data=data, fast_load=True)
    if len(pe.sections) != pe.FILE_HEADER.NumberOfSections:
        raise UnreadableError("it is cut short: its table of sections is not whole")
    end = max((one.PointerToRawData + one.SizeOfRawData for one in pe.sections), default=0)
    if end > len(data):
        raise UnreadableError.cut_short(len(data), end)
    wanted = [pefile.DIRECTORY_ENTRY[f"IMAGE_DIRECTORY_ENTRY_{name}"] for name in _DIRECTORIES]
    pe.parse_data_directories(wanted)
    imported = [
        *getattr(pe, "DIRECTORY_ENTRY_IMPORT", ()),
        *getattr(pe, "DIRECTORY_ENTRY_DELAY_IMPORT", ()),
    ]
    needed = tuple(entry.dll.decode(errors="replace") for entry in imported)
    flags = pe.OPTIONAL_HEADER.DllCharacteristics
    movable = not pe.FILE_HEADER.Characteristics & _RELOCS_STRIPPED
    debugged = any(section.Name.startswith((b".debug_", b"/")) for section in pe.sections)
    return BinaryInfo(
        format=header.format,
        machine="/".join(header.machines),
        bits=header.bits,
        byte_order=header.byte_order,
        size=len(data),
        linkage="dynamic" if needed else "static",
        needed=needed,
        stripped=not pe.FILE_HEADER.NumberOfSymbols and not debugged,
        build_id=_build_id(pe),
        pie=bool(flags & _DYNAMIC_BASE) and movable,
        nx=bool(flags & _NX_COMPAT),
        canary=_canary(pe, imported),
    )


def _build_id(pe: pefile.PE) -> str | None:
    """Return GUID and age, by which symbol servers know the PDB file."""
    for entry in getattr(pe, "DIRECTORY_ENTRY_DEBUG", ()):
        if getattr(entry.entry, "CvSignature", b"") == b"RSDS":
            pdb = entry.entry
            guid = b"".join(
                (
                    pdb.Signature_Data1.to_bytes(4, "big"),
                    pdb.Signature_Data2.to_bytes(2, "big"),
                    pdb.Signature_Data3.to_bytes(2, "big"),
                    pdb.Signature_Data4.to_bytes(1, "big"),
                    pdb.Signature_Data5.to_bytes(1, "big"),
                    pdb.Signature_Data6,
                )
            )
            return f"{guid.hex()}{pdb.Age:x}"
    return None


def _canary(pe: pefile.PE, imported: list[pefile.ImportDescData]) -> bool | None:
    """Tell by MSVC's security cookie, or by the function that MinGW's code imports."""
    config = getattr(pe, "DIRECTORY_ENTRY_LOAD_CONFIG", None)
    if config is not None and getattr(config.struct, "SecurityCookie", None):
        return True
    names = {symbol.name for entry in imported for symbol in entry.imports}
    return True if b"__stack_chk_fail" in names else None
