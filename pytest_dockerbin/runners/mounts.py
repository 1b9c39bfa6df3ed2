"""Whether a file system lets its files be executed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_noexec(path: Path) -> bool:
    """Tell whether ``path`` lies on a file system from which nothing may be executed."""
    # macOS has the call and not the name of the flag
    return bool(os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0))


def mount_of(path: Path) -> Path:
    """Return the folder where the file system of ``path`` is mounted."""
    at = path.resolve()
    while not at.is_mount():
        at = at.parent
    return at
