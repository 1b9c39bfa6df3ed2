"""What builds are called in a folder of ``--dockerbin-output``, and what of them tests were given.

Apart from that folder's form: every session notes this, and few write or read such a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.spec import Baked, BuildSpec


class BuildName(NamedTuple):
    """What a build is called wherever the project lies; as text, the name of its folder.

    Attributes:
        name: context, Dockerfile, target and exporter as far as they are not the usual ones, or
            ``default``.
        inputs: a digest of build arguments and the like; empty without any.
        words: what ``name`` stands for, which may be the name of several: the same as words of a
            command.
    """

    name: str
    inputs: str = ""
    words: str = ""

    @classmethod
    def of(cls, spec: BuildSpec, project: Path) -> Self:
        """Return the name of a build; paths count as seen from the folder ``project``.

        What does not decide the files is left out. A bake target has its own name, after
        the folder of its file, and counts as inputs what was said beside the file: what the file
        says is not known where bake can't be asked.
        """
        if spec.baked:
            context = _place(str(spec.baked.files[0].parent), project)
            unusual = [spec.baked.target]
            exactly = [*(_place(str(file), project) for file in spec.baked.files), *unusual]
        else:
            context = _place(str(spec.context), project)
            dockerfile, target = _dockerfile(spec), spec.target or ""
            unusual = [word for word in (dockerfile, target) if word]
            exactly = [context, *_flag("-f", dockerfile), *_flag("--target", target)]
        short = [*([context] if context != "." else []), *unusual] or ["default"]
        if spec.exporter != "local":
            short.append(spec.exporter)
            exactly += _flag("--output", f"type={spec.exporter}")
        name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", "-".join(short)).strip("-.") or "default"
        inputs = _beside(spec.baked, project) if spec.baked else _inputs(spec, project)
        digest = short_digest(json.dumps(inputs)) if any(inputs) else ""
        return cls(name, digest, shlex.join(exactly))

    def is_like(self, other: BuildName) -> bool:
        """Tell whether two builds differ in nothing but their inputs."""
        return (self.name, self.words) == (other.name, other.words)

    def __str__(self) -> str:
        return f"{self.name}-{self.inputs}" if self.inputs else self.name


def short_digest(text: str) -> str:
    """Return a digest that is short enough for the name of a folder."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _flag(name: str, value: str) -> list[str]:
    return [name, value] if value else []


def _place(place: str, project: Path) -> str:
    """Return a path as seen from the project, the last part of one outside it, or a URL.

    A temporary folder is another one each time: it counts as the project itself.
    """
    if not Path(place).is_absolute():
        return place
    seen = _seen_from(project, place)
    if not seen.startswith(".."):
        return seen
    temporary = Path(tempfile.gettempdir())
    shared = Path(os.path.commonpath((place, project.absolute())))
    is_temporary = temporary in Path(place).parents and temporary not in shared.parents
    return "." if is_temporary else Path(place).name or "."


def _inputs(spec: BuildSpec, project: Path) -> list[object]:
    """Return what decides the files and is not in the name."""
    contexts = _contexts(spec.build_contexts, project)
    return [spec.build_args, contexts, spec.network, spec.frontend, spec.dockerfile_text]


def _contexts(named: Iterable[tuple[str, str]], project: Path) -> list[tuple[str, str]]:
    return [(name, _seen_from(project, place)) for name, place in named]


def _beside(baked: Baked, project: Path) -> list[object]:
    """Return what was said beside a bake file."""
    beside = dict(baked.beside)
    if "build_contexts" in beside:
        beside["build_contexts"] = _contexts(beside["build_contexts"], project)
    for name in ("context", "dockerfile"):
        if name in beside:
            place = getattr(beside[name], "path", beside[name])  # or a URL, or a Dockerfile's text
            beside[name] = _seen_from(project, str(place))
    return list(beside.items())


def _dockerfile(spec: BuildSpec) -> str:
    """Return the place of a spec's Dockerfile, if it is not the usual one."""
    if spec.dockerfile_text is not None:
        return ""
    dockerfile = str(spec.dockerfile)
    if isinstance(spec.dockerfile, Path):
        dockerfile = _seen_from(Path(spec.context), dockerfile)
    return "" if dockerfile == "Dockerfile" else dockerfile


class BakedAs(NamedTuple):
    """Which bake target a build is: so its tests find it where bake can't be asked.

    Attributes:
        file: the bake file, as a path inside the project.
        target: the target's name.
        asked: names of targets and groups that tests ask for and that stand for it, sorted;
            ``default`` where they name none.
    """

    file: str
    target: str
    asked: tuple[str, ...]


def _seen_from(project: Path, place: str) -> str:
    return os.path.relpath(place, project) if Path(place).is_absolute() else place


class Export(NamedTuple):
    """What a fixture gave to tests: one build for one platform.

    Attributes:
        build: the build's name.
        label: what a person calls the build.
        target: the stage that was exported, or None.
        platform: what was built.
        result: the folder of its result in the session's store; None where the build failed.
        bake: the bake target that it is, or None.
    """

    build: BuildName
    label: str
    target: str | None
    platform: Platform
    result: Path | None
    bake: BakedAs | None = None
