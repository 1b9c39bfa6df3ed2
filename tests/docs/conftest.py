"""What the documentation's projects need: base images, and a wheel to install."""

from __future__ import annotations

import subprocess
import sys

import pages
import pytest


@pytest.fixture(scope="session")
def base_images():
    """Have the images of the documentation's Dockerfiles: the real ones, or stand-ins."""
    images = [sys.executable, pages.REPOSITORY / "tools" / "engine", "images"]
    wanted = ["rust:alpine", "debian:stable-slim"]
    run = subprocess.run([*images, *wanted], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.fixture
def reader(monkeypatch, tmp_path):
    """A person at a terminal, not a CI service, without results of earlier sessions."""
    for name in ("CI", "BUILD_NUMBER", "GITHUB_STEP_SUMMARY", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
