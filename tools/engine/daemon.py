"""Starting dockerd and waiting until it answers."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from engine import processes
from engine.errors import EngineError
from engine.shell import MINUTE, complain

if TYPE_CHECKING:
    from pathlib import Path

    from engine.flavours import Flavour
    from engine.toolsets import Toolset

_START = 3 * MINUTE
_STOP = MINUTE
_LOG_LINES = 12
_LOG_LIMIT = 10_000_000


def answers(path: Path, *, timeout: float = 10.0) -> bool:
    """Ask a Docker Engine at a Unix socket whether it is there."""
    connection = http.client.HTTPConnection("docker", timeout=timeout)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(timeout)
        connection.sock.connect(str(path))
        connection.request("GET", "/_ping")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def is_ours(flavour: Flavour) -> bool:
    """Tell whether an engine that we started runs: alive, and with our settings file."""
    return bool(processes.daemons(flavour.folder))


def is_up(flavour: Flavour) -> bool:
    """Tell whether an engine that we started runs and answers."""
    return is_ours(flavour) and answers(flavour.socket)


def launch(flavour: Flavour, toolset: Toolset) -> None:
    """Start dockerd detached from this process, and wait until it answers."""
    flavour.folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(flavour.daemon_json(), indent=2)
    flavour.config.write_text(text + "\n", encoding="utf-8")
    if flavour.log.exists() and flavour.log.stat().st_size > _LOG_LIMIT:
        flavour.log.replace(flavour.log.with_suffix(".log.old"))
    # Without DOCKER_HOST and its like, which dockerd reads too.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER")}
    environment["PATH"] = toolset.path
    with flavour.log.open("ab") as log:
        began = log.tell()
        process = subprocess.Popen(
            [toolset.dockerd, "--config-file", flavour.config],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment,
            # A session of its own: the end of this shell is not the end of the engine.
            start_new_session=True,
        )
    deadline = time.monotonic() + _START
    while not answers(flavour.socket):
        ended = process.poll()
        if ended is not None or time.monotonic() > deadline:
            for line in last_lines(flavour.log, began):
                complain(f"dockerd: {line}")
            what = f"gave no answer in {_START:.0f} s" if ended is None else f"ended with {ended}"
            raise EngineError(f"{flavour.name}: dockerd {what}", f"its log is {flavour.log}")
        time.sleep(0.1)
    # The process outlives this one on purpose; without this Python warns about it.
    process.returncode = 0


def wait(flavour: Flavour) -> None:
    """Wait for an engine of ours that is still starting."""
    deadline = time.monotonic() + _START
    while not answers(flavour.socket):
        if time.monotonic() > deadline or not is_ours(flavour):
            raise EngineError(
                f"{flavour.name}: dockerd runs but does not answer at {flavour.socket}",
                f"run `stop {flavour.name}`, then start it again; its log is {flavour.log}",
            )
        time.sleep(0.1)


def clear(flavour: Flavour) -> bool:
    """End the flavour's engine and remove all it left behind; say if there was anything."""
    ended = processes.end(flavour.folder, patience=_STOP)
    unmounted = processes.unmount_below(flavour.folder)
    # Stale process ids: dockerd believes that a zombie, or whoever has the id now, is its own.
    flavour.pidfile.unlink(missing_ok=True)
    if not processes.has_mounts_below(flavour.exec_root):
        shutil.rmtree(flavour.exec_root, ignore_errors=True)
    if (ended or unmounted) and not answers(flavour.socket):
        flavour.socket.unlink(missing_ok=True)
    return ended or unmounted


def last_lines(log: Path, began: int) -> list[str]:
    """Return the end of a log from a position on; without the chatter if something is left."""
    try:
        with log.open("rb") as file:
            file.seek(began)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    telling = [line for line in lines if "level=info" not in line]
    return (telling or lines)[-_LOG_LINES:]
