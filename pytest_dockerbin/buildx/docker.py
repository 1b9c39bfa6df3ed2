"""Finds the docker command, asks it about builds, and reads what it says of builders."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

from pytest_dockerbin.errors import EngineError, SettingsError
from pytest_dockerbin.executables import format_of
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.surroundings import folder, variables

# where docker looks for plugins after the user's own folder; from docker/cli's manager_unix.go
_PLUGIN_FOLDERS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)

_SOCKET = "unix:///var/run/docker.sock"


def find_docker() -> str:
    """Return the path of the docker command.

    Raises:
        EngineError: it is not on PATH.
    """
    docker = shutil.which("docker", path=variables().get("PATH"))
    if docker is None:
        raise EngineError.no_docker()
    return docker


def buildx_words(options: tuple[str, ...] = ()) -> list[str]:
    """Return the words that begin a call of buildx.

    Those are the file of docker's plugin itself, which builds what is cached in 163 ms where
    ``docker buildx`` takes 260 ms. But what stands in docker's place and is a script, or goes by
    another name, is meant to see the call; and only docker knows options of docker's own.

    Args:
        options: docker's own, by which a builder is reached.

    Raises:
        EngineError: docker is not on PATH.
    """
    docker = find_docker()
    plugin = None if options else _plugin_of(docker)
    return [plugin] if plugin else [docker, *options, "buildx"]


def _plugin_of(docker: str) -> str | None:
    """Return the file of docker's buildx plugin, where docker itself is sure to run that one."""
    if os.name != "posix" or Path(docker).resolve().name != "docker":  # snap's, for one
        return None
    given = variables()
    own = Path(
        given.get("DOCKER_CONFIG") or Path(given.get("HOME") or "~").expanduser() / ".docker"
    )
    try:
        with open(docker, "rb") as file:  # noqa: PTH123 (a hot path)
            is_program = format_of(file.read(4)) is not None
        text = (own / "config.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, ValueError):
        return None
    if not is_program or "cliPluginsExtraDirs" in text:
        return None
    places = (f"{place}/docker-buildx" for place in (own / "cli-plugins", *_PLUGIN_FOLDERS))
    first = next(filter(os.path.lexists, places), None)  # docker runs this one or complains of it
    return first if first and os.access(first, os.X_OK) else None


def is_down() -> bool:
    """Tell whether the engine surely does not answer: nobody listens at its socket.

    Of an engine elsewhere, and of one that a docker context names, it is not known.
    """
    given = variables()
    host = given.get("DOCKER_HOST") or ("" if given.get("DOCKER_CONTEXT") else _SOCKET)
    if not host.startswith("unix://") or not hasattr(socket, "AF_UNIX"):
        return False
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(host.removeprefix("unix://"))
        except OSError:
            return True
    return False


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
    command.insert(command.index("build") + 1, "--call=targets,format=json")
    with open(stdin or os.devnull, "rb") as file:  # noqa: PTH123 (the latter is no path of ours)
        run = subprocess.run(
            command,
            stdin=file,
            capture_output=True,
            check=False,
            timeout=120,
            env=variables(),
            cwd=folder(),
        )
    try:
        listed = json.loads(run.stdout)["targets"]
        return [target["name"] for target in listed if "name" in target]
    except (ValueError, KeyError, TypeError):
        return None
