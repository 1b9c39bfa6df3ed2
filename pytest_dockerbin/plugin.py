"""The hooks that every pytest run with the plugin calls.

They only route: an installed and unused plugin must cost nothing, so all that a test of ours needs
is imported when the first one is collected.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from pytest_dockerbin import hookspecs, options
from pytest_dockerbin.fixtures import (
    dockerbin,
    dockerbin_binary,
    dockerbin_build,
    dockerbin_defaults,
    dockerbin_matrix,
    dockerbin_platform,
)

if TYPE_CHECKING:
    from typing import Any

__all__ = [  # pytest finds the fixtures among this module's names
    "dockerbin",
    "dockerbin_binary",
    "dockerbin_build",
    "dockerbin_defaults",
    "dockerbin_matrix",
    "dockerbin_platform",
]

_FIXTURES = frozenset(__all__)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register options and ini keys."""
    options.register(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hooks that conftests and other plugins may implement."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and check at once whatever was set."""
    config.addinivalue_line(
        "markers",
        'platform(*platforms, emulated=True): run a dockerbin test for these: "linux/arm64" '
        'or "linux/*"; emulated=False keeps those that need no emulator',
    )
    config.addinivalue_line(
        "markers",
        "dockerbin(**settings): build settings of a dockerbin test, such as context, dockerfile, "
        "target, build_args, secrets, binary",
    )
    try:
        used = options.anything_given(config)
    # an ini key of another type: the suite says which
    except (pytest.UsageError, TypeError, ValueError):
        used = True
    if used:
        from pytest_dockerbin.errors import SettingsError  # noqa: PLC0415
        from pytest_dockerbin.outcomes import usage_error  # noqa: PLC0415
        from pytest_dockerbin.suite import suite_of  # noqa: PLC0415

        try:
            suite_of(config)
        except SettingsError as error:
            usage_error(error)
    after = options.given(config, "output") or options.given(config, "report")
    if _is_xdist_controller(config) or after:
        _use(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the platforms where they were chosen; otherwise the header waits for a test of ours."""
    silent = config.get_verbosity() < 0 or options.runs_nothing(config)
    if silent or hasattr(config, "workerinput") or options.given(config, "platforms") is None:
        return None
    from pytest_dockerbin.reporting.header import header  # noqa: PLC0415

    return header(config)


@pytest.hookimpl(tryfirst=True)  # the platform is the first part of the test's id
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of ours for each of its platforms."""
    if _FIXTURES.isdisjoint(metafunc.fixturenames):
        return
    from pytest_dockerbin.errors import DockerbinError  # noqa: PLC0415
    from pytest_dockerbin.outcomes import collection_error  # noqa: PLC0415
    from pytest_dockerbin.selection import parametrise  # noqa: PLC0415
    from pytest_dockerbin.suite import suite_of  # noqa: PLC0415

    _use(metafunc.config)
    try:
        suite = suite_of(metafunc.config)
        parametrise(metafunc, suite.selection, suite.auto_platforms, suite.bake_targets)
    except DockerbinError as error:
        collection_error(error, metafunc.definition)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 (xdist has no types)
    """Give an xdist worker the session's name, so that all workers share its builds."""
    from pytest_dockerbin.suite import SESSION, session_name  # noqa: PLC0415

    node.workerinput[SESSION] = session_name(node.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the session."""
    if "pytest_dockerbin.suite" not in sys.modules:
        return
    from pytest_dockerbin.suite import suite_key  # noqa: PLC0415

    suite = config.stash.get(suite_key, None)
    if suite is not None:
        suite.close()


def _use(config: pytest.Config) -> None:
    """Take part in this run: from now on there are tests of ours in it."""
    from pytest_dockerbin.reporting.reporter import register  # noqa: PLC0415

    register(config)


def _is_xdist_controller(config: pytest.Config) -> bool:
    return bool(getattr(config.option, "dist", "no") != "no") and not hasattr(config, "workerinput")
