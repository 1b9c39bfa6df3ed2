"""The fixtures, and what makes named ones. None is autouse, and there are no others."""

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
    return _suite(request).platform_of_test(getattr(request, "param", None))


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
    to the file that calls it. Without a context it is the one that the defaults or a bake file
    say. A failed build raises BuildError.
    """
    suite = _suite(request)

    def build(
        context: str | os.PathLike[str] | None = None,
        *,
        platform: str | Platform | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> Artifact:
        __tracebackhide__ = True
        caller = Path(sys._getframe(1).f_code.co_filename)  # noqa: SLF001 (the way to know the caller)
        given = _with_context(settings, context)
        return suite.build(given, dockerbin_defaults, platform, base=caller.parent)

    return build


def fixture(
    context: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    **settings: Any,  # noqa: ANN401
) -> object:
    """Make a fixture of what one build exports, an Artifact; for suites with several builds.

    In a test file, a test class or a conftest::

        server = pytest_dockerbin.fixture("server", target="bin")

    It is of session scope. A test that asks for it, directly or through another fixture, runs once
    for each of its platforms.

    Args:
        context: the folder that is sent to BuildKit; when None the one that a bake file or the
            defaults say. Relative paths, here and in ``settings``, are relative to the file that
            calls this.
        name: the fixture's name; without it that of the variable that it is assigned to.
        settings: build settings, above those of ``dockerbin_defaults`` and the ini file.

    Returns:
        What pytest takes for a fixture; nothing for the code of a test.

    Raises:
        SettingsError: an unknown build setting or a wrong value.
    """
    __tracebackhide__ = True
    from pytest_dockerbin.build_settings import read_settings  # noqa: PLC0415 (as in the plugin)
    from pytest_dockerbin.selection import as_named_build  # noqa: PLC0415

    if name is not None and not str(name).isidentifier():  # no test could ask for it
        from pytest_dockerbin.errors import SettingsError  # noqa: PLC0415

        where = "pytest_dockerbin.fixture"
        raise SettingsError.wrong_value("name", name, "a name in Python", where)
    caller = sys._getframe(1)  # noqa: SLF001 (the way to know the caller)
    base = Path(caller.f_code.co_filename).parent
    given = _with_context(settings, context)
    read = read_settings(given, base=base, where="pytest_dockerbin.fixture")

    def named_build(
        request: pytest.FixtureRequest,
        dockerbin_platform: Platform,
        dockerbin_defaults: Mapping[str, Any],
    ) -> Artifact:
        assert request.fixturename is not None  # noqa: S101 (a fixture's own request has it)
        # one of them where a bake file's group has several
        settings = getattr(getattr(request, "param", None), "settings", read)
        return _suite(request).named(
            request.fixturename, dict(settings), dockerbin_defaults, dockerbin_platform
        )

    given_place = context or settings.get("bake")
    what = repr(str(given_place)) if given_place else "the default build"
    if "target" in read:
        what += f", {'target' if 'bake' in read else 'stage'} {read['target']}"
    named_build.__doc__ = f"What {what} exports for this test's platform."
    named_build.__module__ = caller.f_globals["__name__"]  # where `pytest --fixtures` lists it
    function = as_named_build(named_build, read)
    # static: in a class it is no method
    return pytest.fixture(scope="session", name=name)(staticmethod(function))


def _with_context(
    settings: Mapping[str, Any], context: str | os.PathLike[str] | None
) -> dict[str, Any]:
    return dict(settings) if context is None else {**settings, "context": context}


def _suite(request: pytest.FixtureRequest) -> Suite:
    # only tests of ours pay for it
    from pytest_dockerbin.reporting.reporter import register  # noqa: PLC0415
    from pytest_dockerbin.suite import suite_of  # noqa: PLC0415

    register(request.config)  # at collection nothing is known of a `unittest.TestCase`
    return suite_of(request.config)
