"""Gathers what reports and workers tell into one `Report`."""

from __future__ import annotations

import importlib.metadata
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dockerbin.answers import read_result
from pytest_dockerbin.report.model import (
    INTERRUPTED,
    PlatformReport,
    Report,
    TestReport,
    run_from_json,
)
from pytest_dockerbin.reporting.notes import LATE, NOTE, STOP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import pytest

    from pytest_dockerbin.report.model import BuildReport, RunReport

_MOST_TEXT = 64 * 1024  # characters of a failure
_PLACES = {"failed": 0, "error": 0, "skipped": 1, "xfailed": 1, "xpassed": 1, "passed": 2, "": 3}
_UNFINISHED = "it did not end: its process crashed, or the run was interrupted"


class Collector:
    """What a session did, as far as it was told; on a controller, of all its workers."""

    def __init__(self) -> None:
        self._started = time.time()
        self._tests: dict[tuple[str, str], _Test] = {}
        self._builds: dict[tuple[str, str], BuildReport] = {}
        self._platforms: dict[str, PlatformReport] = {}
        self._missing: dict[str, list[str]] = {}
        self._order: list[str] = []
        self._notes: list[str] = []

    def take_report(self, report: pytest.TestReport) -> None:
        """Take one phase of a test, as pytest reports it."""
        for node, platform, run in getattr(report, LATE, ()):
            if (node, platform) in self._tests:
                self._tests[node, platform].take_run(run)
        stop = getattr(report, STOP, {})
        note = getattr(report, NOTE, None)
        if reason := stop.get("skipped"):
            self._missing.setdefault(reason, []).append(note["platform"] if note else "")
        if note is None:
            return
        self._order = self._order or note["order"] or []
        if note["runner"]:
            facts = PlatformReport(**note["runner"])
            if facts.runner or facts.platform not in self._platforms:
                self._platforms[facts.platform] = facts
        for run in note["runs"]:
            self._take_runner(run)
        key = report.nodeid, note["platform"]
        if key not in self._tests or self._tests[key].is_over(report):
            self._tests.pop(key, None)  # the last one ended last
            self._tests[key] = _Test(report, note)
        self._tests[key].take(report, note, stop)

    def _take_runner(self, run: Mapping[str, Any]) -> None:
        """Note what ran a platform's program, where nobody else tells it, as of a build's own."""
        platform = run["platform"]
        if platform not in self._platforms or not self._platforms[platform].runner:
            known = self._platforms.get(platform, PlatformReport(platform=platform))
            facts = {name: run[name] for name in ("runner", "emulator", "emulated")}
            self._platforms[platform] = replace(known, **facts)

    def take_build(self, build: BuildReport) -> None:
        """Take a build; those of several processes are one, and equal named builds too."""
        known = self._builds.get((build.key, build.platform))
        if known:
            names = tuple(dict.fromkeys((*known.names, *build.names)))
            # one that was interrupted in a process may have ended in another
            build = replace(build if known.error == INTERRUPTED else known, names=names)
        self._builds[build.key, build.platform] = build

    def take_note(self, line: str) -> None:
        """Take a further line for a person, about all that was tested."""
        self._notes.append(line)

    def report(self, exit_status: int = 0, *, whole: bool = False) -> Report:
        """Return what is known by now.

        Args:
            exit_status: pytest's.
            whole: whether to look up what reports tell and the terminal does not: this plugin's
                version, 2 ms, and which files the builds exported.
        """
        found = {*self._platforms, *(platform for _, platform in self._builds)}
        # what no test was collected for, such as a test's own builds, comes last
        names = [*filter(found.__contains__, self._order), *sorted(found.difference(self._order))]
        place = {name: at for at, name in enumerate(names)}
        builds = sorted(
            _told_apart(list(self._builds.values())),
            key=lambda build: (place[build.platform], build.title),
        )
        missing = sorted(
            (min(place.get(name, len(place)) for name in platforms), reason, len(platforms))
            for reason, platforms in self._missing.items()
        )
        return Report(
            started=self._started,
            seconds=time.time() - self._started,
            version=importlib.metadata.version("pytest-dockerbin") if whole else "",
            exit_status=exit_status,
            platforms=tuple(
                self._platforms.get(name, PlatformReport(platform=name)) for name in names
            ),
            builds=tuple(map(_with_files, builds) if whole else builds),
            tests=tuple(test.report() for test in self._tests.values()),
            missing=tuple((reason, count) for _, reason, count in missing),
            notes=tuple(self._notes),
        )


class _Test:
    """What is known of a test, phase by phase.

    Args:
        first: the report of the first phase that is told.
        note: of ours on it.
    """

    def __init__(self, first: pytest.TestReport, note: Mapping[str, Any]) -> None:
        self._node = first.nodeid
        self._started = first.start
        self._worker = getattr(first, "worker_id", "")
        self._note = note
        self._outcome = ""  # until more than its setup is told
        self._began = self._over = False
        self._seconds = 0.0
        self._reason = self._text = ""
        self._runs: tuple[RunReport, ...] = ()

    def take(
        self, report: pytest.TestReport, note: Mapping[str, Any], stop: Mapping[str, Any]
    ) -> None:
        """Take one phase, or a subtest, which pytest reports as a call: the worst counts."""
        for run in note["runs"]:
            self.take_run(run)
        if report.outcome not in ("passed", "failed", "skipped"):
            self._over = True  # a plugin that runs it again calls its first try something else
            return
        if getattr(report, "context", None) is None:
            self._began, self._over = True, report.when == "teardown"
            self._seconds += report.duration
        elif not report.failed:
            return  # that a subtest passed, or was skipped, says nothing of the rest
        outcome = _outcome(report)
        if outcome == "passed" and report.when == "setup":
            return
        if _PLACES[outcome] < _PLACES[self._outcome]:
            self._outcome = outcome
            self._reason = stop.get("reason") or _reason(report)
            self._text = _text(report)

    def take_run(self, run: Mapping[str, Any]) -> None:
        """Take a program that it has started, which may end after it."""
        self._runs += (run_from_json(run),)

    def is_over(self, report: pytest.TestReport) -> bool:
        """Tell whether a report is of the next try of a test that is run again."""
        return self._over or (self._began and report.when == "setup")

    def report(self) -> TestReport:
        """Return what is known by now."""
        return TestReport(
            node=self._node,
            name=self._note["name"],
            case=self._note["case"],
            platform=self._note["platform"],
            outcome=self._outcome or "error",
            started=self._started,
            seconds=self._seconds,
            reason=self._reason if self._outcome else _UNFINISHED,
            text=self._text,
            runs=self._runs,
            worker=self._worker,
        )


def _told_apart(builds: Sequence[BuildReport]) -> list[BuildReport]:
    """Return builds with a mark where different ones have one title."""
    keys: dict[str, set[str]] = {}
    for build in builds:
        keys.setdefault(build.title, set()).add(build.key)
    return [
        replace(build, mark=build.key[:6]) if len(keys[build.title]) > 1 else build
        for build in builds
    ]


def _with_files(build: BuildReport) -> BuildReport:
    try:
        manifest = read_result(Path(build.result)).manifest if build.result else None
    except (OSError, ValueError):  # of a worker on another machine
        manifest = None
    return replace(build, files=manifest.files) if manifest else build


def _outcome(report: pytest.TestReport) -> str:
    """Return what a phase says of its test."""
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed" if report.passed else "failed"
    if not report.failed:
        return str(report.outcome)
    return "failed" if report.when == "call" else "error"


def _reason(report: pytest.TestReport) -> str:
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = str(crash.message if crash else report.longreprtext).strip().splitlines()
    return lines[0] if lines else ""


def _text(report: pytest.TestReport) -> str:
    if not report.failed:
        return ""
    sections = "".join(f"\n--- {title} ---\n{text}" for title, text in report.sections)
    whole = f"{report.longreprtext}{sections}"
    return whole if len(whole) <= _MOST_TEXT else f"{whole[:_MOST_TEXT]}\n... cut here"
