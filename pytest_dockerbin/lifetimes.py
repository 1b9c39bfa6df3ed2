"""Ends started programs with the test or fixture that started them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_dockerbin.runners.registry import end_all, end_those_of, owner

if TYPE_CHECKING:
    from collections.abc import Generator


class Lifetimes:
    """Registered when a test of ours was collected."""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Let what a fixture of a wider scope starts live as long as the fixture."""
        if fixturedef.scope == "function":
            return (yield)
        with owner(fixturedef):
            return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """End what a fixture started, after its own teardown."""
        end_those_of(fixturedef)

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # after the fixtures' teardown
    def pytest_runtest_teardown(self) -> Generator[None, None, None]:
        """End what a test started."""
        try:
            yield
        finally:
            end_those_of(None)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        """End whatever is left."""
        try:
            yield
        finally:
            end_all()
