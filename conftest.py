"""What all tests share: the real engine, asked for by the marker ``engine``, never mocked away."""

from __future__ import annotations

import os
import subprocess
from functools import cache

import pytest

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
