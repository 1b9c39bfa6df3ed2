"""Changes a Dockerfile on its way to BuildKit: what is built is then a copy of it.

``frontend="builtin"`` takes the ``# syntax=`` line out, so that BuildKit's builtin frontend reads
it.

An empty ``BUILDKIT_SYNTAX`` does not switch the line off, and replacing it by a comment would end
the block of parser directives and lose ``# escape=`` and ``# check=`` behind it. So the line is
deleted and an empty one put after the last directive: line numbers in messages stay true.
Source: the Dockerfile reference, "Parser directives".
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BOM = b"\xef\xbb\xbf"
_DIRECTIVE = re.compile(rb"^\s*#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")


def without_syntax_line(text: bytes) -> bytes:
    """Return the Dockerfile's text without its ``# syntax=`` directive, as many lines as before."""
    lines = text.splitlines(keepends=True)
    directives = 0
    syntax = set()  # BuildKit refuses a second one; none may be left to be followed
    for index, line in enumerate(lines):
        start = line.removeprefix(_BOM) if index == 0 else line
        if index == 0 and start.startswith(b"#!"):
            continue  # BuildKit skips a shebang
        found = _DIRECTIVE.match(start)
        if not found:
            break
        directives = index + 1
        if found[1].lower() == b"syntax":
            syntax.add(index)
    if not syntax:
        return text
    kept = [line for index, line in enumerate(lines[:directives]) if index not in syntax]
    return b"".join([*kept, *[b"\n"] * len(syntax), *lines[directives:]])


def changed_copy(dockerfile: Path, folder: Path, *, builtin: bool, appended: str = "") -> Path:
    """Return the Dockerfile to build: a changed copy in ``folder``, or the file itself.

    ``<Dockerfile>.dockerignore`` is found beside the file that is built, so it is copied too.

    Args:
        dockerfile: the user's.
        folder: where a copy may be made.
        builtin: whether BuildKit's builtin frontend is to read it.
        appended: further instructions, behind the last line.
    """
    text = dockerfile.read_bytes()
    changed = without_syntax_line(text) if builtin else text
    if appended:
        changed += b"\n" + appended.encode()
    if changed == text:
        return dockerfile
    copy = folder / dockerfile.name
    copy.write_bytes(changed)
    ignore = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
    if ignore.is_file():
        shutil.copyfile(ignore, folder / ignore.name)
    return copy
