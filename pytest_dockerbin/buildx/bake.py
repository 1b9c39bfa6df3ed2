"""Asks bake what its files say. Nothing is built, and no output is touched."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.bake_target import PROBE, PROBE_VALUE
from pytest_dockerbin.buildx.docker import buildx_words
from pytest_dockerbin.buildx.inventory import missing_buildx
from pytest_dockerbin.errors import SecretError, SettingsError
from pytest_dockerbin.surroundings import variables

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dockerbin.errors import DockerbinError

_NO_TARGET = re.compile(r"failed to find target (\S+)")
_NO_FILE = re.compile(r"failed to stat ([^:]+): ")
_NO_AGENT = "invalid empty ssh agent socket"


def print_definition(files: tuple[Path, ...], target: str | None) -> dict[str, Any]:
    """Return what ``docker buildx bake --print`` says, in the first file's folder.

    Without an override of all outputs it would make the archives that they name anew, empty.

    Args:
        files: the bake files.
        target: the name of a target or group; bake's ``default`` when None.

    Raises:
        SettingsError: there is no such file or target, or bake can't read it.
        EngineError: docker or buildx is missing; no daemon is needed.
        SecretError: a secret's file or the ssh agent is missing, which bake looks for at once.
    """
    for file in files:
        if not file.is_file():
            raise SettingsError(f"bake: there is no file {str(file)!r}")
    words = ["--print", "--progress=quiet", "--set=*.output="]
    words.append(f"--set=*.labels.{PROBE}={PROBE_VALUE}")
    run = _bake(files, [*words, *([target] if target else [])])
    try:
        printed: dict[str, Any] = json.loads(run.stdout)
    except ValueError:
        raise _failure(files, target, run.stderr) from None
    return printed


def _bake(files: tuple[Path, ...], words: list[str]) -> subprocess.CompletedProcess[str]:
    named = [f"--file={file}" for file in files]
    return subprocess.run(
        [*buildx_words(), "bake", *named, *words],
        cwd=files[0].parent,
        env=variables(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=120,
    )


def _failure(files: tuple[Path, ...], target: str | None, said: str) -> DockerbinError:
    missing = missing_buildx()
    if missing:
        return missing
    names = ", ".join(file.name for file in files)
    what = said.rpartition("ERROR: ")[2].strip() or "docker buildx bake printed nothing"
    if _NO_AGENT in what:
        return SecretError.no_agent("default", "SSH_AUTH_SOCK is not set")
    if found := _NO_FILE.search(what):
        return SecretError.missing(found[1], f"{names} names a file that is not there")
    if found := _NO_TARGET.search(what):
        known = _targets(files)
        if known and target:
            return SettingsError.unknown("target", target, known, names)
        return SettingsError(f"{names}: there is no target {found[1]!r}")
    return SettingsError(f"{names}: {' '.join(what.split())}")


def _targets(files: tuple[Path, ...]) -> list[str]:
    """Return the names of all targets and groups; none where buildx is too old to tell."""
    run = _bake(files, ["--progress=quiet", "--list=type=targets,format=json"])
    try:
        return [target["name"] for target in json.loads(run.stdout)]
    except (ValueError, KeyError, TypeError):
        return []
