"""The hooks that a conftest or another plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pytest_dockerbin.artifact import Artifact
    from pytest_dockerbin.errors import DockerbinError
    from pytest_dockerbin.manifest import BuildRecord
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.spec import BuildSpec


@pytest.hookspec
def pytest_dockerbin_configure_build(
    config: pytest.Config, spec: BuildSpec, platform: Platform
) -> Mapping[str, Any] | None:
    """Change what is built.

    Called in each process that runs tests, once for a build and platform, before it is built or
    its result is looked up. All processes of a session must get the same answer.

    Args:
        config: pytest's.
        spec: what the settings say.
        platform: for which platform; ``linux/amd64/v1`` is built as ``linux/amd64``.

    Returns:
        Build settings that are laid over those of ``spec``, or None. A mapping such as
        ``build_args`` adds its entries to those that are there. Of what several plugins say, that
        counts which pytest calls first. Relative paths are relative to the rootdir.
    """


@pytest.hookspec
def pytest_dockerbin_build_started(
    config: pytest.Config, spec: BuildSpec, platform: Platform
) -> None:
    """Note that BuildKit is asked.

    Called in the process that builds, once in a session for a build and platform; not where a
    stored result serves. A build that puts back files which a test changed is one more.
    In a thread of its own where it goes on in the background.

    Args:
        config: pytest's.
        spec: what is built.
        platform: for which platform.
    """


@pytest.hookspec
def pytest_dockerbin_build_finished(
    config: pytest.Config,
    spec: BuildSpec,
    platform: Platform,
    record: BuildRecord | None,
    error: DockerbinError | None,
) -> None:
    """Note that a build has ended, well or not; in the process that was told of its start.

    It is not called when pytest itself is interrupted.

    Args:
        config: pytest's.
        spec: what was built.
        platform: for which platform.
        record: how it was built, or None.
        error: why it was not, or None.
    """


@pytest.hookspec
def pytest_dockerbin_verify_artifact(
    config: pytest.Config, spec: BuildSpec, artifact: Artifact
) -> None:
    """Check what was exported, before any test gets it.

    Called in the process that built it, or took it from the results of earlier sessions, once in a
    session for a build and platform. What is refused is an error of all tests that ask for it, and
    is not kept.

    Args:
        config: pytest's.
        spec: what was built.
        artifact: what it exported. Its folder has another path later.

    Raises:
        AssertionError: it can't be used, and why; `pytest.fail` and ``ArtifactError`` do as well.
    """


@pytest.hookspec(firstresult=True)
def pytest_dockerbin_make_runner(
    config: pytest.Config, platform: Platform, spec: str
) -> str | None:
    """Say what runs the programs of a platform.

    Called in each process that runs tests, once for a platform, before the first of its programs
    is run. All processes of a session must get the same answer.

    Args:
        config: pytest's.
        platform: whose programs.
        spec: what the settings say; ``auto`` where they say nothing.

    Returns:
        A runner as ``--dockerbin-runner`` takes it, such as ``qemu:-cpu cortex-a53``, or None to
        leave it as it is.
    """
