"""The form of a folder with tested programs: ``--dockerbin-output`` and ``--dockerbin-prebuilt``.

    DIR/
      linux_amd64/...         a folder for each platform, named and filled as BuildKit does
      linux_arm_v7/...
      SHA256SUMS              every file in these, for ``sha256sum -c``
      dockerbin.json          which builds and platforms these are, and what no sum tells

Where the tests used several builds, each has its folder: ``DIR/NAME/linux_amd64``.
Sources: BuildKit's local exporter for the platforms' folders; the manual of GNU coreutils,
"md5sum invocation", for lines of SHA256SUMS and the escaping of names.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Self

from pytest_dockerbin.build_name import BakedAs, BuildName
from pytest_dockerbin.errors import DockerbinError, SettingsError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.manifest import FileRecord
from pytest_dockerbin.platforms import Platform

if TYPE_CHECKING:
    from collections.abc import Mapping


SUMS = "SHA256SUMS"
INDEX = "dockerbin.json"
SCHEMA = 1

_LINE = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)", re.DOTALL)
_TARGET = re.compile(r"[A-Za-z0-9_.-]+")  # bake's names of targets and groups
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {escaped: sign for sign, escaped in _ESCAPES.items()}


def write_sums(sums: Mapping[str, str]) -> str:
    """Return the lines of ``SHA256SUMS``, sorted by name, for names and their digests."""
    return "".join(_line(name, sums[name]) for name in sorted(sums))


def _line(name: str, digest: str) -> str:
    escaped = re.sub(r"[\\\n\r]", lambda sign: _ESCAPES[sign[0]], name)
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"


def read_sums(text: str) -> dict[str, str]:
    """Return names and digests of ``SHA256SUMS``, also as ``sha256sum`` itself writes it.

    Raises:
        ValueError: a line is something else; its number is in the message.
    """
    sums = {}
    for number, line in enumerate(text.split("\n"), 1):
        found = _LINE.fullmatch(line.removesuffix("\r"))
        if found:
            escaped, digest, name = found.groups()
            if escaped:
                name = re.sub(r"\\[\\nr]", lambda signs: _UNESCAPES[signs[0]], name)
            sums[name.removeprefix("./")] = digest.lower()
        elif line.strip():
            raise ValueError(f"line {number} is no checksum and name")
    return sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """One platform of one build, as ``dockerbin.json`` tells it.

    Attributes:
        build: the build's name.
        label: what a person calls the build.
        target: the stage that was exported, or None.
        platform: the platform.
        folder: where it lies, as a path inside the folder that is written.
        passed: number of the platform's tests that passed.
        skipped: number of those that were skipped; none failed.
        files: its files and links, sorted by name.
        bake: the bake target that it is, or None.
    """

    build: BuildName
    label: str
    target: str | None
    platform: Platform
    folder: str
    passed: int
    skipped: int
    files: tuple[FileRecord, ...]
    bake: BakedAs | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """The content of ``dockerbin.json``, sorted by folder."""

    parts: tuple[Shipped, ...]

    def sums(self) -> dict[str, str]:
        """Return name and digest of every file; a link has none."""
        return {
            f"{part.folder}/{file.name}": file.sha256
            for part in self.parts
            for file in part.files
            if file.link is None
        }

    def write(self) -> str:
        """Return ``dockerbin.json``'s text: equal for equal content."""
        platforms = [
            {
                "platform": str(part.platform),
                "folder": part.folder,
                "build": {
                    "name": part.build.name,
                    "inputs": part.build.inputs,
                    "words": part.build.words,
                    "label": part.label,
                    "target": part.target,
                    "bake": part.bake and part.bake._asdict(),
                },
                "tests": {"passed": part.passed, "skipped": part.skipped},
            }
            for part in self.parts
        ]
        files = [
            {
                "name": f"{part.folder}/{file.name}",
                "platform": str(part.platform),
                "size": file.size,
                "sha256": file.sha256,
                "mode": f"{file.mode:04o}",
                "link": file.link,
            }
            for part in self.parts
            for file in part.files
        ]
        data = {"schema": SCHEMA, "platforms": platforms, "files": files}
        return json.dumps(data, indent=2) + "\n"

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `write` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            data = json.loads(text)
            if data["schema"] != SCHEMA:
                raise ValueError(f"schema {data['schema']!r}, expected {SCHEMA}")
            return cls(tuple(_part(entry, data["files"]) for entry in data["platforms"]))
        except (json.JSONDecodeError, LookupError, TypeError, AttributeError, RecursionError):
            raise ValueError("not what --dockerbin-output writes") from None
        except DockerbinError as error:  # no platform
            raise ValueError(error.summary) from None


def _part(entry: dict[str, Any], files: list[dict[str, Any]]) -> Shipped:
    folder = PurePosixPath(entry["folder"])
    if folder.is_absolute() or not folder.parts or ".." in folder.parts:
        raise ValueError(f"folder {str(folder)!r} is outside")
    build = entry["build"]
    bake = build.get("bake")
    return Shipped(
        build=BuildName(build["name"], build["inputs"], build["words"]),
        label=build["label"],
        target=build["target"],
        platform=Platform.parse(entry["platform"]),
        folder=str(folder),
        passed=entry["tests"]["passed"],
        skipped=entry["tests"]["skipped"],
        files=tuple(
            FileRecord(
                name=file["name"].removeprefix(f"{folder}/"),
                size=file["size"],
                sha256=file["sha256"],
                mode=int(file["mode"], 8),
                link=file["link"],
            )
            for file in files
            if file["name"].startswith(f"{folder}/")
        ),
        bake=_baked_as(bake) if bake else None,
    )


def _baked_as(entry: dict[str, Any]) -> BakedAs:
    names = (entry["target"], *entry["asked"])
    if not all(_TARGET.fullmatch(name) for name in names):  # they become ids of tests
        raise ValueError("a bake target's name is none")
    return BakedAs(str(entry["file"]), names[0], names[1:])


def platform_of(folder: str) -> Platform | None:
    """Return the platform whose folder has that name, or None: the opposite of `Platform.slug`."""
    try:
        platform = Platform.parse(folder.replace("_", "/"))
    except SettingsError:
        return None
    return platform if platform.slug == folder else None
