"""Writes tar archives: what the Engine's API takes files in.

Only written: an archive that is read can name any place (CVE-2007-4559).
"""

from __future__ import annotations

import io
import tempfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Mapping
    from pathlib import Path


def archive_of(places: Mapping[str, Path]) -> IO[bytes]:
    """Return an archive of files and whole folders.

    Args:
        places: for each path in the archive, what is to be there.
    """
    import tarfile  # noqa: PLC0415 (only who uses containers pays for it)

    file = tempfile.TemporaryFile()  # noqa: SIM115 (the caller's)
    with tarfile.open(fileobj=file, mode="w") as tar:
        for place, path in places.items():
            tar.add(path, arcname=place, filter=_of_everybody)
    file.seek(0)
    return file


def archive_of_programs(
    programs: Mapping[str, bytes], folders: Mapping[str, int] | None = None
) -> IO[bytes]:
    """Return an archive of executable files, and of empty folders with a mode."""
    import tarfile  # noqa: PLC0415

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, mode in (folders or {}).items():
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
        for name, data in programs.items():
            program = tarfile.TarInfo(name)
            program.size, program.mode = len(data), 0o755
            tar.addfile(program, io.BytesIO(data))
    file.seek(0)
    return file


def _of_everybody(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Give everybody the owner's rights: in a container nobody has this one's number."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    owner = info.mode & 0o700
    info.mode |= owner >> 3 | owner >> 6
    return info
