"""The facts of an export, as they are kept beside its tree."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.steps import StepRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dockerbin.attestations import Statement

ARCHIVE = "export.tar"
"""The name of the archive of an export that is not a tree of files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One exported file or symbolic link.

    Attributes:
        name: path inside the export, with ``/`` and without a leading one.
        size: bytes; 0 for a link.
        sha256: hexadecimal digest of the content; of the target's name for a link.
        mode: permission bits: 0o755 or 0o644; 0o777 for a link.
        link: the target of a symbolic link, else None.
        program: whether it is an executable of the platform, with the x bit.
    """

    name: str
    size: int
    sha256: str
    mode: int
    link: str | None = None
    program: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRecord:
    """How an artifact came to be.

    Attributes:
        seconds: from the start of the build to its published result.
        steps: number of steps that BuildKit named.
        cached_steps: how many of them it took from its cache.
        log_path: the whole build log, or None.
        ref: buildx's build reference, builder and node before it; None where it gave none.
            ``docker buildx history logs`` takes its last part.
        source: where it came from: ``built``; ``reused``, from an earlier session; ``rebuilt``,
            since what was stored of it was damaged; ``prebuilt``, elsewhere.
        builder: the name of the buildx builder; None for buildx's current one.
        started: when it began, in seconds since the epoch.
        timeline: its steps, in the order in which they began.
    """

    seconds: float
    steps: int
    cached_steps: int
    log_path: Path | None
    ref: str | None
    source: str = "built"
    builder: str | None = None
    started: float = 0.0
    timeline: tuple[StepRecord, ...] = ()


def ref_id(ref: str) -> str:
    """Return the part of a build reference by which ``docker buildx history`` finds the build."""
    return ref.rpartition("/")[2]


def history_command(ref: str, builder: str | None, options: tuple[str, ...] = ()) -> str:
    """Return what a person types to see the log that BuildKit keeps of a build.

    Args:
        ref: buildx's reference of it.
        builder: the name of its builder; None for the current one.
        options: docker's own, by which the builder is reached.
    """
    which = [f"--builder={builder}"] if builder else []
    return shlex.join(["docker", *options, "buildx", "history", "logs", *which, ref_id(ref)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The facts of an export, as they are kept beside its tree.

    Attributes:
        platform: what it was built for.
        files: every file and link, sorted by name.
        build: how it was built.
        archive: the name of the archive that is all of it; None for a tree of files.
        attestations: in-toto statements of it.
    """

    platform: Platform
    files: tuple[FileRecord, ...]
    build: BuildRecord
    archive: str | None = None
    attestations: tuple[Statement, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON values for `from_json`."""
        build = asdict(self.build)
        build["log_path"] = str(self.build.log_path) if self.build.log_path else None
        return {
            "platform": str(self.platform),
            "files": [asdict(file) for file in self.files],
            "build": build,
            "archive": self.archive,
            "attestations": list(self.attestations),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, SettingsError: it is something else.
        """
        build = dict(data["build"])
        build["log_path"] = Path(build["log_path"]) if build["log_path"] else None
        build["timeline"] = tuple(StepRecord(**step) for step in build.get("timeline", ()))
        return cls(
            platform=Platform.parse(data["platform"]),
            files=tuple(FileRecord(**file) for file in data["files"]),
            build=BuildRecord(**build),
            archive=data["archive"],
            attestations=tuple(data["attestations"]),
        )
