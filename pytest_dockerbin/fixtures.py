"""The fixtures. None is autouse, and there are no others."""

from __future__ import annotations

import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from pytest_dockerbin.artifact import Artifact, Binary
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.selection import BuildMarks
    from pytest_dockerbin.suite import Build, Suite


@pytest.fixture(scope="session")
def dockerbin_platform(request: pytest.FixtureRequest) -> Platform:
    """The platform of this test: str(), .os, .architecture, .variant, .native, .slug.

    A test that asks for it, directly or through another fixture, runs once for each of its
    platforms.
    """
    return _suite(request).platform(getattr(request, "param", None))


@pytest.fixture(scope="session")
def dockerbin_defaults(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Build settings that apply where this fixture is overridden; by default the ini file's.

    Override it in a conftest or test file with a mapping of build settings; those that it does
    not name are still the ini file's.
    """
    return MappingProxyType(_suite(request).build_defaults)


@pytest.fixture(scope="session")
def dockerbin(
    request: pytest.FixtureRequest,
    dockerbin_platform: Platform,
    dockerbin_defaults: Mapping[str, Any],
) -> Artifact:
    """What the Dockerfile exports for this test's platform: a folder, built once a session.

    It promises the files only: a test that looks at them needs no emulator. Build settings are
    those of ``dockerbin_defaults`` and of ``@pytest.mark.dockerbin``.
    """
    marks: BuildMarks | None = getattr(request, "param", None)
    return _suite(request).artifact(marks, dockerbin_defaults, dockerbin_platform)


@pytest.fixture(scope="session")
def dockerbin_binary(
    request: pytest.FixtureRequest, dockerbin: Artifact, dockerbin_platform: Platform
) -> Binary:
    """The exported program for this test's platform: a path to execute, with .run().

    It is the only program of the export, or the one that the ``binary`` setting names, and it
    can be run here: where it can't, ``--dockerbin-missing`` decides between skip and error.
    """
    return _suite(request).binary(dockerbin, dockerbin_platform)


@pytest.fixture(scope="session")
def dockerbin_matrix(
    request: pytest.FixtureRequest, dockerbin_defaults: Mapping[str, Any]
) -> Mapping[Platform, Artifact]:
    """The artifacts of every platform that this test asks for, for tests that compare them."""
    return _suite(request).matrix(getattr(request, "param", None), dockerbin_defaults)


@pytest.fixture(scope="session")
def dockerbin_build(request: pytest.FixtureRequest, dockerbin_defaults: Mapping[str, Any]) -> Build:
    """A function that builds what a test asks for, and returns its Artifact.

    ``dockerbin_build(context, *, platform=None, **build settings)``. Relative paths are relative
    to the file that calls it. A failed build raises BuildError.
    """
    suite = _suite(request)

    def build(
        context: str | os.PathLike[str],
        *,
        platform: str | Platform | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> Artifact:
        __tracebackhide__ = True
        caller = Path(sys._getframe(1).f_code.co_filename)  # noqa: SLF001 (the way to know the caller)
        given = {**settings, "context": context}
        return suite.build(given, dockerbin_defaults, platform, base=caller.parent)

    return build


def _suite(request: pytest.FixtureRequest) -> Suite:
    from pytest_dockerbin.suite import suite_of  # noqa: PLC0415 (only tests of ours pay for it)

    return suite_of(request.config)
