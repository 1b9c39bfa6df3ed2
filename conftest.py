"""What all tests share: the real engine, asked for by the marker ``engine``, never mocked away."""

from __future__ import annotations

import fcntl
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

pytest_plugins = ["pytester"]


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


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let tests that need the engine say so where it is missing; on CI that is a failure."""
    if item.get_closest_marker("engine") and (problem := engine_problem()):
        message = f"needs a real Docker Engine (make engine): {problem}"
        if os.environ.get("CI"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let one xdist worker run what shares images, and one what shares the second engine."""
    if not config.pluginmanager.has_plugin("xdist"):
        return
    for item in items:
        if item.get_closest_marker("engine"):
            shares_second = "second_engine" in getattr(item, "fixturenames", ())
            group = "second engine" if shares_second else item.path.name
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Keep other processes' tests away from an engine while one changes it for all."""
    if item.get_closest_marker("engine") is None:
        return (yield)
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        return (yield)
