"""Which platforms a test runs for, and what its markers say of the build.

The rules, nearest first: the ``platform`` markers of the nearest node that has any; the list of
``--dockerbin-platforms`` or its variable, which narrows a marked test and is all of an unmarked
one's; the ini list; those that the bake file says for what the test builds; the native platform.
"""

from __future__ import annotations

import inspect
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import chain, product
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest

from pytest_dockerbin.build_settings import read_settings
from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.platforms import Platform, is_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_dockerbin.settings import Selection

    # a test's markers, the nearest first, each with its node: read once, since that takes a while
    Marks = Sequence[tuple["_Node", pytest.Mark]]


class _Node(Protocol):
    """A test, a class or a module: pytest has no public name for all of them."""

    @property
    def path(self) -> Path:
        """Its file or folder."""


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
        overrides: where the ``dockerbin_defaults`` that apply are overridden, if they are: what
            they say is known when the test runs. A fixture of session scope that a conftest
            overrides must be asked again where another override holds, and only there: what is
            built on it lives as long.
    """

    settings: tuple[tuple[str, Any], ...]
    overrides: str


class BakeTargets(Protocol):
    """Gives the bake targets that a build stands for, each with its platforms; or None."""

    def __call__(
        self, settings: Mapping[str, Any], *, named: bool
    ) -> Mapping[str, tuple[Platform, ...]] | None:
        """See `Suite.bake_targets`."""


class _Variant(NamedTuple):
    """One of the builds that a fixture of a test is.

    Attributes:
        marks: the fixture's parameter.
        name: for the test's id, where there are several.
        platforms: those that its bake file says.
    """

    marks: BuildMarks
    name: str = ""
    platforms: tuple[Platform, ...] = ()


def choose(
    marks: Iterable[pytest.Mark],
    selection: Selection,
    auto: Callable[[], tuple[Platform, ...]],
    baked: tuple[Platform, ...] = (),
) -> Choice:
    """Return the platforms of a test.

    Args:
        marks: the ``platform`` markers of the nearest node that has any.
        selection: the session's.
        auto: gives the platforms of the word ``auto``.
        baked: those that a bake file says for what the test builds.

    Raises:
        SettingsError: a marker names what is no platform.
    """
    marks = tuple(marks)
    by_default = selection.source == "default"
    everything = baked if by_default and baked else _everything(selection.words, auto)
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


def in_order(
    selection: Selection,
    auto: Callable[[], tuple[Platform, ...]],
    of_tests: Iterable[Platform],
) -> tuple[Platform, ...]:
    """Return platforms in the order in which they were asked for.

    First the session's list, where one was given, then as the tests come.
    """
    listed = () if selection.source == "default" else _everything(selection.words, auto)
    return tuple(dict.fromkeys((*listed, *of_tests)))


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


def _of_name(marks: Marks, name: str) -> Marks:
    return [(node, mark) for node, mark in marks if mark.name == name]


def marks_of_nearest_node(marks: Marks, name: str) -> tuple[pytest.Mark, ...]:
    """Return the markers ``name`` of the nearest node that has any."""
    found = _of_name(marks, name)
    return tuple(mark for node, mark in found if node is found[0][0])


def build_marks(marks: Marks) -> dict[str, Any]:
    """Return a test's ``dockerbin`` markers, typed, merged key by key from module to function.

    Raises:
        SettingsError: a marker has an unknown key, a wrong value or positional arguments.
    """
    merged: dict[str, Any] = {}
    for node, mark in reversed(_of_name(marks, "dockerbin")):
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


def is_parametrised(marks: Marks, argument: str) -> bool:
    """Tell whether the test parametrises ``argument`` itself."""
    for _, mark in _of_name(marks, "parametrize"):
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


def _everything(
    words: tuple[str, ...], auto: Callable[[], tuple[Platform, ...]]
) -> tuple[Platform, ...]:
    """Return the platforms of the session's words."""
    return _named_by(words, auto() if "auto" in words else ())


# each test without a marker asks: 3 % of a collection. Of values only: what is kept here lives to
# the process's end, and with a session's tests in it that end took 8 % of 40,000 tests' collection
@lru_cache(maxsize=4)
def _named_by(words: tuple[str, ...], auto: tuple[Platform, ...]) -> tuple[Platform, ...]:
    return _expand(words, (), lambda: auto)


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
        elif is_pattern(word):
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
    metafunc: pytest.Metafunc,
    selection: Selection,
    auto: Callable[[], tuple[Platform, ...]],
    bake_targets: BakeTargets,
) -> None:
    """Run a test of ours once for each of its platforms, and for each target of a bake file.

    Hidden parameters, without a place in the test's id, carry what a fixture of session scope can't
    ask the test for: its build markers, where it stands, all platforms of ``dockerbin_matrix``.

    Raises:
        SettingsError: a marker can't be understood, or there is no such bake file or target.
    """
    marks = list(metafunc.definition.iter_markers_with_node())
    platform_marks = marks_of_nearest_node(marks, "platform")

    def chosen(variants: Iterable[_Variant]) -> Choice:
        baked = [variant.platforms for variant in variants if variant.platforms]
        common = [p for p in dict.fromkeys(chain(*baked)) if all(p in each for each in baked)]
        return choose(platform_marks, selection, auto, tuple(common))

    own, asked = _builds(metafunc, marks, bake_targets)
    runs = [(variants, chosen(variants)) for variants in product(*asked.values())]
    by_platform = _is_ours_to_parametrise(metafunc, marks, "dockerbin_platform")
    if len(runs) == 1:
        ((variants, choice),) = runs
        if by_platform:
            _parametrise(metafunc, "dockerbin_platform", *_platform_params(choice))
        for name, variant in zip(asked, variants, strict=True):
            _parametrise(metafunc, name, [variant.marks], [pytest.HIDDEN_PARAM])
    elif by_platform:
        _parametrise(metafunc, ("dockerbin_platform", *asked), *_joint_params(runs))
    else:
        values = [tuple(variant.marks for variant in variants) for variants, _ in runs]
        _parametrise(metafunc, tuple(asked), values, [_joined(variants) for variants, _ in runs])
    if _is_ours_to_parametrise(metafunc, marks, "dockerbin_matrix"):
        params = [
            pytest.param((choice.platforms, variant.marks), marks=_skip_marks(choice))
            for variant in own
            for choice in (chosen([variant]),)
        ]
        ids = [variant.name or pytest.HIDDEN_PARAM for variant in own]
        _parametrise(metafunc, "dockerbin_matrix", params, ids)
    if _is_ours_to_parametrise(metafunc, marks, "dockerbin_build"):
        _parametrise(metafunc, "dockerbin_build", [_overrides(metafunc)], [pytest.HIDDEN_PARAM])


def _overrides(metafunc: pytest.Metafunc) -> str:
    """Return the `BuildMarks.overrides` of a test."""
    found = metafunc._arg2fixturedefs.get("dockerbin_defaults", ())  # noqa: SLF001 (see `_fixtures`)
    functions = [inspect.unwrap(fixture.func) for fixture in found]
    return "; ".join(
        f"{inspect.getfile(function)}:{function.__qualname__}"
        for function in functions
        if not is_ours(function)
    )


def _is_ours_to_parametrise(metafunc: pytest.Metafunc, marks: Marks, argument: str) -> bool:
    return argument in metafunc.fixturenames and not is_parametrised(marks, argument)


def _builds(
    metafunc: pytest.Metafunc, marks: Marks, bake_targets: BakeTargets
) -> tuple[list[_Variant], dict[str, list[_Variant]]]:
    """Return the builds that a test's markers say, and those of each fixture that it asks for."""
    fixtures = _fixtures(metafunc)
    overrides = _overrides(metafunc)

    def variants(settings: Mapping[str, Any], *, named: bool) -> list[_Variant]:
        def said(settings: Mapping[str, Any]) -> BuildMarks:
            return BuildMarks(tuple(sorted(settings.items())), overrides)

        targets = bake_targets(settings, named=named) or {"": ()}
        if len(targets) == 1:
            return [_Variant(said(settings), "", *targets.values())]
        return [
            _Variant(said({**settings, "target": name}), name, platforms)
            for name, platforms in targets.items()
        ]

    settings_of_marks = build_marks(marks)
    one = _is_ours_to_parametrise(metafunc, marks, "dockerbin")
    needed = one or _is_ours_to_parametrise(metafunc, marks, "dockerbin_matrix")
    own = variants(settings_of_marks, named=False) if needed else []
    asked = {"dockerbin": own} if one else {}
    for name, function in fixtures.items():
        settings = getattr(function, _NAMED, None)
        if settings is not None and not is_parametrised(marks, name):
            asked[name] = variants(settings, named=True)
    return own, asked


def _joined(variants: Iterable[_Variant]) -> str:
    return "-".join(variant.name for variant in variants if variant.name)


def _joint_params(
    runs: Iterable[tuple[tuple[_Variant, ...], Choice]],
) -> tuple[list[Any], list[str]]:
    """Return parameters of platform and builds together: targets may differ in platforms."""
    found: list[tuple[str, Any]] = []
    for variants, choice in runs:
        marks = [variant.marks for variant in variants]
        for param, name in zip(*_platform_params(choice), strict=True):
            skips = _skip_marks(choice)
            value = param.values[0] if skips else param
            test_id = f"{name}-{_joined(variants)}"
            found.append((name, pytest.param(value, *marks, id=test_id, marks=skips)))
    order = list(dict.fromkeys(name for name, _ in found))
    found.sort(key=lambda each: order.index(each[0]))  # as without targets: by platform
    return [param for _, param in found], [param.id for _, param in found]


def _platform_params(choice: Choice) -> tuple[list[Any], list[str]]:
    if choice.skipped is None:
        return list(choice.platforms), [str(platform) for platform in choice.platforms]
    # one visible item instead of none: a hole in the matrix must be seen
    param = pytest.param(choice.asked[0] if choice.asked else None, marks=_skip_marks(choice))
    return [param], [_listed(choice.asked) or "no platform"]


def _skip_marks(choice: Choice) -> list[pytest.MarkDecorator]:
    return [pytest.mark.skip(f"dockerbin: {choice.skipped}")] if choice.skipped else []


def _parametrise(
    metafunc: pytest.Metafunc, name: str | tuple[str, ...], values: list[Any], ids: list[Any]
) -> None:
    metafunc.parametrize(name, values, ids=ids, indirect=True, scope="session")
