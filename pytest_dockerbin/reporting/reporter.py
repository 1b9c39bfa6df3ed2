"""What the plugin says in the terminal: a header line and a section at the end."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dockerbin.artifact import Artifact
from pytest_dockerbin.errors import DockerbinWarning, RunError, UnavailableError
from pytest_dockerbin.lifetimes import Lifetimes
from pytest_dockerbin.options import given, runs_nothing
from pytest_dockerbin.outcomes import Stop
from pytest_dockerbin.overlap import Overlap
from pytest_dockerbin.plan import plan, plan_line
from pytest_dockerbin.report.grid import Grid
from pytest_dockerbin.report.model import BuildReport, run_from_json
from pytest_dockerbin.report.wording import many, outcomes
from pytest_dockerbin.reporting import tracing
from pytest_dockerbin.reporting.between import Between
from pytest_dockerbin.reporting.collector import Collector
from pytest_dockerbin.reporting.folding import ErrorFolding, ErrorUnfolding
from pytest_dockerbin.reporting.header import described, header
from pytest_dockerbin.reporting.live import BETWEEN, writer
from pytest_dockerbin.reporting.matrix import matrix
from pytest_dockerbin.reporting.notes import (
    LATE,
    NOTE,
    STOP,
    Notes,
    active_fixtures,
    has_no_parameters,
    platform_of,
    platforms_of,
)
from pytest_dockerbin.reporting.relay import Relay, to_controller
from pytest_dockerbin.reporting.runs import everything, sections
from pytest_dockerbin.reporting.services import service, told
from pytest_dockerbin.reporting.writing import Writing
from pytest_dockerbin.selection import in_order, is_ours
from pytest_dockerbin.settings import Missing
from pytest_dockerbin.suite import suite_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pytest_dockerbin.delivery import Delivery
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.report.model import Report, RunReport


_PROPERTY = "dockerbin."  # begins the names of JUnit's properties
_FIRST = "gw0"  # of pytest-xdist's workers
_MOST_BUILDS = 8  # of a platform in its line, those that failed first


def register(config: pytest.Config) -> None:
    """Add the reporting to the run, and the ends of programs, once."""
    plugins = config.pluginmanager
    if not plugins.has_plugin("dockerbin-reporter"):
        folding = ErrorFolding()
        plugins.register(folding, "dockerbin-folding")
        plugins.register(ErrorUnfolding(folding), "dockerbin-unfolding")
        output = suite_of(config).output
        delivery = _delivery(config, output) if output else None
        collector = Collector()
        plugins.register(Reporter(config, delivery, collector), "dockerbin-reporter")
        if not hasattr(config, "workerinput") and tracing.is_wanted():
            plugins.register(tracing.Tracing(collector), "dockerbin-tracing")
        if suite_of(config).reports or suite_of(config).github_summary:
            plugins.register(Writing(config, collector), "dockerbin-writing")
        plugins.register(Lifetimes(), "dockerbin-lifetimes")
        plugins.register(Overlap(config), "dockerbin-overlap")
        if getattr(config.option, "dist", "no") != "no" and not hasattr(config, "workerinput"):
            plugins.register(Relay(writer(config)), "dockerbin-relay")
        _register_between(config)


def _delivery(config: pytest.Config, output: Path) -> Delivery:
    """Add what writes ``--dockerbin-output``."""
    from pytest_dockerbin.delivery import Delivery  # noqa: PLC0415 (few write one)

    delivery = Delivery(config, output)
    config.pluginmanager.register(delivery, "dockerbin-delivery")
    return delivery


def _register_between(config: pytest.Config) -> None:
    """Add what knows where the lines of pytest's reporter end, once there is one."""
    plugins = config.pluginmanager
    reporter = plugins.get_plugin("terminalreporter")
    if isinstance(reporter, pytest.TerminalReporter) and not hasattr(config, "workerinput"):
        plugins.register(Between(config, reporter), BETWEEN)


class Reporter:
    """Registered when a test of ours was collected, and on an xdist controller.

    Args:
        config: pytest's.
        delivery: writes what was tested, and has a line about it; None when that is not asked for.
        collector: gets what is told of tests and builds.
    """

    def __init__(
        self, config: pytest.Config, delivery: Delivery | None, collector: Collector
    ) -> None:
        self._config = config
        self._suite = suite_of(config)
        self._delivery = delivery
        self._failures = 0
        self._collected: dict[Platform, None] = {}
        self._notes = Notes()
        self._runs: list[RunReport] = []  # of the test that runs now
        self._wholes: dict[pytest.TestReport, Any] = {}  # of what pytest has as `longrepr`
        self._collector = collector

    def pytest_sessionstart(self) -> None:
        """Find the reporter, which is made after plugins are configured."""
        _register_between(self._config)

    # -- while tests run --------------------------------------------------------------------------

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Undo what earlier tests did; stop a test that can't run, before anything is built.

        After pytest has looked at the marks by which a test is skipped, and before its fixtures.
        """
        platform = self._notes.begin(item)
        if platform:
            self._suite.mend(platform)
            if "dockerbin_binary" in getattr(item, "fixturenames", ()):
                self._suite.require_runner(platform)

    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Warn of markers without effect: pytest gives no parameters to a TestCase's tests."""
        if not has_no_parameters(item):
            return
        for name in filter(item.get_closest_marker, ("platform", "dockerbin")):
            item.warn(
                DockerbinWarning(
                    f"@pytest.mark.{name} has no effect on a unittest.TestCase: its tests are for "
                    f"{platform_of(item)}, the first of the platforms setting, and for what "
                    "dockerbin_defaults say"
                )
            )

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Note where an overridden ``dockerbin_defaults`` stands."""
        value = yield
        if fixturedef.argname == "dockerbin_defaults" and not is_ours(fixturedef.func):
            file = Path(inspect.getfile(fixturedef.func))
            value = self._suite.remember_override(value, file)
            assert fixturedef.cached_result is not None  # noqa: S101 (pytest has just set it)
            fixturedef.cached_result = (value, *fixturedef.cached_result[1:])  # for all who ask
        return value

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put what is told of the test, and what stopped it, on its report."""
        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, UnavailableError):
            self._skip_if_missing(item, call, call.excinfo.value, report)
        if self._notes.late:
            setattr(report, LATE, self._notes.late)
            self._notes.late = []
        note = self._notes.of(item, self._suite)
        if note:
            setattr(report, NOTE, note)
            if report.when == "setup" or note["runs"]:
                self._set_properties(item, report, note)
        runs = list(map(run_from_json, note["runs"] if note else self._notes.take_runs()))
        if report.when == "setup":
            self._runs.clear()
        self._runs += runs
        if self._runs or report.failed:
            self._tell_of_runs(item, report, call, runs)
        stop = Stop.of(call)
        if stop:
            if stop.skipped:  # at the test, wherever the skip was raised
                path, line, _ = item.reportinfo()
                report.longrepr = (str(path), (line or 0) + 1, stop.skipped)
            else:
                self._wholes[report] = report.longrepr if stop.line else stop.whole
                report.longrepr = stop.line or report.longrepr
            facts = {"cause": stop.cause, "first": False, "skipped": stop.skipped}
            setattr(report, STOP, facts | {"reason": stop.reason})
        return report

    def _skip_if_missing(
        self,
        item: pytest.Item,
        call: pytest.CallInfo[None],
        error: UnavailableError,
        report: pytest.TestReport,
    ) -> None:
        """Skip a test in which something is missing, such as what runs a program of a named build.

        Where that is no reason to skip, it is the test's failure, with the line that met it. Here,
        since unittest and subtests keep to themselves what is raised in a test.
        """
        try:
            self._suite.skip_if_missing(error, platform_of(item))
        except pytest.skip.Exception as skip:
            call.excinfo = pytest.ExceptionInfo.from_exception(skip)
            report.outcome = "skipped"
            vars(report).pop("wasxfail", None)

    def _tell_of_runs(
        self,
        item: pytest.Item,
        report: pytest.TestReport,
        call: pytest.CallInfo[None],
        runs: list[RunReport],
    ) -> None:
        if runs and self._config.getoption("htmlpath", None):  # pytest-html's
            from pytest_html import extras  # noqa: PLC0415

            given = [*getattr(report, "extras", ()), extras.text(everything(runs), name="runs")]
            report.extras = given  # type: ignore[attr-defined] # theirs too
        if report.failed:
            error = call.excinfo.value if call.excinfo else None
            tells_already = error if isinstance(error, RunError) else None
            # those of its setup too
            report.sections += sections(self._runs, active_fixtures(item), tells_already)
            self._runs.clear()

    def _set_properties(
        self, item: pytest.Item, report: pytest.TestReport, note: dict[str, Any]
    ) -> None:
        """Set what JUnit files say of a test; pytest writes what it has when its teardown ends."""
        facts: dict[str, str] = {}
        if report.when == "setup":  # of a test that runs again too: nothing is said twice
            item.user_properties[:] = [
                each for each in item.user_properties if not each[0].startswith(_PROPERTY)
            ]
            facts |= {"platform": note["platform"], **self._of_builds(item)}
        runner = self._runner_of(item, report, note)
        if runner:
            facts |= {"runner": runner[0], "emulated": str(runner[1]).lower()}
        known = {name for name, _ in item.user_properties}
        item.user_properties += [
            (f"{_PROPERTY}{name}", value)
            for name, value in facts.items()
            if value and f"{_PROPERTY}{name}" not in known
        ]

    def _of_builds(self, item: pytest.Item) -> dict[str, str]:
        given = list(getattr(item, "funcargs", {}).values())
        of_matrix = (value.values() for value in given if isinstance(value, Mapping))
        artifacts = [value for value in chain(given, *of_matrix) if isinstance(value, Artifact)]
        builds = self._suite.builds_of(artifacts)
        if not builds:
            return {}
        return {
            "digest": ", ".join(build.digest for build in builds),
            "cached": str(all(build.is_cached for build in builds)).lower(),
        }

    def _runner_of(
        self, item: pytest.Item, report: pytest.TestReport, note: dict[str, Any]
    ) -> tuple[str, bool] | None:
        """Return what ran a test's program, or will: of what others start, nobody is told."""
        if note["runs"]:
            return note["runs"][-1]["runner"], note["runs"][-1]["emulated"]
        platform = platform_of(item)
        has_program = report.passed and "dockerbin_binary" in getattr(item, "fixturenames", ())
        if platform is None or not has_program:
            return None
        facts = self._suite.runner_facts(platform)
        return (facts.runner, facts.emulated) if facts.runner else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note the order of platforms before anybody shuffles tests."""
        for item in items:
            for platform in platforms_of(item):
                self._collected.setdefault(platform)

    @pytest.hookimpl(tryfirst=True)  # before pytest asks for the header
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the platforms of all tests that will run."""
        wanted: dict[Platform, None] = {}
        for item in session.items:
            if len(wanted) == len(self._collected):
                break
            platform = platform_of(item)
            if platform is None or platform in wanted:
                continue
            if not item.get_closest_marker("skip"):
                wanted[platform] = None
        self._suite.wanted = tuple(wanted)
        if self._collected:
            suite = self._suite
            suite.asked = in_order(suite.selection, suite.auto_platforms, self._collected)
        self._tell_controller(session.items)

    @pytest.hookimpl(tryfirst=True)  # before anybody prints it, or sends it to a controller
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what is told of a test; let builds stop when ``-x`` ends the run."""
        whole = self._wholes.pop(report, None)
        # nobody sees the text of a failure that was expected, or of a test that will run again
        if whole and report.failed:
            stop = getattr(report, STOP)
            if self._suite.claim(f"cause-{stop['cause']}"):
                report.longrepr = whole
                stop["first"] = True
        if report.failed:
            self._failures += 1
            most = self._config.getvalue("maxfail")
            if most and self._failures >= most and hasattr(self._config.option, "dist"):
                self._suite.stop_workers()
        self._collector.take_report(report)

    # -- from xdist workers to their controller ---------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 (xdist has no types)
        """Take what a worker built."""
        for record in getattr(node, "workeroutput", {}).get("dockerbin", ()):
            self._suite.workers_built = True
            self._collector.take_build(BuildReport.from_json(record))

    def pytest_sessionfinish(self) -> None:
        """Hand what this worker built to the controller; note what nobody could check."""
        builds = list(self._suite.builds.values())
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["dockerbin"] = [build.to_json() for build in builds]
        for build in builds:
            self._collector.take_build(build)
        folder = self._suite.settings.prebuilt
        if folder and (builds or self._suite.workers_built):
            self._note_unchecked(folder)
        self._notes.close()

    def _note_unchecked(self, folder: Path) -> None:
        from pytest_dockerbin.prebuilt import Prebuilt  # noqa: PLC0415 (few have one)

        if not Prebuilt(folder).is_checked:
            self._collector.take_note(
                f"{folder} has no SHA256SUMS: whether it is what was built was not checked"
            )

    # -- what is printed --------------------------------------------------------------------------

    def pytest_report_collectionfinish(self, items: list[pytest.Item]) -> str | list[str] | None:
        """Print the header when it was not wanted before collection; or what would be built."""
        if self._config.option.collectonly and self._config.get_verbosity() > 0:
            return plan(items, self._suite)
        return None if self._is_silent() else list(self._lines_before(items))

    def _lines_before(self, items: list[pytest.Item]) -> Iterator[str]:
        if given(self._config, "platforms") is None:
            yield header(self._config)
        planned = None if self._suite.settings.prebuilt else plan_line(items, self._suite)
        if planned:
            yield planned

    def _tell_controller(self, items: list[pytest.Item]) -> None:
        """Let the controller, which collects nothing itself, say the same; one worker does that."""
        tell = to_controller(self._config)
        worker = getattr(self._config, "workerinput", {}).get("workerid")
        if tell and worker == _FIRST and not self._is_silent():
            for line in self._lines_before(items):
                tell(line)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the matrix, a line for each platform, and what did not run."""
        report = self._collector.report()
        self._tell_service(terminalreporter, report)
        if self._is_silent():
            return
        self._write_matrix(terminalreporter, report)
        lines = [*self._platform_lines(report), *report.notes]
        missing = list(self._missing_lines(report))
        delivered = [self._delivery.line] if self._delivery and self._delivery.line else []
        if lines or missing or delivered:
            terminalreporter.ensure_newline()
            terminalreporter.section("dockerbin")
        for line in lines:
            terminalreporter.write_line(line)
        for line in missing:
            terminalreporter.write_line(line, yellow=True, bold=True)
        for line in delivered:
            terminalreporter.write_line(line)

    def _tell_service(self, terminalreporter: pytest.TerminalReporter, report: Report) -> None:
        """Tell the CI service of failed builds; with ``-q`` too, since nobody reads it here."""
        its = service()
        if its and not runs_nothing(self._config):
            for line in told(report.builds, its, self._config.rootpath):
                terminalreporter.ensure_newline()
                terminalreporter.write_line(line)

    def _write_matrix(self, terminalreporter: pytest.TerminalReporter, report: Report) -> None:
        everything = self._config.get_verbosity() > 0
        width = shutil.get_terminal_size().columns
        lines = matrix(Grid.of(report), width, everything=everything)
        if lines:
            terminalreporter.ensure_newline()
            terminalreporter.section("dockerbin: tests x platforms")
        for words in lines:
            for text, colour in words:
                terminalreporter.write(text, **({colour: True} if colour else {}))
            terminalreporter.line("")

    def _is_silent(self) -> bool:
        return self._config.get_verbosity() < 0 or runs_nothing(self._config)

    def _platform_lines(self, report: Report) -> Iterator[str]:
        for each in report.platforms:
            builds = [build for build in report.builds if build.platform == each.platform]
            builds.sort(key=lambda build: not build.error)
            counts = report.counts(each.platform)
            words = list(map(_build_words, builds[:_MOST_BUILDS]))
            if len(builds) > _MOST_BUILDS:
                words.append(many(len(builds) - _MOST_BUILDS, "more build"))
            words += [outcomes(counts)] if counts else []
            platform = f"{each.platform} ({each.said})" if each.said else ""
            yield f"{platform or described(each.platform, self._suite)}: {'; '.join(words)}"
        together = report.counts("")
        if together:
            yield f"together: {outcomes(together)}"

    def _missing_lines(self, report: Report) -> Iterator[str]:
        for reason, count in report.missing:
            yield f"{many(count, 'test')} did NOT run: {reason.removeprefix('dockerbin: ')}"
        if report.missing and self._suite.selection.missing is Missing.AUTO:
            yield "CI would fail here (--dockerbin-missing=fail)"


def _build_words(build: BuildReport) -> str:
    if build.source == "failed":
        return f"{build.title} not built ({build.error})"
    if build.source in ("reused", "prebuilt"):
        return f"{build.title} {build.source}"
    damaged = " (its stored result was damaged)" if build.source == "rebuilt" else ""
    cached = f", {build.cached_steps} of {build.steps} steps cached" if build.cached_steps else ""
    by = f" by {build.builder}" if build.builder else ""
    return f"{build.title} built in {build.seconds:.1f} s{by}{cached}{damaged}"
