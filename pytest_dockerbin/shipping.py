"""Writes what was tested: the folder of ``--dockerbin-output``.

Everything is made in a hidden folder inside it first, so that only renames are left, on the same
file system, also where the folder is a mount. SHA256SUMS goes first and comes back last: a folder
with ``dockerbin.json`` and without SHA256SUMS was cut short. `Prebuilt` refuses it, and the next
session writes it anew.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from errno import EEXIST
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_dockerbin.answers import read_result
from pytest_dockerbin.build_name import short_digest
from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.folders import delete
from pytest_dockerbin.record import DifferentError, take
from pytest_dockerbin.shipment import INDEX, SUMS, Index, Shipped, write_sums

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_dockerbin.build_name import BuildName, Export
    from pytest_dockerbin.platforms import Platform

_STAGING = ".dockerbin-"  # begins the names of hidden folders


class Verdict(NamedTuple):
    """What the tests of one platform gave.

    Attributes:
        passed: number of tests that passed.
        skipped: number of those that were skipped.
        against: why it may not be written; empty when it may.
    """

    passed: int
    skipped: int
    against: str = ""


def check_output(dest: Path, where: str) -> None:
    """Do nothing when ``dest`` can be written: not there, empty, or written by us before.

    Args:
        dest: the folder.
        where: what the user calls the setting.

    Raises:
        SettingsError: it holds other files, which would be among what was tested.
    """
    if not dest.exists():
        return
    if not dest.is_dir():
        raise SettingsError(f"{where}: {str(dest)!r} is no folder")
    names = [entry.name for entry in os.scandir(dest) if not entry.name.startswith(_STAGING)]
    if names and _read_index(dest) is None:
        raise SettingsError(
            f"{where}: {str(dest)!r} holds other files, such as {min(names)!r}; "
            f"expected a new folder, an empty one, or one that was written by this option"
        )


def ship(
    dest: Path, exports: Iterable[Export], verdicts: Mapping[Platform, Verdict]
) -> dict[Platform, str]:
    """Write each platform that nothing speaks against, and remove what was there before.

    Args:
        dest: the folder.
        exports: what the tests got.
        verdicts: what the tests of each platform gave.

    Returns:
        The platforms that were left out, and why.

    Raises:
        OSError: it can't be written; what was there before is left, or no SHA256SUMS is.
    """
    exports = list(exports)
    folders = _folders({export.build for export in exports})
    left_out = {each: verdict.against for each, verdict in verdicts.items() if verdict.against}
    parts: list[Shipped] = []
    existed = dest.is_dir()
    staging = dest / f"{_STAGING}{os.urandom(8).hex()}"
    staging.mkdir(parents=True)
    try:
        for platform in sorted(verdicts.keys() - left_out.keys()):
            own = [export for export in exports if export.platform == platform]
            try:
                parts += _stage(staging, own, verdicts[platform], folders)
            except _UnclearError as error:
                left_out[platform] = str(error)
        _replace(dest, staging, Index(tuple(sorted(parts, key=lambda part: part.folder))))
    finally:
        for leftover in dest.glob(f"{_STAGING}*"):  # those, too, of a session that was killed
            delete(leftover)
        if not existed:
            with suppress(OSError):
                dest.rmdir()  # nothing was written
    return left_out


class _UnclearError(Exception):
    """It can't be told any more what was tested."""


def _folders(builds: set[BuildName]) -> dict[BuildName, str]:
    """Return the folder of each build; with its words' digest where several have one name."""
    if len(builds) == 1:
        return dict.fromkeys(builds, "")
    often = Counter(map(str, builds))
    return {
        build: f"{build}-{short_digest(build.words)}/" if often[str(build)] > 1 else f"{build}/"
        for build in builds
    }


def _stage(
    staging: Path, exports: list[Export], verdict: Verdict, folders: Mapping[BuildName, str]
) -> list[Shipped]:
    """Copy one platform's exports, all of it compared with what was exported."""
    parts: dict[BuildName, Shipped] = {}
    for export in exports:
        if export.result is None:
            continue
        try:
            record = read_result(export.result)
        except FileNotFoundError:  # of an xdist worker over there
            raise _UnclearError("tested on another machine, which has its files") from None
        files = record.manifest.files
        if export.build in parts:
            if parts[export.build].files != files:
                raise _UnclearError(f"two builds are called {str(export.build)!r}, and differ")
            continue
        folder = f"{folders[export.build]}{export.platform.slug}"
        (staging / folder).parent.mkdir(exist_ok=True)
        try:
            take(export.result / "tree", staging / folder, record)
        except OSError as error:
            changed = _changed(error, export.result / "tree")
            if changed is None:
                raise
            raise _UnclearError(f"a test changed {changed}") from None
        parts[export.build] = Shipped(
            build=export.build,
            label=export.label,
            target=export.target,
            platform=export.platform,
            folder=folder,
            passed=verdict.passed,
            skipped=verdict.skipped,
            files=files,
            bake=export.bake,
        )
    if not parts:
        raise _UnclearError("nothing was built for its tests")
    return list(parts.values())


def _changed(error: OSError, tree: Path) -> str | None:
    """Return what is not as it was exported; None when something else is the matter."""
    if isinstance(error, DifferentError):
        return str(error)
    name = Path(str(error.filename or ""))
    return f"{name.relative_to(tree)}: {error.strerror}" if name.is_relative_to(tree) else None


def _replace(dest: Path, staging: Path, index: Index) -> None:
    """Put what is staged into its place, and take away what an earlier session wrote."""
    (staging / INDEX).write_text(index.write(), encoding="utf-8")
    (staging / SUMS).write_text(write_sums(index.sums()), encoding="utf-8")
    before = _read_index(dest) or Index(())
    ours = {part.folder for part in before.parts}
    for part in index.parts:
        if part.folder not in ours and os.path.lexists(dest / part.folder):
            raise FileExistsError(EEXIST, "somebody else's folder", str(dest / part.folder))
    (dest / SUMS).unlink(missing_ok=True)
    for number, part in enumerate(before.parts):
        with suppress(FileNotFoundError):
            (dest / part.folder).rename(staging / f"before-{number}")
        with suppress(OSError):  # an upper folder that others need, or dest itself
            (dest / part.folder).parent.rmdir()
    if not index.parts:
        (dest / INDEX).unlink(missing_ok=True)
        return
    (staging / INDEX).replace(dest / INDEX)
    for part in index.parts:
        (dest / part.folder).parent.mkdir(exist_ok=True)
        (staging / part.folder).rename(dest / part.folder)
    (staging / SUMS).replace(dest / SUMS)


def _read_index(dest: Path) -> Index | None:
    """Return what an earlier session wrote there, if it did."""
    try:
        return Index.read((dest / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
