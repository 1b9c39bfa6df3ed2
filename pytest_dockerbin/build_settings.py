"""Reads build settings as a person wrote them: each is checked and typed, or refused in one line.

A setting has one name everywhere: in ``@pytest.mark.dockerbin(...)``, ``pytest_dockerbin.fixture``,
``dockerbin_build`` and, as ``dockerbin_<name>``, in the ini file. Names and meanings are those of
``docker buildx build``'s flags, with underscores. What was read can be read again.
"""

from __future__ import annotations

import csv
import os
import re
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.secret import VARIABLE, Secret
from pytest_dockerbin.spec import BuildSpec, Exporter, is_remote, linked_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_dockerbin.secret import Secrets, Source
    from pytest_dockerbin.spec import Baked, Linked, Pairs, Verify

# Docker's grammars: an image reference's path component (buildx names contexts like images),
# a build argument (an environment variable's name), a stage's name or number, a size
_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TARGET = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # of a bake file, too
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_CONTEXT_NAME = re.compile(r"[a-z0-9][A-Za-z0-9_.:/@-]*")
_SIZE = re.compile(r"[0-9]+(\.[0-9]+)?([kmgtp]i?)?b?", re.IGNORECASE)
_LIMIT = re.compile(r"(-1|[0-9]+)(:(-1|[0-9]+))?")
_ULIMIT = re.compile(r"[a-z]+")
_ATTRIBUTE = re.compile(r"[a-z][a-z0-9_.-]*")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ADDRESS = re.compile(r"[0-9a-fA-F.:]+|host-gateway")
_CGROUP = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./:@-]*")
_SSH_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NETWORKS = ("default", "host", "none")
_PROVENANCE_MODES = ("min", "max")

# attributes of caches that are paths of this host, and those that are credentials
_CACHE_PATHS = ("src", "dest")
_CREDENTIALS = re.compile(r"secret|token|access_key|account_key|password")


class NamedPath(NamedTuple):
    """A path as it was written, and where that is if it is one of this host.

    Attributes:
        text: as it was written: a path inside the context, where that is no folder.
        path: absolute.
    """

    text: str
    path: Path


def read_settings(given: object, *, base: Path, where: str) -> dict[str, Any]:
    """Check build settings as a person wrote them and return them typed.

    Args:
        given: a mapping of names to values.
        base: the folder that relative paths are relative to.
        where: what to call the place in messages: ``"@pytest.mark.dockerbin"``.

    Raises:
        SettingsError: an unknown name or a value of the wrong type, each in one line.
    """
    __tracebackhide__ = True  # pytest shows the arguments of a frame: a secret could be among them
    if not isinstance(given, Mapping):
        what = f"a mapping of build settings, not a {type(given).__name__}"
        raise SettingsError(f"{where}: expected {what}")
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
            if expected.hidden or reader is _secrets:
                raise SettingsError.hidden_value(name, str(expected), where) from None
            raise SettingsError.wrong_value(name, value, str(expected), where) from None
    return settings


def with_whole_paths(given: object, base: Path) -> object:
    """Return build settings as they were written, but for their paths, which are absolute.

    So they mean the same to a file of another folder that takes them over. What can't be read is
    left as it is: `read_settings` tells why.

    Args:
        given: a mapping of names to values.
        base: the folder that relative paths are relative to.
    """
    if not isinstance(given, Mapping):
        return given
    whole = dict(given)
    for name in _WITH_PATHS & whole.keys():
        with suppress(_ExpectedError):
            read = _READERS[name](given[name], base)
            whole[name] = dict(read) if isinstance(given[name], Mapping) else read
    return whole


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings and, above them, those of a nearer place.

    A bake file says itself what is built, so what a farther place says of that does not count.
    """
    what = ("context", "dockerfile", "target") if "bake" in above else ()
    return {**{name: below[name] for name in below if name not in what}, **above}


def build_spec(context: str | os.PathLike[str], **settings: Any) -> BuildSpec:  # noqa: ANN401
    """Say what to build, for `Builder.build` in a script.

    ::

        spec = build_spec("app", target="bin", build_args={"VERSION": "1.2"})

    Args:
        context: the folder that is sent to BuildKit, a tar archive, or a URL. Relative paths, here
            and in ``settings``, are relative to the working folder.
        settings: build settings, as ``@pytest.mark.dockerbin`` takes them.

    Raises:
        SettingsError: an unknown setting, a wrong value, or no Dockerfile at the place named.
    """
    given = {**settings, "context": context}
    return spec_of(read_settings(given, base=Path.cwd(), where="build_spec"))


def spec_of(
    settings: Mapping[str, Any],
    *,
    built: bool = True,
    said: Mapping[str, str] | None = None,
    linked: tuple[Linked, ...] = (),
    baked: Baked | None = None,
) -> BuildSpec:
    """Make a spec of settings that `read_settings` has read; those of ``bake`` are not followed.

    Args:
        settings: names and values.
        built: whether it is for a build, so that context and Dockerfile must be there.
        said: where settings were said, for messages, by name: ``"ini dockerbin_context"``.
        linked: the bake targets that are contexts of it.
        baked: the bake target that it is.

    Raises:
        SettingsError: there is no context, or no Dockerfile at the place named; or two settings
            exclude one another.
    """
    __tracebackhide__ = True
    context: Path | str | None = settings.get("context")
    if context is None:
        raise SettingsError("a build needs a context: the folder that holds the Dockerfile")
    given: NamedPath | Path | str | None = settings.get("dockerfile")
    dockerfile: Path | str
    if isinstance(given, (str, Path)):  # its text, or that of another spec
        dockerfile = given
    elif isinstance(context, Path) and (context.is_dir() or not context.exists()):
        dockerfile = given.path if given else context / "Dockerfile"
    else:
        dockerfile = given.text if given else "Dockerfile"
    attests = dict(settings.get("attests", ()))
    for name in ("provenance", "sbom"):
        asked = settings.get(name)
        if asked is not None:
            attests[name] = asked
    own = {
        name: value
        for name, value in settings.items()
        if name not in ("attests", "provenance", "sbom")
    }
    wanted = tuple((kind, pairs) for kind, pairs in sorted(attests.items()) if pairs is not False)
    if "bake" in own:
        raise SettingsError("bake: a bake file can be named where a build begins, not here")
    given_so_far = {**own, "context": context, "dockerfile": dockerfile, "attests": wanted}
    spec = BuildSpec(**given_so_far, linked=linked, baked=baked)
    if built:
        find_sources(spec, said)
    _refuse_what_excludes_another(spec)
    return spec


def setting_names() -> tuple[str, ...]:
    """Return the names of all build settings."""
    return tuple(_READERS)


def find_sources(spec: BuildSpec, said: Mapping[str, str] | None = None) -> None:
    """Return when a spec's context and Dockerfile are there, as far as they are of this machine.

    Args:
        spec: the build.
        said: as for `spec_of`.

    Raises:
        SettingsError: one is not there.
    """
    __tracebackhide__ = True
    said = said or {}
    context, dockerfile = spec.context, spec.dockerfile
    if isinstance(context, Path) and not context.exists():
        raise SettingsError(
            f"{said.get('context', 'context')}: there is no folder {str(context)!r}"
        )
    if isinstance(dockerfile, Path) and not dockerfile.is_file():
        inside = Path(context) / dockerfile.name
        hint = None
        if inside.is_file():
            hint = f"there is {str(inside)!r}"
        elif not said:
            hint = "the settings context and dockerfile say where it is"
        where = said.get("dockerfile") or said.get("context") or "dockerfile"
        raise SettingsError(f"{where}: there is no file {str(dockerfile)!r}", hint=hint)


def _refuse_what_excludes_another(spec: BuildSpec) -> None:
    if spec.is_archive and not spec.context.is_file():  # type: ignore[union-attr] # a path
        raise SettingsError(f"context: {str(spec.context)!r} is neither a folder nor a file")
    if spec.dockerfile_text is not None and isinstance(spec.context, Path):
        if spec.context.is_file():
            raise SettingsError("dockerfile: its text can't be built with a tar archive's files")
    elif isinstance(spec.dockerfile, str):
        for name in ("frontend", "sysroot_target"):
            if getattr(spec, name):
                raise SettingsError(f"{name} needs a Dockerfile of this machine, to be changed")
    if spec.exporter in ("docker", "tar") and spec.attests:
        raise SettingsError(f"exporter: {spec.exporter!r} holds no attestations; 'oci' does")
    _refuse_what_linked_targets_exclude(spec)


def _refuse_what_linked_targets_exclude(spec: BuildSpec) -> None:
    known = {one.name for one in spec.linked}
    for name, where in spec.build_contexts:
        target = linked_target(where)
        if target is not None and target not in known:
            raise SettingsError(f"build_contexts: {name!r}: {where!r} needs a bake file")
    # what bake itself can't do
    if spec.linked and any(each.is_archive for each in spec.all):
        raise SettingsError("context: a build with linked targets needs folders or URLs")
    if spec.linked and any(each.network == "host" for each in spec.all):
        raise SettingsError("network: a build with linked targets can't have the host's")
    if spec.linked and spec.cgroup_parent:
        raise SettingsError("cgroup_parent: a build with linked targets can't have one")


class _ExpectedError(ValueError):
    """Raised by readers with the words for what was expected.

    Args:
        expected: those.
        hidden: whether a message must not show what was given.
    """

    def __init__(self, expected: str, *, hidden: bool = False) -> None:
        super().__init__(expected)
        self.hidden = hidden


# -- text and paths -------------------------------------------------------------------------------


def _text(value: object, what: str, form: re.Pattern[str] | None = None) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise _ExpectedError(what)
    if form and not form.fullmatch(value):
        raise _ExpectedError(what)
    return value


def _path(value: object, base: Path, what: str = "a path") -> Path:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    text = _text(value, what)
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # what pathlib raises for ~name
        raise _ExpectedError(f"{what} (there is no such user)") from None
    # normalised but not resolved: a link stays the name that the user gave
    return Path(os.path.normpath(base / path))


def _context(value: object, base: Path) -> Path | str:
    what = "a folder, a tar archive, or the URL of a git repository or of a tar archive"
    if isinstance(value, str) and is_remote(value):
        return _text(value, what)
    return _path(value, base, what)


def _bake(value: object, base: Path) -> tuple[Path, ...]:
    what = "the path of a bake file, or a list of them"
    files = value if isinstance(value, (list, tuple)) else (value,)
    if not files:
        raise _ExpectedError(what)
    return tuple(_path(file, base, what) for file in files)


def _dockerfile(value: object, base: Path) -> NamedPath | str:
    if isinstance(value, NamedPath):
        return value
    if isinstance(value, str) and "\n" in value and "\0" not in value:
        return textwrap.dedent(value)
    what = "a path, or text of more than one line"
    path = _path(value, base, what)
    return NamedPath(os.fspath(value), path)  # type: ignore[call-overload] # a path, as read above


def _binary(value: object, _base: Path) -> str:
    text = _text(value, "a path inside the export").lstrip("/")
    if ".." in Path(text).parts:
        raise _ExpectedError("a path inside the export")
    return text


def _plain(what: str, form: re.Pattern[str]) -> Callable[[object, Path], str]:
    """Return a reader of text in a form."""
    return lambda value, _base: _text(value, what, form)


# -- words ----------------------------------------------------------------------------------------


def _network(value: object, _base: Path) -> str:
    if value not in _NETWORKS:
        raise _ExpectedError(f"one of {', '.join(_NETWORKS)}")
    return str(value)


def _frontend(value: object, _base: Path) -> str:
    if value != "builtin":
        raise _ExpectedError('"builtin", or nothing')
    return "builtin"


def _exporter(value: object, _base: Path) -> Exporter:
    if value not in get_args(Exporter):
        raise _ExpectedError(f"one of {', '.join(get_args(Exporter))}")
    return value  # type: ignore[return-value] # one of them


def _flag(value: object, _base: Path) -> bool:
    if not isinstance(value, bool):
        raise _ExpectedError("True or False")
    return value


def _verify(value: object, _base: Path) -> Verify:
    if value in ("platform", "static"):
        return value
    if value is False:
        return False
    raise _ExpectedError('"platform", "static" or False')


def _shm_size(value: object, _base: Path) -> str:
    what = "a size such as '128m', or bytes"
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return str(value)
    return _text(value, what, _SIZE)


# -- lists and mappings ---------------------------------------------------------------------------


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)  # noqa: PLR2004


def _pairs(value: object, what: str, lines_form: str = "NAME=VALUE lines") -> list[tuple[Any, Any]]:
    """Return the pairs of a mapping, or of ``KEY=VALUE`` lines as an ini file has them."""
    if isinstance(value, (list, tuple)):
        if value and all(map(_is_pair, value)):
            return list(value)  # as read before
        lines = [line.partition("=") for line in value if isinstance(line, str)]
        if len(lines) != len(value) or not all(found for _, found, _ in lines):
            raise _ExpectedError(lines_form)
        return [(key.strip(), text) for key, _, text in lines]
    if not isinstance(value, Mapping):
        raise _ExpectedError(what)
    return list(value.items())


def _each(value: object, what: str) -> Iterable[Any]:
    """Return the items of a list."""
    if not isinstance(value, (list, tuple)):
        raise _ExpectedError(what)
    return value


def _values(what: str, name_form: re.Pattern[str]) -> Callable[[object, Path], Pairs]:
    """Return a reader of names and plain values."""

    def read(value: object, _base: Path) -> Pairs:
        pairs = {}
        for key, item in _pairs(value, what):
            name = _text(key, what, name_form)
            if isinstance(item, bool):
                item = str(item).lower()  # noqa: PLW2901 (Docker's spelling of a boolean)
            if not isinstance(item, (str, int, float)) or "\0" in str(item):
                raise _ExpectedError(what)
            pairs[name] = str(item)
        return tuple(sorted(pairs.items()))

    return read


def _build_contexts(value: object, base: Path) -> Pairs:
    what = "a mapping of names to folders, docker-image://..., oci-layout://... or URLs"
    pairs = {}
    for key, item in _pairs(value, what):
        name = _text(key, what, _CONTEXT_NAME)
        if isinstance(item, str) and linked_target(item):
            pairs[name] = _text(item, what)
        elif isinstance(item, str) and (is_remote(item) or "://" in item):
            pairs[name] = _context_reference(_text(item, what), base)
        else:
            folder = _path(item, base, what)
            if not folder.is_dir():
                raise _ExpectedError(f"a folder (there is no {str(folder)!r})")
            pairs[name] = str(folder)
    return tuple(sorted(pairs.items()))


def _context_reference(text: str, base: Path) -> str:
    scheme, _, rest = text.partition("://")
    return f"{scheme}://{_path(rest, base)}" if scheme == "oci-layout" else text


def _secrets(value: object, base: Path) -> Secrets:
    what = '"env:NAME", "file:PATH" or pytest_dockerbin.Secret(...)'
    pairs: dict[str, Source] = {}
    lines = "ID=env:NAME or ID=file:PATH lines"
    for key, item in _pairs(value, f"a mapping of ids to {what}", lines):
        name = _text(key, f"a mapping of ids to {what}")
        scheme, _, where = item.strip().partition(":") if isinstance(item, str) else ("", "", "")
        if isinstance(item, Secret):
            pairs[name] = item
        elif scheme == "env":
            pairs[name] = f"env:{_text(where, f'env:NAME for {name!r}', VARIABLE)}"
        elif scheme == "file":
            pairs[name] = f"file:{_path(where, base)}"
        else:  # the value itself, which reports would show
            raise _ExpectedError(f"{what} for {name!r}")
    return tuple(sorted(pairs.items(), key=itemgetter(0)))


def _ssh(value: object, base: Path) -> Pairs:
    """Read ids and, each after its id, the agent's socket or a key; nothing: the user's agent."""
    what = '"default", or a mapping of ids to a socket, a key file or ""'
    if isinstance(value, str):
        value = [value]
    if isinstance(value, (list, tuple)) and not all(map(_is_pair, value)):
        value = dict(_text(item, what).partition("=")[::2] for item in value)
    pairs = {}
    for key, item in _pairs(value, what):
        name = _text(key, what, _SSH_ID)
        pairs[name] = "" if item == "" else str(_path(item, base, what))
        if "," in pairs[name]:  # which buildx reads as several
            raise _ExpectedError("a path without a comma")
    return tuple(sorted(pairs.items()))


def _add_hosts(value: object, _base: Path) -> Pairs:
    what = "a mapping of host names to IP addresses or 'host-gateway'"
    if isinstance(value, (list, tuple)):  # HOST:ADDRESS, as buildx has it
        value = [
            item.replace(":", "=", 1) if isinstance(item, str) and "=" not in item else item
            for item in value
        ]
    found = set()
    for key, item in _pairs(value, what, "NAME:ADDRESS lines"):
        for address in item if isinstance(item, (list, tuple)) else (item,):
            text = _text(address, what).strip().removeprefix("[").removesuffix("]")
            found.add((_text(key, what, _HOST), _text(text, what, _ADDRESS)))
    return tuple(sorted(found))


def _ulimits(value: object, _base: Path) -> Pairs:
    what = "a mapping of names to a limit, (soft, hard) or 'SOFT:HARD'"
    pairs = {}
    for key, item in _pairs(value, what, "NAME=SOFT:HARD lines"):
        parts = item if isinstance(item, (list, tuple)) else (item,)
        if any(isinstance(part, bool) or not isinstance(part, (int, str)) for part in parts):
            raise _ExpectedError(what)
        limit = _text(":".join(str(part).strip() for part in parts), what, _LIMIT)
        pairs[_text(key, what, _ULIMIT)] = limit
    return tuple(sorted(pairs.items()))


def _stages(value: object, _base: Path) -> tuple[str, ...]:
    what = "a list of names of stages"
    return tuple(dict.fromkeys(_text(item, what, _STAGE) for item in _each(value, what)))


# -- caches and attestations, which have attributes -----------------------------------------------


def _attributes(value: object, what: str) -> dict[str, str]:
    """Return the attributes of a mapping, or of text as buildx has it: ``type=local,dest=DIR``."""
    if isinstance(value, str):
        try:
            (fields,) = csv.reader([_text(value, what)], strict=True)
        except (csv.Error, ValueError):
            raise _ExpectedError(what) from None
        value = [field.strip() for field in fields]
    found = {}
    for key, item in _pairs(value, what, what):
        text = str(item).lower() if isinstance(item, bool) else item
        if isinstance(text, os.PathLike):
            text = os.fspath(text)
        name = _text(key, what).lower()
        found[_text(name, what, _ATTRIBUTE)] = _text(
            str(text) if isinstance(text, int) else text, what
        )
    return found


def _caches(value: object, base: Path) -> tuple[Pairs, ...]:
    what = "a list of caches such as 'type=local,dest=DIR' or 'type=registry,ref=NAME'"
    caches = []
    for item in _each(value, what):
        if isinstance(item, str) and "=" not in item:  # as buildx reads it
            found = {"type": "registry", "ref": _text(item, what)}
        else:
            found = _attributes(item, what)
        if "type" not in found:
            raise _ExpectedError(what)
        if any(_CREDENTIALS.search(name) for name in found):
            raise _ExpectedError(
                "no credentials, since arguments are seen by everybody on this machine (buildx "
                "takes them from the environment)",
                hidden=True,
            )
        for name in _CACHE_PATHS:
            if name in found and found["type"] == "local":
                found[name] = str(_path(found[name], base, what))
        caches.append(tuple(sorted(found.items())))
    return tuple(caches)


def _attests(value: object, _base: Path) -> tuple[tuple[str, Pairs], ...]:
    what = "a list such as ['type=provenance,mode=max', 'type=sbom']"
    if isinstance(value, tuple) and value and all(map(_is_pair, value)):
        return value  # as read before
    found = {}
    for item in _each(value, what):
        attributes = _attributes(item, what)
        kind = attributes.pop("type", "")
        if kind not in ("provenance", "sbom"):
            raise _ExpectedError(what)
        found[kind] = tuple(sorted(attributes.items()))
    return tuple(sorted(found.items()))


def _provenance(value: object, _base: Path) -> Pairs | bool:
    what = '"min", "max", True, False or attributes such as "mode=max"'
    if value in _PROVENANCE_MODES:
        return (("mode", str(value)),)
    return _attestation(value, what)


def _sbom(value: object, _base: Path) -> Pairs | bool:
    return _attestation(value, 'True, False or attributes such as "generator=IMAGE"')


def _attestation(value: object, what: str) -> Pairs | bool:
    if value is False or value == "false":
        return False
    if value is True or value in ("true", ()):
        return ()
    return tuple(sorted(_attributes(value, what).items()))


_READERS: dict[str, Callable[[object, Path], Any]] = {
    "context": _context,
    "dockerfile": _dockerfile,
    "bake": _bake,
    "target": _plain("the name of a stage", _TARGET),
    "build_args": _values("a mapping of names to text, numbers or booleans", _ARGUMENT),
    "build_contexts": _build_contexts,
    "secrets": _secrets,
    "ssh": _ssh,
    "network": _network,
    "add_hosts": _add_hosts,
    "labels": _values("a mapping of names to text, numbers or booleans", re.compile(r"[^=\s]+")),
    "frontend": _frontend,
    "no_cache": _flag,
    "no_cache_filter": _stages,
    "pull": _flag,
    "cache_from": _caches,
    "cache_to": _caches,
    "shm_size": _shm_size,
    "ulimits": _ulimits,
    "cgroup_parent": _plain("the path of a cgroup", _CGROUP),
    "attests": _attests,
    "provenance": _provenance,
    "sbom": _sbom,
    "builder": _plain("the name of a buildx builder", _STAGE),
    "exporter": _exporter,
    "binary": _binary,
    "verify": _verify,
    "sysroot_target": _plain("the name of a stage", _STAGE),
}

_WITH_PATHS = {"context", "dockerfile", "bake", "build_contexts", "secrets", "ssh"}
_WITH_PATHS |= {"cache_from", "cache_to"}

# buildx's other flags: those that this package passes itself, where their matter is decided
# instead, and those that would make of a build something else
_OWNED = {
    "output": "every build is exported to a folder of its own; see Artifact.path and `exporter`",
    "platform": "use @pytest.mark.platform or --dockerbin-platforms",
    "platforms": "use @pytest.mark.platform or --dockerbin-platforms",
    "iidfile": "no image is made",
    "push": "no image is made",
    "load": "no image is made",
    "tag": "no image is made",
    "tags": "no image is made",
    "annotation": "no image is pushed; `labels` are those of an image's archive",
    "annotations": "no image is pushed; `labels` are those of an image's archive",
    "progress": "the log is written to BuildRecord.log_path; see --dockerbin-progress",
    "quiet": "the log is written to BuildRecord.log_path; see --dockerbin-progress",
    "debug": "the log is written to BuildRecord.log_path; see --dockerbin-progress",
    "metadata": "see Artifact.build",
    "metadata_file": "see Artifact.build",
    "call": "it builds nothing; `docker buildx build --call` does the same by hand",
    "check": "it builds nothing; `docker buildx build --check` does the same by hand",
    "allow": "no build gets privileges of its builder's machine",
}
