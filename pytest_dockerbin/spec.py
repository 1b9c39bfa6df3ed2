"""What to build: build settings that were read and checked, frozen."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_dockerbin.secret import described

if TYPE_CHECKING:
    from pytest_dockerbin.secret import Secrets

Pairs = tuple[tuple[str, str], ...]
"""A mapping of strings, frozen: sorted pairs of key and value."""

Verify = Literal["platform", "static", False]
Exporter = Literal["local", "tar", "oci", "docker"]

_LINKED = re.compile(r"target:([A-Za-z0-9_-]+)")  # bake's form of a name
# as the docker command tells a URL from a folder: moby's urlutil
_REMOTE = re.compile(r"(https?|git|ssh)://|git@|github\.com/")


def linked_target(context: str) -> str | None:
    """Return the bake target that a named context is; None where it is none."""
    found = _LINKED.fullmatch(context)
    return found[1] if found else None


def is_remote(context: str) -> bool:
    """Tell whether a context is one that BuildKit fetches: a git repository, or a URL."""
    return _REMOTE.match(context) is not None


@dataclass(frozen=True, slots=True)
class Baked:
    """The target of a bake file that a build is.

    Attributes:
        files: the bake files, absolute.
        target: the target's name.
        beside: those build settings that were said beside the file and decide what is exported, as
            sorted pairs.
    """

    files: tuple[Path, ...]
    target: str
    beside: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.files[0].name} {self.target}"


@dataclass(frozen=True, slots=True)
class Linked:
    """A bake target whose result is a context of a build: it is built in the same solve.

    Attributes:
        name: in ``build_contexts``, what follows ``target:``.
        spec: how it is built.
        platforms: those that bake builds it for; none: the builder's own. None: the build's.
    """

    name: str
    spec: BuildSpec
    platforms: tuple[str, ...] | None = None

    def platform_for(self, wanted: str) -> str | None:
        """Return the platform that a build for ``wanted`` needs; None for the builder's own."""
        if self.platforms is None or wanted in self.platforms:
            return wanted
        return self.platforms[0] if self.platforms else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSpec:
    """One build, whatever the platform. Equal specs are one build.

    Attributes:
        context: the folder, or the tar archive, that is sent to BuildKit; as text, the URL from
            which BuildKit fetches it.
        dockerfile: the Dockerfile's place on this host; as text, its content where that has more
            than one line, else its path inside a context that is no folder.
        target: the stage to export; the last one when None.
        build_args: values of ``ARG``.
        build_contexts: named contexts, ``NAME`` to folder, ``docker-image://...``,
            ``oci-layout://...`` or a URL.
        secrets: ids, and where their values are; nothing in a spec shows a value.
        ssh: ids for ``RUN --mount=type=ssh``, and sockets or keys; nothing for the user's agent.
        network: network of ``RUN`` steps: ``default``, ``host`` or ``none``.
        add_hosts: host names that ``RUN`` steps know, and addresses.
        labels: labels of an image; a local export has none.
        frontend: ``"builtin"``: the ``# syntax=`` line is not followed, so that no image is
            fetched for it.
        no_cache: whether BuildKit must run every step again.
        no_cache_filter: stages whose steps BuildKit must run again.
        pull: whether BuildKit must ask the registry for newer base images.
        cache_from: caches that BuildKit may take results from, each with its attributes.
        cache_to: caches that BuildKit writes.
        shm_size: size of ``/dev/shm`` in ``RUN`` steps.
        ulimits: limits of the processes of ``RUN`` steps: ``SOFT:HARD``.
        cgroup_parent: the cgroup of the processes of ``RUN`` steps.
        attests: attestations that are made, ``provenance`` or ``sbom``, with their attributes.
        builder: name of a buildx builder; the current one when None.
        exporter: ``local``: a tree of files; else an archive: ``tar``, ``oci`` or ``docker``.
        binary: path, inside the export, of the executable that ``dockerbin_binary`` yields.
        verify: ``"platform"``: executables must be of the platform; ``"static"``: and must need
            no loader; False: not checked.
        sysroot_target: the stage whose loader and libraries dynamic programs are run with.
        appended: instructions that are built as if they stood at the end of the Dockerfile; no
            setting of the user's.
        again: whether this is built a second time, to be compared with the first; no setting of the
            user's.
        linked: the bake targets that its ``build_contexts`` name.
        baked: the bake target that it is, for its label; None where it is none.
    """

    context: Path | str
    dockerfile: Path | str
    target: str | None = None
    build_args: Pairs = ()
    build_contexts: Pairs = ()
    secrets: Secrets = ()
    ssh: Pairs = ()
    network: str | None = None
    add_hosts: Pairs = ()
    labels: Pairs = ()
    frontend: str | None = None
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    pull: bool = False
    cache_from: tuple[Pairs, ...] = ()
    cache_to: tuple[Pairs, ...] = ()
    shm_size: str | None = None
    ulimits: Pairs = ()
    cgroup_parent: str | None = None
    attests: tuple[tuple[str, Pairs], ...] = ()
    builder: str | None = None
    exporter: Exporter = "local"
    binary: str | None = None
    verify: Verify = "platform"
    sysroot_target: str | None = None
    appended: str = ""
    again: bool = False
    linked: tuple[Linked, ...] = ()
    baked: Baked | None = field(default=None, compare=False)

    @property
    def all_linked(self) -> dict[str, Linked]:
        """Those of ``linked`` and theirs, by name."""
        found = {one.name: one for one in self.linked}
        for one in self.linked:
            found |= one.spec.all_linked
        return found

    @property
    def all(self) -> tuple[BuildSpec, ...]:
        """This build and all that are linked to it: what one solve makes."""
        return (self, *(one.spec for one in self.all_linked.values()))

    @property
    def dockerfile_text(self) -> str | None:
        """The Dockerfile's content where the user gave that instead of a place."""
        given = self.dockerfile
        return given if isinstance(given, str) and "\n" in given else None

    @property
    def is_archive(self) -> bool:
        """Whether the context is a tar archive of this host."""
        inside = isinstance(self.dockerfile, str) and self.dockerfile_text is None
        return isinstance(self.context, Path) and inside

    def label(self) -> str:
        """Return a short name for a person: context, Dockerfile if unusual, target."""
        if self.baked:
            return str(self.baked)
        context = self.context
        if isinstance(context, str):
            words = [context]
        else:
            words = [f"{context.name or context}{'' if self.is_archive else '/'}"]
        if self.dockerfile_text is not None:
            words.append("-f -")
        elif isinstance(self.dockerfile, Path):
            if isinstance(context, str) or self.dockerfile != context / "Dockerfile":
                words.append(f"-f {self.dockerfile.name}")
        elif self.dockerfile != "Dockerfile":
            words.append(f"-f {self.dockerfile}")
        if self.target:
            words.append(f"--target {self.target}")
        return " ".join(words)

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values, without the values of secrets."""
        data = {
            each.name: str(value) if isinstance(value, Path) else value
            for each in fields(self)
            for value in (getattr(self, each.name),)
        }
        return data | {
            "secrets": [[name, described(source)] for name, source in self.secrets],
            "linked": [[one.name, one.platforms, one.spec.to_json()] for one in self.linked],
            "baked": self.baked and [[*map(str, self.baked.files)], self.baked.target],
        }

    def export_key(self) -> str:
        """Return a digest of all that decides what is exported for a platform.

        ``binary`` and ``sysroot_target`` are left out: they only say what is run, and how. So is
        the name of a bake target.
        """
        chosen = ("binary", "sysroot_target", "baked")
        asked = {name: value for name, value in self.to_json().items() if name not in chosen}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
