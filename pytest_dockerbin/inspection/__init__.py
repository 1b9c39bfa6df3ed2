"""What an executable file says of itself, beyond the header that `executables` reads.

Three libraries, each in pure Python and imported when a file of its format is looked at:
pyelftools, pefile and macholib. LIEF reads all three formats, but was measured and left out (1.0.0,
Python 3.11, amd64): its import takes 287 ms (pyelftools 37, pefile 18, macholib 11), it is 12 MB
large, there is neither a wheel for s390x, ppc64le, riscv64 and arm hosts nor a source release, and
of a file that is cut short it returns what it could read, so that a check would pass for what is
missing. pyelftools takes 13 s for the 75,000 dynamic symbols of Node.js, so long tables are read
with `struct` here (0.3 s for the whole file).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dockerbin.errors import ArtifactError
from pytest_dockerbin.executables import format_of, read_executable
from pytest_dockerbin.inspection.info import UnreadableError
from pytest_dockerbin.progress import clean

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dockerbin.inspection.info import BinaryInfo
    from pytest_dockerbin.platforms import Platform


_MOST_OF_SCRIPT = 80  # bytes of its first line


def read_info(path: Path, platform: Platform) -> BinaryInfo:
    """Read what the program or library at ``path``, made for ``platform``, says of itself.

    Raises:
        ArtifactError: it can't be read, is of no known format, is cut short or malformed.
    """
    __tracebackhide__ = True
    try:
        return _read(path)
    except OSError as error:
        why = error.strerror or str(error)
    except UnreadableError as error:
        why = str(error)
    except Exception:  # noqa: BLE001 (readers of hostile files fail in every way, in words of theirs)
        why = "it is cut short or malformed"
    raise ArtifactError.not_inspectable(str(platform), path, why)


def _read(path: Path) -> BinaryInfo:
    size = path.stat().st_size
    with path.open("rb") as file:
        header = read_executable(file)
        if header is None:
            file.seek(0)
            raise UnreadableError(_what_else(file.read(_MOST_OF_SCRIPT)))
        if header.format == "ELF":
            from pytest_dockerbin.inspection.elf import read_elf  # noqa: PLC0415 (37 ms)

            return read_elf(file, header, size)
        if header.format == "PE":
            from pytest_dockerbin.inspection.pe import read_pe  # noqa: PLC0415 (18 ms)

            file.seek(0)
            return read_pe(file.read(), header)
    from pytest_dockerbin.inspection.macho import read_macho  # noqa: PLC0415 (11 ms)

    return read_macho(path, header, size)


def _what_else(start: bytes) -> str:
    """Say what a file is that is no program or library."""
    if start[:2] == b"#!":
        line = start.splitlines()[0].decode(errors="replace")
        return f"it is a script: {clean(line).strip()}"
    if name := format_of(start):
        return f"it begins as {name} files do, but is no program or library, or is cut short"
    return "it is no ELF, PE or Mach-O program" if start else "it is empty"
