"""What is put on pytest's reports, so that a pytest-xdist controller knows it too."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.errors import DockerbinError, SettingsError
from pytest_dockerbin.journal import current_test, forget, listen
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.report.model import RunReport
from pytest_dockerbin.suite import suite_of

if TYPE_CHECKING:
    import pytest

    from pytest_dockerbin.journal import Ran
    from pytest_dockerbin.report.model import PlatformReport
    from pytest_dockerbin.suite import Suite

NOTE = "dockerbin_note"
"""Attribute of a report of a test of ours: what test it is, what its platform's runner is where
that was not told before, what it ran, and on the first one the order of platforms; JSON values."""

LATE = "dockerbin_late"
"""Attribute of a report: runs of other tests, whose programs have ended since the last report:
node id, platform, and run; JSON values."""

STOP = "dockerbin_stop"
"""Attribute of a report: what stopped its test, and whether it is the first to say so."""

_WITHOUT_PLATFORM = frozenset({"dockerbin_matrix", "dockerbin_build"})
"""Fixtures for which a test runs once, and not for each of its platforms."""

_MOST_RUNS = 100  # of a phase of a test, the last ones


class Notes:
    """Makes the notes of one process's tests; hears of every run while it is open."""

    def __init__(self) -> None:
        self._runs: list[RunReport] = []
        self.late: list[tuple[str, str, dict[str, Any]]] = []  # as `LATE` has them
        self._test = ("", "")
        self._told: dict[str, PlatformReport | None] = {}
        self._is_first = True
        self._item: pytest.Item | None = None
        self._platform: Platform | None = None
        self._common: dict[str, Any] | None = None
        listen(self._hear)

    def close(self) -> None:
        """Hear of nothing more."""
        forget(self._hear)

    def begin(self, item: pytest.Item) -> Platform | None:
        """Let what is started from now on be a test's; return its platform, if it has one."""
        self._item, self._platform = item, platform_of(item)
        self._common = _of_all_reports(item, self._platform)
        self._test = item.nodeid, self._common["platform"] if self._common else ""
        current_test.set(self._test)
        return self._platform

    def _hear(self, ran: Ran) -> None:
        if isinstance(ran.test, tuple) and ran.test != self._test:
            self.late.append((*ran.test, asdict(RunReport.of(ran))))
            return
        self._runs.append(RunReport.of(ran))
        del self._runs[:-_MOST_RUNS]

    def take_runs(self) -> list[dict[str, Any]]:
        """Return what was run since this was asked last: it is told of one test."""
        runs, self._runs = self._runs, []
        return [asdict(run) for run in runs]

    def of(self, item: pytest.Item, suite: Suite) -> dict[str, Any] | None:
        """Return the note for a report that is made of ``item`` now; None if it is not ours."""
        if item is not self._item:
            self.begin(item)
        if self._common is None:
            return None
        news: dict[str, Any] = {}
        if self._runs:
            news["runs"] = self.take_runs()
        facts = suite.runner_facts(self._platform) if self._platform else None
        text = self._common["platform"]
        if facts is not None and self._told.get(text) is not facts:
            news["runner"] = asdict(facts)
        self._told[text] = facts
        if self._is_first:
            news["order"] = list(map(str, suite.asked))
            self._is_first = False
        return {**self._common, **news} if news else self._common


def _of_all_reports(item: pytest.Item, platform: Platform | None) -> dict[str, Any] | None:
    """Return what the notes of a test have in common; most tell of nothing else.

    Then they are one: in a session of 10,000 tests a note for each report took 4 % of the time. Nor
    does it hold a list of its own: Python's collector looks at each of them again and again.
    """
    if platform is None and _WITHOUT_PLATFORM.isdisjoint(getattr(item, "fixturenames", ())):
        return None
    callspec = getattr(item, "callspec", None)
    case = callspec.id if callspec else ""
    text = str(platform) if platform else ""
    return {
        "platform": text,
        # pytest-xdist writes a test's group behind it: test_x[linux/arm64]@group
        "name": item.nodeid.rpartition(f"[{case}]")[0] or item.nodeid,
        "case": case.removeprefix(text).removeprefix("-"),
        "runner": None,
        "runs": (),
        "order": None,
    }


def active_fixtures(item: pytest.Item) -> frozenset[str]:
    """Return the names of all that a running test has asked for, by ``getfixturevalue`` too."""
    # pytest has no public way to a test's request
    request: pytest.FixtureRequest | None = getattr(item, "_request", None)
    return frozenset(request.fixturenames if request else ())


def has_no_parameters(item: pytest.Item) -> bool:
    """Tell whether a test has a platform that pytest knows nothing of, as in a TestCase."""
    names = getattr(item, "fixturenames", ())
    return "dockerbin_platform" in names and not hasattr(item, "callspec")


def platforms_of(item: pytest.Item) -> tuple[Platform, ...]:
    """Return all platforms that a test is for: its own, or those of its ``dockerbin_matrix``."""
    platform = platform_of(item)
    if platform:
        return (platform,)
    callspec = getattr(item, "callspec", None)
    together = callspec.params.get("dockerbin_matrix") if callspec else None
    return tuple(together[0]) if together else ()


def platform_of(item: pytest.Item) -> Platform | None:
    """Return the platform of a test, or None."""
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get("dockerbin_platform") if callspec else None
    if has_no_parameters(item):
        with suppress(DockerbinError):  # its fixture will say it
            return suite_of(item.config).platform(None)
    if isinstance(value, str):  # by the test's own parametrize; what is none its fixture will say
        with suppress(SettingsError):
            return Platform.parse(value)
    return value if isinstance(value, Platform) else None
