"""Targets of a bake file, as ``docker buildx bake --print`` tells them, and the builds they are.

Variables, inheritance, functions and matrices are followed by bake itself; what is read here is
its result. Relative paths in it are relative to the folder in which bake ran.
Source: Docker's documentation, "Bake file reference".
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pytest_dockerbin.build_settings import NamedPath, read_settings, spec_of
from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.spec import Baked, Linked, linked_target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dockerbin.spec import BuildSpec

PROBE = "pytest-dockerbin"
"""A label that every target gets on top of its own, with `PROBE_VALUE`."""

PROBE_VALUE = "${"
"""Text that newer versions of buildx print as ``$${``, as they do with all like it."""

# keys of a target that decide what is built -> the build setting of the same meaning
_SETTINGS = {
    "args": "build_args",
    "attest": "attests",
    "cache-from": "cache_from",
    "cache-to": "cache_to",
    "context": "context",
    "contexts": "build_contexts",
    "extra-hosts": "add_hosts",
    "labels": "labels",
    "network": "network",
    "no-cache": "no_cache",
    "no-cache-filter": "no_cache_filter",
    "pull": "pull",
    "secret": "secrets",
    "shm-size": "shm_size",
    "ssh": "ssh",
    "target": "target",
    "ulimits": "ulimits",
}
# keys that are read apart, and those that change no exported file
_READ_APART = {"dockerfile", "dockerfile-inline", "platforms", "entitlements"}
_WITHOUT_EFFECT = {"annotations", "call", "description", "output", "tags"}

_OF_SETTINGS_WITH_NAMES = ("build_args", "build_contexts", "labels", "secrets", "ssh", "ulimits")
_DECIDING = ("build_args", "build_contexts", "context", "dockerfile", "frontend", "network")
# what buildx itself puts into these caches from the environment, and does again when it builds
_FROM_ENVIRONMENT = {"token", "url", "url_v2", "access_key_id", "secret_access_key"}
_FROM_ENVIRONMENT |= {"session_token"}


@dataclass(frozen=True, slots=True)
class BakeTargets:
    """What a target, a matrix or a group of a bake file stands for.

    Attributes:
        files: the bake files, absolute.
        names: the targets that are built, in the order of the file.
        definitions: of these and of those linked to them, by name, as bake printed them.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...]
    definitions: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, files: tuple[Path, ...], printed: Mapping[str, Any]) -> Self:
        """Return what bake has printed for one name, in the folder of the first file."""
        groups = printed.get("group", {})
        names: dict[str, None] = {}

        def add(name: str, above: tuple[str, ...]) -> None:
            # a group may have the name of the target in it
            if name in groups and name not in above:
                for member in groups[name]["targets"]:
                    add(member, (*above, name))
            else:
                names[name] = None

        add("default", ())
        definitions = {name: _unescaped(body) for name, body in printed["target"].items()}
        return cls(files, tuple(names), definitions)

    @classmethod
    def prebuilt(cls, files: tuple[Path, ...], targets: Mapping[str, tuple[Platform, ...]]) -> Self:
        """Return targets that were built elsewhere: of how, nothing is known and nothing needed."""
        which = " ".join(file.name for file in files)
        definitions = {
            name: {
                # another build than the others
                "dockerfile-inline": f"# {which}\nFROM scratch AS {name}",
                "platforms": [*map(str, platforms)],
            }
            for name, platforms in targets.items()
        }
        return cls(files, tuple(targets), definitions)

    def only(self) -> str:
        """Return the one target.

        Raises:
            SettingsError: there are several.
        """
        if len(self.names) > 1:
            raise SettingsError(
                f"bake: {self.files[0].name} has {len(self.names)} targets here "
                f"({', '.join(self.names)}); name one: target={self.names[0]!r}"
            )
        return self.names[0]

    def platforms(self, name: str) -> tuple[Platform, ...]:
        """Return the platforms that a target is for, those of its file; none where it says none.

        Raises:
            SettingsError: one is no platform.
        """
        found = []
        for text in self.definitions[name].get("platforms") or ():
            try:
                found.append(Platform.host() if text == "local" else Platform.parse(text))
            except SettingsError as error:
                raise SettingsError(f"{self._where(name)}: {error.summary}") from None
        return tuple(dict.fromkeys(found))

    def spec(self, name: str, beside: Mapping[str, Any]) -> BuildSpec:
        """Return the build of a target.

        Args:
            name: the target's.
            beside: build settings, typed, that are above those of the file: of mappings each
                entry, of all others the whole.

        Raises:
            SettingsError: the target has a key that is not known, or that no build may have.
        """
        settings = self._settings(name, beside)
        linked = tuple(
            self._linked(target, name)
            for target in dict.fromkeys(
                linked_target(where) for _, where in settings.get("build_contexts", ())
            )
            if target is not None
        )
        said = tuple((key, beside[key]) for key in _DECIDING if key in beside)
        return spec_of(settings, linked=linked, baked=Baked(self.files, name, said))

    def _linked(self, name: str, user: str) -> Linked:
        if name not in self.definitions:
            raise SettingsError(f"{self._where(user)}: contexts: bake knows no target {name!r}")
        platforms = tuple(map(str, self.platforms(name)))
        # without any on either side all follows the one that is tested, as with
        # `--set *.platform`; else one without is built for the builder's own platform
        as_wanted = not platforms and not self.platforms(user)
        return Linked(name, self.spec(name, {}), None if as_wanted else platforms)

    def _where(self, name: str) -> str:
        return f"{self.files[0].name}: target {name!r}"

    def _settings(self, name: str, beside: Mapping[str, Any]) -> dict[str, Any]:
        where = self._where(name)
        folder = self.files[0].parent
        given = self._given(name)
        read = read_settings(given, base=folder, where=where)
        settings = {**read, **beside}
        for key in _OF_SETTINGS_WITH_NAMES:
            if key in read and key in beside:
                pairs = {**dict(read[key]), **dict(beside[key])}
                settings[key] = tuple(sorted(pairs.items(), key=lambda pair: pair[0]))
        if "dockerfile" not in beside:
            dockerfile = self._dockerfile(name, settings["context"])
            if dockerfile is not None:
                settings["dockerfile"] = dockerfile
        return settings

    def _given(self, name: str) -> dict[str, Any]:
        """Return the settings of a target, with the values that a person could have written."""
        body = self.definitions[name]
        where = self._where(name)
        unknown = body.keys() - _SETTINGS.keys() - _READ_APART - _WITHOUT_EFFECT
        if unknown:
            raise SettingsError(
                f"{where}: the key {min(unknown)!r} could change what is built, and is not "
                f"supported"
            )
        entitlements = set(body.get("entitlements") or ())
        if body.get("network") == "host":
            entitlements.discard("network.host")  # which bake itself adds
        if entitlements:
            raise SettingsError(
                f"{where}: entitlements: no build gets privileges of its builder's machine "
                f"({', '.join(sorted(entitlements))})"
            )
        given = {"context": "."}
        for key, setting in _SETTINGS.items():
            value = body.get(key)
            if value not in (None, "", [], {}):
                translate = _TRANSLATED.get(key)
                given[setting] = translate(value, where) if translate else value
        return given

    def _dockerfile(self, name: str, context: Path | str) -> NamedPath | str | None:
        """Return a Dockerfile: its text, or its place, which is relative to the context."""
        body = self.definitions[name]
        inline = body.get("dockerfile-inline")
        if inline is not None:
            return f"{inline}\n"  # two lines at least: never taken for a path
        text = body.get("dockerfile")
        if text is None:
            return None
        here = _local(text)
        base = self.files[0].parent if here != text or isinstance(context, str) else context
        return NamedPath(here, Path(os.path.normpath(base / here)))


def _unescaped(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """Return a target without the probe, and with its values as they were before printing."""
    labels = dict(value.get("labels") or {})
    escaped = labels.pop(PROBE, PROBE_VALUE) != PROBE_VALUE
    body = {**value, "labels": labels}
    if escaped:
        for key in ("args", "labels"):
            body[key] = {name: _plain(text) for name, text in (body.get(key) or {}).items()}
        if "dockerfile-inline" in body:
            body["dockerfile-inline"] = _plain(body["dockerfile-inline"])
    return body


def _plain(text: str | None) -> str | None:
    return text and text.replace("$${", "${").replace("%%{", "%{")


def _local(path: str) -> str:
    """Return a path of this machine without bake's mark for one."""
    return path.removeprefix("cwd://")


# -- values as bake prints them: text in older versions of buildx, objects in newer ones ----------


def _context(value: str, _where: str) -> str:
    return _local(value)


def _contexts(value: Mapping[str, str], _where: str) -> dict[str, str]:
    return {name: _local(where) for name, where in value.items() if where}


def _given_values(value: Mapping[str, str | None], _where: str) -> dict[str, str]:
    return {name: text for name, text in value.items() if text is not None}


def _hosts(value: Mapping[str, str], _where: str) -> dict[str, list[str]]:
    return {name: addresses.split(",") for name, addresses in value.items()}


def _fields(item: str | Mapping[str, str]) -> dict[str, str]:
    if isinstance(item, str):
        (fields,) = csv.reader([item])
        return dict(field.strip().partition("=")[::2] for field in fields)
    return dict(item)


def _secrets(value: list[str | Mapping[str, str]], where: str) -> dict[str, str]:
    """Read secrets as buildx does: without a source, the variable or file that the id names."""
    found = {}
    for item in value:
        fields = _fields(item)
        name = fields.get("id", "")
        file = fields.get("src") or fields.get("source") or ""
        variable = fields.get("env") or ""
        if fields.get("type") == "env" and not variable:
            file, variable = "", file
        if not file and not variable:
            file, variable = ("", name) if name in os.environ else (name, "")
        if not name:
            raise SettingsError(f"{where}: secret: one has no id")
        found[name] = f"env:{variable}" if variable else f"file:{file}"
    return found


def _ssh(value: list[str | Mapping[str, Any]], where: str) -> dict[str, str]:
    found = {}
    for item in value:
        if isinstance(item, str):
            name, _, listed = item.partition("=")
            paths = listed.split(",") if listed else []
        else:
            name, paths = item.get("id", ""), item.get("paths") or []
        if len(paths) > 1:
            raise SettingsError(f"{where}: ssh: {name!r} has several keys; expected one or none")
        found[name] = paths[0] if paths else ""
    return found


def _caches(value: list[str | Mapping[str, str]], _where: str) -> list[str | dict[str, str]]:
    caches: list[str | dict[str, str]] = []
    for item in value:
        if isinstance(item, str) and "=" not in item:
            caches.append(item)
            continue
        fields = _fields(item)
        if fields.get("type") in ("gha", "s3"):
            fields = {key: text for key, text in fields.items() if key not in _FROM_ENVIRONMENT}
        caches.append(fields)
    return caches


def _attests(value: list[str | Mapping[str, str]], _where: str) -> list[dict[str, str]]:
    """Read attestations; later ones of a kind replace it, and a disabled one is none."""
    kinds = {fields.get("type", ""): fields for fields in map(_fields, value)}
    return [fields for fields in kinds.values() if fields.pop("disabled", "false") != "true"]


_TRANSLATED: dict[str, Callable[[Any, str], Any]] = {
    "args": _given_values,
    "attest": _attests,
    "cache-from": _caches,
    "cache-to": _caches,
    "context": _context,
    "contexts": _contexts,
    "extra-hosts": _hosts,
    "labels": _given_values,
    "secret": _secrets,
    "ssh": _ssh,
}
