"""What the plugin says in the terminal: a header line and a section at the end."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dockerbin.artifact import Artifact
from pytest_dockerbin.errors import RunError, UnavailableError
from pytest_dockerbin.lifetimes import Lifetimes
from pytest_dockerbin.options import given
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
from pytest_dockerbin.reporting.notes import NOTE, STOP, Notes, platform_of, platforms_of
from pytest_dockerbin.reporting.relay import Relay, to_controller
from pytest_dockerbin.reporting.runs import everything, section
from pytest_dockerbin.reporting.services import service, told
from pytest_dockerbin.reporting.writing import Writing
from pytest_dockerbin.selection import in_order, is_ours
from pytest_dockerbin.settings import Missing
from pytest_dockerbin.suite import suite_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pytest_dockerbin.delivery import Delivery
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.report.model import Report


_FIRST = "gw0"  # of pytest-xdist's workers


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
        self._collector = collector

    def pytest_sessionstart(self) -> None:
        """Find the reporter, which is made after plugins are configured."""
        _register_between(self._config)

    # -- while tests run --------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Undo what earlier tests did; stop a test that can't run, before anything is built."""
        platform = platform_of(item)
        if platform:
            self._suite.mend(platform)
            if "dockerbin_binary" in getattr(item, "fixturenames", ()):
                self._suite.require_runner(platform)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Skip a test in which something is missing, such as what runs a program of a named build.

        Where that is no reason to skip, it is the test's failure, with the line that met it.
        """
        try:
            return (yield)
        except UnavailableError as error:
            self._suite.skip_if_missing(error, platform_of(item))
            raise

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Note where an overridden ``dockerbin_defaults`` stands."""
        value = yield
        if fixturedef.argname == "dockerbin_defaults" and not is_ours(fixturedef.func):
            file = Path(inspect.getfile(fixturedef.func))
            self._suite.remember_override(value, file)
        return value

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put what is told of the test, and what stopped it, on its report."""
        report = yield
        note = self._notes.of(item, self._suite)
        if note:
            setattr(report, NOTE, note)
            if note["runs"]:
                self._tell_of_runs(report, call, note)
            if report.when == "setup":
                item.user_properties += self._properties(item, note)
        stop = Stop.of(call)
        if stop:
            first = not stop.skipped and self._suite.claim(f"cause-{stop.cause}")
            if first:
                report.longrepr = stop.whole
            elif stop.skipped:  # at the test, wherever the skip was raised
                path, line, _ = item.reportinfo()
                report.longrepr = (str(path), (line or 0) + 1, stop.skipped)
            facts = {"cause": stop.cause, "first": first, "skipped": stop.skipped}
            setattr(report, STOP, facts | {"reason": stop.reason})
        return report

    def _tell_of_runs(
        self, report: pytest.TestReport, call: pytest.CallInfo[None], note: dict[str, Any]
    ) -> None:
        runs = [run_from_json(run) for run in note["runs"]]
        if self._config.getoption("htmlpath", None):  # pytest-html's
            from pytest_html import extras  # noqa: PLC0415

            given = [*getattr(report, "extras", ()), extras.text(everything(runs), name="runs")]
            report.extras = given  # type: ignore[attr-defined] # theirs too
        told_already = call.excinfo is not None and call.excinfo.errisinstance(RunError)
        if report.failed and not told_already:
            about = section(runs)
            report.sections += [about] if about else []

    def _properties(self, item: pytest.Item, note: dict[str, Any]) -> list[tuple[str, str]]:
        """Return what JUnit files say of a test."""
        facts = [("platform", note["platform"])]
        platform = platform_of(item)
        runner = self._suite.runner_facts(platform) if platform else None
        if runner and runner.runner:
            facts += [("runner", runner.runner), ("emulated", str(runner.emulated).lower())]
        given = getattr(item, "funcargs", {}).values()
        artifacts = [value for value in given if isinstance(value, Artifact)]
        builds = self._suite.builds_of(artifacts)
        if builds:
            digests = ", ".join(build.digest for build in builds)
            cached = all(build.is_cached for build in builds)
            facts += [("digest", digests), ("cached", str(cached).lower())]
        return [(f"dockerbin.{name}", value) for name, value in facts if value]

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

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what is told of a test; let builds stop when ``-x`` ends the run."""
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
        if its and not self._config.option.collectonly:
            for line in told(report.builds, its):
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
        return self._config.get_verbosity() < 0 or self._config.option.collectonly

    def _platform_lines(self, report: Report) -> Iterator[str]:
        for each in report.platforms:
            builds = [build for build in report.builds if build.platform == each.platform]
            counts = report.counts(each.platform)
            words = [*map(_build_words, builds), *([outcomes(counts)] if counts else [])]
            platform = f"{each.platform} ({each.said})" if each.said else ""
            yield f"{platform or described(each.platform, self._suite)}: {'; '.join(words)}"

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
