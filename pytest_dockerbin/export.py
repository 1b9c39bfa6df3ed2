"""Checks an exported tree before anything of it is used.

What BuildKit wrote is data of a stranger: it may hold links out of the tree, devices, setuid bits
or another architecture's programs. The walk goes by folder descriptors and never follows a link.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dockerbin.digests import Digests
from pytest_dockerbin.errors import (
    ArtifactError,
    EmptyExportError,
    StoreError,
    WrongPlatformError,
    advice_for_full_disk,
)
from pytest_dockerbin.executables import expected_for, is_format_of, read_executable
from pytest_dockerbin.manifest import FileRecord
from pytest_dockerbin.settings import Limits

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dockerbin.errors import BuildError
    from pytest_dockerbin.executables import Executable
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.spec import Verify


_LARGE = 2**20  # bytes of a file that is worth a thread
_MOST_LINKS = 40  # the kernel gives up there (Linux: MAXSYMLINKS), in a circle or not


# bytes that an export must leave on its disk; of a disk with little, half of what there was
_FREE_FLOOR = 64 * 2**20


def seal(
    tree: Path, platform: Platform, *, verify: Verify, limits: Limits | None = None
) -> tuple[FileRecord, ...]:
    """Check the tree, make its modes uniform and return its files, sorted by name.

    Folders and programs become 0755, other files 0644, whatever the image said; extended
    attributes are dropped and hard links made files of their own. Modification times stay.

    Raises:
        ArtifactError: the tree is empty or too large, or a file in it can't be used.
        WrongPlatformError: an executable is for another platform.
    """
    descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with closing(Digests()) as digests:
            walk = _Walk(platform, limits or Limits(), digests)
            walk.folder(descriptor, "", 0)
    finally:
        os.close(descriptor)
    if not walk.files:
        raise EmptyExportError.of_build(str(platform))
    walk.check_links()
    if verify:
        walk.check_executables(static=verify == "static")
    late = digests.found()
    files = (f if f.sha256 else replace(f, sha256=late[f.name]) for f in walk.files)
    return tuple(sorted(files, key=lambda file: file.name))


class Gauge:
    """Watches how much is being exported, while BuildKit writes it.

    Counting a tree is slow, asking the file system for its free space is not: the tree is counted
    only when so much space or so many inodes have gone that it could be too large.

    Args:
        tree: where BuildKit writes; may not be there yet.
        platform: for messages.
        limits: the most that it may hold.
    """

    def __init__(self, tree: Path, platform: Platform, limits: Limits) -> None:
        self._tree = tree
        self._platform = str(platform)
        self._limits = limits
        self._before = os.statvfs(tree.parent) if hasattr(os, "statvfs") else None

    def check(self) -> None:
        """Do nothing while the export is within its limits.

        Raises:
            ArtifactError: it is too large already.
            StoreError: the disk is nearly full.
        """
        if self._before is None:
            return
        now = os.statvfs(self._tree.parent)
        if self._is_full(self._before, now):
            raise StoreError.full_disk(self._platform, self._tree.parent, _free(now))
        gone = (self._before.f_bfree - now.f_bfree) * now.f_frsize
        used = self._before.f_ffree - now.f_ffree
        if gone > self._limits.size or used > self._limits.files:
            self._count()

    def explain(self, error: BuildError) -> None:
        """Name a full disk in the error of a build of which no step failed.

        BuildKit's client keeps it to itself: "error from receiver: context canceled".
        """
        if self._before is None or error.place is not None:
            return
        now = os.statvfs(self._tree.parent)
        if self._is_full(self._before, now):
            error.hint = advice_for_full_disk(self._tree.parent, _free(now))

    @staticmethod
    def _is_full(before: os.statvfs_result, now: os.statvfs_result) -> bool:
        return _free(now) < min(_FREE_FLOOR, _free(before) // 2)

    def _count(self) -> None:
        size = files = 0
        for folder, folders, names in os.walk(self._tree):
            files += len(folders) + len(names)
            for name in names:
                with suppress(OSError):
                    size += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 (hot)
            if size > self._limits.size:
                raise self._too_much(f"more than {self._limits.size} bytes")
            if files > self._limits.files:
                raise self._too_much(f"more than {self._limits.files} files")

    def _too_much(self, what: str) -> ArtifactError:
        return ArtifactError.too_much(self._platform, what)


def _free(facts: os.statvfs_result) -> int:
    return facts.f_bavail * facts.f_frsize


class _Walk:
    def __init__(self, platform: Platform, limits: Limits, digests: Digests) -> None:
        self.digests = digests
        self.platform = platform
        self.limits = limits
        self.files: list[FileRecord] = []
        self.folders: set[str] = {""}
        self.executables: dict[str, Executable] = {}
        self.size = 0

    def folder(self, descriptor: int, name: str, depth: int) -> None:
        if depth > self.limits.depth:
            raise self._too_much(f"more than {self.limits.depth} folders deep")
        os.fchmod(descriptor, 0o755)
        _drop_attributes(descriptor)
        for entry in os.listdir(descriptor):  # a list: hard links are replaced on the way
            path = f"{name}/{entry}" if name else entry
            self._entry(descriptor, entry, path, depth)

    def _entry(self, parent: int, entry: str, path: str, depth: int) -> None:
        if not path.isprintable():  # a name that is not UTF-8 has surrogates, which are not either
            raise self._unsafe(path, "has control characters or bytes that are not UTF-8")
        if len(self.files) + len(self.folders) > self.limits.files:
            raise self._too_much(f"more than {self.limits.files} files")
        facts = os.stat(entry, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(facts.st_mode):
            target = os.readlink(entry, dir_fd=parent)
            self.files.append(_link_record(path, target))
        elif stat.S_ISDIR(facts.st_mode):
            self.folders.add(path)
            descriptor = _open(parent, entry, facts, os.O_DIRECTORY)
            try:
                self.folder(descriptor, path, depth + 1)
            finally:
                os.close(descriptor)
        elif stat.S_ISREG(facts.st_mode):
            self.size += facts.st_size
            if self.size > self.limits.size:
                raise self._too_much(f"more than {self.limits.size} bytes")
            if facts.st_nlink > 1:
                _make_own_file(parent, entry, facts)
            self._file(_open(parent, entry, facts), path, facts)
        else:
            raise self._unsafe(path, f"is a {_special(facts.st_mode)}")

    def _file(self, descriptor: int, path: str, facts: os.stat_result) -> None:
        with open(descriptor, "rb") as file:
            _drop_attributes(descriptor)
            mode = 0o755 if facts.st_mode & 0o111 else 0o644
            os.fchmod(descriptor, mode)
            executable = read_executable(file)
            digest = ""  # until all of them are known
            if facts.st_size < _LARGE:
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            else:
                self.digests.begin(path, descriptor)
        startable = mode == 0o755  # noqa: PLR2004
        # without the x bit, another system's format is data: pip's Windows launchers, for one
        if executable and (startable or is_format_of(self.platform, executable.format)):
            self.executables[path] = executable
        program = executable is not None and executable.program and startable
        self.files.append(
            FileRecord(name=path, size=facts.st_size, sha256=digest, mode=mode, program=program)
        )

    def check_links(self) -> None:
        """Refuse every link that does not end at a file or folder inside the tree."""
        links = {file.name: file.link for file in self.files if file.link is not None}
        places = {file.name for file in self.files if file.link is None} | self.folders
        for name, target in links.items():
            if target.startswith("/"):
                raise self._unsafe(
                    name, f"links to {target!r}, outside the export", "make the link relative"
                )
            end = _follow(name, links, self.folders)
            if end is None:
                raise self._unsafe(name, f"links to {target!r}, outside the export or in a circle")
            if end not in places:
                raise self._unsafe(name, f"links to {target!r}, which was not exported")

    def check_executables(self, *, static: bool) -> None:
        """Refuse executables of another platform, cut short and, if asked, that need a loader."""
        wrong = [name for name, found in self.executables.items() if not found.fits(self.platform)]
        if wrong:
            name = min(wrong)
            more = f" (and {len(wrong) - 1} more files)" if len(wrong) > 1 else ""
            raise WrongPlatformError.of_file(
                str(self.platform),
                name,
                f"{self.executables[name]}{more}",
                expected_for(self.platform),
            )
        sizes = {file.name: file.size for file in self.files}
        for name, found in self.executables.items():
            size = sizes[name]
            if found.extent > size:
                raise self._unsafe(
                    name, f"is cut short: {size} bytes, its headers name {found.extent}"
                )
            if static and found.interpreter:
                raise self._unsafe(
                    name,
                    f"is not static: it needs the loader {found.interpreter!r}",
                    'link statically, or set verify="platform"',
                )

    def _unsafe(self, name: str, why: str, hint: str | None = None) -> ArtifactError:
        return ArtifactError.unsafe(str(self.platform), name, why, hint)

    def _too_much(self, what: str) -> ArtifactError:
        return ArtifactError.too_much(str(self.platform), what)


def _open(parent: int, entry: str, facts: os.stat_result, flags: int = 0) -> int:
    if not facts.st_mode & stat.S_IRUSR:  # the owner, too, may lack the right to read
        os.chmod(entry, 0o700, dir_fd=parent)
    return os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | flags, dir_fd=parent)


def _drop_attributes(descriptor: int) -> None:
    if not hasattr(os, "listxattr"):  # coverage: not Linux
        return
    with suppress(OSError):  # a file system without attributes
        for attribute in os.listxattr(descriptor):
            with suppress(OSError):  # SELinux lets nobody take its label away
                os.removexattr(descriptor, attribute)


def _link_record(path: str, target: str) -> FileRecord:
    digest = hashlib.sha256(os.fsencode(target)).hexdigest()
    return FileRecord(name=path, size=0, sha256=digest, mode=0o777, link=target)


def _make_own_file(parent: int, entry: str, facts: os.stat_result) -> None:
    """Replace a hard link by a copy, so that changing one name never changes another."""
    copy = f".dockerbin-{os.urandom(8).hex()}"
    source = _open(parent, entry, facts)
    target = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=parent)
    with open(source, "rb") as reader, open(target, "wb") as writer:  # noqa: PTH123
        while block := reader.read(1024 * 1024):
            writer.write(block)
        os.fchmod(target, stat.S_IMODE(facts.st_mode) & 0o777)
    os.utime(copy, ns=(facts.st_atime_ns, facts.st_mtime_ns), dir_fd=parent)
    os.rename(copy, entry, src_dir_fd=parent, dst_dir_fd=parent)


def _follow(name: str, links: dict[str, str], folders: set[str]) -> str | None:
    """Return where a link ends inside the tree, by names alone; None outside or in a circle.

    Where the way goes through something that is no folder, what is left of it is part of the
    answer: no such thing was exported.
    """
    at, rest, followed = "", name.split("/"), 0
    while rest:
        if at not in folders:
            return "/".join([at, *rest])
        part = rest.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            if not at:
                return None
            at = posixpath.dirname(at)
            continue
        at = f"{at}/{part}" if at else part
        target = links.get(at)
        if target is not None:
            followed += 1
            if target.startswith("/") or followed > _MOST_LINKS:
                return None
            at, rest = posixpath.dirname(at), target.split("/") + rest
    return at


def _special(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "named pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "character device",
        stat.S_IFBLK: "block device",
    }
    return kinds.get(stat.S_IFMT(mode), "special file")
