"""Asks the docker command what it is and what its builder can do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from pytest_dockerbin.engine import unreachable
from pytest_dockerbin.errors import EngineError, SettingsError
from pytest_dockerbin.platforms import Platform

if TYPE_CHECKING:
    from pathlib import Path


def find_docker() -> str:
    """Return the path of the docker command.

    Raises:
        EngineError: it is not on PATH.
    """
    docker = shutil.which("docker")
    if docker is None:
        raise EngineError.no_docker()
    return docker


def builder_platforms(builder: str | None) -> tuple[Platform, ...]:
    """Return the platforms that a builder says it can build: advice, not the whole truth.

    Raises:
        EngineError: docker or buildx is missing, or the daemon does not answer.
    """
    command = [find_docker(), "buildx", "inspect", *([builder] if builder else [])]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    platforms = listed_platforms(run.stdout)
    if run.returncode or not platforms:  # a builder without a daemon lists none and exits with 0
        raise missing_part() or EngineError(
            f"docker buildx inspect lists no platforms: {' '.join(run.stderr.split())}"
        )
    return platforms


def listed_platforms(inspected: str) -> tuple[Platform, ...]:
    """Return the platforms in what ``docker buildx inspect`` printed, those of all nodes."""
    listed = re.findall(r"^[ \t]*Platforms:[ \t]*(\S.*)$", inspected, re.MULTILINE)
    platforms = []
    for word in ",".join(listed).split(","):
        try:
            platforms.append(Platform.parse(word.strip().strip("*")))
        except SettingsError:  # an exotic platform that nobody can name in a list here either
            continue
    return tuple(dict.fromkeys(platforms))


def stage_names(build: list[str], stdin: Path | None) -> list[str] | None:
    """Return the stages of a build's Dockerfile that have a name; None if buildx can't tell.

    Args:
        build: the command of the build; buildx has ``--call=targets`` since 0.15.
        stdin: the file that it reads.
    """
    command = [word for word in build if not word.startswith(("--metadata-file=", "--progress="))]
    command[3:3] = ["--call=targets,format=json"]
    with open(stdin or os.devnull, "rb") as file:  # noqa: PTH123 (the latter is no path of ours)
        run = subprocess.run(command, stdin=file, capture_output=True, check=False, timeout=120)
    try:
        listed = json.loads(run.stdout)["targets"]
        return [target["name"] for target in listed if "name" in target]
    except (ValueError, KeyError, TypeError):
        return None


def missing_part() -> EngineError | None:
    """Look, after a failure, which part of docker is missing; nothing is probed before."""
    missing = missing_buildx()
    if missing:
        return missing
    said_by_engine = unreachable()
    return EngineError.no_daemon(said_by_engine) if said_by_engine else None


def missing_buildx() -> EngineError | None:
    """Look whether the docker command or its buildx plugin is missing; a daemon is not asked."""
    docker = shutil.which("docker")
    if docker is None:
        return EngineError.no_docker()
    version = subprocess.run(
        [docker, "buildx", "version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if version.returncode:
        said = (version.stderr or version.stdout).strip() or f"exit code {version.returncode}"
        return EngineError.no_buildx(said.partition("\n")[0].strip())
    return None
