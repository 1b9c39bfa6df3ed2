"""The engines, their settings, and the environment that leads to each."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from engine.layout import Layout

MAIN, FLOOR, CLASSIC, SECOND = "main", "floor", "classic", "second"
NAMES = (MAIN, FLOOR, CLASSIC, SECOND)

DEFAULT_SOCKET = "/var/run/docker.sock"
ENGINE_VARIABLE = "DOCKERBIN_TEST_ENGINE"

# Where the docker CLI would look instead, or how it would behave otherwise.
_STEERING = (
    "BUILDX_BUILDER",
    "BUILDX_CONFIG",
    "DOCKER_API_VERSION",
    "DOCKER_CERT_PATH",
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
)

# The kernel's limit for the path of a Unix socket, less its final zero byte.
_SOCKET_LIMIT = 107


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """One engine of ours: a set of programs, an image store, a folder."""

    name: str
    toolset: str
    """The folder below ``sets/``."""
    store: str
    """``containerd``, ``classic``, or empty for the engine's own default."""
    folder: Path
    socket: Path
    bridge: str
    """The network bridge to make, or empty for the engine's own ``docker0``."""

    @property
    def config(self) -> Path:
        """The engine's settings; its path on a command line tells that it is ours."""
        return self.folder / "daemon.json"

    @property
    def data_root(self) -> Path:
        """Images, build cache, containers."""
        return self.folder / "data"

    @property
    def exec_root(self) -> Path:
        """What only lives as long as the engine."""
        return self.folder / "exec"

    @property
    def pidfile(self) -> Path:
        """Written by dockerd."""
        return self.folder / "dockerd.pid"

    @property
    def log(self) -> Path:
        """What dockerd says."""
        return self.folder / "dockerd.log"

    @property
    def bin(self) -> Path:
        """A folder with this flavour's ``docker`` only, to be put first on PATH."""
        return self.folder / "bin"

    @property
    def docker_config(self) -> Path:
        """A DOCKER_CONFIG folder with this flavour's buildx."""
        return self.folder / "config"

    @property
    def host(self) -> str:
        """The value of DOCKER_HOST that leads here."""
        return f"unix://{self.socket}"

    @property
    def has_own_client(self) -> bool:
        """Whether reaching it needs more than what every docker CLI does anyway."""
        return self.name != MAIN

    def daemon_json(self) -> dict[str, Any]:
        """Return dockerd's settings."""
        longest = self.exec_root / "containerd" / "containerd.sock.ttrpc"
        if len(os.fsencode(longest)) > _SOCKET_LIMIT:
            message = f"the path {longest} is too long for a Unix socket"
            raise EngineError(message, "choose a shorter state folder")
        settings: dict[str, Any] = {
            "data-root": str(self.data_root),
            "exec-root": str(self.exec_root),
            "pidfile": str(self.pidfile),
            "hosts": [self.host],
        }
        if self.store:
            settings["features"] = {"containerd-snapshotter": self.store != CLASSIC}
        if self.bridge:
            settings["bridge"] = self.bridge
            # An engine empties the DOCKER chains when it starts, those of its
            # neighbours too: measured, they lose their network. The few rules that a
            # further engine needs are ours (see network.py).
            settings["iptables"] = False
            settings["ip6tables"] = False
        return settings

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return ``base``, changed so that docker and buildx are this flavour's."""
        environment = dict(base)
        environment[ENGINE_VARIABLE] = self.name
        if self.has_own_client:
            for name in _STEERING:
                environment.pop(name, None)
            environment["DOCKER_HOST"] = self.host
            environment["DOCKER_CONFIG"] = str(self.docker_config)
            path = base.get("PATH") or os.defpath
            environment["PATH"] = f"{self.bin}{os.pathsep}{path}"
        return environment


def flavour(name: str, layout: Layout) -> Flavour:
    """Return the flavour called ``name``."""
    folder = layout.home / name
    if name == MAIN:
        # The default socket: every docker CLI and SDK on the machine finds it.
        return Flavour(
            name=name,
            toolset=MAIN,
            store="containerd",
            folder=folder,
            socket=_path(DEFAULT_SOCKET, folder),
            bridge="",
        )
    if name not in NAMES:
        message = f"there is no engine flavour {name!r}"
        raise EngineError(message, f"choose one of {', '.join(NAMES)}")
    return Flavour(
        name=name,
        toolset=FLOOR if name == FLOOR else MAIN,
        # The floor is what its users have: that version's own default store.
        store={FLOOR: "", CLASSIC: CLASSIC, SECOND: "containerd"}[name],
        folder=folder,
        socket=folder / "docker.sock",
        # Names of interfaces hold 15 bytes; the state folder's checksum keeps two
        # state folders on one machine apart.
        bridge=f"dbin{zlib.crc32(os.fsencode(folder)):08x}",
    )


def flavours(layout: Layout) -> list[Flavour]:
    """Return every flavour."""
    return [flavour(name, layout) for name in NAMES]


def _path(text: str, like: Path) -> Path:
    return type(like)(text)
