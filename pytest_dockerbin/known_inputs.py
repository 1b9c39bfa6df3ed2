"""Remembers digests of folders by how their files look, as git's index does for one file.

    <root>/v1/inputs/<key>   how the files of a folder looked, and the digest of their content

Files that look the same (size, times of content and inode, mode, inode) are not read again. It
holds nothing that could not be told anew: whatever is wrong with it is a miss.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_DIGEST = "[0-9a-f]{64}"


class Known(NamedTuple):
    """One folder: digests of how its files look, and of all that BuildKit would be sent of it."""

    looks: str
    content: str


class KnownInputs:
    """The folders that were seen, below one cache folder.

    Args:
        root: the folder of this schema's version, already checked to be the user's own.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "inputs"

    def get(self, key: str) -> Known | None:
        """Return what was put under a key; None when it is anything else."""
        try:
            text = (self._folder / key).read_text(encoding="ascii")
        except (OSError, ValueError):
            return None
        found = re.fullmatch(rf"({_DIGEST}) ({_DIGEST})\n", text)
        return Known(*found.groups()) if found else None

    def put(self, key: str, known: Known) -> None:
        """Remember a folder, if that is possible."""
        aside = self._folder / f"{key}.{os.urandom(4).hex()}"
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            try:
                aside.write_text(f"{known.looks} {known.content}\n", encoding="ascii")
                aside.replace(self._folder / key)
            finally:
                aside.unlink(missing_ok=True)

    def collect(self, max_age: float) -> None:
        """Forget what is older than so many seconds; all of it can be told anew."""
        with suppress(OSError):
            for path in self._folder.iterdir():
                if re.fullmatch(rf"{_DIGEST}(\.[0-9a-f]{{8}})?", path.name):
                    with suppress(OSError):
                        if time.time() - path.lstat().st_mtime > max_age:
                            path.unlink()
