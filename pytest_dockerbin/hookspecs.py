"""The hooks that a conftest or another plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_dockerbin.platforms import Platform


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
