"""Asks the docker command what is here: itself, its engine, buildx and a builder.

Whatever is missing is an error in the list, and the rest is asked all the same.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_dockerbin.buildx.docker import find_docker, listed_platforms
from pytest_dockerbin.engine import unreachable
from pytest_dockerbin.errors import EngineError, SettingsError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.manifest import ref_id
from pytest_dockerbin.surroundings import variables

if TYPE_CHECKING:
    from pytest_dockerbin.platforms import Platform

_MOST_FAILURES = 5  # that are looked at: others may fail at the same time
_PATIENCE = 30.0  # seconds for one answer; buildx itself waits 20 s for a builder


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """The docker command.

    Attributes:
        command: its path.
        version: its version.
        buildx: the version of its buildx plugin.
    """

    command: str | None = None
    version: str | None = None
    buildx: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The engine that the docker command talks to.

    Attributes:
        context: the name of the docker context in force.
        address: where the engine listens.
        version: its version.
        api: the newest API version that it speaks.
        platform: its own platform.
        image_store: ``containerd`` or ``classic``.
    """

    context: str | None = None
    address: str | None = None
    version: str | None = None
    api: str | None = None
    platform: str | None = None
    image_store: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildxBuilder:
    """A builder of buildx.

    Attributes:
        name: its name.
        driver: ``docker``, ``docker-container``, ``kubernetes`` or ``remote``.
        platforms: those that all its nodes say they can build.
    """

    name: str | None = None
    driver: str | None = None
    platforms: tuple[Platform, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What the docker command says; what it does not say is None."""

    docker: Docker = Docker()
    engine: Engine = Engine()
    builder: BuildxBuilder = BuildxBuilder()
    errors: tuple[EngineError, ...] = ()


def take_inventory(builder: str | None) -> Inventory:
    """Ask for everything.

    Args:
        builder: a builder's name; the current one when None.
    """
    command = shutil.which("docker")
    if command is None:
        return Inventory(builder=BuildxBuilder(name=builder), errors=(EngineError.no_docker(),))
    version, engine, engine_error = _ask_engine(command)
    buildx, buildx_error = _ask_buildx(command)
    asked, builder_error = BuildxBuilder(name=builder), None
    if buildx:
        asked, builder_error = _ask_builder(command, builder)
        if engine_error and builder_error and asked.driver in (None, "docker"):
            builder_error = None  # the builder is the engine, of which it is said already
    return Inventory(
        docker=Docker(command=command, version=version, buildx=buildx),
        engine=engine,
        builder=asked,
        errors=tuple(error for error in (engine_error, buildx_error, builder_error) if error),
    )


def missing_part(builder: str | None) -> EngineError | None:
    """Look, after a failure, which part of docker is missing; nothing is probed before.

    Args:
        builder: a builder's name; the current one when None.
    """
    missing = missing_buildx()
    if missing:
        return missing
    asked, error = _ask_builder(find_docker(), builder)
    said = unreachable() if error and not builder and asked.driver in (None, "docker") else None
    return EngineError.no_daemon(said) if said else error


def missing_buildx() -> EngineError | None:
    """Look whether the docker command or its buildx plugin is missing; no daemon is asked."""
    command = shutil.which("docker")
    return _ask_buildx(command)[1] if command else EngineError.no_docker()


def builder_platforms(builder: str | None) -> tuple[Platform, ...]:
    """Return the platforms that a builder says it can build: advice, not the whole truth.

    Raises:
        EngineError: docker or buildx is missing, or the builder does not answer.
    """
    asked, error = _ask_builder(find_docker(), builder)
    if error:
        raise missing_part(builder) or error
    return asked.platforms


def find_builder(name: str) -> tuple[str, ...]:
    """Return the options of docker by which a builder is reached.

    The builder of a docker context is used only where docker itself follows that context.

    Raises:
        EngineError: docker or buildx is missing.
        SettingsError: there is no builder of that name.
    """
    command = find_docker()
    said = _ask(command, "buildx", "inspect", "--", name)
    if said.code == 0:
        return (f"--context={name}",) if _line(said.out, "Driver") == "docker" else ()
    missing = _ask_buildx(command)[1]
    if missing:
        raise missing
    if "no builder" not in said.why():
        raise EngineError.no_builder(name, said.why())
    listed = _ask(command, "buildx", "ls", "--format={{.Builder.Name}}")
    names = set() if listed.code else set(listed.out.split())
    raise SettingsError.unknown("builder", name, names, form="one that `docker buildx ls` lists")


def failed_build(
    options: tuple[str, ...], builder: str | None, platform: Platform, since: float
) -> str | None:
    """Return buildx's reference of a build that failed just now; None where buildx keeps none.

    Buildx prints none of a failed build. From 0.21 it lists them; where several of that platform
    failed since then, nothing tells which one it was.

    Args:
        options: docker's own, by which the builder is reached.
        builder: a builder's name; the current one when None.
        platform: what the build was for.
        since: when it began, in seconds since the epoch.
    """
    history = [find_docker(), *options, "buildx", "history"]
    which = [f"--builder={builder}"] if builder else []
    listed = _ask(*history, "ls", *which, "--format=json", "--no-trunc").out.splitlines()
    failed = (build for line in listed if (build := _failure(line, since)))
    found = [
        ref
        for ref in islice(failed, _MOST_FAILURES)
        if _is_for(platform, _ask(*history, "inspect", *which, "--format=json", ref_id(ref)).out)
    ]
    return found[0] if len(found) == 1 else None


def _failure(line: str, since: float) -> str | None:
    """Return the reference in a line of buildx's history, if that build failed since then."""
    build = _json(line)
    try:
        began = datetime.fromisoformat(_text(build, "created_at") or "").timestamp()
    except ValueError:
        return None
    failed = _text(build, "status") == "Error" and began >= since
    return _text(build, "ref") if failed else None


def _is_for(platform: Platform, inspected: str) -> bool:
    build = _json(inspected)
    return isinstance(build, dict) and build.get("Platform") == [str(platform)]


def _ask_engine(command: str) -> tuple[str | None, Engine, EngineError | None]:
    """Return the docker command's version, the engine, and why it does not answer."""
    said = _ask(command, "version", "--format={{json .}}")
    found = _json(said.out)
    context = _text(found, "Client", "Context")
    endpoint = _ask(command, "context", "inspect", "--format={{.Endpoints.docker.Host}}")
    engine = Engine(
        context=context or os.environ.get("DOCKER_CONTEXT"),
        address=endpoint.out.strip() or os.environ.get("DOCKER_HOST"),
    )
    version = _text(found, "Client", "Version")
    if said.code or not _text(found, "Server", "Version"):
        return version, engine, EngineError.no_daemon(said.why())
    system, processor = _text(found, "Server", "Os"), _text(found, "Server", "Arch")
    status = _ask(command, "info", "--format={{json .DriverStatus}}")
    return (
        version,
        Engine(
            context=engine.context,
            address=engine.address,
            version=_text(found, "Server", "Version"),
            api=_text(found, "Server", "ApiVersion"),
            platform=f"{system}/{processor}" if system and processor else None,
            image_store=None if status.code else _image_store(status.out),
        ),
        None,
    )


def _image_store(driver_status: str) -> str:
    """Tell the store by the driver type that containerd's snapshotters report."""
    return "containerd" if "io.containerd.snapshotter." in driver_status else "classic"


def _ask_buildx(command: str) -> tuple[str | None, EngineError | None]:
    said = _ask(command, "buildx", "version")
    if said.code:
        return None, EngineError.no_buildx(said.why())
    words = said.out.split()  # github.com/docker/buildx v0.29.1 COMMIT
    return (words[1].removeprefix("v") if len(words) > 1 else said.out.strip()), None


def _ask_builder(command: str, name: str | None) -> tuple[BuildxBuilder, EngineError | None]:
    said = _ask(command, "buildx", "inspect", *(["--", name] if name else []))
    builder = BuildxBuilder(
        name=_line(said.out, "Name") or name or os.environ.get("BUILDX_BUILDER"),
        driver=_line(said.out, "Driver"),
        platforms=listed_platforms(said.out),
    )
    shown = builder.name or "buildx's own"
    if said.code:
        return builder, EngineError.no_builder(shown, said.why())
    if not builder.platforms:  # a builder that can't be reached is no error of the command's
        why = _line(said.out, "Error")
        if why:
            return builder, EngineError.lost_builder(shown, why)
        return builder, EngineError.idle_builder(shown, _line(said.out, "Status") or said.why())
    return builder, None


class _Said(NamedTuple):
    """What docker said: its exit code, standard output and standard error."""

    code: int
    out: str = ""
    err: str = ""

    def why(self) -> str:
        """Return one line that says why it failed."""
        lines = [line.strip() for line in self.err.splitlines() or self.out.splitlines()]
        return next(filter(None, lines), f"exit code {self.code}").removeprefix("ERROR: ")


def _ask(*command: str) -> _Said:
    try:
        with subprocess.Popen(
            command,
            env=variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(timeout=_PATIENCE)
            except BaseException:
                with suppress(ProcessLookupError):  # plugins too: docker may be a script
                    os.killpg(process.pid, signal.SIGKILL)
                raise
    except subprocess.TimeoutExpired:
        return _Said(1, err=f"no answer within {_PATIENCE:.0f} s")
    except OSError as error:
        return _Said(1, err=f"{command[0]}: {error.strerror}")
    return _Said(process.returncode, out, err)


def _json(text: str) -> Any:  # noqa: ANN401 (whatever a docker of another make prints)
    try:
        return json.loads(text)
    except ValueError:
        return None


def _text(data: Any, *keys: str) -> str | None:  # noqa: ANN401
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, str) and data else None


def _line(inspected: str, name: str) -> str | None:
    """Return the first value of that name in what ``docker buildx inspect`` printed."""
    found = re.search(rf"^{name}:[ \t]*(\S.*)$", inspected, re.MULTILINE)
    return found[1].strip() if found else None
