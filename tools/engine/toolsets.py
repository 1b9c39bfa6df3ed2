"""The programs of an engine: the system's own, or a set unpacked beside the system."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine import apt, debs
from engine.docker import major
from engine.errors import EngineError
from engine.flavours import FLOOR, MAIN
from engine.shell import run, say, why

if TYPE_CHECKING:
    from engine.layout import Layout

PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "containerd")
MODERN_MAJOR = 28
FLOOR_VERSION = "26.1."

# Debian testing has the newest. Its programs run as long as they ask for no newer libraries
# than this machine has; else those of the stable release are taken.
_SUITES = {MAIN: ("testing", "stable"), FLOOR: ("trixie", "stable", "oldstable")}

_PLUGIN_FOLDERS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
_SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_INSTALL_DOCKER = "install Docker Engine 28 with buildx: https://docs.docker.com/engine/install/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolset:
    """Where the programs of one engine are."""

    dockerd: Path
    docker: Path
    buildx: Path
    path: str
    """PATH for dockerd, which finds containerd, its shim and runc there."""


def installed(name: str, layout: Layout) -> Toolset | None:
    """Return a set that is there already."""
    if (layout.sets / name / "set.json").exists():
        return _unpacked(layout.sets / name)
    return _system() if name == MAIN else None


def ensure_toolset(name: str, layout: Layout) -> Toolset:
    """Return a set of programs; download it, or install it, when it is missing."""
    if found := installed(name, layout):
        return found
    if not apt.own_candidate("docker.io"):
        apt.refresh()
    if name == MAIN and major(apt.own_candidate("docker.io")) >= MODERN_MAJOR:
        return _install_own()
    if apt.machine().is_debian:
        return _unpack_first(name, layout)
    if name == MAIN and apt.own_candidate("docker-buildx"):
        return _install_own()
    if name == FLOOR:
        raise EngineError(
            f"Docker {FLOOR_VERSION}x comes from Debian's archive", "run it on Debian"
        )
    raise EngineError("this release of Ubuntu serves no Docker Engine with buildx", _INSTALL_DOCKER)


def _unpacked(folder: Path) -> Toolset:
    usr = folder / "usr"
    return Toolset(
        dockerd=usr / "sbin/dockerd",
        docker=usr / "bin/docker",
        buildx=usr / "libexec/docker/cli-plugins/docker-buildx",
        path=os.pathsep.join([str(usr / "sbin"), str(usr / "bin"), *_SYSTEM_PATH]),
    )


def _system() -> Toolset | None:
    path = os.pathsep.join(_SYSTEM_PATH)
    dockerd, docker = shutil.which("dockerd", path=path), shutil.which("docker", path=path)
    buildx = plugin("docker-buildx")
    if not (dockerd and docker and buildx):
        return None
    version = run([dockerd, "--version"], check=False).stdout
    if major(version.removeprefix("Docker version ")) < MODERN_MAJOR:
        return None
    return Toolset(dockerd=Path(dockerd), docker=Path(docker), buildx=buildx, path=path)


def plugin(name: str) -> Path | None:
    """Return a plugin of the docker CLI that every user on the machine has."""
    files = (Path(folder) / name for folder in _PLUGIN_FOLDERS)
    return next((file for file in files if os.access(file, os.X_OK)), None)


def _install_own() -> Toolset:
    names = ["docker.io", "docker-buildx"]
    # Debian has split the client off.
    names += ["docker-cli"] if apt.own_candidate("docker-cli") else []
    apt.install(names)
    if found := _system():
        return found
    raise EngineError(f"apt installed {', '.join(names)}, but they are no engine", _INSTALL_DOCKER)


def _unpack_first(name: str, layout: Layout) -> Toolset:
    """Unpack the first suite's set whose programs run here."""
    problems = []
    for suite_name in _SUITES[name]:
        try:
            return _unpack(name, suite_name, layout)
        except EngineError as error:
            problems.append(f"{suite_name}: {error.message}")
            say(f"{suite_name} cannot be used: {error.message}")
    wanted = f"Docker {FLOOR_VERSION}x" if name == FLOOR else "Docker Engine"
    raise EngineError(
        f"no suite of Debian has a {wanted} that runs here ({'; '.join(problems)})",
        _INSTALL_DOCKER if name == MAIN else "see that `apt-get update` works, then try again",
    )


def _unpack(name: str, suite_name: str, layout: Layout) -> Toolset:
    suite = apt.Suite.open(suite_name, apt.machine().architecture, layout.apt)
    suite.update()
    version = suite.candidate("docker.io")
    if not version:
        raise EngineError("it has no docker.io")
    if name == FLOOR and not version.startswith(FLOOR_VERSION):
        raise EngineError(f"it has Docker {version}, not {FLOOR_VERSION}x")
    with debs.scratch(layout.sets) as new:
        (new / "debs").mkdir()
        (new / "root").mkdir()
        say(f"downloading Docker Engine {version} from Debian {suite_name}")
        versions = {}
        for deb in suite.download(PACKAGES, new / "debs"):
            debs.unpack(deb, new / "root")
            versions[deb.name.split("_")[0]] = debs.version(deb)
        _try(_unpacked(new / "root"))
        facts = json.dumps({"suite": suite_name, "versions": versions}, indent=2)
        (new / "root" / "set.json").write_text(facts + "\n", encoding="utf-8")
        debs.replace_folder(new / "root", layout.sets / name)
    say(f"unpacked it beside the system in {layout.sets / name}")
    return _unpacked(layout.sets / name)


def _try(toolset: Toolset) -> None:
    """Run each program: the dynamic loader refuses what needs newer libraries."""
    usr = toolset.dockerd.parent.parent
    for program, argument in (
        (toolset.dockerd, "--version"),
        (toolset.docker, "--version"),
        (toolset.buildx, "version"),
        (usr / "bin/containerd", "--version"),
        (usr / "bin/containerd-shim-runc-v2", "-v"),
    ):
        done = run([program, argument], check=False)
        if done.returncode != 0:
            reason = missing_library(done.stderr) or why(done)
            raise EngineError(f"its {program.name} does not run here: {reason}")


def missing_library(stderr: str) -> str:
    """Read what the dynamic loader missed: a newer version of a library, or the library."""
    match = re.search(r"version `[^']+' not found|\S+: cannot open shared object file", stderr)
    return match[0] if match else ""


def offer_to_every_shell(toolset: Toolset) -> None:
    """Let every docker CLI on the machine find buildx, and every shell find docker."""
    if plugin("docker-buildx") is None:
        link = Path(_PLUGIN_FOLDERS[0]) / "docker-buildx"
        _link(toolset.buildx, link)
        say(f"linked buildx into {link.parent}")
    if shutil.which("docker") is None:
        link = Path("/usr/local/bin/docker")
        _link(toolset.docker, link)
        say(f"linked docker into {link.parent}")


def offer_to_flavour(toolset: Toolset, *, binaries: Path, docker_config: Path) -> None:
    """Make the folders that lead one flavour's users to its own docker and buildx."""
    _link(toolset.docker, binaries / "docker")
    _link(toolset.buildx, docker_config / "cli-plugins" / "docker-buildx")


def _link(target: Path, link: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    # Made elsewhere and moved over: a dangling link, or one to another set, is replaced at once.
    new = link.with_name(f".{link.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
