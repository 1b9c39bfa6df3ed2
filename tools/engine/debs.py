"""Unpacking Debian packages without installing them."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.shell import LONG, run

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def scratch(home: Path) -> Iterator[Path]:
    """Give a folder on the same filesystem, so that its contents can be moved into place.

    The caller holds a lock: what another run left here when it was killed is removed.
    """
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob(".new-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=".new-", dir=home))
    try:
        # Readable for everybody, unlike mkdtemp: an engine's programs are run from it.
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def replace_folder(new: Path, place: Path) -> None:
    """Move a complete folder to its place; an incomplete one is never seen there."""
    if place.exists():
        shutil.rmtree(place)
    new.rename(place)


def unpack(deb: Path, folder: Path) -> None:
    """Unpack all files of a package into a folder."""
    run(["dpkg-deb", "--extract", deb, folder], timeout=LONG)


def version(deb: Path) -> str:
    """Return a package's version."""
    return run(["dpkg-deb", "--field", deb, "Version"]).stdout.strip()


@contextmanager
def members(deb: Path) -> Iterator[tarfile.TarFile]:
    """Read a package's files as a tar stream, from first to last."""
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            yield archive
        if process.stdout:
            # Padding after the archive's end: dpkg-deb would fail to write it otherwise.
            shutil.copyfileobj(process.stdout, _Nowhere())
    if process.returncode != 0:
        message = f"cannot unpack {deb.name}"
        raise EngineError(message, f"delete {deb}, then try again")


class _Nowhere:
    """A file that forgets what is written to it."""

    def write(self, data: bytes, /) -> int:
        """Take the data."""
        return len(data)
