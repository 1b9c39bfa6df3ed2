"""Exports that outlive their session, by the digest of all that they were built from.

    <root>/v1/
      entries/<k2>/<key>/manifest.json   what was exported, and the digest of each file
      entries/<k2>/<key>/tree/           the export
      locks/<key>.lock                   held while an entry is made or put aside; never unlinked
      staging/  trash/                   entries in the making, and those on their way out

One rename makes an entry exist, so the folder itself is the register: no database can disagree with
it. Reading takes no lock and hands out a copy; every byte of it is compared with its digest. Any
doubt is a miss: the entry is put aside, and built again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dockerbin.artifact import Manifest
from pytest_dockerbin.errors import DockerbinError
from pytest_dockerbin.locks import hold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_dockerbin.locks import Waiting

SCHEMA = 1
_KEY_LENGTH = 64
_BLOCK = 1024 * 1024
_STAMP_INTERVAL = 3600  # seconds between notes of an entry's use: reading should not always write


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One stored export, as its folder says.

    Attributes:
        key: the digest of all that it was built from.
        path: its folder.
        size: bytes of its files.
        used: when it was last used, in seconds since 1970; never in the future.
    """

    key: str
    path: Path
    size: int
    used: float

    def manifest(self) -> Manifest | None:
        """Return what it holds, or None when it is not whole."""
        return _read_manifest(self.path, self.key)


class Entries:
    """The stored exports below one cache folder.

    Args:
        root: the folder of this schema's version, already checked to be the user's own.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._entries = root / "entries"

    def fetch(self, key: str, dest: Path) -> Manifest | None:
        """Copy a stored tree to ``dest``, a folder not there yet, and return its manifest.

        None when there is none, or none that is whole.
        """
        folder = self._folder(key)
        manifest = _read_manifest(folder, key)
        if manifest is not None and _copy_checked(folder / "tree", dest, manifest):
            self._note_use(folder)
            return manifest
        shutil.rmtree(dest, ignore_errors=True)
        return None

    def has(self, key: str) -> bool:
        """Tell whether there is an entry of that key, whole or not."""
        return self._folder(key).exists()

    def store(self, key: str, tree: Path, manifest: Manifest) -> None:
        """Keep a copy of ``tree`` under ``key``, in place of what is there; for the lock's holder.

        Raises:
            OSError: it could not be written; nothing of it stays.
        """
        staging = self._new_folder("staging", key)
        try:
            _copy_tree(tree, staging / "tree", manifest)
            text = json.dumps({"schema": SCHEMA, "key": key, "manifest": manifest.to_json()})
            (staging / "manifest.json").write_text(text)
            self.discard(key)
            folder = self._folder(key)
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            staging.rename(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def discard(self, key: str) -> None:
        """Put an entry aside, then delete it: a reader sees it whole or not at all."""
        trash = self._new_folder("trash", key)
        with suppress(FileNotFoundError):
            self._folder(key).rename(trash / "entry")
        shutil.rmtree(trash, ignore_errors=True)

    def lock(self, key: str, what: str, waiting: Waiting) -> AbstractContextManager[None]:
        """Return the lock under which the entry of ``key`` is made."""
        folder = self._root / "locks"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return hold(folder / f"{key}.lock", what, waiting)

    def __iter__(self) -> Iterator[Entry]:
        """Yield every entry, whole or not; one that vanishes meanwhile is left out."""
        for folder in sorted(self._entries.glob("??/*")):
            if not _is_key(folder.name) or folder.is_symlink() or not folder.is_dir():
                continue  # not a name of ours
            with suppress(OSError):
                yield Entry(
                    key=folder.name,
                    path=folder,
                    size=sum(p.lstat().st_size for p in (folder / "tree").rglob("*")),
                    used=min(time.time(), (folder / "manifest.json").stat().st_mtime),
                )

    def collect(self, *, max_age: float, max_size: int, keep: frozenset[str] = frozenset()) -> int:
        """Delete what is older than ``max_age`` seconds, then the least used beyond ``max_size``.

        Args:
            max_age: seconds since the last use.
            max_size: bytes of all entries together.
            keep: keys that stay in any case.

        Returns:
            How many entries were deleted.
        """
        entries = sorted(self, key=lambda entry: entry.used, reverse=True)
        total = deleted = 0
        now = time.time()
        for entry in entries:
            total += entry.size
            if entry.key not in keep and (now - entry.used > max_age or total > max_size):
                self.discard(entry.key)
                deleted += 1
        for name in ("staging", "trash"):
            for folder in (self._root / name).glob("*.*"):
                if now - folder.lstat().st_mtime > _STAMP_INTERVAL and not folder.is_symlink():
                    shutil.rmtree(folder, ignore_errors=True)
        return deleted

    def _folder(self, key: str) -> Path:
        return self._entries / key[:2] / key

    def _new_folder(self, kind: str, key: str) -> Path:
        folder = self._root / kind / f"{key}.{os.getpid()}.{os.urandom(4).hex()}"
        folder.mkdir(mode=0o700, parents=True)
        return folder

    @staticmethod
    def _note_use(folder: Path) -> None:
        with suppress(OSError):  # a cache that can only be read is used all the same
            manifest = folder / "manifest.json"
            if abs(time.time() - manifest.stat().st_mtime) > _STAMP_INTERVAL:
                os.utime(manifest)


def _is_key(name: str) -> bool:
    return len(name) == _KEY_LENGTH and all(sign in "0123456789abcdef" for sign in name)


def _read_manifest(folder: Path, key: str) -> Manifest | None:
    try:
        data = json.loads((folder / "manifest.json").read_text())
        if data["schema"] != SCHEMA or data["key"] != key:
            return None
        return Manifest.from_json(data["manifest"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DockerbinError):
        return None


def _copy_checked(source: Path, dest: Path, manifest: Manifest) -> bool:
    """Copy a tree and compare every byte and mode with the manifest; False at any difference."""
    try:
        _copy_tree(source, dest, manifest)
        there = {os.path.relpath(p, source) for p in source.rglob("*") if not _is_folder(p)}
    except (OSError, _DifferentError):
        return False
    return there == {file.name for file in manifest.files}


class _DifferentError(Exception):
    """A file is not what the manifest says."""


def _copy_tree(source: Path, dest: Path, manifest: Manifest) -> None:
    dest.mkdir(mode=0o755)
    for file in manifest.files:
        target = dest / file.name
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if file.link is not None:
            if os.readlink(source / file.name) != file.link:  # noqa: PTH115 (verbatim, as recorded)
                raise _DifferentError
            target.symlink_to(file.link)
            continue
        _copy_file(source / file.name, target, file.mode, file.size, file.sha256)


def _copy_file(source: Path, target: Path, mode: int, size: int, sha256: str) -> None:
    """Copy one file, hashing what is read: what is served is what was compared."""
    digest = hashlib.sha256()
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as reader, target.open("xb") as writer:  # noqa: PTH123
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != size:
            raise _DifferentError
        if stat.S_IMODE(facts.st_mode) != mode:
            raise _DifferentError
        while block := reader.read(_BLOCK):
            digest.update(block)
            writer.write(block)
        os.fchmod(writer.fileno(), mode)
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    if digest.hexdigest() != sha256:
        raise _DifferentError


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)
