"""The exported files of builds, platforms side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pytest_dockerbin.frozen import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dockerbin.manifest import FileRecord
    from pytest_dockerbin.report.model import BuildReport

_MOST_FILES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """A file on all platforms.

    Attributes:
        name: path inside the export.
        files: one for each platform; None where it is not.
    """

    name: str
    files: tuple[FileRecord | None, ...]

    @property
    def ratio(self) -> float | None:
        """How many times larger the largest is than the smallest; None where that is nothing."""
        sizes = [file.size for file in self.files if file and file.link is None]
        return max(sizes) / min(sizes) if len(sizes) > 1 and min(sizes) else None

    @property
    def count(self) -> int:
        """How many platforms have it."""
        return len(self.files) - self.files.count(None)

    @property
    def is_everywhere(self) -> bool:
        """Whether each platform has it."""
        return None not in self.files


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """What a build exported.

    Attributes:
        title: the build's.
        builds: one for each platform of which something is known.
        rows: the files by name; those first that not every platform has, where they are too many.
        left_out: number of files that are too many to be shown.
    """

    title: str
    builds: tuple[BuildReport, ...]
    rows: tuple[FileRow, ...]
    left_out: int

    @classmethod
    def all_of(cls, builds: Sequence[BuildReport]) -> tuple[Self, ...]:
        """Return those of a session's builds that exported anything."""
        found: dict[str, list[BuildReport]] = {}
        for build in builds:
            if build.files:
                found.setdefault(build.title, []).append(build)
        return tuple(cls._of(title, tuple(each)) for title, each in sorted(found.items()))

    @classmethod
    def _of(cls, title: str, builds: tuple[BuildReport, ...]) -> Self:
        named = [{file.name: file for file in build.files} for build in builds]
        rows = [
            FileRow(name=name, files=tuple(files.get(name) for files in named))
            for name in sorted(set().union(*named))
        ]
        chosen = sorted(rows, key=lambda row: row.is_everywhere)[:_MOST_FILES]
        return cls(
            title=title,
            builds=builds,
            rows=tuple(sorted(chosen, key=lambda row: row.name)),
            left_out=len(rows) - len(chosen),
        )
