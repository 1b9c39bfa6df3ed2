"""The sysroot of dynamic programs: their loader and libraries, copied out of a stage.

The stage that ``sysroot_target`` names is a whole distribution: hundreds of megabytes, devices,
absolute links. So it is not exported. Two ``COPY`` instructions are built behind the Dockerfile,
which take just the files that the program names, then those that these libraries name, until
nothing is missing. BuildKit follows the links of what it copies, and passes over a source that is
not there if every part of its path is a pattern: hence the brackets.
Sources: the Dockerfile reference, "COPY"; ld.so(8) for the folders that are searched.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self

from pytest_dockerbin.dockerfile import stages, text_of
from pytest_dockerbin.errors import ArtifactError, EmptyExportError, SettingsError
from pytest_dockerbin.executables import read_executable
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.inspection import read_info
from pytest_dockerbin.results import Sysroot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pytest_dockerbin.artifact import Artifact
    from pytest_dockerbin.executables import Executable
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.spec import BuildSpec

STAGE = "pytest-dockerbin-sysroot"
"""The name of the stage that is built behind the user's."""

_NAME = re.compile(r"[A-Za-z0-9+._-]*[A-Za-z0-9][A-Za-z0-9+._-]*")  # nothing else gets into a file
_PART_OF_MUSL = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\.")
_MOST_ROUNDS = 20  # libraries of libraries: real ones end after three or four

# architecture -> Debian's name for its folder of libraries
_MULTIARCH = {
    "386": "i386-linux-gnu",
    "amd64": "x86_64-linux-gnu",
    "arm": "arm-linux-gnueabihf",
    "arm64": "aarch64-linux-gnu",
    "loong64": "loongarch64-linux-gnu",
    "mips64le": "mips64el-linux-gnuabi64",
    "ppc64le": "powerpc64le-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
    "s390x": "s390x-linux-gnu",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Libraries:
    """What is taken out of the stage.

    Attributes:
        interpreter: the loader's path, as the program names it.
        names: file names of libraries.
        folders: further folders where they are looked for: the program's own ``RPATH``.
    """

    interpreter: str
    names: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @classmethod
    def of(cls, program: Path, platform: Platform) -> Self | None:
        """Return what a program needs; None when it needs no loader.

        Raises:
            ArtifactError: it is no program that can be read.
        """
        found = _header(program)
        if found is None or not found.interpreter or not _is_plain(found.interpreter):
            return None
        return cls(interpreter=found.interpreter).with_those_of([program], platform)

    def with_those_of(self, files: Iterable[Path], platform: Platform) -> Self:
        """Return these and what some files need."""
        names, folders = set(self.names), dict.fromkeys(self.folders)
        for file in files:
            if _header(file) is None:
                continue  # a linker script has a library's name too
            info = read_info(file, platform)
            names.update(name for name in info.needed if _NAME.fullmatch(name))
            folders |= dict.fromkeys(filter(_is_plain, (*info.rpath, *info.runpath)))
        return replace(self, names=tuple(sorted(names)), folders=tuple(folders))

    def missing_from(self, copied: set[str], tree: Path) -> list[str]:
        """Return the libraries that are neither among the copied ones nor in the exported tree.

        musl's loader is its own libc, libm and so on, whatever files there are (ldso/dynlink.c).
        """
        missing = [name for name in self.names if name not in copied]
        if PurePosixPath(self.interpreter).name.startswith("ld-musl-"):
            missing = [name for name in missing if not _PART_OF_MUSL.match(name)]
        beside = {path.name for path in tree.rglob("*")} if missing else set()
        return [name for name in missing if name not in beside]

    def instructions(self, stage: str, platform: Platform) -> str:
        """Return the lines that copy them out of ``stage``, for the end of a Dockerfile."""
        loader = PurePosixPath(self.interpreter)
        multiarch = _MULTIARCH.get(platform.architecture, "lib")
        # a later one wins, as the loader's cache has it: local files come before the system's
        folders = [
            *("/lib", "/usr/lib", "/lib64", "/usr/lib64"),
            *(f"/lib/{multiarch}", f"/usr/lib/{multiarch}", str(loader.parent)),
            *("/usr/local/lib", "/usr/local/lib64"),
        ]
        # glibc looks into /lib on Debian and beside itself on Fedora, musl into /lib
        searched = dict.fromkeys(("/lib", str(loader.parent)))
        lines = [
            f"FROM scratch AS {STAGE}",
            *(_copy(stage, folders, (loader.name, *self.names), dest) for dest in searched),
            *(_copy(stage, [folder], self.names, folder) for folder in self.folders),
        ]
        return "\n".join((*lines, ""))


def _header(path: Path) -> Executable | None:
    with path.open("rb") as file:
        return read_executable(file)


def _is_plain(folder: str) -> bool:
    parts = folder.split("/")
    return not parts[0] and len(parts) > 1 and all(map(_NAME.fullmatch, parts[1:]))


def _copy(stage: str, folders: Iterable[str], names: Iterable[str], dest: str) -> str:
    sources = [_pattern(f"{folder}/{name}") for folder in folders for name in names]
    return f"COPY --from={stage} {json.dumps([*sources, f'{dest}/'])}"


def _pattern(path: str) -> str:
    """Return a pattern that matches just ``path``, with brackets in each of its parts."""
    return "/".join(re.sub(r"[A-Za-z0-9]", r"[\g<0>]", part, count=1) for part in path.split("/"))


def find_stage(dockerfile: str, stage: str) -> None:
    """Return when a Dockerfile has a stage: BuildKit would ask a registry for an image instead.

    Raises:
        SettingsError: it has not; the message names the closest one.
    """
    names, count = stages(dockerfile)
    numbers = [*map(str, range(count))]
    if stage.lower() not in (*names, *numbers):
        raise SettingsError.unknown("stage", stage, names or numbers, "sysroot_target")


def export_sysroot(
    build: Callable[[BuildSpec], Artifact],
    spec: BuildSpec,
    program: Path,
    platform: Platform,
    *,
    tree: Path,
) -> Sysroot | None:
    """Return the loader and libraries of a program, copied; None when it needs none.

    Args:
        build: builds a spec for ``platform``.
        spec: what the program was built from; names the stage.
        program: the exported file.
        platform: what it was built for.
        tree: the exported tree, which may have libraries too.

    Raises:
        SettingsError: there is no such stage.
        ArtifactError: the stage has no such loader, or lacks a library.
        DockerbinError: as ``build`` raises it.
    """
    wanted = Libraries.of(program, platform)
    if wanted is None or spec.sysroot_target is None:
        return None
    find_stage(text_of(spec) or "", spec.sysroot_target)
    loader = str(PurePosixPath(wanted.interpreter)).lstrip("/")
    for _ in range(_MOST_ROUNDS):
        lines = wanted.instructions(spec.sysroot_target, platform)
        without_loader = ArtifactError.no_loader_in_stage(
            str(platform), wanted.interpreter, spec.sysroot_target
        )
        try:
            copied = build(replace(spec, target=STAGE, appended=lines, sysroot_target=None))
        except EmptyExportError:
            raise without_loader from None
        if not (copied / loader).is_file():
            raise without_loader
        more = wanted.with_those_of((copied / file.name for file in copied.files), platform)
        if more.names == wanted.names:
            break
        wanted = more
    missing = wanted.missing_from({PurePosixPath(file.name).name for file in copied.files}, tree)
    if missing:
        raise ArtifactError.no_library_in_stage(str(platform), missing, spec.sysroot_target)
    return Sysroot(copied.path, loader)
