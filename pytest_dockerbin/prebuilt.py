"""Exports that were built elsewhere: the folder of ``--dockerbin-prebuilt``, which is only read."""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

from pytest_dockerbin.errors import ArtifactError, NotPrebuiltError, SettingsError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.shipment import INDEX, SUMS, Index, platform_of, read_sums

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pytest_dockerbin.build_name import BuildName
    from pytest_dockerbin.manifest import FileRecord
    from pytest_dockerbin.platforms import Platform

_BLOCK = 1024 * 1024
_MOST_LINKS = 40  # as many as the kernel follows


class Prebuilt:
    """A folder that ``--dockerbin-output`` wrote, or one with platforms' folders as BuildKit does.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def is_checked(self) -> bool:
        """Whether it has sums to compare the files with."""
        return (self._folder / SUMS).exists() or (self._folder / INDEX).exists()

    def check(self, where: str) -> None:
        """Do nothing when the folder can be one; for the start of a session.

        Args:
            where: what the user calls the setting.

        Raises:
            SettingsError: there is no such folder, or none of a platform in it.
        """
        if not self._folder.is_dir():
            raise SettingsError(f"{where}: there is no folder {str(self._folder)!r}")
        if not self.is_checked and not self._platform_folders():
            raise SettingsError(
                f"{where}: {str(self._folder)!r} holds no platform's folder, such as linux_amd64",
                hint="--dockerbin-output=DIR writes such folders, and so does "
                "`docker buildx build --platform=linux/amd64,linux/arm64 --output=DIR`",
            )

    def platforms(self) -> tuple[Platform, ...]:
        """Return the platforms of which there is an export.

        Raises:
            ArtifactError: ``dockerbin.json`` can't be read.
        """
        if self._index is None:
            return tuple(self._platform_folders().values())
        return tuple(dict.fromkeys(part.platform for part in self._index.parts))

    def bake(self, file: str, target: str) -> dict[str, tuple[Platform, ...]]:
        """Return the targets that a target or group of a bake file stands for, with platforms.

        Args:
            file: the bake file, as a path inside the project.
            target: its name; ``default`` where none is named.

        Raises:
            ArtifactError: ``dockerbin.json`` can't be read.
        """
        found: dict[str, tuple[Platform, ...]] = {}
        for part in self._index.parts if self._index else ():
            if part.bake and part.bake.file == file and target in part.bake.asked:
                platforms = found.get(part.bake.target, ())
                found[part.bake.target] = tuple(sorted({*platforms, part.platform}))
        return found

    def serving(self, build: BuildName) -> BuildName | None:
        """Return the build that is there for one that is asked for.

        A single one that differs in nothing but its inputs serves whatever these are: build
        arguments often hold a version or commit that the machine which only tests does not know.

        Raises:
            ArtifactError: ``dockerbin.json`` can't be read.
        """
        there = {part.build for part in self._index.parts} if self._index else set()
        alike = [other for other in there if other.is_like(build)]
        if build in there:
            return build
        return alike[0] if len(alike) == 1 else None

    def copy(self, build: BuildName, platform: Platform, dest: Path) -> None:
        """Copy the export of a build for a platform to ``dest``, a folder not there yet.

        Every file is compared with its sum on the way. Modes and links, which uploads lose, are
        made again as ``dockerbin.json`` has them.

        Raises:
            NotPrebuiltError: there is none.
            ArtifactError: it is not what was written: a file differs, is missing or is added.
            OSError: ``dest`` can't be written.
        """
        folder, records = self._find(build, platform)
        sums = None
        if self.is_checked:
            prefix = f"{folder}/"
            sums = {
                name.removeprefix(prefix): digest
                for name, digest in self._sums(platform).items()
                if name.startswith(prefix)
            }
        _Copy(
            root=self._folder,
            folder=folder,
            platform=str(platform),
            sums=sums,
            records={record.name: record for record in records} if self._index else None,
        ).to(dest)

    @cached_property
    def _index(self) -> Index | None:
        try:
            return Index.read((self._folder / INDEX).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ArtifactError.not_as_written(
                self._folder, INDEX, f"can't be read: {error}"
            ) from None

    def _sums(self, platform: Platform) -> Mapping[str, str]:
        try:
            text = (self._folder / SUMS).read_text(encoding="utf-8", errors="surrogateescape")
            return read_sums(text)
        except FileNotFoundError:
            raise ArtifactError.not_as_written(
                self._folder, SUMS, "is missing", str(platform)
            ) from None
        except (OSError, ValueError) as error:
            raise ArtifactError.not_as_written(
                self._folder, SUMS, f"can't be read: {error}", str(platform)
            ) from None

    def _platform_folders(self) -> dict[str, Platform]:
        try:
            with os.scandir(self._folder) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir())
        except OSError as error:  # it was there when the session began
            why = f"can't be read: {error.strerror}"
            raise ArtifactError.not_as_written(self._folder, ".", why) from None
        return {name: platform for name in names if (platform := platform_of(name))}

    def _find(self, build: BuildName, platform: Platform) -> tuple[str, tuple[FileRecord, ...]]:
        """Return where an export lies, and what is recorded of its files."""
        if self._index is None:
            if platform.slug in self._platform_folders():
                return platform.slug, ()
            raise NotPrebuiltError.of_platform(str(platform), self._folder, self.platforms())
        served = self.serving(build)
        for part in self._index.parts:
            if part.platform == platform and part.build == served:
                return part.folder, part.files
        if platform not in self.platforms():
            raise NotPrebuiltError.of_platform(str(platform), self._folder, self.platforms())
        builds = {build, *(part.build for part in self._index.parts)}
        has = sorted(
            f"{_told(part.build, builds)} for {part.platform}" for part in self._index.parts
        )
        raise NotPrebuiltError.of_build(_told(build, builds), str(platform), self._folder, has)


def _told(build: BuildName, among: Iterable[BuildName]) -> str:
    """Return a build's name, and what it stands for where others have the same name."""
    shared = any(str(other) == str(build) and other != build for other in among)
    return f"{build} ({build.words})" if shared else str(build)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """One platform's folder on its way into the session's store.

    Attributes:
        root: the prebuilt folder.
        folder: the platform's folder in it.
        platform: for messages.
        sums: digests of its files by name, or None where there are none to compare with.
        records: what is recorded of its files by name, or None.
    """

    root: Path
    folder: str
    platform: str
    sums: Mapping[str, str] | None
    records: Mapping[str, FileRecord] | None

    def to(self, dest: Path) -> None:
        found = set()
        dest.mkdir(mode=0o700)
        for name, entry in self._entries(""):
            if entry.is_symlink():
                self._link(name, dest)
            elif entry.is_dir(follow_symlinks=False):
                (dest / name).mkdir(mode=0o700)
                continue
            else:
                self._file(name, entry, dest)
            found.add(name)
        for name in sorted({*(self.sums or ()), *(self.records or ())} - found):
            raise self._refused(name, "is missing")

    def _entries(self, inside: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        place = self.root / self.folder / inside
        if not inside and not place.exists():
            return  # each of its files is missing
        with self._reading(inside), os.scandir(place) as entries:
            below = sorted(entries, key=lambda entry: entry.name)
        for entry in below:
            name = f"{inside}/{entry.name}" if inside else entry.name
            yield name, entry
            if entry.is_dir(follow_symlinks=False):
                yield from self._entries(name)

    def _link(self, name: str, dest: Path) -> None:
        with self._reading(name):
            target = os.readlink(self.root / self.folder / name)  # noqa: PTH115 (verbatim)
        if self.records is not None:
            record = self.records.get(name)
            if record is None:
                raise self._refused(name, f"is not in {INDEX}")
            if record.link != target:
                raise self._refused(name, f"is a link to {target!r}, and not in {INDEX}")
        (dest / name).symlink_to(target)

    def _file(self, name: str, entry: os.DirEntry[str], dest: Path) -> None:
        record = (self.records or {}).get(name)
        link = record.link if record else None
        expected = self._digest_behind(name) if self.sums is not None else None
        if self.sums is not None and expected is None:
            raise self._refused(name, f"is not in {SUMS}")
        with self._reading(name):
            # without waiting: a pipe may stand there
            descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        digest = hashlib.sha256()
        with (
            open(descriptor, "rb") as reader,  # noqa: PTH123 (no link is followed)
            (dest / name).open("xb") as writer,
        ):
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise self._refused(name, "is no file, link or folder")
            while block := self._block(reader, name):
                digest.update(block)
                writer.write(block)
            mode = record.mode if record else facts.st_mode
            os.fchmod(writer.fileno(), mode & 0o777 | stat.S_IRUSR)
        if expected not in (None, digest.hexdigest()):
            raise self._refused(name, f"differs from its sum in {SUMS}")
        os.utime(dest / name, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        if link is not None:
            (dest / name).unlink()
            (dest / name).symlink_to(link)

    def _block(self, reader: BinaryIO, name: str) -> bytes:
        with self._reading(name):
            return reader.read(_BLOCK)

    def _digest_behind(self, name: str) -> str | None:
        """Return a file's digest; for a link, of which uploads make a copy, that of its end."""
        at = name
        for _ in range(_MOST_LINKS):
            record = (self.records or {}).get(at)
            if record is None or record.link is None:
                break
            at = posixpath.normpath(posixpath.join(posixpath.dirname(at), record.link))
        return (self.sums or {}).get(at)

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._refused(name, f"can't be read: {error.strerror}") from None

    def _refused(self, name: str, why: str) -> ArtifactError:
        full = f"{self.folder}/{name}" if name else self.folder
        return ArtifactError.not_as_written(self.root, full, why, self.platform)
