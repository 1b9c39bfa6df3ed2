"""What is to be known of QEMU's user-mode emulators: their names and their CPU models.

Sources: QEMU's "User Mode Emulation" and the CPU lists of ``qemu-ARCH -cpu help``.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pytest_dockerbin.platforms import Platform

_NAMES = {
    "386": "i386",
    "amd64": "x86_64",
    "arm64": "aarch64",
    "loong64": "loongarch64",
    "mips64le": "mips64el",
    "mipsle": "mipsel",
}
_SAME_NAMES = ("arm", "mips", "mips64", "ppc64", "ppc64le", "riscv64", "s390x")

# Folders that QEMU was built to look into, before the file system, for every absolute path that a
# program opens: Debian's, and QEMU's own default
_PREFIXES = ("/etc/qemu-binfmt/{name}", "/usr/gnemul/qemu-{name}")

PREFIX = "QEMU_LD_PREFIX"
"""The variable that names another one, as the option ``-L`` does."""

NO_PREFIX = "/"
"""QEMU's word for "look nowhere else" (util/path.c)."""


class Level(NamedTuple):
    """A CPU model of QEMU's that has what a platform's variant promises, and nothing more."""

    name: str  # as people call it
    model: str  # as QEMU does


_V2 = "Nehalem"
# Not Haswell, whose features that QEMU does not emulate are warnings on each program's stderr
_V3 = f"{_V2},+avx,+avx2,+bmi1,+bmi2,+f16c,+fma,+abm,+movbe,+xsave"
_LEVELS = {
    ("amd64", "v1"): Level("x86-64-v1", "qemu64,-sse3,-cx16,-lahf-lm"),
    ("amd64", "v2"): Level("x86-64-v2", _V2),
    ("amd64", "v3"): Level("x86-64-v3", _V3),
    ("arm", "v5"): Level("arm926", "arm926"),
    ("arm", "v6"): Level("arm1176", "arm1176"),
}

# Where QEMU's default was an old processor before 7.2 (x86) or still is (RISC-V); elsewhere it is
# ``max``, and a variable that says so would only be one more that the program sees
_OLD_DEFAULTS = ("386", "amd64", "riscv64")


def name_of(architecture: str) -> str:
    """Return QEMU's name of an architecture: ``aarch64`` for ``arm64``."""
    return _NAMES.get(architecture, architecture)


def architecture_of(name: str) -> str | None:
    """Return the architecture that QEMU calls ``name``; None where Docker has no word for it."""
    own = {theirs: ours for ours, theirs in _NAMES.items()} | {name: name for name in _SAME_NAMES}
    return own.get(name)


def emulators(architecture: str) -> tuple[str, ...]:
    """Return the commands that emulate an architecture, the preferred one first.

    The static one is preferred: it has no libraries of the host's to look for in a sysroot.
    """
    command = f"qemu-{name_of(architecture)}"
    return f"{command}-static", command


def find_emulator(architecture: str) -> Path | None:
    """Return the emulator that is on PATH, if one is."""
    found = (shutil.which(command) for command in emulators(architecture))
    return next((Path(path).absolute() for path in found if path), None)


def models_listed_by(architecture: str, emulator: str | None = None) -> str:
    """Return the command that lists the CPU models of an architecture.

    Args:
        architecture: Docker's name of it.
        emulator: the one that is used, where it is started by name.
    """
    found = find_emulator(architecture)
    if emulator is None or emulator == str(found):
        emulator = found.name if found else None
    return f"{emulator} -cpu help" if emulator else "QEMU_CPU=help PROGRAM"


def level_of(platform: Platform) -> Level | None:
    """Return the CPU model that stands for a platform's variant, where one does."""
    return _LEVELS.get((platform.architecture, platform.variant))


def default_models(platform: Platform) -> tuple[str | None, ...]:
    """Return the CPU models to try for a platform without a level; None is QEMU's own default."""
    return ("max", None) if platform.architecture in _OLD_DEFAULTS else (None,)


def prefix_words() -> tuple[str, ...]:
    """Return words for QEMU's command line that let a program see this host's files only."""
    return "-L", NO_PREFIX


def prefix_variables(architecture: str) -> dict[str, str]:
    """Return the same as variables; none where there is nothing else to be seen."""
    name = name_of(architecture)
    there = any(Path(folder.format(name=name)).exists() for folder in _PREFIXES)
    return {PREFIX: NO_PREFIX} if there else {}


def known_models(printed: str) -> list[str]:
    """Return the names in what ``-cpu help`` prints; each architecture has its own layout."""
    models = []
    for line in printed.splitlines():
        if line.startswith("Recognized"):  # the features follow
            break
        words = line.split()
        if words and words[0] in ("x86", "s390", "PowerPC", "MIPS"):
            words = words[1:]
        if words and words[0] != "Available":
            models.append(words[0].strip("'"))
    return models
