"""What a Dockerfile says of itself, and how it is changed on its way to BuildKit.

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
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_dockerbin.spec import BuildSpec

_BOM = b"\xef\xbb\xbf"
# the Dockerfile reference, "Predefined ARGs" and "BuildKit built-in build args"
_KNOWN_ARGUMENTS = {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"}
_KNOWN_ARGUMENTS |= {"SOURCE_DATE_EPOCH"}
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


def prepare(spec: BuildSpec, folder: Path) -> tuple[str, Path | None]:
    """Return what docker gets for ``--file``, and the file that it reads on standard input.

    A changed Dockerfile is a copy in ``folder``. ``<Dockerfile>.dockerignore`` is found beside the
    file that is built, so it is copied too.

    Args:
        spec: the build.
        folder: where files may be made.
    """
    place = spec.dockerfile
    given = spec.dockerfile_text
    if isinstance(place, Path):
        text = place.read_bytes()
        changed = _changed(text, spec)
        if changed == text:
            return str(place), None
        copy = folder / place.name
        copy.write_bytes(changed)
        ignore = place.with_name(f"{place.name}.dockerignore")
        if ignore.is_file():
            shutil.copyfile(ignore, folder / ignore.name)
        return str(copy), None
    if given is None:
        return place, spec.context if isinstance(spec.context, Path) else None
    copy = folder / "Dockerfile"
    copy.write_bytes(_changed(given.encode(), spec))
    return (str(copy), None) if isinstance(spec.context, Path) else ("-", copy)


def _changed(text: bytes, spec: BuildSpec) -> bytes:
    if spec.frontend == "builtin":
        text = without_syntax_line(text)
    return text + b"\n" + spec.appended.encode() if spec.appended else text


def text_of(spec: BuildSpec) -> str | None:
    """Return a Dockerfile's content; None where it is not on this host."""
    if isinstance(spec.dockerfile, Path):
        return spec.dockerfile.read_text(errors="replace")
    return spec.dockerfile_text


def stages(text: str) -> tuple[list[str], int]:
    """Return the names of a Dockerfile's stages, in lower case, and how many stages it has."""
    lines = _from_lines(text)
    named = [re.search(r"[ \t]AS[ \t]+(\S+)", line, re.IGNORECASE) for line in lines]
    return [found[1].lower() for found in named if found], len(lines)


def _from_lines(text: str) -> list[str]:
    return re.findall(r"^[ \t]*FROM[ \t]+[^\n]*", text, re.IGNORECASE | re.MULTILINE)


def run_platforms(text: str) -> dict[str, str]:
    """Return where a Dockerfile says it: the platform whose programs a stage's RUN steps run.

    The stages have the names that BuildKit gives them, ``stage-1`` where they have none. A stage
    that begins with another one is of that one's platform. All others are of the target's.
    """
    found: dict[str, str] = {}
    for index, line in enumerate(_from_lines(text)):
        words = [word for word in line.split()[1:] if not word.startswith("--")]
        flag = re.search(r"--platform=(\S+)", line)
        named = len(words) > 2 and words[1].lower() == "as"  # noqa: PLR2004 (IMAGE AS NAME)
        name = words[2].lower() if named else f"stage-{index}"
        platform = flag[1] if flag else found.get(words[0].lower() if words else "")
        if platform and "TARGETPLATFORM" not in platform:
            found[name] = platform
    return found


def undeclared_arguments(text: str, given: Iterable[str]) -> dict[str, str | None]:
    """Return those of the given build arguments that no ``ARG`` of a Dockerfile declares.

    Each has the declared one that it may be meant to be. Arguments that BuildKit knows without one
    are left out, and so is everything where another frontend reads the file, which may have
    arguments of its own.
    """
    syntax = re.match(r"\s*#\s*syntax\s*=\s*(\S+)", text, re.IGNORECASE)
    if syntax and not re.search(r"\bdockerfile(-upstream)?\b", syntax[1]):
        return {}
    joined = re.sub(r"[\\`][ \t]*\n", " ", text)
    declared = set()
    for words in re.findall(r"^[ \t]*ARG[ \t]+([^\n]*)", joined, re.IGNORECASE | re.MULTILINE):
        declared |= {word.partition("=")[0] for word in words.split()}
    known = declared | _KNOWN_ARGUMENTS
    return {
        name: next(iter(get_close_matches(name, sorted(declared), n=1)), None)
        for name in given
        if name not in known and name.upper() not in known and not name.startswith("BUILDKIT_")
    }
