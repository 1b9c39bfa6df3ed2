"""Digests of what BuildKit would be sent: what a stored result must have been built from.

What counts is what BuildKit's own key counts, as tried with buildx 0.29.1 on Docker 28.5.2, each
time in a context folder that the daemon had not seen before: names, kinds, permission bits with
setuid, setgid and sticky, content, link targets, device numbers, and extended attributes other
than ``system.*`` and ``security.*`` but for file capabilities. What does not: times, owners, hard
links (copies do as well), the modes of links and of the context folder itself. A socket is sent
as an empty file. Changed attributes, and a changed mode of a folder, count here even where
BuildKit overlooks them in a context that it has seen: the result can be the old one or the new.

Of a secret's file in a context, name and mode count: the value of a secret is part of no key.

The whole context but for what Python and pytest write counts, though BuildKit fetches only what
the Dockerfile names: one more build is better than a wrong result. For the same reason nothing is
taken as excluded where it can't be told. What no digest of inputs can see: images named in
``FROM``, ``COPY --from``, ``RUN --mount`` and ``# syntax=``, and what ``ADD`` and ``RUN`` fetch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_dockerbin.dockerignore import IgnoreRules, InvalidPatternError
from pytest_dockerbin.errors import DockerbinError
from pytest_dockerbin.known_inputs import Known
from pytest_dockerbin.secret import files as secret_files
from pytest_dockerbin.spec import linked_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dockerbin.dockerignore import Matches
    from pytest_dockerbin.known_inputs import KnownInputs
    from pytest_dockerbin.secret import Inodes
    from pytest_dockerbin.spec import BuildSpec

_FORMAT = 1  # part of every digest: raised when what counts changes
_LARGE = 256 * 1024  # bytes; larger files are not read into memory as a whole
_DEEPEST = 200  # folders below one another: each holds a descriptor open
_MOST_LINKS = 40  # as in the kernel
_TICK = 2 * 10**9  # nanoseconds: no file system in use has coarser times (FAT's are the coarsest)

# What Python and pytest write beside the tests while they run. BuildKit is sent it, too, where
# .dockerignore does not name it; but if it counted, each session would undo the one before.
_WRITTEN = frozenset({"__pycache__", ".pytest_cache"})

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
# a named pipe that took a file's place must not block
_OPEN_FILE = _OPEN | os.O_NONBLOCK
_OPEN_FOLDER = _OPEN | os.O_DIRECTORY

_HAS_ATTRIBUTES = hasattr(os, "listxattr")  # not on macOS


class CannotFingerprintError(DockerbinError):
    """A build whose inputs can't be told by a digest: its result is never used again."""


def inputs_digest(spec: BuildSpec, known: KnownInputs | None = None) -> str | None:
    """Return `fingerprint_inputs`, or None where the inputs can't be told."""
    try:
        return fingerprint_inputs(spec, known)
    except CannotFingerprintError:
        return None


def fingerprint_inputs(spec: BuildSpec, known: KnownInputs | None = None) -> str:
    """Return a SHA-256 of the files that a build reads: contexts, Dockerfile, .dockerignore.

    Equal files give an equal digest wherever they lie. The settings themselves are no part of it.
    Hash again after a build: files may have been changed meanwhile.

    Args:
        spec: the build.
        known: digests of folders in which nothing may have changed since.

    Raises:
        CannotFingerprintError: a context is remote or an image without a digest, a file can't be
            read or sent, or .dockerignore is one that BuildKit refuses.
    """
    secrets = secret_files(tuple(secret for each in spec.all for secret in each.secrets))
    return _inputs(spec, _Means(secrets, known))


class _Means(NamedTuple):
    """What is known before files are read."""

    secrets: Inodes = frozenset()
    known: KnownInputs | None = None


def _inputs(spec: BuildSpec, means: _Means) -> str:
    if isinstance(spec.context, str):
        raise CannotFingerprintError(f"the context {spec.context} is not on this machine")
    if spec.is_archive:
        # its content is in the archive; which of those in there it is, only its path tells
        dockerfile, context = str(spec.dockerfile).encode(), [_file(spec.context)]
    else:
        dockerfile, ignore = _dockerfile(spec)
        context = _context(spec.context, means, ignore)
    parts = {
        "format": _FORMAT,
        "dockerfile": hashlib.sha256(dockerfile).hexdigest(),
        "context": context,
        "contexts": {name: _named_context(where, means) for name, where in spec.build_contexts},
        "linked": {one.name: _inputs(one.spec, means) for one in spec.linked},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fingerprint_folder(
    folder: Path,
    rules: IgnoreRules | None = None,
    *,
    without: frozenset[str] = frozenset(),
    secrets: Inodes = frozenset(),
) -> str:
    """Return a SHA-256 of all that BuildKit would be sent of a folder.

    Args:
        folder: the folder; a link to one is followed.
        rules: what is left out; nothing when None.
        without: names of folders that do not count, wherever they are.
        secrets: device and inode of the files whose content does not count.

    Raises:
        CannotFingerprintError: something can't be read or sent, or changed while it was read.
    """
    walk = _Walk(rules or IgnoreRules.parse(""), without, secrets)
    return _walked(folder, walk).digest.hexdigest()


def _walked(folder: Path, walk: _Walk) -> _Walk:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with _closing(descriptor):
            walk.folder(descriptor, "", walk.rules.start, 0)
    except OSError as error:
        where = f" ({error.filename!r})" if error.filename else ""
        raise CannotFingerprintError(
            f"the folder {str(folder)!r} can't be read: {error.strerror}{where}"
        ) from error
    return walk


# -- which files ----------------------------------------------------------------------------------


def _dockerfile(spec: BuildSpec) -> tuple[bytes, bytes | None]:
    """Return a Dockerfile, and the patterns in ``<Dockerfile>.dockerignore`` where there is one."""
    if not isinstance(spec.dockerfile, Path):
        return spec.dockerfile.encode(), None
    beside, name = spec.dockerfile.parent, spec.dockerfile.name
    dockerfile = _read(beside, name)
    if dockerfile is None:
        raise CannotFingerprintError(
            f"the Dockerfile {str(spec.dockerfile)!r} is not in its folder, or not readable"
        )
    return dockerfile, _read(beside, f"{name}.dockerignore")


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CannotFingerprintError(f"{str(path)!r} can't be read: {error.strerror}") from error


def _context(folder: Path, means: _Means, ignore: bytes | None = None) -> list[str]:
    """Return digests of the patterns that apply to a context and of what they leave of it."""
    if ignore is None:  # an empty one beside the Dockerfile wins, too
        ignore = _read(folder, ".dockerignore") or b""
    try:
        rules = IgnoreRules.parse(ignore.decode())
    except (InvalidPatternError, UnicodeDecodeError) as error:
        raise CannotFingerprintError(f".dockerignore of {str(folder)!r}: {error}") from error
    patterns = hashlib.sha256(ignore).hexdigest()
    return [patterns, _known_or_read(folder, rules, patterns, means)]


def _known_or_read(folder: Path, rules: IgnoreRules, patterns: str, means: _Means) -> str:
    """Return `fingerprint_folder` of a context, without reading files that nobody changed.

    Sizes, times, modes and numbers of 50,000 files are looked at in a third of the time that it
    takes to read them.
    """
    if means.known is None:
        return fingerprint_folder(folder, rules, without=_WRITTEN, secrets=means.secrets)
    facts, hidden = folder.stat(), sorted(means.secrets)
    words = [_FORMAT, str(folder), patterns, hidden, facts.st_dev, facts.st_ino]
    key = hashlib.sha256(json.dumps(words).encode()).hexdigest()
    found = means.known.get(key)
    if found:
        look = _walked(folder, _Walk(rules, _WRITTEN, means.secrets, reads=False))
        if look.looks.hexdigest() == found.looks:
            return found.content
    began = time.time_ns()
    walk = _walked(folder, _Walk(rules, _WRITTEN, means.secrets))
    content = walk.digest.hexdigest()
    # what was changed just now could be changed once more within the same tick of the clock
    if walk.newest < began - _TICK:
        means.known.put(key, Known(walk.looks.hexdigest(), content))
    return content


def _named_context(where: str, means: _Means) -> list[str]:
    if linked_target(where):
        return [where]
    scheme, separator, rest = where.partition("://")
    if not separator:
        return _context(Path(where), means)
    if scheme == "docker-image" and re.search("@sha256:[0-9a-f]{64}$", rest):
        return [where]
    if scheme == "oci-layout":
        # blobs are named by their content, so the index says it all
        layout, tag = re.fullmatch(r"(.*?)((?:[:@][^/]*)?)", rest, re.DOTALL).groups()  # type: ignore[union-attr] # matches anything
        try:
            index = (Path(layout) / "index.json").read_bytes()
        except OSError as error:
            raise CannotFingerprintError(
                f"{where}: index.json can't be read: {error.strerror}"
            ) from error
        return [tag, hashlib.sha256(index).hexdigest()]
    raise CannotFingerprintError(f"the context {where} can change without being seen from here")


def _read(folder: Path, name: str) -> bytes | None:
    """Return a file's bytes, or None if BuildKit finds none of that name in the folder.

    To BuildKit the folder is the root of everything: links that lead out of it lead nowhere.
    Absolute ones lead elsewhere than here, and are taken for absent: that never leaves out a
    file.
    """
    try:
        path = _follow(folder, name)
        return path.read_bytes() if path and path.is_file() else None
    except OSError as error:
        raise CannotFingerprintError(
            f"{str(folder / name)!r} can't be read: {error.strerror}"
        ) from error


def _follow(folder: Path, name: str) -> Path | None:
    """Return where links end, or None if one is absolute, leaves the folder or runs in a circle."""
    at: list[str] = []
    rest = [name]
    followed = 0
    while rest:
        part = rest.pop(0)
        if part == "..":
            if not at:
                return None
            at.pop()
        elif part not in ("", "."):
            at.append(part)
            path = folder.joinpath(*at)
            if path.is_symlink():
                target = str(path.readlink())
                followed += 1
                if target.startswith("/") or followed > _MOST_LINKS:
                    return None
                at.pop()
                rest = target.split("/") + rest
    return folder.joinpath(*at)


# -- the walk -------------------------------------------------------------------------------------


class _Walk:
    """Feeds a digest with one record for each entry, in the order of names.

    A record says how long its parts are, so that no two trees have the same records.

    Attributes:
        digest: of the records.
        looks: of others, that have of each file what changes when it is written to, and not its
            content.
        newest: when the last change of a file was, in nanoseconds since 1970.
    """

    def __init__(
        self,
        rules: IgnoreRules,
        without: frozenset[str],
        secrets: Inodes,
        *,
        reads: bool = True,
    ) -> None:
        self.rules = rules
        self._without = without
        self._secrets = secrets
        self._reads = reads
        self.digest = hashlib.sha256()
        self.looks = hashlib.sha256()
        self.newest = 0
        # excluded folders around the place of the walk: sent if something in them is
        self._unsent: list[bytes] = []

    def folder(self, descriptor: int, prefix: str, matches: Matches, depth: int) -> None:
        """Take all entries of a folder.

        Args:
            descriptor: the open folder.
            prefix: its path with a slash at the end; nothing for the root.
            matches: what the rules said of it.
            depth: number of folders above it.
        """
        if depth > _DEEPEST:
            raise CannotFingerprintError(f"more than {_DEEPEST} folders deep: {prefix[:200]!r}...")
        with os.scandir(descriptor) as entries:
            listed = sorted(entries, key=attrgetter("name"))
        for entry in listed:
            path = prefix + entry.name
            excluded, below = self.rules.look(path, matches)
            if entry.is_dir(follow_symlinks=False):
                if entry.name in self._without:
                    continue
                if not excluded or self.rules.may_include_below(path):
                    self._enter(descriptor, entry.name, path, below, depth, excluded=excluded)
            elif not excluded:
                self._send_entry(descriptor, entry, path)

    def _enter(
        self, parent: int, name: str, path: str, matches: Matches, depth: int, *, excluded: bool
    ) -> None:
        try:
            descriptor = os.open(name, _OPEN_FOLDER, dir_fd=parent)
        except PermissionError:
            if excluded:  # BuildKit lets it pass, too
                return
            raise
        with _closing(descriptor):
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            record = _attributes(descriptor) + _record("d", mode, path, b"")
            if excluded:
                self._unsent.append(record)
            else:
                self._send(record)
            self.folder(descriptor, f"{path}/", matches, depth + 1)
            if self._unsent and self._unsent[-1] is record:
                self._unsent.pop()

    def _send_entry(self, parent: int, entry: os.DirEntry[str], path: str) -> None:
        if entry.is_file(follow_symlinks=False):
            facts = entry.stat(follow_symlinks=False)  # before it is read: a change meanwhile shows
            self.newest = max(self.newest, facts.st_mtime_ns, facts.st_ctime_ns)
            self._send(
                _file_record(parent, entry.name, path, self._secrets) if self._reads else b"",
                b"%s\0%d %d %d %d %d\n"
                % (
                    os.fsencode(path),
                    facts.st_mode,
                    facts.st_size,
                    facts.st_mtime_ns,
                    facts.st_ctime_ns,
                    facts.st_ino,
                ),
            )
            return
        if entry.is_symlink():
            target = os.fsencode(os.readlink(entry.name, dir_fd=parent))
            self._send(_record("l", 0, path, target))
            return
        facts = os.stat(entry.name, dir_fd=parent, follow_symlinks=False)
        mode = stat.S_IMODE(facts.st_mode)
        if stat.S_ISSOCK(facts.st_mode):
            self._send(_record("f", mode, path, b""))
        elif stat.S_ISFIFO(facts.st_mode):
            self._send(_record("p", mode, path, b""))
        elif stat.S_ISCHR(facts.st_mode) or stat.S_ISBLK(facts.st_mode):
            kind = "c" if stat.S_ISCHR(facts.st_mode) else "b"
            self._send(_record(kind, mode, path, str(facts.st_rdev).encode()))
        else:
            raise CannotFingerprintError(f"{path!r} is of a kind that can't be sent")

    def _send(self, record: bytes, look: bytes | None = None) -> None:
        for folder in self._unsent:
            self.digest.update(folder)
            self.looks.update(folder)
        self._unsent.clear()
        self.digest.update(record)
        self.looks.update(record if look is None else look)


def _record(kind: str, mode: int, path: str, content: bytes) -> bytes:
    name = os.fsencode(path)
    return b"%s %o %d %d\n%s%s" % (kind.encode(), mode, len(name), len(content), name, content)


def _file_record(parent: int, name: str, path: str, secrets: Inodes) -> bytes:
    descriptor = os.open(name, _OPEN_FILE, dir_fd=parent)
    try:  # not a context manager: this is run for every file
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise _changed(path)
        mode = stat.S_IMODE(facts.st_mode)
        attributes = _attributes(descriptor)
        if (facts.st_dev, facts.st_ino) in secrets:
            return attributes + _record("s", mode, path, b"")
        if facts.st_size > _LARGE:
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                digest = hashlib.file_digest(file, "sha256").digest()
            return attributes + _record("F", mode, path, digest)
        content = _read_exactly(descriptor, facts.st_size, path)
        return attributes + _record("f", mode, path, content)
    finally:
        os.close(descriptor)


def _read_exactly(descriptor: int, size: int, path: str) -> bytes:
    content = os.read(descriptor, size + 1)
    while 0 < len(content) < size:  # some file systems give less at once
        more = os.read(descriptor, size + 1 - len(content))
        if not more:
            break
        content += more
    if len(content) != size:
        raise _changed(path)
    return content


def _attributes(descriptor: int) -> bytes:
    """Return a record for each extended attribute that BuildKit counts."""
    if not _HAS_ATTRIBUTES:
        return b""
    try:
        names = os.listxattr(descriptor)
    except OSError:  # a file system without them
        return b""
    if not names:
        return b""
    return b"".join(
        _record("x", 0, name, os.getxattr(descriptor, name))
        for name in sorted(names)
        if name == "security.capability" or not name.startswith(("security.", "system."))
    )


def _changed(path: str) -> CannotFingerprintError:
    return CannotFingerprintError(f"{path!r} was changed while it was read")


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)
