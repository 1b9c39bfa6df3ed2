"""A root filesystem as one tar stream, out of Debian packages that are never installed."""

from __future__ import annotations

import io
import tarfile
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from engine import debs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from engine.oci import BlobWriter

# Nothing that compiles or runs reads these.
_DROPPED = tuple(
    PurePosixPath("usr/share", name)
    for name in ("bash-completion", "bug", "doc", "doc-base", "info", "lintian", "locale", "man")
)

# Links into usr/ since Debian 12; the packages of its suite still name the folders of old.
_MERGED = ("bin", "lib", "lib64", "sbin")

# What the packages' scripts would have made.
_LINKS = {
    "usr/bin/awk": "mawk",
    "usr/bin/cc": "gcc",
    "usr/bin/sh": "dash",
    "usr/bin/which": "which.debianutils",
}
_FOLDERS = {"root": 0o700, "tmp": 0o1777, "var/tmp": 0o1777}
_FILES = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    ),
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}

RULES = repr((_DROPPED, _MERGED, _LINKS, _FOLDERS, _FILES))
"""What is done to every tree: a tree made by other rules is out of date."""


def placed(name: str) -> PurePosixPath | None:
    """Return where a package's file goes, or None if it is left out."""
    path = PurePosixPath(name.lstrip("./"))
    if str(path) in {".", *_MERGED}:
        return None
    if path.parts[0] in _MERGED:
        path = "usr" / path
    if any(path.is_relative_to(dropped) for dropped in _DROPPED):
        return None
    return path


def write_tree(blob: BlobWriter, packages: Sequence[Path], programs: Mapping[str, str]) -> None:
    """Write the packages' files, then what their installation would have added.

    Nothing is run, so that it needs no emulator and takes the same time for every
    architecture.

    Args:
        blob: where the stream goes.
        packages: the packages, with all that they need.
        programs: scripts to add, by path.
    """
    with tarfile.open(
        fileobj=cast("IO[bytes]", blob), mode="w|", bufsize=1 << 20, format=tarfile.PAX_FORMAT
    ) as tar:
        writer = _Writer(tar)
        for name in _MERGED:
            writer.link(name, f"usr/{name}")
        for package in packages:
            with debs.members(package) as archive:
                for member in archive:
                    writer.copy(member, archive)
        for path, mode in _FOLDERS.items():
            writer.folder(path, mode)
        for path, target in _LINKS.items():
            writer.link(path, target)
        for path, text in _FILES.items():
            writer.file(path, text, 0o644)
        for path, text in programs.items():
            writer.file(path, text, 0o755)


class _Writer:
    """Writes each path once: the first one counts."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._seen: set[str] = set()

    def copy(self, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        path = placed(member.name)
        if path is None or not self._is_new(str(path)):
            return
        member.name = str(path)
        member.pax_headers = {}
        if member.islnk():
            # A hard link names another file of the package, which has moved likewise.
            member.linkname = str(placed(member.linkname) or member.linkname)
        self._tar.addfile(member, archive.extractfile(member) if member.isreg() else None)

    def link(self, path: str, target: str) -> None:
        if self._is_new(path):
            member = tarfile.TarInfo(path)
            member.type = tarfile.SYMTYPE
            member.linkname = target
            member.mode = 0o777
            self._tar.addfile(member)

    def folder(self, path: str, mode: int) -> None:
        # Not only once: a package may have it with another mode.
        member = tarfile.TarInfo(path)
        member.type = tarfile.DIRTYPE
        member.mode = mode
        self._tar.addfile(member)

    def file(self, path: str, text: str, mode: int) -> None:
        if self._is_new(path):
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            member.mode = mode
            self._tar.addfile(member, io.BytesIO(text.encode()))

    def _is_new(self, path: str) -> bool:
        is_new = path not in self._seen
        self._seen.add(path)
        return is_new
