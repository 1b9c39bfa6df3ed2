"""Static busybox files: a userland for ``FROM scratch`` that needs no base image."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from engine import apt, debs
from engine.errors import EngineError
from engine.locks import locked
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
                    _fetch(architecture, cached, layout)
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


def _fetch(architecture: str, place: Path, layout: Layout) -> None:
    machine = apt.machine()
    if not machine.has_apt:
        raise EngineError("busybox files come from Debian's packages", "run this on Debian")
    # An archive may lack an architecture in one suite and have it in another.
    suites = ("stable", "testing") if machine.is_debian else (machine.codename,)
    problems = []
    for name in dict.fromkeys((*suites, machine.codename)):
        try:
            suite = apt.Suite.open(name, ARCHITECTURES[architecture], layout.apt)
            suite.update()
            package = _take(suite, place)
        except EngineError as error:
            problems.append(f"{name}: {error.message}")
            continue
        say(f"took busybox for {architecture} from {package}")
        return
    raise EngineError(
        f"no busybox-static for {architecture} ({'; '.join(problems)})",
        "see that `apt-get update` works on this machine, then try again",
    )


def _take(suite: apt.Suite, place: Path) -> str:
    """Put the program of a suite's package into its place; return the package's file name."""
    with debs.scratch(place.parent) as new:
        [deb] = suite.download(["busybox-static"], new)
        debs.unpack(deb, new / "root")
        # Debian moved it with the merge of / and /usr.
        for part in ("usr/bin", "bin"):
            file = new / "root" / part / "busybox"
            if file.is_file():
                file.chmod(0o755)
                file.replace(place)
                return deb.name
    raise EngineError(f"{deb.name} has no busybox")
