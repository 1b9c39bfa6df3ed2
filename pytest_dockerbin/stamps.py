"""Notices cheaply that a test changed a program that other tests will get too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dockerbin.manifest import Manifest

Stamp = list[int]
"""Inode, size, mode and the times of content and inode in nanoseconds: what writing, chmod,
replacing or linking changes, and running does not. A list, as JSON gives it back."""


def stamps_of(tree: Path, manifest: Manifest) -> dict[str, Stamp]:
    """Return the stamp of every program in an exported tree.

    Of programs only, since this is asked before every test: one system call each.
    """
    return {file.name: _stamp(tree / file.name) for file in manifest.files if file.program}


def changed(tree: Path, stamps: Mapping[str, Stamp]) -> list[str]:
    """Return the names of programs that are no longer what they were."""
    return [name for name, stamp in stamps.items() if _stamp(tree / name) != stamp]


def _stamp(path: Path) -> Stamp:
    try:
        facts = os.lstat(path)
    except OSError:
        return []
    return [facts.st_ino, facts.st_size, facts.st_mode, facts.st_mtime_ns, facts.st_ctime_ns]
