"""Which platforms a test runs for, and what its markers say of the build.

The rules, nearest first: the ``platform`` markers of the nearest node that has any; the list of
``--dockerbin-platforms`` or its variable, which narrows a marked test and is all of an unmarked
one's; the ini list; the native platform.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_dockerbin.build_settings import read_settings
from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.platforms import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pytest_dockerbin.settings import Selection


@dataclass(frozen=True, slots=True)
class Choice:
    """The platforms of one test.

    Attributes:
        platforms: for which it is run; when empty, ``skipped`` says why.
        asked: the platforms that its marker named, for the id of the one skipped item.
        skipped: why nothing is left, or None.
    """

    platforms: tuple[Platform, ...]
    asked: tuple[Platform, ...] = ()
    skipped: str | None = None


class BuildMarks(NamedTuple):
    """What is said of a build beside the defaults; hashable, since it is a fixture's parameter.

    Attributes:
        settings: build settings of the test's markers or of a named build, typed, as sorted pairs.
        scope: the node whose ``dockerbin_defaults`` apply: a fixture of session scope that a
            conftest overrides must be asked again where another override holds.
        overridden: whether ``dockerbin_defaults`` are overridden there: what they say is known
            when the test runs.
    """

    settings: tuple[tuple[str, Any], ...]
    scope: str
    overridden: bool


def choose(
    marks: Iterable[pytest.Mark],
    selection: Selection,
    auto: Callable[[], tuple[Platform, ...]],
) -> Choice:
    """Return the platforms of a test.

    Args:
        marks: the ``platform`` markers of the nearest node that has any.
        selection: the session's.
        auto: gives the platforms of the word ``auto``.

    Raises:
        SettingsError: a marker names what is no platform.
    """
    marks = tuple(marks)
    everything = _expand(selection.words, (), auto)
    if not marks:
        if everything:
            return Choice(everything)
        asked_for = f"{selection.source}={','.join(selection.words)}"
        return Choice((), (), f"{asked_for}: nothing that can be built and run here")
    asked = tuple(
        dict.fromkeys(platform for mark in marks for platform in _marked(mark, everything, auto))
    )
    if not asked:
        named = (platform for mark in marks for platform in _named(mark, everything, auto))
        return _nothing(marks, tuple(dict.fromkeys(named)), everything)
    if selection.chosen is None:
        return Choice(asked)
    kept = tuple(platform for platform in asked if platform in everything)
    if kept:
        return Choice(kept)
    return Choice((), asked, f"{_listed(asked)} not among {selection.source}={_listed(everything)}")


def _nothing(
    marks: tuple[pytest.Mark, ...],
    emulated: tuple[Platform, ...],
    everything: tuple[Platform, ...],
) -> Choice:
    """Say why markers keep no platform: those that they name are ``emulated``, or there is none."""
    if emulated:
        need = "needs" if len(emulated) == 1 else "need"
        reason = f"{_listed(emulated)} {need} an emulator here, and emulated=False"
        return Choice((), emulated, reason)
    words = ", ".join(str(word) for mark in marks for word in mark.args)
    return Choice((), (), f"no platform of {_listed(everything)} is {words}")


def marks_of_nearest_node(definition: pytest.Item, name: str) -> Iterator[pytest.Mark]:
    """Yield the markers ``name`` of the nearest node that has any."""
    nearest = None
    for node, mark in definition.iter_markers_with_node(name):
        if nearest is None:
            nearest = node
        if node is not nearest:
            return
        yield mark


def build_marks(definition: pytest.Item) -> dict[str, Any]:
    """Return a test's ``dockerbin`` markers, typed, merged key by key from module to function.

    Raises:
        SettingsError: a marker has an unknown key, a wrong value or positional arguments.
    """
    merged: dict[str, Any] = {}
    for node, mark in reversed(list(definition.iter_markers_with_node("dockerbin"))):
        where = "@pytest.mark.dockerbin"
        if mark.args:
            raise SettingsError.wrong_value(
                "arguments", mark.args, "names and values, such as target='bin'", where
            )
        merged |= read_settings(mark.kwargs, base=node.path.parent, where=where)
    return merged


def as_named_build(
    function: Callable[..., object], settings: Mapping[str, Any]
) -> Callable[..., object]:
    """Return a fixture's function, marked as that of a named build with ``settings``."""
    setattr(function, _NAMED, settings)
    return function


_NAMED = "dockerbin_named_build"
"""Attribute of a fixture's function: the settings of the named build that it is."""


def _fixtures(metafunc: pytest.Metafunc) -> dict[str, Callable[..., object]]:
    """Return the functions of a test's fixtures by name, each that which the test gets."""
    # pytest has no public way to tell which of several fixtures of a name that is
    found = metafunc._arg2fixturedefs  # noqa: SLF001
    return {name: inspect.unwrap(fixtures[-1].func) for name, fixtures in found.items()}


def is_ours(function: Callable[..., object]) -> bool:
    """Tell whether a fixture's function is this package's own."""
    return function.__module__ == "pytest_dockerbin.fixtures"


def is_parametrised(definition: pytest.Item, argument: str) -> bool:
    """Tell whether the test parametrises ``argument`` itself."""
    for mark in definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if isinstance(names, str):
            names = names.split(",")
        if argument in [name.strip() for name in names]:
            return True
    return False


def _marked(
    mark: pytest.Mark,
    everything: tuple[Platform, ...],
    auto: Callable[[], tuple[Platform, ...]],
) -> Iterator[Platform]:
    """Yield the platforms that a marker keeps."""
    emulated = mark.kwargs.get("emulated", True)
    for platform in _named(mark, everything, auto):
        if emulated or platform.native:
            yield platform


def _named(
    mark: pytest.Mark,
    everything: tuple[Platform, ...],
    auto: Callable[[], tuple[Platform, ...]],
) -> tuple[Platform, ...]:
    """Return the platforms that a marker names, emulated or not."""
    where = "@pytest.mark.platform"
    unknown = mark.kwargs.keys() - {"emulated"}
    if unknown:
        raise SettingsError.unknown("argument", min(unknown), ("emulated",), where)
    emulated = mark.kwargs.get("emulated", True)
    if not isinstance(emulated, bool):
        raise SettingsError.wrong_value("emulated", emulated, "True or False", where)
    words = mark.args or ("*",)
    for word in words:
        if not isinstance(word, str | Platform):
            raise SettingsError.wrong_value("platform", word, "text such as 'linux/arm64'", where)
    return _expand([str(word) for word in words], everything, auto, where)


def _expand(
    words: Iterable[str],
    everything: tuple[Platform, ...],
    auto: Callable[[], tuple[Platform, ...]],
    where: str = "",
) -> tuple[Platform, ...]:
    """Return the platforms that words name, each once; patterns match among ``everything``."""
    platforms: list[Platform] = []
    for word in words:
        if word == "auto":
            platforms += auto()
        elif any(sign in word for sign in "*?["):
            pattern = word.lower()
            platforms += [p for p in everything if fnmatchcase(str(p), pattern)]
        else:
            try:
                platforms.append(Platform.parse(word))
            except SettingsError as error:
                raise SettingsError(
                    f"{where}: {error.summary}" if where else error.summary
                ) from None
    return tuple(dict.fromkeys(platforms))


def _listed(platforms: Iterable[Platform]) -> str:
    return ",".join(map(str, platforms))


def parametrise(
    metafunc: pytest.Metafunc, selection: Selection, auto: Callable[[], tuple[Platform, ...]]
) -> None:
    """Run a test of ours once for each of its platforms.

    Hidden parameters, without a place in the test's id, carry what a fixture of session scope can't
    ask the test for: its build markers, where it stands, all platforms of ``dockerbin_matrix``.

    Raises:
        SettingsError: a marker can't be understood.
    """
    definition = metafunc.definition
    names = metafunc.fixturenames
    choice = choose(marks_of_nearest_node(definition, "platform"), selection, auto)
    fixtures = _fixtures(metafunc)
    scope = definition.parent.nodeid if definition.parent else ""
    defaults = fixtures.get("dockerbin_defaults")
    overridden = defaults is not None and not is_ours(defaults)

    def build(settings: Mapping[str, Any]) -> BuildMarks:
        return BuildMarks(tuple(sorted(settings.items())), scope, overridden)

    marks = build(build_marks(definition))
    if "dockerbin_platform" in names and not is_parametrised(definition, "dockerbin_platform"):
        _parametrise(metafunc, "dockerbin_platform", *_platform_params(choice))
    if "dockerbin" in names and not is_parametrised(definition, "dockerbin"):
        _parametrise(metafunc, "dockerbin", [marks], [pytest.HIDDEN_PARAM])
    for name, function in fixtures.items():
        settings = getattr(function, _NAMED, None)
        if settings is not None and not is_parametrised(definition, name):
            _parametrise(metafunc, name, [build(settings)], [pytest.HIDDEN_PARAM])
    if "dockerbin_matrix" in names and not is_parametrised(definition, "dockerbin_matrix"):
        value = pytest.param((choice.platforms, marks), marks=_skip_marks(choice))
        _parametrise(metafunc, "dockerbin_matrix", [value], [pytest.HIDDEN_PARAM])


def _platform_params(choice: Choice) -> tuple[list[Any], list[str]]:
    if choice.skipped is None:
        return list(choice.platforms), [str(platform) for platform in choice.platforms]
    # one visible item instead of none: a hole in the matrix must be seen
    param = pytest.param(choice.asked[0] if choice.asked else None, marks=_skip_marks(choice))
    return [param], [_listed(choice.asked) or "no platform"]


def _skip_marks(choice: Choice) -> list[pytest.MarkDecorator]:
    return [pytest.mark.skip(f"dockerbin: {choice.skipped}")] if choice.skipped else []


def _parametrise(metafunc: pytest.Metafunc, name: str, values: list[Any], ids: list[Any]) -> None:
    metafunc.parametrize(name, values, ids=ids, indirect=True, scope="session")
