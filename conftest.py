"""What all tests share: the real engine, asked for by the marker ``engine``, never mocked away."""

from __future__ import annotations

import fcntl
import os
import subprocess
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent


@cache
def engine_problem() -> str | None:
    """Return why the real engine can't be used, or None."""
    for command in (["docker", "buildx", "version"], ["docker", "version"]):
        try:
            run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        except FileNotFoundError:
            return "there is no docker command"
        if run.returncode:
            return f"`{' '.join(command)}` says: {run.stderr.strip() or run.stdout.strip()}"
    return None


@pytest.fixture(autouse=True)
def few_plugins(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no plugin in the pytest that a test starts that it does not look at.

    Hypothesis and pytest-html take as long to import as all the rest.
    """
    if "pytester" in request.fixturenames:
        request.getfixturevalue("pytester")  # which takes the variable away
    others = ("hypothesispytest", "metadata", "html")
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in others))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let tests that need the engine say so where it is missing; on CI that is a failure."""
    if item.get_closest_marker("engine") and (problem := engine_problem()):
        message = f"needs a real Docker Engine (make engine): {problem}"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Let tests of several processes wait for each other where they would be in each other's way.

    A test marked ``alone`` changes an engine or the machine for all, and one that has the second
    engine may empty its cache.
    """
    if item.get_closest_marker("engine") is None:
        return (yield)
    alone = fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH
    with ExitStack() as stack:
        fcntl.flock(stack.enter_context(Path(__file__).open()), alone)
        if "second_engine" in getattr(item, "fixturenames", ()):
            tools = ROOT / "tools" / "engine" / "__main__.py"
            fcntl.flock(stack.enter_context(tools.open()), fcntl.LOCK_EX)
        return (yield)
