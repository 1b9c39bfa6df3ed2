"""The folder where results live: made once, shared by the processes of a session.

    <root>/                       0700, CACHEDIR.TAG
      v1/sessions/<id>/
        alive/<pid>.lock          held by each process that uses the session
        locks/<name>.lock         held while a result is made; never unlinked
        staging/<name>.<random>/  a result in the making
        results/<name>/           a result: one rename makes it exist
        claims/<name>             made by the one process that may say a thing

A lock saves work; that nothing half-written is ever read is the rename's doing. Reading takes no
lock. The folder of a session that ended stays, so that its binaries can be tried by hand, until a
later session ends.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dockerbin.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from filelock import FileLock

_VERSION = "v1"
_TAG = """Signature: 8a477f597d28d172789f06886806bc55
# This folder is a cache of pytest-dockerbin; it can be deleted at any time.
# Its tag is described at https://bford.info/cachedir/
"""


def default_root() -> Path:
    """Return the user's cache folder for this package, by the system's convention.

    Without platformdirs: it is a pytest plugin of its own since 4.14, so depending on it would
    cost every pytest run of every user 8 ms (33 ms without bytecode), as much as 3 of our plugin.
    Source: the XDG Base Directory Specification; Apple's File System Programming Guide.
    """
    home = Path.home()
    if sys.platform == "darwin":
        caches = home / "Library" / "Caches"
    elif sys.platform == "win32":
        caches = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        named = Path(os.environ.get("XDG_CACHE_HOME") or "relative")
        caches = named if named.is_absolute() else home / ".cache"  # as XDG says of relative paths
    return caches / "pytest-dockerbin"


class SessionStore:
    """The results of one test session.

    Args:
        root: the cache folder; made when it is not there.
        session: the session's name, the same in all its processes.

    Raises:
        StoreError: the folder belongs to somebody else, others may write to it, or it can't be
            made.
    """

    def __init__(self, root: Path, session: str) -> None:
        try:
            _make_root(root)
            self._sessions = root / _VERSION / "sessions"
            self.path = self._sessions / session
            for name in ("alive", "locks", "staging", "results", "claims"):
                (self.path / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the cache folder {str(root)!r} can't be used: {error.strerror}",
                hint="name another: --dockerbin-cache-dir=DIR",
            ) from error
        self._alive = _lock(self.path / "alive" / f"{os.getpid()}.lock")
        self._alive.acquire()

    def once(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return the folder of a result, making it if no process of the session has.

        Args:
            name: the result's name; a plain file name.
            make: fills the empty folder that it gets. Called in at most one process at a time; if
                it raises, nothing is kept and the next asker calls its own.
        """
        result = self.path / "results" / name
        if result.is_dir():
            return result
        with _lock(self.path / "locks" / f"{name}.lock"):
            if not result.is_dir():
                with self._staging(name) as folder:
                    make(folder)
                    folder.rename(result)
        return result

    def claim(self, name: str) -> bool:
        """Return True to exactly one asker of the session: the one that may say ``name``."""
        try:
            os.close(os.open(self.path / "claims" / name, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        return True

    def close(self) -> None:
        """Leave the session; its results stay."""
        self._alive.release()

    @contextmanager
    def _staging(self, name: str) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=self.path / "staging"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # not there any more after the rename


def collect(root: Path, *, keep: str) -> None:
    """Delete the folders of sessions in which no process lives.

    Args:
        root: the cache folder.
        keep: the name of the session that stays, although it may have ended.
    """
    sessions = root / _VERSION / "sessions"
    for session in sessions.iterdir():
        if session.name != keep and not session.is_symlink() and not _is_alive(session):
            shutil.rmtree(session, ignore_errors=True)


def _lock(path: Path) -> FileLock:
    from filelock import FileLock  # noqa: PLC0415 (17-28 ms; only where builds are)

    return FileLock(
        path,
        mode=0o600,
        fallback_to_soft=False,  # a marker file in a lock's place would follow other rules
        preserve_lock_file=True,  # an unlinked lock lets a second holder in
        poll_interval=0.1,
    )


def _is_alive(session: Path) -> bool:
    from filelock import Timeout  # noqa: PLC0415

    for path in (session / "alive").glob("*.lock"):
        try:
            with _lock(path).acquire(timeout=0):
                pass
        except Timeout:
            return True
    return False


def _make_root(root: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = root.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        raise _refused(root, "is a symbolic link")
    if hasattr(os, "geteuid") and facts.st_uid != os.geteuid():
        raise _refused(root, f"belongs to user {facts.st_uid}")
    if facts.st_mode & 0o022 and not _is_new(root):
        raise _refused(root, "can be written by other users")
    root.chmod(0o700)
    tag = root / "CACHEDIR.TAG"
    if not tag.exists():
        tag.write_text(_TAG)


def _is_new(root: Path) -> bool:
    return not any(root.iterdir())


def _refused(root: Path, why: str) -> StoreError:
    return StoreError(
        f"the cache folder {str(root)!r} {why}: its files could be anybody's",
        hint="name another: --dockerbin-cache-dir=DIR",
    )
