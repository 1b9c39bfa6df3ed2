"""Builds while other tests run, and lets no platform's tests wait for another platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dockerbin.errors import DockerbinError
from pytest_dockerbin.options import runs_nothing
from pytest_dockerbin.plan import asked, spec_of
from pytest_dockerbin.suite import suite_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.spec import BuildSpec


class Overlap:
    """Begins with all builds of the collected tests when the first test would run.

    Tests whose builds are not there yet are passed over for those that can run. Among the tests of
    one platform, and among those that need no build, the order stays. With pytest-xdist, one
    worker begins with the builds, and the order stays whatever it is: workers are given tests by
    their number.

    Args:
        config: pytest's.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._suite = suite_of(config)
        self._is_worker = hasattr(config, "workerinput")
        self._builds: dict[pytest.Item, list[str]] = {}
        self._ran = 0

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Build in the background while the tests run, and not a moment longer."""
        option = session.config.option
        stays = session.testsfailed and not option.continue_on_collection_errors
        if runs_nothing(session.config) or stays or not self._begin(session.items):
            return (yield)
        if not self._is_worker:
            self._choose(session.items, 0, waits=True)
            self._choose(session.items, 1)
        finished = False
        try:
            result = yield
            finished = True
        finally:
            # another worker's test may wait for what this one builds
            if finished and self._is_worker:
                self._suite.builder.finish()
            else:
                self._suite.builder.abandon()
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Choose the tests after this one."""
        result = yield
        items = item.session.items
        if not self._builds:
            return result
        if self._is_worker:
            self._suite.builder.tell()
        elif items[self._ran] is item:
            self._ran += 1
            # pytest has torn down what the next test's module and class do not share with this one
            self._choose(items, self._ran, beside=True, waits=True)
            self._choose(items, self._ran + 1)
        return result

    def _begin(self, items: Iterable[pytest.Item]) -> bool:
        """Begin with the builds; tell whether there are any."""
        wanted: dict[tuple[BuildSpec, Platform], bool] = {}
        of_items: dict[pytest.Item, list[tuple[BuildSpec, Platform]]] = {}
        for item in items:
            builds = asked(item)
            if not builds or item.get_closest_marker("skipif"):
                continue  # whether the latter runs is known when it would
            runs = "dockerbin_binary" in getattr(item, "fixturenames", ())
            for name, marks, platforms in builds:
                spec = spec_of(name, marks, self._suite)
                # a secret's variable or file may be what a fixture has yet to set
                if spec is None or any(each.secrets for each in spec.all):
                    continue
                for platform in platforms:
                    of_items.setdefault(item, []).append((spec, platform))
                    wanted[spec, platform] = wanted.get((spec, platform), True) and runs
        try:
            if not wanted or (self._is_worker and not self._suite.claim("ahead")):
                return False
            names = self._suite.builder.begin(wanted)
        except DockerbinError:  # met again by the first test that asks
            return False
        name_of = dict(zip(wanted, names, strict=True))
        self._builds = {item: [name_of[key] for key in keys] for item, keys in of_items.items()}
        return True

    def _choose(
        self, items: list[pytest.Item], at: int, *, beside: bool = False, waits: bool = False
    ) -> None:
        """Let a test that can run stand at a place, if the one there can't.

        Args:
            items: all tests; changed in place.
            at: the place; nothing is done behind the last one.
            beside: whether only tests of the same module and class can take it.
            waits: whether to wait where several can take it and none can run yet; where there is
                no choice, the test itself waits for its build.
        """
        while at < len(items) and self._pending(items[at]):
            rest = items[at:]
            able = [item for item in rest if not beside or item.parent is items[at].parent]
            ready = [item for item in able if not self._pending(item)]
            if ready:
                first = set(ready[:1] if beside else ready)
                items[at:] = [
                    *(item for item in rest if item in first),
                    *(item for item in rest if item not in first),
                ]
                return
            awaited = {frozenset(self._pending(item)) for item in able}
            if not waits or len(awaited) == 1:
                return
            self._suite.builder.wait(list(frozenset().union(*awaited)))

    def _pending(self, item: pytest.Item) -> list[str]:
        """Return the builds that a test waits for."""
        return [name for name in self._builds.get(item, ()) if self._suite.builder.is_pending(name)]
