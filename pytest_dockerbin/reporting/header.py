"""The line that says what is tested."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_dockerbin.options import given
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.settings import CacheMode
from pytest_dockerbin.suite import suite_of

if TYPE_CHECKING:
    import pytest

    from pytest_dockerbin.suite import Suite


def header(config: pytest.Config) -> str:
    """Return the line that says what is tested, and where that was set; asks no one.

    Where the platforms were not set, they are those of the tests that were collected.
    """
    suite = suite_of(config)
    source = suite.selection.source
    words = suite.selection.words
    if source == "default" and suite.wanted:
        words = tuple(str(platform) for platform in suite.asked if platform in suite.wanted)
    origin = f" (from {source})" if source != "default" else ""
    platforms = ", ".join(dict.fromkeys(described(word, suite) for word in words))
    parts = [f"dockerbin: {platforms}{origin}"]
    settings = suite.settings
    if settings.cache is not CacheMode.SESSION:
        folder = settings.cache_dir
        place = f" in {folder}{_origin(config, 'cache-dir')}" if folder else ""
        parts.append(f"cache {settings.cache}{_origin(config, 'cache')}{place}")
    if settings.prebuilt:
        parts.append(f"prebuilt {settings.prebuilt}{_origin(config, 'prebuilt')}")
    elif builder := _builder(config, suite):
        parts.append(builder)
    return "; ".join(parts)


def _builder(config: pytest.Config, suite: Suite) -> str:
    """Return which builder builds, and where that was set; nothing of docker's current one."""
    named = suite.settings.builders or suite.settings.default_builders
    if named:
        names = ", ".join(f"{at}={name}" if at else name for at, name in named)
        return f"builder {names}{_origin(config, 'builder')}"
    its_own = os.environ.get("BUILDX_BUILDER")
    return f"builder {its_own} (from BUILDX_BUILDER)" if its_own else ""


def _origin(config: pytest.Config, name: str) -> str:
    found = given(config, name)
    return f" (from {found[1]})" if found else ""


def described(word: str, suite: Suite) -> str:
    """Return a platform, with its runner as far as that is known without trying one."""
    if word == "auto":
        return word
    platform = Platform.parse(word)
    said = suite.runner_said(platform) or ("native" if platform.native else "")
    return f"{platform} ({said})" if said else str(platform)
