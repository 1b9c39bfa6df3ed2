"""Starting and stopping one flavour, and finding out what is there already."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from engine import apt, daemon, docker, emulators, network, toolsets
from engine.errors import EngineError
from engine.flavours import flavour
from engine.locks import locked
from engine.shell import is_root, run, say

if TYPE_CHECKING:
    from engine.docker import Answer
    from engine.flavours import Flavour
    from engine.layout import Layout
    from engine.toolsets import Toolset

_SYSTEMD = Path("/run/systemd/system")

# Of the machine's own suite: they talk to its kernel and link its libraries.
_NEEDED = {"runc": "runc", "iptables": "iptables", "ip": "iproute2"}

WHAT_TO_INSTALL = f"""\
install Docker Engine {docker.OLDEST_MAJOR} or newer with buildx, or Docker Desktop:
  https://docs.docker.com/engine/install/
and emulators for other platforms, once after each boot:
  docker run --privileged --rm tonistiigi/binfmt --install all
or run this script as root on Debian: it brings an engine of its own"""


def start(name: str, layout: Layout) -> None:
    """Have the flavour running when this returns."""
    wanted = flavour(name, layout)
    if _is_up(wanted):
        return
    # Before the lock, which a user who is not root cannot open.
    _refuse_what_cannot_work(wanted)
    with locked(layout.lock):
        # Another run may have started it while this one waited.
        if not _is_up(wanted):
            _start(wanted, layout)


def stop(names: list[str], layout: Layout) -> None:
    """End the engines of ours; no other engine is touched."""
    found = [flavour(name, layout) for name in names]
    if not is_root() and any(daemon.is_ours(each) for each in found):
        raise EngineError("root started the engine", "run this as root")
    if not layout.home.exists():
        say("nothing was ever started here")
        return
    with locked(layout.lock):
        for each in found:
            stopped = daemon.clear(each)
            if each.bridge:
                stopped = network.remove_bridge(each.bridge) or stopped
            if not stopped:
                say(f"{each.name}: none of ours is running")
            else:
                say(f"{each.name}: stopped")


def whose(wanted: Flavour) -> str:
    """Return ``ours`` or ``found`` for an engine that answers."""
    # The docker CLI may follow another engine than the one that we started.
    leads_here = wanted.has_own_client or docker.is_default_endpoint(docker.endpoint())
    return "ours" if leads_here and daemon.is_ours(wanted) else "found"


def _is_up(wanted: Flavour) -> bool:
    """Tell whether the flavour runs and is complete; say so if it does."""
    if wanted.has_own_client and not daemon.is_up(wanted):
        return False
    answer = docker.ask(wanted.environment(os.environ))
    if not answer.is_enough:
        return False
    told = f"Docker Engine {answer.engine} with buildx {answer.buildx}"
    if whose(wanted) == "found":
        told += f" answers at {docker.endpoint()}, nothing to do"
    else:
        told += f" is running at {wanted.socket}"
        if is_root():
            # Emulators go with a reboot, or somebody's unregistering.
            emulators.ensure_emulators()
    say(f"{wanted.name}: {told}")
    return True


def _refuse_what_cannot_work(wanted: Flavour) -> None:
    can_install = is_root() and apt.machine().has_apt
    if wanted.has_own_client:
        if not can_install:
            raise EngineError(
                f"{wanted.name} does not answer this user, who cannot start it either",
                "run `start` as root on Debian",
            )
        return
    answer = docker.ask()
    if answer.engine and (wrong := _what_is_wrong(answer)) and (answer.buildx or not can_install):
        raise EngineError(f"{wrong} at {docker.endpoint()}", WHAT_TO_INSTALL)
    if not can_install:
        if "permission denied" in answer.complaint:
            cure = "become a member of the group docker, or run this as root"
            raise EngineError(answer.complaint, cure)
        raise EngineError("no Docker Engine with BuildKit and buildx answers", WHAT_TO_INSTALL)
    address = docker.endpoint()
    if not docker.is_default_endpoint(address):
        raise EngineError(
            f"the docker CLI follows {address}, where no engine with buildx answers",
            "start that engine, or unset DOCKER_HOST and run `docker context use default`",
        )


def _start(wanted: Flavour, layout: Layout) -> None:
    if wanted.has_own_client or daemon.is_ours(wanted) or not daemon.answers(wanted.socket):
        toolset = _prepare(wanted, layout)
        if daemon.is_ours(wanted):
            daemon.wait(wanted)
        # The machine's own packages may have started theirs.
        elif wanted.has_own_client or not daemon.answers(wanted.socket):
            _launch(wanted, toolset)
    else:
        # Somebody's engine, and only the client's part is missing.
        toolsets.offer_to_every_shell(toolsets.ensure_toolset(wanted.toolset, layout))
    answer = docker.ask(wanted.environment(os.environ))
    if wrong := _what_is_wrong(answer):
        raise EngineError(f"{wanted.name}: {wrong} at {wanted.socket}", WHAT_TO_INSTALL)
    say(
        f"{wanted.name}: Docker Engine {answer.engine} with buildx {answer.buildx}"
        f" is running at {wanted.socket}"
    )


def _prepare(wanted: Flavour, layout: Layout) -> Toolset:
    """Have everything that an engine of ours needs and that lasts longer than it."""
    if missing := [package for name, package in _NEEDED.items() if shutil.which(name) is None]:
        apt.install(missing)
    toolset = toolsets.ensure_toolset(wanted.toolset, layout)
    emulators.ensure_emulators()
    if wanted.has_own_client:
        toolsets.offer_to_flavour(toolset, binaries=wanted.bin, docker_config=wanted.docker_config)
    else:
        toolsets.offer_to_every_shell(toolset)
    return toolset


def _launch(wanted: Flavour, toolset: Toolset) -> None:
    if not wanted.has_own_client and _SYSTEMD.exists() and _is_a_service():
        raise EngineError(
            "the machine's own Docker is installed but not running", "run `systemctl start docker`"
        )
    if daemon.clear(wanted):
        say(f"{wanted.name}: cleared away what a killed engine had left")
    if wanted.bridge and network.ensure_bridge(wanted.bridge, f"pytest-dockerbin {wanted.name}"):
        say(f"{wanted.name}: made the network bridge {wanted.bridge}")
    say(f"{wanted.name}: starting dockerd, its log is {wanted.log}")
    daemon.launch(wanted, toolset)


def _is_a_service() -> bool:
    return run(["systemctl", "cat", "docker.service"], check=False).returncode == 0


def _what_is_wrong(answer: Answer) -> str:
    """Return why an answer is not enough, or an empty text."""
    if not answer.engine:
        return answer.complaint or "no engine answers"
    if answer.product != "Engine":
        return f"{answer.product or 'some other product'} answers, not Docker,"
    if docker.major(answer.engine) < docker.OLDEST_MAJOR:
        return f"Docker Engine {answer.engine} is too old; it answers"
    return "" if answer.buildx else "docker has no buildx; an engine answers"
