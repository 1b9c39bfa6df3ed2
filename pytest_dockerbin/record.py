"""What is written beside a stored tree, and the tree compared with it: to the last byte."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from pytest_dockerbin.errors import DockerbinError
from pytest_dockerbin.folders import is_folder
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dockerbin.manifest import FileRecord

SCHEMA = 1
_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The content of ``manifest.json``.

    Attributes:
        manifest: what was exported.
        folders: every folder of the tree, those before their own subfolders.
        label: what a person calls the build.
    """

    manifest: Manifest
    folders: tuple[str, ...]
    label: str

    def write(self, folder: Path, key: str) -> None:
        """Write ``manifest.json`` into an entry's folder.

        Raises:
            OSError: it can't be written.
        """
        data = {
            "schema": SCHEMA,
            "key": key,
            "label": self.label,
            "folders": self.folders,
            "manifest": self.manifest.to_json(),
        }
        text = json.dumps(data | {"sha256": _digest(data)})
        (folder / "manifest.json").write_text(text, encoding="ascii")

    @classmethod
    def read(cls, folder: Path, key: str) -> Self | None:
        """Return what `write` wrote; None when it is anything else."""
        try:
            data = json.loads((folder / "manifest.json").read_text(encoding="ascii"))
            if data.pop("sha256") != _digest(data) or data["schema"] != SCHEMA:
                return None
            manifest = Manifest.from_json(data["manifest"])
            names = [*data["folders"], *(file.name for file in manifest.files)]
            if data["key"] != key or not all(_stays_inside(name) for name in names):
                return None
            return cls(manifest=manifest, folders=tuple(data["folders"]), label=str(data["label"]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        except (RecursionError, DockerbinError):
            return None


def _digest(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and str(path) == name


class DifferentError(OSError):
    """Something is not what the record says."""


def copy(source: Path, dest: Path, record: Record) -> None:
    """Copy a tree to ``dest``, a folder not there yet, comparing all of it with its record.

    Raises:
        DifferentError: it is not what the record says; part of it may have been copied.
        OSError: it can't be read or written.
    """
    _compare_names(source, record)
    take(source, dest, record)


def take(source: Path, dest: Path, record: Record) -> None:
    """Copy what is recorded of a tree to ``dest``, as `copy` does, and leave what else is there.

    Raises:
        DifferentError: it is not what the record says; part of it may have been copied.
        OSError: it can't be read or written.
    """
    for name in ("", *record.folders):
        (dest / name).mkdir()
        (dest / name).chmod(0o755)  # as `export.seal` makes them, whatever the umask
    links = [file for file in record.manifest.files if file.link is not None]
    for file in record.manifest.files:
        if file.link is None:
            with _opened(source, file) as reader, (dest / file.name).open("xb") as writer:
                for block in _blocks(reader, file):
                    writer.write(block)
                os.fchmod(writer.fileno(), file.mode)
                facts = os.fstat(reader.fileno())
            os.utime(dest / file.name, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    for file in links:  # last, so that nothing was written through one
        _compare_link(source, file)
        (dest / file.name).symlink_to(file.link or "")


def compare(tree: Path, record: Record) -> None:
    """Compare a tree with its record: names, modes, links and every byte.

    Raises:
        DifferentError: it is not what the record says.
        OSError: it can't be read.
    """
    _compare_names(tree, record)
    for file in record.manifest.files:
        if file.link is not None:
            _compare_link(tree, file)
            continue
        with _opened(tree, file) as reader:
            for _ in _blocks(reader, file):
                pass


def _compare_names(tree: Path, record: Record) -> None:
    if not is_folder(tree):
        raise DifferentError("tree: no folder")
    folders, others = names_in(tree)
    expected = {file.name for file in record.manifest.files}
    for name in sorted({*folders} ^ {*record.folders} | {*others} ^ expected):
        raise DifferentError(f"{name}: not what was stored, or missing")


def names_in(tree: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of all folders below a tree, sorted, and of all else."""

    def fail(error: OSError) -> None:
        raise error

    folders: list[str] = []
    others: list[str] = []
    for base, below, names in os.walk(tree, onerror=fail):
        inside = os.path.relpath(base, tree)
        for name in (*below, *names):
            path = os.path.normpath(os.path.join(inside, name))  # noqa: PTH118 (a name, no path)
            is_link = os.path.islink(os.path.join(base, name))  # noqa: PTH114, PTH118 (as above)
            (folders if name in below and not is_link else others).append(path)
    return tuple(sorted(folders)), tuple(sorted(others))


def _compare_link(tree: Path, file: FileRecord) -> None:
    if os.readlink(tree / file.name) != file.link:  # noqa: PTH115 (verbatim, as recorded)
        raise DifferentError(f"{file.name}: leads elsewhere")


@contextmanager
def _opened(tree: Path, file: FileRecord) -> Iterator[BinaryIO]:
    descriptor = os.open(tree / file.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as reader:  # noqa: PTH123 (no link is followed)
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise DifferentError(f"{file.name}: no file")
        if facts.st_size != file.size or stat.S_IMODE(facts.st_mode) != file.mode:
            raise DifferentError(f"{file.name}: other size or mode")
        yield reader


def _blocks(reader: BinaryIO, file: FileRecord) -> Iterator[bytes]:
    """Yield what is read, to its end; what is copied is what was compared.

    Raises:
        DifferentError: at the end, when it was not what was recorded.
    """
    digest = hashlib.sha256()
    while block := reader.read(_BLOCK):
        digest.update(block)
        yield block
    if digest.hexdigest() != file.sha256:
        raise DifferentError(f"{file.name}: other content")
