"""What a session would build, as far as its tests tell before they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_dockerbin.build_settings import spec_of
from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.selection import BuildMarks
from pytest_dockerbin.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pytest


def plan(items: Iterable[pytest.Item], defaults: Mapping[str, Any]) -> list[str]:
    """Return a table of builds: a line for each, with the platforms that tests ask for.

    What an overridden ``dockerbin_defaults`` says, and what a test builds with
    ``dockerbin_build``, is known when the test runs: there it says so.

    Args:
        items: the collected tests; those that are skipped ask for nothing.
        defaults: the ini file's build settings.
    """
    builds: dict[tuple[str, str], set[str]] = {}
    for item in items:
        if item.get_closest_marker("skip"):
            continue
        for name, marks, platforms in _asked(item):
            found = builds.setdefault((name, _described(name, marks, defaults)), set())
            found.update(map(str, platforms))
        if "dockerbin_build" in getattr(item, "fixturenames", ()):
            builds["dockerbin_build", "what its tests ask for"] = set()
    if not builds:
        return []
    rows = [(*build, ", ".join(sorted(platforms))) for build, platforms in sorted(builds.items())]
    return table(("fixture", "build", "platforms"), rows)


def _asked(item: pytest.Item) -> Iterator[tuple[str, BuildMarks, tuple[Platform, ...]]]:
    """Yield the builds that a test asks for: the fixture's name, what is said of it, platforms."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return
    platform = callspec.params.get("dockerbin_platform")
    for name, value in callspec.params.items():
        if isinstance(value, BuildMarks) and isinstance(platform, Platform):
            yield name, value, (platform,)
    if "dockerbin_matrix" in callspec.params:
        platforms, marks = callspec.params["dockerbin_matrix"]
        yield "dockerbin", marks, platforms


def _described(name: str, marks: BuildMarks, defaults: Mapping[str, Any]) -> str:
    plain = name == "dockerbin"
    if plain and marks.overridden:
        return "what dockerbin_defaults says"
    # as when it is built: another context has a Dockerfile of its own
    below = {key: value for key, value in defaults.items() if plain or key != "dockerfile"}
    try:
        label = spec_of({**below, **dict(marks.settings)}).label()
    except SettingsError as error:
        label = error.summary
    return f"{label}, and what dockerbin_defaults says" if marks.overridden else label
