"""The folder where results live: made once, shared by the processes of a session.

    <root>/                       0700, CACHEDIR.TAG
      v1/begin.lock               held while a session begins, and while ended ones are put aside
      v1/ended/                   sessions that are being deleted
      v1/sessions/<id>/
        alive/<pid>-<random>.lock held by each process that uses the session
        locks/<name>.lock         held while a result is made; never unlinked
        staging/<name>.<random>/  a result in the making
        results/<name>/           a result: one rename makes it exist
        logs/                     build logs: not in .pytest_cache, which is part of most contexts
        claims/<name>             made by the one process that may say a thing
        stop                      made when the session is being stopped

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
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dockerbin.errors import StoreError, UntrustedStoreError
from pytest_dockerbin.locks import Waiting, file_lock, hold, is_held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

VERSION = "v1"
"""The folder of this layout inside a cache folder; another layout gets another."""

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
        say: gets a line when a process waits long for another one.
        guard: has a folder deleted if this process is killed inside the ``with`` block.

    Raises:
        UntrustedStoreError: the folder belongs to somebody else, or others may write to it.
        StoreError: it can't be made, written to or locked.
    """

    def __init__(
        self,
        root: Path,
        session: str,
        *,
        say: Callable[[str], None] | None = None,
        guard: Callable[[Path], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.waiting = Waiting(say=say or (lambda _: None), stopped=self.stopped)
        self._guard = guard
        try:
            _make_root(root)
            self.path = root / VERSION / "sessions" / session
            with _beginning(root):
                for name in ("alive", "locks", "staging", "results", "logs", "claims"):
                    (self.path / name).mkdir(mode=0o700, parents=True, exist_ok=True)
                name = f"{os.getpid()}-{os.urandom(4).hex()}.lock"
                self._alive = file_lock(self.path / "alive" / name)
                self._alive.acquire()
        except (OSError, NotImplementedError) as error:  # the latter: no locks on this file system
            raise StoreError(
                f"the cache folder {str(root)!r} can't be used: "
                f"{getattr(error, 'strerror', None) or error}",
                hint="name another: --dockerbin-cache-dir=DIR",
            ) from error

    def once(self, name: str, make: Callable[[Path], None], *, what: str = "") -> Path:
        """Return the folder of a result, making it if no process of the session has.

        Args:
            name: the result's name; a plain file name.
            what: what a person calls it, for the line that is said while waiting.
            make: fills the empty folder that it gets. Called in at most one process at a time; if
                it raises, nothing is kept and the next asker calls its own.

        Raises:
            StoppedError: the session was stopped while another process made it.
        """
        result = self.path / "results" / name
        if result.is_dir():
            return result
        with self.making(name, what or name) as folder:
            if not result.is_dir():
                make(folder)
                folder.rename(result)
        return result

    @contextmanager
    def making(self, name: str, what: str) -> Iterator[Path]:
        """Hold a result's lock and give an empty folder for what will be part of it.

        Raises:
            StoppedError: the session was stopped while another process held the lock.
        """
        with (
            hold(self.path / "locks" / f"{name}.lock", what, self.waiting),
            self._staging(name) as folder,
        ):
            yield folder

    def claim(self, name: str) -> bool:
        """Return True to exactly one asker of the session: the one that may say ``name``."""
        try:
            os.close(os.open(self.path / "claims" / name, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        return True

    def is_made(self, name: str) -> bool:
        """Tell whether a result is there."""
        return (self.path / "results" / name).is_dir()

    def is_being_made(self, name: str) -> bool:
        """Tell whether a process is making a result just now."""
        return is_held(self.path / "locks" / f"{name}.lock")

    def stopped(self) -> bool:
        """Tell whether the session is being stopped."""
        return (self.path / "stop").exists()

    def close(self) -> None:
        """Leave the session; its results stay."""
        self._alive.release()

    @contextmanager
    def _staging(self, name: str) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=self.path / "staging"))
        with self._guard(folder):
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)  # not there any more after the rename


def stop(root: Path, session: str) -> None:
    """Let every process of a session give up what it makes or waits for; no error without one."""
    with suppress(OSError):
        (root / VERSION / "sessions" / session / "stop").touch()


def collect(root: Path, *, keep: str) -> None:
    """Delete the folders of sessions in which no process lives.

    Args:
        root: the cache folder.
        keep: the name of the session that stays, although it may have ended.
    """
    sessions = root / VERSION / "sessions"
    if not sessions.is_dir():
        return
    ended = root / VERSION / "ended"
    ended.mkdir(mode=0o700, exist_ok=True)
    with _beginning(root):  # else one that has its folder and not yet its lock would look dead
        for session in sessions.iterdir():
            if session.name != keep and not session.is_symlink() and not _is_alive(session):
                session.rename(ended / f"{session.name}.{os.urandom(4).hex()}")
    for session in ended.iterdir():  # those, too, that an interrupted process left
        shutil.rmtree(session, ignore_errors=True)


def _beginning(root: Path) -> AbstractContextManager[object]:
    (root / VERSION).mkdir(mode=0o700, exist_ok=True)
    return file_lock(root / VERSION / "begin.lock")


def _is_alive(session: Path) -> bool:
    return any(is_held(path) for path in (session / "alive").glob("*.lock"))


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


def _refused(root: Path, why: str) -> UntrustedStoreError:
    return UntrustedStoreError(
        f"the cache folder {str(root)!r} {why}: its files could be anybody's",
        hint="name another: --dockerbin-cache-dir=DIR",
    )
