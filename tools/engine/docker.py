"""What the docker CLI says about the engine it leads to."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.flavours import DEFAULT_SOCKET
from engine.shell import SECOND, run

if TYPE_CHECKING:
    from collections.abc import Mapping

# BuildKit is an engine's default builder since this version.
OLDEST_MAJOR = 23

# An engine of ours answers in milliseconds; one behind ssh may take its time.
_PATIENCE = 20 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an engine and its client say about themselves."""

    engine: str = ""
    """The engine's version; empty when none answers."""
    product: str = ""
    """``Engine`` for Docker; other products speak the same protocol."""
    buildx: str = ""
    """The version of buildx; empty without the plugin."""
    complaint: str = ""
    """Why no engine answers."""

    @property
    def is_enough(self) -> bool:
        """Whether this is a Docker Engine with BuildKit and buildx."""
        return bool(self.buildx) and self.product == "Engine" and major(self.engine) >= OLDEST_MAJOR


def major(version: str) -> int:
    """Return the first number of a version, also of a Debian version with an epoch."""
    match = re.match(r"(?:\d+:)?v?(\d+)", version)
    return int(match[1]) if match else 0


def ask(env: Mapping[str, str] | None = None) -> Answer:
    """Ask the engine that the docker CLI follows in this environment."""
    done = run(
        ["docker", "version", "--format", "{{json .}}"], env=env, timeout=_PATIENCE, check=False
    )
    buildx = run(["docker", "buildx", "version"], env=env, timeout=_PATIENCE, check=False)
    return read_answer(done.stdout, buildx.stdout if buildx.returncode == 0 else "", done.stderr)


def read_answer(version: str, buildx: str, complaint: str = "") -> Answer:
    """Read the output of ``docker version`` and ``docker buildx version``."""
    try:
        server: dict[str, Any] = json.loads(version).get("Server") or {}
    except ValueError:
        server = {}
    components = [str(part.get("Name", "")) for part in server.get("Components") or []]
    # "github.com/docker/buildx 0.29.1+ds1 ..."
    found = re.search(r"\sv?(\d+\.\S+)", buildx)
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    return Answer(
        engine=str(server.get("Version", "")),
        product=next(iter(components), ""),
        buildx=found[1] if found else "",
        complaint=lines[-1].removesuffix(". Is the docker daemon running?") if lines else "",
    )


def store(env: Mapping[str, str] | None = None) -> str:
    """Return how the engine keeps images: ``containerd``, or the name of a graph driver."""
    done = run(
        ["docker", "info", "--format", "{{json .}}"], env=env, timeout=_PATIENCE, check=False
    )
    return read_store(done.stdout)


def read_store(info: str) -> str:
    """Read the image store in the output of ``docker info``."""
    try:
        facts: dict[str, Any] = json.loads(info)
    except ValueError:
        return ""
    for name, value in facts.get("DriverStatus") or []:
        if name == "driver-type" and "containerd.snapshotter" in value:
            return "containerd"
    return str(facts.get("Driver") or "")


def endpoint(env: Mapping[str, str] | None = None) -> str:
    """Return the address the docker CLI follows: DOCKER_HOST, or the current context's."""
    done = run(
        ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"],
        env=env,
        check=False,
    )
    return done.stdout.strip() or f"unix://{DEFAULT_SOCKET}"


def is_default_endpoint(address: str) -> bool:
    """Tell whether an address is the default socket, by either of its two names."""
    return address in {f"unix://{DEFAULT_SOCKET}", "unix:///run/docker.sock"}
