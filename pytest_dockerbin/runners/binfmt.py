"""Reads which emulators are registered in the kernel's ``binfmt_misc``, for people to look at.

What is registered is no proof: a handler may be there and not work, or work and not be visible
from here. What runs is found out by running it. Source: the Linux documentation, "Kernel Support
for miscellaneous Binary Formats".
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pytest_dockerbin.executables import elf_architecture, read_executable
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.runners.proof import ProofError, output_of, qemu_version

BINFMT_MISC = Path("/proc/sys/fs/binfmt_misc")
"""Where Linux shows its handlers, once the file system of that name is mounted there."""

_CONTROLS = ("register", "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One registered interpreter.

    Attributes:
        name: the name of its file.
        architecture: Docker's name of the architecture whose ELF files it starts, told by the
            bytes that it looks for; None for other files.
        interpreter: the path of the program that is started, as it was registered.
        interpreter_exists: whether that file is here. With the flag F it need not be.
        interpreter_dynamic: whether that file needs a loader and libraries, which with the flag F
            are looked for where the program is: in a container, say.
        flags: the letters: F, opened at registration, so that containers can use it; P, the
            program keeps its own name; and others.
        enabled: whether the kernel uses it.
        version: of the QEMU that it starts, such as ``QEMU 7.2.22``; None where it is another
            program, or does not start.
    """

    name: str
    architecture: str | None
    interpreter: str
    interpreter_exists: bool
    interpreter_dynamic: bool
    flags: str
    enabled: bool
    version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What ``binfmt_misc`` shows.

    Attributes:
        folder: where it is mounted.
        enabled: whether the kernel starts interpreters at all; None where it is not mounted.
        handlers: the interpreters, by name.
    """

    folder: Path
    enabled: bool | None = None
    handlers: tuple[Handler, ...] = ()


def read_registered(scratch: Path, folder: Path = BINFMT_MISC) -> Registered:
    """Return what is registered; nothing on systems that have no such folder.

    Args:
        scratch: a folder where a file may be written and executed.
        folder: where ``binfmt_misc`` is mounted.
    """
    try:
        enabled = (folder / "status").read_text().strip() == "enabled"
        files = sorted(file for file in folder.iterdir() if file.name not in _CONTROLS)
    except OSError:
        return Registered(folder=folder)
    handlers = []
    for file in files:
        with suppress(OSError, ValueError):  # unregistered meanwhile
            handlers.append(_read(file, scratch))
    return Registered(folder=folder, enabled=enabled, handlers=tuple(handlers))


def _read(file: Path, scratch: Path) -> Handler:
    """Read one handler; its file is what the kernel's ``entry_status`` prints.

    Raises:
        OSError: it can't be read.
        ValueError: it is not of that form.
    """
    state, *lines = file.read_text(errors="replace").splitlines()
    facts = {key.rstrip(":"): text for key, _, text in (line.partition(" ") for line in lines)}
    start = b""
    if facts.get("offset") == "0":
        start = bytes.fromhex(facts.get("magic", ""))
    architecture = elf_architecture(start)
    enabled = state == "enabled"
    interpreter = facts.get("interpreter", "")
    return Handler(
        name=file.name,
        architecture=architecture,
        interpreter=interpreter,
        interpreter_exists=Path(interpreter).is_file(),
        interpreter_dynamic=_is_dynamic(Path(interpreter)),
        flags=facts.get("flags", "").strip(),
        enabled=enabled,
        version=_version(start, scratch) if enabled and architecture else None,
    )


def _is_dynamic(program: Path) -> bool:
    try:
        with program.open("rb") as file:
            found = read_executable(file)
    except OSError:
        return False
    return found is not None and found.interpreter is not None


def _version(start: bytes, scratch: Path) -> str | None:
    """Return the version of the QEMU that the kernel starts for a file that begins like this.

    With ``QEMU_VERSION`` in its environment QEMU prints its version before it looks at the file
    (linux-user/main.c). Asked through the kernel, since with the flag F the interpreter may be
    another than the one that its path names today.
    """
    file = scratch / "probe-start"
    file.write_bytes(start)
    file.chmod(0o700)
    try:
        return qemu_version(output_of((str(file),), {"QEMU_VERSION": "1"})) or None
    except ProofError:
        return None
