"""What to build: the build settings, read once at the edge and frozen.

A setting has one name everywhere: in ``@pytest.mark.dockerbin(...)``, ``pytest_dockerbin.fixture``,
``dockerbin_build`` and, as ``dockerbin_<name>``, in the ini file. Names and meanings are those of
``docker buildx build``'s flags, with underscores.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.secret import VARIABLE, Secret, described

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dockerbin.secret import Secrets, Source

Pairs = tuple[tuple[str, str], ...]
"""A mapping of strings, frozen: sorted pairs of key and value."""

Verify = Literal["platform", "static", False]

# Docker's grammars: an image reference's path component (buildx names contexts like images),
# a build argument (an environment variable's name), a stage's name or number
_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_CONTEXT_NAME = re.compile(r"[a-z0-9][A-Za-z0-9_.:/@-]*")
_NETWORKS = ("default", "host", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSpec:
    """One build, whatever the platform. Equal specs are one build.

    Attributes:
        context: the folder that is sent to BuildKit.
        dockerfile: the Dockerfile; ``context / "Dockerfile"`` unless given.
        target: the stage to export; the last one when None.
        build_args: values of ``ARG``.
        build_contexts: named contexts, ``NAME`` to folder, ``docker-image://...`` or
            ``oci-layout://...``.
        secrets: ids, and where their values are; nothing in a spec shows a value.
        network: network of ``RUN`` steps: ``default``, ``host`` or ``none``.
        frontend: ``"builtin"``: the ``# syntax=`` line is not followed, so that no image is
            fetched for it.
        no_cache: whether BuildKit must run every step again.
        pull: whether BuildKit must ask the registry for newer base images.
        builder: name of a buildx builder; the current one when None.
        binary: path, inside the export, of the executable that ``dockerbin_binary`` yields.
        verify: ``"platform"``: executables must be of the platform; ``"static"``: and must need
            no loader; False: not checked.
    """

    context: Path
    dockerfile: Path
    target: str | None = None
    build_args: Pairs = ()
    build_contexts: Pairs = ()
    secrets: Secrets = ()
    network: str | None = None
    frontend: str | None = None
    no_cache: bool = False
    pull: bool = False
    builder: str | None = None
    binary: str | None = None
    verify: Verify = "platform"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Make a spec of settings that `read_settings` has read.

        Raises:
            SettingsError: there is no context, or no Dockerfile at the place named.
        """
        context: Path | None = settings.get("context")
        if context is None:
            raise SettingsError("a build needs a context: the folder that holds the Dockerfile")
        if not context.is_dir():
            raise SettingsError(f"context: there is no folder {str(context)!r}")
        dockerfile: Path = settings.get("dockerfile") or context / "Dockerfile"
        if not dockerfile.is_file():
            inside = context / dockerfile.name
            hint = f"there is {str(inside)!r}" if inside.is_file() else None
            raise SettingsError(f"dockerfile: there is no file {str(dockerfile)!r}", hint=hint)
        return cls(**{**settings, "context": context, "dockerfile": dockerfile})

    def label(self) -> str:
        """Return a short name for a person: context folder, Dockerfile if unusual, target."""
        words = [f"{self.context.name or self.context}/"]
        if self.dockerfile != self.context / "Dockerfile":
            words.append(f"-f {self.dockerfile.name}")
        if self.target:
            words.append(f"--target {self.target}")
        return " ".join(words)

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values, without the values of secrets."""
        data = {
            field.name: str(value) if isinstance(value, Path) else value
            for field in fields(self)
            for value in (getattr(self, field.name),)
        }
        return data | {"secrets": [[name, described(source)] for name, source in self.secrets]}

    def export_key(self) -> str:
        """Return a digest of all that decides what is exported for a platform.

        ``binary`` is left out: it chooses among what was exported.
        """
        asked = {name: value for name, value in self.to_json().items() if name != "binary"}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def read_settings(given: Mapping[str, Any], *, base: Path, where: str) -> dict[str, Any]:
    """Check build settings as a person wrote them and return them typed.

    Args:
        given: names and values.
        base: the folder that relative paths are relative to.
        where: what to call the place in messages: ``"@pytest.mark.dockerbin"``.

    Raises:
        SettingsError: an unknown name or a value of the wrong type, each in one line.
    """
    __tracebackhide__ = True  # pytest shows the arguments of a frame: a secret could be among them
    settings = {}
    for name, value in given.items():
        reader = _READERS.get(name)
        if reader is None:
            if name in _OWNED:
                raise SettingsError(f"{where}: {name!r} is not yours to set: {_OWNED[name]}")
            raise SettingsError.unknown("build setting", str(name), _READERS, where)
        try:
            settings[name] = reader(value, base)
        except _ExpectedError as expected:
            if reader is _secrets:
                raise SettingsError.wrong_secret(str(expected), where) from None
            raise SettingsError.wrong_value(name, value, str(expected), where) from None
    return settings


def setting_names() -> tuple[str, ...]:
    """Return the names of all build settings."""
    return tuple(_READERS)


class _ExpectedError(ValueError):
    """Raised by readers with the words for what was expected."""


def _text(value: object, what: str, form: re.Pattern[str] | None = None) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise _ExpectedError(what)
    if form and not form.fullmatch(value):
        raise _ExpectedError(what)
    return value


def _path(value: object, base: Path) -> Path:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    text = _text(value, "a path")
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # what pathlib raises for ~name
        raise _ExpectedError("a path (there is no such user)") from None
    # normalised but not resolved: a link stays the name that the user gave
    return Path(os.path.normpath(base / path))


def _target(value: object, _base: Path) -> str:
    return _text(value, "the name of a stage", _STAGE)


def _network(value: object, _base: Path) -> str:
    if value not in _NETWORKS:
        raise _ExpectedError(f"one of {', '.join(_NETWORKS)}")
    return str(value)


def _frontend(value: object, _base: Path) -> str:
    if value != "builtin":
        raise _ExpectedError('"builtin", or nothing')
    return "builtin"


def _flag(value: object, _base: Path) -> bool:
    if not isinstance(value, bool):
        raise _ExpectedError("True or False")
    return value


def _builder(value: object, _base: Path) -> str:
    return _text(value, "the name of a buildx builder", _STAGE)


def _binary(value: object, _base: Path) -> str:
    text = _text(value, "a path inside the export").lstrip("/")
    if ".." in Path(text).parts:
        raise _ExpectedError("a path inside the export")
    return text


def _verify(value: object, _base: Path) -> Verify:
    if value in ("platform", "static"):
        return value
    if value is False:
        return False
    raise _ExpectedError('"platform", "static" or False')


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)  # noqa: PLR2004


def _mapping(value: object, what: str) -> Mapping[Any, Any]:
    if isinstance(value, (list, tuple)):
        if value and all(map(_is_pair, value)):
            return dict(value)  # as read before
        # KEY=VALUE lines, as an ini file has them
        lines = [line.partition("=") for line in value if isinstance(line, str)]
        if len(lines) != len(value) or not all(separator for _, separator, _ in lines):
            raise _ExpectedError(what)
        return {key.strip(): text for key, _, text in lines}
    if not isinstance(value, Mapping):
        raise _ExpectedError(what)
    return value


def _build_args(value: object, _base: Path) -> Pairs:
    what = "a mapping of names to text, numbers or booleans"
    pairs = []
    for key, item in _mapping(value, what).items():
        name = _text(key, what, _ARGUMENT)
        if isinstance(item, bool):
            item = str(item).lower()  # noqa: PLW2901 (Docker's spelling of a boolean)
        if not isinstance(item, (str, int, float)) or "\0" in str(item):
            raise _ExpectedError(what)
        pairs.append((name, str(item)))
    return tuple(sorted(pairs))


def _build_contexts(value: object, base: Path) -> Pairs:
    what = "a mapping of names to folders, docker-image://... or oci-layout://..."
    pairs = []
    for key, item in _mapping(value, what).items():
        name = _text(key, what, _CONTEXT_NAME)
        if isinstance(item, str) and "://" in item:
            pairs.append((name, _context_reference(_text(item, what), base)))
        else:
            folder = _path(item, base)
            if not folder.is_dir():
                raise _ExpectedError(f"a folder (there is no {str(folder)!r})")
            pairs.append((name, str(folder)))
    return tuple(sorted(pairs))


def _context_reference(text: str, base: Path) -> str:
    scheme, _, rest = text.partition("://")
    return f"{scheme}://{_path(rest, base)}" if scheme == "oci-layout" else text


def _secrets(value: object, base: Path) -> Secrets:
    what = '"env:NAME", "file:PATH" or pytest_dockerbin.Secret(...)'
    pairs: list[tuple[str, Source]] = []
    for key, item in _mapping(value, f"a mapping of ids to {what}").items():
        name = _text(key, f"a mapping of ids to {what}")
        scheme, _, where = item.strip().partition(":") if isinstance(item, str) else ("", "", "")
        if isinstance(item, Secret):
            pairs.append((name, item))
        elif scheme == "env":
            pairs.append((name, f"env:{_text(where, f'env:NAME for {name!r}', VARIABLE)}"))
        elif scheme == "file":
            pairs.append((name, f"file:{_path(where, base)}"))
        else:  # the value itself, which reports would show
            raise _ExpectedError(f"{what} for {name!r}")
    return tuple(sorted(pairs, key=itemgetter(0)))


_READERS: dict[str, Callable[[object, Path], Any]] = {
    "context": _path,
    "dockerfile": _path,
    "target": _target,
    "build_args": _build_args,
    "build_contexts": _build_contexts,
    "secrets": _secrets,
    "network": _network,
    "frontend": _frontend,
    "no_cache": _flag,
    "pull": _flag,
    "builder": _builder,
    "binary": _binary,
    "verify": _verify,
}

# flags that this package passes itself, and where their matter is decided instead
_OWNED = {
    "output": "every build is exported to a folder of its own; see Artifact.path",
    "platform": "use @pytest.mark.platform or --dockerbin-platforms",
    "platforms": "use @pytest.mark.platform or --dockerbin-platforms",
    "iidfile": "no image is made",
    "push": "no image is made",
    "load": "no image is made",
    "tag": "no image is made",
    "progress": "the log is written to BuildRecord.log_path",
    "metadata_file": "see Artifact.build",
}
