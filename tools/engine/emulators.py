"""binfmt_misc: letting the kernel run programs of other architectures through qemu."""

from __future__ import annotations

import platform
from pathlib import Path

from engine import apt
from engine.errors import EngineError
from engine.shell import run, say

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_HANDLERS = Path("/usr/lib/binfmt.d")

# qemu's names and Docker's; more would only slow each exec down.
PLATFORMS = {
    "qemu-aarch64": "linux/arm64",
    "qemu-arm": "linux/arm/v7",
    "qemu-loongarch64": "linux/loong64",
    "qemu-mips64el": "linux/mips64le",
    "qemu-ppc64le": "linux/ppc64le",
    "qemu-riscv64": "linux/riscv64",
    "qemu-s390x": "linux/s390x",
    "qemu-x86_64": "linux/amd64",
}
_NATIVE = {
    "x86_64": ("linux/amd64", "linux/386"),
    "aarch64": ("linux/arm64",),
    "armv7l": ("linux/arm/v7",),
    "ppc64le": ("linux/ppc64le",),
    "riscv64": ("linux/riscv64",),
    "s390x": ("linux/s390x",),
}


def with_flags(line: str) -> str:
    """Return a handler's line with the flags O, P and F.

    F opens the emulator now, so that it is there inside of containers; P keeps argv[0];
    O is needed for programs that may be executed but not read.
    """
    separator = line[0]
    fields = line.strip().split(separator)
    fields[-1] = "".join(sorted({*fields[-1], *"OPF"}))
    return separator.join(fields)


def parse_handlers(text: str) -> list[tuple[str, str]]:
    """Read a binfmt.d file as pairs of a name and the line to register."""
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and line[0] not in "#;"]
    return [(line.split(line[0])[1], with_flags(line)) for line in kept]


def ensure_emulators() -> None:
    """Mount binfmt_misc, install qemu and register what is not registered yet."""
    if not (_BINFMT / "register").exists():
        run(
            ["mount", "-t", "binfmt_misc", "binfmt_misc", _BINFMT],
            cure="this kernel has no binfmt_misc: other platforms cannot be run here",
        )
        say(f"mounted binfmt_misc at {_BINFMT}")
    if not any((_HANDLERS / f"{name}.conf").exists() for name in PLATFORMS):
        if any((_BINFMT / name).exists() for name in PLATFORMS):
            return  # Somebody else's emulators, such as those of an image: they serve as well.
        apt.install(["qemu-user-static"])
    registered = []
    for name, docker_name in PLATFORMS.items():
        file = _HANDLERS / f"{name}.conf"
        for handler, line in parse_handlers(_read(file)):
            if (_BINFMT / handler).exists():
                continue
            try:
                # One write for one handler: the kernel reads no further.
                (_BINFMT / "register").write_text(line, encoding="utf-8")
            except OSError as error:
                message = f"the kernel refused the emulator {handler}: {error.strerror}"
                raise EngineError(message, f"look at {file}") from error
            registered.append(docker_name.removeprefix("linux/"))
    if registered:
        say(f"registered emulators for {', '.join(registered)}")


def executable_platforms() -> list[str]:
    """Return the platforms whose programs run here: natively, or by an enabled handler."""
    found = list(_NATIVE.get(platform.machine(), ()))
    for name, docker_name in PLATFORMS.items():
        if docker_name not in found and _read(_BINFMT / name).startswith("enabled"):
            found.append(docker_name)
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""
