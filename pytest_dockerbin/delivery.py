"""``--dockerbin-output``: which platforms passed, and what is written of them after the tests."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dockerbin.build_name import BakedAs, BuildName, Export
from pytest_dockerbin.errors import DockerbinError
from pytest_dockerbin.options import runs_nothing
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.reporting.notes import active_fixtures
from pytest_dockerbin.shipment import SUMS
from pytest_dockerbin.shipping import Verdict, ship
from pytest_dockerbin.suite import suite_of

if TYPE_CHECKING:
    from collections.abc import Generator

_TESTED = "dockerbin_tested"
"""Attribute of a report: the platforms whose exports its test tests."""

_ASKED = "dockerbin_asked"
"""Attribute of a failed report: platforms that its test asked for only while it ran."""

_OUTPUT = "dockerbin_output"
"""Key of an xdist worker's output: what it exported, and how many tests each platform has."""

_ENDED_EARLY = (
    pytest.ExitCode.INTERRUPTED,
    pytest.ExitCode.INTERNAL_ERROR,
    pytest.ExitCode.USAGE_ERROR,
)


class Delivery:
    """Registered when ``--dockerbin-output`` was given and there can be tests of ours.

    Args:
        config: pytest's.
        dest: the folder to write.
    """

    def __init__(self, config: pytest.Config, dest: Path) -> None:
        self._config = config
        self._dest = dest
        self._expected: Counter[Platform] = Counter()
        self._outcomes: dict[Platform, dict[str, set[str]]] = defaultdict(dict)
        self._exports: set[Export] = set()
        self._collect_errors = 0
        self.line: str | None = None

    # -- while tests run --------------------------------------------------------------------------

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note that tests are missing, of platforms unknown."""
        self._collect_errors += report.failed

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the tests that must have ended when all is over."""
        self._expected = Counter(each for item in session.items for each in _tested_by(item))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put on the report whose export the test tests."""
        report = yield
        tested = _tested_by(item)
        if tested:
            setattr(report, _TESTED, [str(platform) for platform in tested])
        if report.failed:
            setattr(report, _ASKED, [str(platform) for platform in _asked_by(item)])
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how the test did; by its id, since some plugins run a test again."""
        tested = getattr(report, _TESTED, ())
        for text in (*tested, *getattr(report, _ASKED, ())):
            outcomes = self._outcomes[Platform.parse(text)].setdefault(report.nodeid, set())
            if report.failed:
                outcomes.add("failed" if report.when == "call" else "error")
        for text in tested:
            outcomes = self._outcomes[Platform.parse(text)].setdefault(report.nodeid, set())
            if report.when == "call" and report.passed:
                outcomes.add("passed")
            if report.when == "teardown":
                outcomes.add("ended")

    # -- from xdist workers to their controller ---------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 (xdist has no types)
        """Take what a worker exported."""
        output = getattr(node, "workeroutput", {}).get(_OUTPUT)
        if output:
            self._expected |= Counter(
                {Platform.parse(text): count for text, count in output["expected"].items()}
            )
            self._exports.update(map(_export_from_json, output["exports"]))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write the folder; a worker hands to its controller what that needs."""
        if runs_nothing(self._config):
            return
        stopped = exitstatus in _ENDED_EARLY
        suite = suite_of(self._config)
        if not stopped:
            for platform in {export.platform for export in suite.exports.values()}:
                with suppress(DockerbinError):  # then it differs, which is said
                    suite.builder.mend(platform)
        self._exports.update(suite.exports.values())
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[_OUTPUT] = {
                "expected": {str(each): count for each, count in self._expected.items()},
                "exports": list(map(_export_to_json, self._exports)),
            }
        elif self._collect_errors:
            self.line = self._untouched("tests are missing that could not be collected")
        elif stopped:
            self.line = self._untouched("the run ended early")
        elif not self._expected:
            self.line = self._untouched("no test asked for a build")
        else:
            self._write()

    # -- what is written --------------------------------------------------------------------------

    def _write(self) -> None:
        verdicts = {platform: self._verdict(platform) for platform in sorted(self._expected)}
        try:
            left_out = ship(self._dest, self._exports, verdicts)
        except (OSError, DockerbinError) as error:
            self.line = self._untouched(str(error))
            return
        written = [str(platform) for platform in verdicts if platform not in left_out]
        self.line = f"{', '.join(written) or 'nothing'} written to {self._named()}"
        if left_out:
            reasons = [f"{each} ({left_out[each]})" for each in sorted(left_out)]
            self.line += f"; left out: {', '.join(reasons)}"

    def _verdict(self, platform: Platform) -> Verdict:
        tests = self._outcomes[platform].values()
        failed = sum("failed" in outcomes for outcomes in tests)
        errors = sum("error" in outcomes for outcomes in tests)
        passed = sum("passed" in outcomes for outcomes in tests)
        ended = sum("ended" in outcomes for outcomes in tests)
        skipped = ended - passed
        against = [f"{failed} failed"] if failed else []
        if errors:
            against.append("1 error" if errors == 1 else f"{errors} errors")
        if ended < self._expected[platform]:
            against.append(f"{self._expected[platform] - ended} not run")
        if not against and not passed:
            against.append(f"not tested: {skipped} skipped")
        return Verdict(passed, skipped, ", ".join(against))

    def _untouched(self, why: str) -> str:
        older = "; what is there is of an earlier run" if (self._dest / SUMS).exists() else ""
        return f"nothing written to {self._named()}: {why}{older}"

    def _named(self) -> str:
        """Return the folder as a user would type it."""
        here = self._config.invocation_params.dir
        inside = self._dest.is_relative_to(here)
        return os.path.relpath(self._dest, here) if inside else str(self._dest)


def _tested_by(item: pytest.Item) -> set[Platform]:
    """Return the platforms whose exports a test tests, as they are built."""
    suite = suite_of(item.config)
    callspec = getattr(item, "callspec", None)
    params = callspec.params if callspec else {}
    given: list[object] = []
    if "dockerbin_platform" in getattr(item, "fixturenames", ()):
        given.append(params.get("dockerbin_platform"))
    matrix = params.get("dockerbin_matrix")
    if isinstance(matrix, tuple):
        given += matrix[0]
    tested = set()
    for each in given:
        with suppress(DockerbinError):
            tested.add(suite.platform(each).built_as)
    return tested


def _asked_by(item: pytest.Item) -> set[Platform]:
    """Return the platform of what a running test got by ``getfixturevalue``, if anything."""
    names = active_fixtures(item).difference(getattr(item, "fixturenames", ()))
    if names.isdisjoint(("dockerbin_platform", "dockerbin_matrix")):
        return set()
    with suppress(DockerbinError):
        return {suite_of(item.config).platform(None).built_as}
    return set()


def _export_to_json(export: Export) -> list[Any]:
    build, label, target, platform, result, bake = export
    place = str(result) if result else None
    return [list(build), label, target, str(platform), place, list(bake) if bake else None]


def _export_from_json(data: list[Any]) -> Export:
    build, label, target, platform, result, bake = data
    return Export(
        build=BuildName(*build),
        label=label,
        target=target,
        platform=Platform.parse(platform),
        result=Path(result) if result else None,
        bake=BakedAs(bake[0], bake[1], tuple(bake[2])) if bake else None,
    )
