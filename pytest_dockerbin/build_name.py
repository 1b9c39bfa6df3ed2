"""What builds are called in a folder of ``--dockerbin-output``, and what of them tests were given.

Apart from that folder's form: every session notes this, and few write or read such a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.spec import Baked, BuildSpec


class BuildName(NamedTuple):
    """What a build is called wherever the project lies; as text, the name of its folder.

    Attributes:
        name: context, Dockerfile, target and exporter as far as they are not the usual ones, or
            ``default``.
        inputs: a digest of build arguments and the like; empty without any.
    """

    name: str
    inputs: str = ""

    @classmethod
    def of(cls, spec: BuildSpec, project: Path) -> Self:
        """Return the name of a build; paths count as seen from the folder ``project``.

        What does not decide the files is left out, and so is a context outside the project, such
        as a temporary folder: it is another one each time. A bake target has its own name, after
        the folder of its file, and counts as inputs what was said beside the file: what the file
        says is not known where bake can't be asked.
        """
        place = str(spec.baked.files[0].parent if spec.baked else spec.context)
        context = _seen_from(project, place)
        words = [] if context == "." or context.startswith("..") else [context]
        if spec.baked:
            words.append(spec.baked.target)
        else:
            words += _unusual(spec)
        if spec.exporter != "local":
            words.append(spec.exporter)
        name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", "-".join(words)).strip("-.") or "default"
        inputs = _beside(spec.baked, project) if spec.baked else _inputs(spec, project)
        if not any(inputs):
            return cls(name)
        return cls(name, hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:8])

    def __str__(self) -> str:
        return f"{self.name}-{self.inputs}" if self.inputs else self.name


def _inputs(spec: BuildSpec, project: Path) -> list[object]:
    """Return what decides the files and is not in the name."""
    contexts = [(each, _seen_from(project, place)) for each, place in spec.build_contexts]
    return [spec.build_args, contexts, spec.network, spec.frontend, spec.dockerfile_text]


def _beside(baked: Baked, project: Path) -> list[object]:
    """Return what was said beside a bake file."""
    beside = dict(baked.beside)
    if "build_contexts" in beside:
        contexts = beside["build_contexts"]
        beside["build_contexts"] = [(each, _seen_from(project, place)) for each, place in contexts]
    for name in ("context", "dockerfile"):
        if name in beside:
            place = getattr(beside[name], "path", beside[name])  # or a URL, or a Dockerfile's text
            beside[name] = _seen_from(project, str(place))
    return list(beside.items())


def _unusual(spec: BuildSpec) -> list[str]:
    """Return a spec's Dockerfile and stage as far as they are not the usual ones."""
    dockerfile = str(spec.dockerfile)
    if isinstance(spec.dockerfile, Path):
        dockerfile = _seen_from(Path(spec.context), dockerfile)
    unusual = spec.dockerfile_text is None and dockerfile != "Dockerfile"
    return [*([dockerfile] if unusual else []), *([spec.target] if spec.target else [])]


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
