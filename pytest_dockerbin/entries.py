"""Exports that outlive their session, by the digest of all that they were built from.

    <root>/v1/
      entries/<k2>/<key>/manifest.json   what was exported, and the digest of each file
      entries/<k2>/<key>/tree/           the export
      locks/<key>.lock                   held while an entry is made or put aside; never unlinked
      staging/<key>.<pid>.<random>/      an entry in the making, by the lock's holder
      trash/<key>.<pid>.<random>/        one on its way out: anybody may delete it
      collected                          made anew whenever old entries are looked for

One rename makes an entry exist, so the folder itself is the register: no database can disagree with
it. Reading takes no lock and hands out a copy; every byte of it is compared with its digest. Any
doubt is a miss: the entry is put aside, and built again.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_dockerbin.folders import delete, is_folder, make_writable, size_of, subfolders
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.locks import hold, is_held
from pytest_dockerbin.record import Record, compare, copy, names_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_dockerbin.locks import Waiting
    from pytest_dockerbin.manifest import Manifest

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
        """Return what it holds, or None when that can't be told."""
        record = self._record()
        return record.manifest if record else None

    def label(self) -> str:
        """Return what a person calls the build that made it; empty when that is not known."""
        record = self._record()
        return record.label if record else ""

    def damage(self) -> str | None:
        """Return what is wrong with it, by a look at every byte; None for a whole one.

        One that is deleted meanwhile is not damaged.
        """
        # a second look, since another session may have replaced it during the first
        return self._damage() and self._damage()

    def _damage(self) -> str | None:
        record = self._record()
        wrong: str | None = "manifest.json is not what was written"
        if record:
            wrong = None
            try:
                compare(self.path / "tree", record)
            except OSError as error:
                wrong = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return wrong if self.path.exists() else None

    def _record(self) -> Record | None:
        return Record.read(self.path, self.key)


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
        record = Record.read(folder, key)
        if record is None:
            return None
        try:
            copy(folder / "tree", dest, record)
        except OSError:
            delete(dest)
            return None
        self._note_use(folder)
        return record.manifest

    def has(self, key: str) -> bool:
        """Tell whether there is an entry of that key, whole or not."""
        return self._folder(key).exists()

    def store(self, key: str, tree: Path, manifest: Manifest, *, label: str = "") -> None:
        """Keep a copy of ``tree`` under ``key``, in place of what is there; for the lock's holder.

        Args:
            key: the digest of all that it was built from.
            tree: the export.
            manifest: what it holds.
            label: what a person calls the build; nothing that could be secret.

        Raises:
            OSError: it could not be written; nothing of it stays.
        """
        staging = self._new_path("staging", key)
        try:
            staging.mkdir(mode=0o700)
            record = Record(manifest=manifest, folders=names_in(tree)[0], label=label)
            copy(tree, staging / "tree", record)
            record.write(staging, key)
            self.discard(key)
            folder = self._folder(key)
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            staging.rename(folder)
        finally:
            delete(staging)

    def discard(self, key: str) -> None:
        """Put an entry aside, then delete it: a reader sees it whole or not at all.

        Raises:
            OSError: it can't be moved.
        """
        folder, trash = self._folder(key), self._new_path("trash", key)
        with suppress(FileNotFoundError):
            try:
                folder.rename(trash)
            except PermissionError:  # its own mode was changed
                make_writable(folder)
                folder.rename(trash)
            delete(trash)

    def lock(
        self, key: str, what: str, waiting: Waiting, *, log: Path | None = None
    ) -> AbstractContextManager[None]:
        """Return the lock under which the entry of ``key`` is made; for ``log`` see `hold`."""
        self._lock_path(key).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return hold(self._lock_path(key), what, waiting, log=log)

    def __iter__(self) -> Iterator[Entry]:
        """Yield every entry, whole or not; one that vanishes meanwhile is left out."""
        return self._listed(time.time())

    def _listed(self, now: float) -> Iterator[Entry]:
        for parent in subfolders(self._entries):
            for folder in subfolders(parent):
                if not _is_key(folder.name) or folder.name[:2] != parent.name:
                    continue  # not a name of ours
                used = _last_use(folder)
                if used is not None:
                    size = size_of(folder / "tree")
                    yield Entry(key=folder.name, path=folder, size=size, used=min(now, used))

    def collect(
        self,
        *,
        max_age: float,
        max_size: int,
        keep: frozenset[str] = frozenset(),
        interval: float = 0.0,
    ) -> int:
        """Delete what is older than ``max_age`` seconds, then the least used beyond ``max_size``.

        What killed processes left half-made or half-deleted goes in any case.

        Args:
            max_age: seconds since the last use.
            max_size: bytes of all entries together.
            keep: keys that stay in any case.
            interval: seconds since the last collection within which no entry is looked at.

        Returns:
            How many entries were deleted.

        Raises:
            OSError: the folder can only be read.
        """
        self.sweep()
        if not is_folder(self._entries) or self._was_collected_within(interval):
            return 0
        # The file system's own clock, by which all uses were noted: another machine's may differ,
        # and this one's may have jumped.
        now = self._stamp()
        total = deleted = 0
        for entry in sorted(self._listed(now), key=lambda entry: entry.used, reverse=True):
            expired = now - entry.used > max_age or total + entry.size > max_size
            if entry.key in keep or not expired or _was_used_since(entry, now):
                total += entry.size
            else:
                self.discard(entry.key)
                deleted += 1
        return deleted

    def clear(self) -> None:
        """Delete every entry, and what killed processes left; not what is being made.

        Raises:
            OSError: the folder can only be read.
        """
        for entry in self:
            self.discard(entry.key)
        self.sweep()

    def sweep(self) -> None:
        """Delete what killed processes left half-made or half-deleted."""
        for folder in subfolders(self._root / "staging"):
            key = _key_of(folder)
            # listed before the lock was tried: what a later holder makes has another name
            if key and not self._is_being_made(key):
                delete(folder)
        for folder in subfolders(self._root / "trash"):
            if _key_of(folder):
                delete(folder)

    def _is_being_made(self, key: str) -> bool:
        try:
            return is_held(self._lock_path(key))
        except (OSError, NotImplementedError):  # a folder that can only be read, or without locks
            return True

    def _was_collected_within(self, interval: float) -> bool:
        with suppress(FileNotFoundError):  # a collection of the future is none
            return 0 <= time.time() - (self._root / "collected").lstat().st_mtime < interval
        return False

    def _stamp(self) -> float:
        """Note that entries are collected, and return when, in seconds since 1970."""
        stamp = self._root / "collected"
        stamp.unlink(missing_ok=True)
        descriptor = os.open(stamp, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            return os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)

    def _folder(self, key: str) -> Path:
        return self._entries / key[:2] / key

    def _lock_path(self, key: str) -> Path:
        return self._root / "locks" / f"{key}.lock"

    def _new_path(self, kind: str, key: str) -> Path:
        """Return a path that nobody else uses; the folder of its kind is there, itself is not."""
        parent = self._root / kind
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return parent / f"{key}.{os.getpid()}.{os.urandom(4).hex()}"

    @staticmethod
    def _note_use(folder: Path) -> None:
        with suppress(OSError):  # a cache that can only be read is used all the same
            manifest = folder / "manifest.json"
            if abs(time.time() - manifest.stat().st_mtime) > _STAMP_INTERVAL:
                os.utime(manifest)


def _is_key(name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", name) is not None


def _key_of(folder: Path) -> str | None:
    """Return the key that a folder of ``staging`` or ``trash`` belongs to, if it is one of ours."""
    key, _, rest = folder.name.partition(".")
    return key if _is_key(key) and re.fullmatch(r"\d+\.[0-9a-f]{8}", rest) else None


def _last_use(folder: Path) -> float | None:
    """Return when an entry was used; when it was made if it has no manifest, None if it is gone."""
    for path in (folder / "manifest.json", folder):
        with suppress(OSError):
            return path.lstat().st_mtime
    return None


def _was_used_since(entry: Entry, now: float) -> bool:
    """Tell whether an entry was used, or made anew, after it was listed at the time ``now``.

    What is said to be used much later than that was not: it is of a clock that was wrong.
    """
    used = _last_use(entry.path)
    return used is not None and used != entry.used and used <= now + _STAMP_INTERVAL
