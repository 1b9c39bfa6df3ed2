"""Programs that listen on a port of this machine while a test runs."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def free_port() -> int:
    """Return a port on which nobody listens by now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def listening(command: Sequence[str | Path], port: int, log: Path) -> Iterator[None]:
    """Have a program listen on ``port`` until the block ends; its words are in ``log``."""
    with log.open("w") as words:
        process = subprocess.Popen(command, stdout=words, stderr=words, start_new_session=True)
    try:
        while True:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()
