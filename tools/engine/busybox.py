"""Static busybox files: a userland for ``FROM scratch`` that needs no base image."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.locks import locked
from engine.programs import fetch
from engine.shell import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.layout import Layout

# Docker's TARGETARCH, and what Debian calls it. linux/arm is arm/v7: armhf.
ARCHITECTURES = {
    "amd64": "amd64",
    "arm64": "arm64",
    "arm": "armhf",
    "riscv64": "riscv64",
    "s390x": "s390x",
    "386": "i386",
    "ppc64le": "ppc64el",
}


def busybox(folder: Path, architectures: Sequence[str], layout: Layout) -> None:
    """Put ``busybox-ARCH`` files into a folder; all architectures if none is named."""
    wanted = list(architectures) or list(ARCHITECTURES)
    for architecture in wanted:
        if architecture not in ARCHITECTURES:
            raise EngineError(
                f"there is no busybox for {architecture!r}",
                f"choose among {', '.join(ARCHITECTURES)}: Docker's TARGETARCH",
            )
    folder.mkdir(parents=True, exist_ok=True)
    for architecture in wanted:
        cached = layout.busybox / f"busybox-{architecture}"
        if not cached.exists():
            with locked(layout.busybox / "lock"):
                if not cached.exists():
                    debian = ARCHITECTURES[architecture]
                    fetch("busybox-static", "busybox", debian, cached, layout)
        place = folder / cached.name
        if not (place.exists() and _same(place, cached)):
            # Copied aside and moved: a build that runs at the same time sees a whole file.
            new = folder / f".{cached.name}.{os.getpid()}"
            shutil.copy2(cached, new)
            new.replace(place)
    say(f"{folder} has busybox for {', '.join(wanted)}")


def _same(one: Path, other: Path) -> bool:
    first, second = one.stat(), other.stat()
    return (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns)
