"""What a session would build, as far as its tests tell before they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dockerbin.errors import DockerbinError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.report.wording import many
from pytest_dockerbin.selection import BuildMarks
from pytest_dockerbin.settings import CacheMode
from pytest_dockerbin.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

    from pytest_dockerbin.spec import BuildSpec
    from pytest_dockerbin.suite import Suite


def plan_line(items: Iterable[pytest.Item], suite: Suite) -> str | None:
    """Return how many builds the tests ask for, of how many platforms; None where it is nothing.

    Where results of earlier sessions may serve, it says of how many builds there is one.
    """
    specs: dict[tuple[str, BuildMarks], tuple[str, BuildSpec] | None] = {}
    builds: dict[tuple[str, Platform], BuildSpec] = {}
    for item in items:
        for name, marks, platforms in asked(item):
            if (name, marks) not in specs:
                spec = spec_of(name, marks, suite)
                specs[name, marks] = (spec.export_key(), spec) if spec else None
            found = specs[name, marks]
            if found is not None:
                key, spec = found
                builds.update(((key, platform.built_as), spec) for platform in platforms)
    if not builds:
        return None
    different = len({key for key, _ in builds})
    wide = len({platform for _, platform in builds})
    words = f"{many(different, 'build')} x {many(wide, 'platform')}"
    whole = "" if len(builds) == different * wide else f", {len(builds)} in all"
    return f"dockerbin: {words}{whole}{_stored(builds, suite)}"


def _stored(builds: Mapping[tuple[str, Platform], BuildSpec], suite: Suite) -> str:
    """Return of how many builds there is an earlier result; nothing where none may serve."""
    mode = suite.settings.cache
    if mode is CacheMode.SESSION:
        return ""
    found = sum(suite.is_stored(spec, platform) for (_, platform), spec in builds.items())
    rest = "missing" if mode is CacheMode.ONLY else "to build"
    counts = ((found, "cached"), (len(builds) - found, rest))
    return f": {', '.join(f'{count} {what}' for count, what in counts if count)}"


def spec_of(name: str, marks: BuildMarks, suite: Suite) -> BuildSpec | None:
    """Return what a fixture builds; None where that is known only once its test runs."""
    if marks.overrides:
        return None
    try:
        return suite.planned(marks, named=name != "dockerbin")
    except DockerbinError:
        return None


def plan(items: Iterable[pytest.Item], suite: Suite) -> list[str]:
    """Return a table of builds: a line for each, with the platforms that tests ask for.

    What an overridden ``dockerbin_defaults`` says, and what a test builds with
    ``dockerbin_build``, is known when the test runs: there it says so.

    Args:
        items: the collected tests; those that are skipped ask for nothing.
        suite: knows the builds of fixtures.
    """
    builds: dict[tuple[str, str], set[str]] = {}
    for item in items:
        for name, marks, platforms in asked(item):
            found = builds.setdefault((name, _described(name, marks, suite)), set())
            found.update(map(str, platforms))
        calls = "dockerbin_build" in getattr(item, "fixturenames", ())
        if calls and not item.get_closest_marker("skip"):
            builds["dockerbin_build", "what its tests ask for"] = set()
    if not builds:
        return []
    rows = [(*build, ", ".join(sorted(platforms))) for build, platforms in sorted(builds.items())]
    return table(("fixture", "build", "platforms"), rows)


def asked(item: pytest.Item) -> list[tuple[str, BuildMarks, tuple[Platform, ...]]]:
    """Return the builds that a test asks for: the fixture's name, what is said of it, platforms.

    One that is skipped asks for none.
    """
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return []
    platform = callspec.params.get("dockerbin_platform")
    found: list[tuple[str, BuildMarks, tuple[Platform, ...]]] = [
        (name, value, (platform,))
        for name, value in callspec.params.items()
        if isinstance(value, BuildMarks) and isinstance(platform, Platform)
    ]
    if "dockerbin_matrix" in callspec.params:
        platforms, marks = callspec.params["dockerbin_matrix"]
        found.append(("dockerbin", marks, platforms))
    # last, since it takes the longest
    return [] if found and item.get_closest_marker("skip") else found


def _described(name: str, marks: BuildMarks, suite: Suite) -> str:
    plain = name == "dockerbin"
    if plain and marks.overrides:
        return "what dockerbin_defaults says"
    try:
        label = suite.planned(marks, named=not plain).label()
    except DockerbinError as error:
        label = error.summary
    return f"{label}, and what dockerbin_defaults says" if marks.overrides else label
