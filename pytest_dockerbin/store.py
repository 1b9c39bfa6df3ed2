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
import re
import stat
import sys
from contextlib import contextmanager, nullcontext, suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dockerbin.activity import Silence
from pytest_dockerbin.errors import StoreError, UntrustedStoreError
from pytest_dockerbin.folders import delete, is_folder, size_of, subfolders
from pytest_dockerbin.locks import Waiting, file_lock, hold, hold_one, is_held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from pytest_dockerbin.activity import Activity

VERSION = "v1"
"""The folder of this layout inside a cache folder; another layout gets another."""

_TAG_NAME = "CACHEDIR.TAG"
_TAG = """Signature: 8a477f597d28d172789f06886806bc55
# This folder is a cache of pytest-dockerbin; it can be deleted at any time.
# Its tag is described at https://bford.info/cachedir/
"""
_TAG_BEGIN = _TAG.partition(";")[0]  # what makes it ours, however the rest is worded one day
_HINT = "name another: --dockerbin-cache-dir=DIR"


def default_root() -> Path:
    """Return the user's cache folder for this package, by the system's convention.

    Without platformdirs: it is a pytest plugin of its own since 4.14, so depending on it would
    cost every pytest run of every user 8 ms (33 ms without bytecode), as much as 3 of our plugin.
    Source: the XDG Base Directory Specification; Apple's File System Programming Guide.
    """
    home = Path.home()
    if sys.platform == "darwin":
        caches = home / "Library" / "Caches"
    elif sys.platform == "win32":  # coverage: not Linux
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
        activity: hears of long waits for other processes.
        patience: seconds after which waiting for another process is given up.
        stopped: tells whether this process gives up what it waits for.
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
        activity: Activity | None = None,
        patience: float = inf,
        stopped: Callable[[], bool] = bool,
        guard: Callable[[Path], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.waiting = Waiting(
            activity=activity or Silence(),
            stopped=lambda: stopped() or self.stopped(),
            limit=patience,
        )
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
                hint=_HINT,
            ) from error

    def once(
        self,
        name: str,
        make: Callable[[Path], None],
        *,
        what: str = "",
        log: Path | None = None,
    ) -> Path:
        """Return the folder of a result, making it if no process of the session has.

        Args:
            name: the result's name; a plain file name.
            what: what a person calls it, for the line that is said while waiting.
            log: where those who wait can read how far it is.
            make: fills the empty folder that it gets. Called in at most one process at a time; if
                it raises, nothing is kept and the next asker calls its own.

        Raises:
            StoppedError: the session was stopped while another process made it.
            BuildTimeoutError: the other process takes longer than may be waited.
        """
        result = self.path / "results" / name
        if result.is_dir():
            return result
        with self.making(name, what or name, log) as folder:
            if not result.is_dir():
                make(folder)
                folder.rename(result)
        return result

    @contextmanager
    def making(self, name: str, what: str, log: Path | None = None) -> Iterator[Path]:
        """Hold a result's lock and give an empty folder for what will be part of it.

        Raises:
            StoppedError: the session was stopped while another process held the lock.
            BuildTimeoutError: another process held it for too long.
        """
        with (
            hold(self.path / "locks" / f"{name}.lock", what, self.waiting, log=log),
            self._staging(name) as folder,
        ):
            yield folder

    def turn(self, width: int, what: str) -> AbstractContextManager[None]:
        """Return what holds one of ``width`` places in the session, and waits for one to be free.

        Args:
            width: how many may do what they do at once; 0 for any number.
            what: what a person calls it.
        """
        places = [self.path / "locks" / f"turn-{number}.lock" for number in range(width)]
        return hold_one(places, what, self.waiting)

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
        with suppress(OSError):  # the process's end frees it too
            self._alive.release()

    @contextmanager
    def _staging(self, name: str) -> Iterator[Path]:
        folder = self.path / "staging" / f"{name}.{os.urandom(8).hex()}"
        with self._guard(folder):  # before it is there: a kill in between would leave it
            folder.mkdir(mode=0o700)
            try:
                yield folder
            finally:
                delete(folder)  # not there any more after the rename


def stop(root: Path, session: str) -> None:
    """Let every process of a session give up what it makes or waits for; no error without one."""
    with suppress(OSError):
        (root / VERSION / "sessions" / session / "stop").touch()


def has_store(root: Path) -> bool:
    """Tell whether there is a cache folder of this package at ``root``; nothing is made.

    Raises:
        UntrustedStoreError: what is there is something else, or could be somebody else's.
    """
    try:
        _check_owner(root)
    except FileNotFoundError:
        return False
    if _is_empty(root):
        return False
    if not _is_tagged(root):
        raise UntrustedStoreError(
            f"{str(root)!r} is no cache folder of pytest-dockerbin: its {_TAG_NAME} is missing"
        )
    return True


def session_sizes(root: Path) -> dict[str, int]:
    """Return the sessions of a cache folder, with the bytes that each of them takes."""
    return {session.name: size_of(session) for session in _sessions(root)}


def collect(root: Path, *, keep: str | None = None) -> None:
    """Delete the folders of sessions in which no process lives.

    Args:
        root: the cache folder.
        keep: the name of a session that stays, although it may have ended.

    Raises:
        OSError: the folder can only be read.
    """
    if not is_folder(root / VERSION / "sessions"):
        return
    ended = root / VERSION / "ended"
    ended.mkdir(mode=0o700, exist_ok=True)
    with _beginning(root):  # else one that has its folder and not yet its lock would look dead
        for session in _sessions(root):
            if session.name != keep and not _is_alive(session):
                with suppress(OSError):  # one that can't be moved does not hold the others back
                    session.rename(ended / f"{session.name}.{os.urandom(4).hex()}")
    for session in subfolders(ended):  # those, too, that an interrupted process left
        delete(session)


def _sessions(root: Path) -> list[Path]:
    """Return the sessions' folders; an empty one is of a process that was killed very early."""
    folders = subfolders(root / VERSION / "sessions")
    return [path for path in folders if is_folder(path / "alive") or _is_empty(path)]


def _beginning(root: Path) -> AbstractContextManager[object]:
    (root / VERSION).mkdir(mode=0o700, exist_ok=True)
    return file_lock(root / VERSION / "begin.lock")


def _is_alive(session: Path) -> bool:
    try:
        return any(is_held(path) for path in (session / "alive").glob("*.lock"))
    except OSError:  # a lock that can't be tried, such as root's: rather too much is kept
        return True


# -- the folder itself -----------------------------------------------------------------------------


def _make_root(root: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_owner(root)
    if not _is_tagged(root) and not _holds_nothing_foreign(root):
        raise UntrustedStoreError(  # a tag in a home folder would keep it out of every backup
            f"the cache folder {str(root)!r} holds other files, and is not made private for these",
            hint=_HINT,
        )
    root.chmod(0o700)
    if not _is_tagged(root):
        new = root / f"{_TAG_NAME}.{os.urandom(4).hex()}"
        new.write_text(_TAG)
        new.replace(root / _TAG_NAME)  # in one step: another process may be about to look


def _check_owner(root: Path) -> None:
    """Refuse a folder that others could have put something into, or that is none."""
    facts = root.lstat()
    if stat.S_ISLNK(facts.st_mode):
        raise _refused(root, "is a symbolic link")
    if (root / VERSION).is_symlink():
        raise _refused(root, f"has a symbolic link for {VERSION}")
    if not stat.S_ISDIR(facts.st_mode):
        raise _refused(root, "is no folder")
    # no modes there; a user's cache folder is the user's own
    if os.name != "posix":  # coverage: not Linux
        return
    if facts.st_uid != os.geteuid():
        raise _refused(root, f"belongs to user {facts.st_uid}")
    if facts.st_mode & 0o022 and not _is_empty(root):
        raise _refused(root, "can be written by other users")
    for above in root.resolve().parents:
        if _others_may_rename_in(above.stat()):
            raise _refused(root, f"lies in {str(above)!r}, where other users may put another")


def _others_may_rename_in(facts: os.stat_result) -> bool:
    """Tell whether users other than this one and root may exchange what lies in a folder.

    Under umask 002 everything is writable for the user's own group, of which nobody else is: that
    has the user's own number by convention (Debian's and Fedora's useradd).
    """
    if facts.st_mode & stat.S_ISVTX:
        return False
    own_group = facts.st_gid == 0 or facts.st_gid == os.getegid() == os.geteuid()
    return bool(facts.st_mode & (stat.S_IWOTH if own_group else stat.S_IWOTH | stat.S_IWGRP))


def _is_tagged(root: Path) -> bool:
    """Tell whether the folder has this package's tag; many programs use the same file name."""
    try:
        descriptor = os.open(root / _TAG_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 (no link is followed)
            return file.read(len(_TAG_BEGIN)) == _TAG_BEGIN.encode()
    except OSError:
        return False


def _holds_nothing_foreign(root: Path) -> bool:
    """Tell whether all there is could be what a killed process made before the tag."""
    with os.scandir(root) as entries:
        return all(re.fullmatch(rf"{_TAG_NAME}.*|v\d+", entry.name) for entry in entries)


def _is_empty(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except FileNotFoundError:  # it went meanwhile
        return False


def _refused(root: Path, why: str) -> UntrustedStoreError:
    return UntrustedStoreError(
        f"the cache folder {str(root)!r} {why}: its files could be anybody's", hint=_HINT
    )
