"""Folders below ours: listed, measured and deleted, without ever following a link out of them."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_folder(path: Path) -> bool:
    """Tell whether a path is a folder of its own: not a link to one, and not nothing."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def subfolders(folder: Path) -> list[Path]:
    """Return the folders right below ``folder``, sorted; none where it can't be read."""
    if not is_folder(folder):
        return []
    with suppress(OSError), os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        return [folder / name for name in names]
    return []


def size_of(folder: Path) -> int:
    """Return the bytes of all files below ``folder``; what vanishes meanwhile counts nothing."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                facts = os.lstat(os.path.join(base, name))  # noqa: PTH118 (thousands of files)
                total += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return total


def delete(path: Path) -> None:
    """Delete a folder with all that is in it, or what stands in its place; never an error.

    Images have folders that even their owner may not write to: they are made writable first.
    """
    if not is_folder(path):
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return
    shutil.rmtree(path, ignore_errors=True)
    if is_folder(path):
        make_writable(path)
        shutil.rmtree(path, ignore_errors=True)


def make_writable(folder: Path) -> None:
    """Let this user read and change ``folder`` and every folder below it; never an error."""
    waiting = [folder]
    while waiting:
        each = waiting.pop()
        with suppress(OSError):
            each.chmod(stat.S_IRWXU)
            waiting += subfolders(each)
