"""Single programs out of Debian's packages, unpacked beside the system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine import apt, debs
from engine.errors import EngineError
from engine.shell import say

if TYPE_CHECKING:
    from pathlib import Path

    from engine.layout import Layout


def fetch(package: str, program: str, architecture: str, place: Path, layout: Layout) -> None:
    """Put a package's program into its place.

    Args:
        package: Debian's name of the package.
        program: the file's name.
        architecture: whose, as Debian calls it.
        place: where it goes; the caller holds the lock of its folder.
        layout: where package lists are kept.
    """
    machine = apt.machine()
    if not machine.has_apt:
        raise EngineError(f"{program} comes from Debian's packages", "run this on Debian")
    # An archive may lack an architecture in one suite and have it in another.
    suites = ("stable", "testing") if machine.is_debian else (machine.codename,)
    problems = []
    for name in dict.fromkeys((*suites, machine.codename)):
        try:
            suite = apt.Suite.open(name, architecture, layout.apt)
            suite.update()
            taken = _take(suite, package, program, place)
        except EngineError as error:
            problems.append(f"{name}: {error.message}")
            continue
        say(f"took {program} for {architecture} from {taken}")
        return
    raise EngineError(
        f"no {package} for {architecture} ({'; '.join(problems)})",
        "see that `apt-get update` works on this machine, then try again",
    )


def _take(suite: apt.Suite, package: str, program: str, place: Path) -> str:
    """Put the program of a suite's package into its place; return the package's file name."""
    with debs.scratch(place.parent) as new:
        [deb] = suite.download([package], new)
        debs.unpack(deb, new / "root")
        # Debian moved some with the merge of / and /usr.
        for part in ("usr/bin", "bin"):
            file = new / "root" / part / program
            if file.is_file():
                file.chmod(0o755)
                file.replace(place)
                return deb.name
    raise EngineError(f"{deb.name} has no {program}")
