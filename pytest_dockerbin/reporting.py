"""What the plugin says in the terminal: a header line and a section at the end."""

from __future__ import annotations

import inspect
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dockerbin.delivery import Delivery
from pytest_dockerbin.errors import UnavailableError
from pytest_dockerbin.lifetimes import Lifetimes
from pytest_dockerbin.options import given
from pytest_dockerbin.outcomes import Stop
from pytest_dockerbin.plan import plan
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.prebuilt import Prebuilt
from pytest_dockerbin.selection import is_ours
from pytest_dockerbin.settings import CacheMode, Missing
from pytest_dockerbin.suite import suite_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pytest_dockerbin.suite import Suite

PLATFORM = "dockerbin_platform"
"""Attribute of a report: its test's platform, so that an xdist controller knows it."""

RUNNER = "dockerbin_runner"
"""Attribute of a report: what was said to run its test's program, by a hook too."""

STOP = "dockerbin_stop"
"""Attribute of a report: what stopped its test, and whether it is the first to say so."""


def register(config: pytest.Config) -> None:
    """Add the reporting to the run, and the ends of programs, once."""
    plugins = config.pluginmanager
    if not plugins.has_plugin("dockerbin-reporter"):
        folding = ErrorFolding()
        plugins.register(folding, "dockerbin-folding")
        plugins.register(ErrorUnfolding(folding), "dockerbin-unfolding")
        output = suite_of(config).output
        delivery = Delivery(config, output) if output else None
        if delivery:
            plugins.register(delivery, "dockerbin-delivery")
        plugins.register(Reporter(config, delivery), "dockerbin-reporter")
        plugins.register(Lifetimes(), "dockerbin-lifetimes")


def header(config: pytest.Config) -> str:
    """Return the line that says what is tested, and where that was set; asks no one.

    Where the platforms were not set, they are those of the tests that were collected.
    """
    suite = suite_of(config)
    source = suite.selection.source
    words = suite.selection.words
    if source == "default" and suite.wanted:
        words = tuple(str(platform) for platform in suite.wanted)
    origin = f" (from {source})" if source != "default" else ""
    platforms = ", ".join(_described(word, suite) for word in words)
    parts = [f"dockerbin: {platforms}{origin}"]
    settings = suite.settings
    if settings.cache is not CacheMode.SESSION:
        folder = settings.cache_dir
        place = f" in {folder}{_origin(config, 'cache-dir')}" if folder else ""
        parts.append(f"cache {settings.cache}{_origin(config, 'cache')}{place}")
    if settings.prebuilt:
        parts.append(f"prebuilt {settings.prebuilt}{_origin(config, 'prebuilt')}")
    return "; ".join(parts)


def _origin(config: pytest.Config, name: str) -> str:
    found = given(config, name)
    return f" (from {found[1]})" if found else ""


def _described(word: str, suite: Suite) -> str:
    """Return a platform, with its runner as far as that is known without trying one."""
    if word == "auto":
        return word
    platform = Platform.parse(word)
    said = suite.runner_said(platform) or ("native" if platform.native else "")
    return f"{platform} ({said})" if said else str(platform)


class Reporter:
    """Registered when a test of ours was collected, and on an xdist controller.

    Args:
        config: pytest's.
        delivery: writes what was tested, and has a line about it; None when that is not asked for.
    """

    def __init__(self, config: pytest.Config, delivery: Delivery | None) -> None:
        self._config = config
        self._delivery = delivery
        self._failures = 0
        self._tests: dict[str, Counter[str]] = {}
        self._runners: dict[str, str] = {}
        self._builds: dict[tuple[str, str], dict[str, Any]] = {}
        self._missing: dict[str, int] = {}

    # -- while tests run --------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Undo what earlier tests did; stop a test that can't run, before anything is built."""
        platform = _platform_of(item)
        if platform:
            suite = suite_of(self._config)
            suite.mend(platform)
            if "dockerbin_binary" in getattr(item, "fixturenames", ()):
                suite.require_runner(platform)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Skip a test in which something is missing, such as what runs a program of a named build.

        Where that is no reason to skip, it is the test's failure, with the line that met it.
        """
        try:
            return (yield)
        except UnavailableError as error:
            suite_of(self._config).skip_if_missing(error, _platform_of(item))
            raise

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Note where an overridden ``dockerbin_defaults`` stands."""
        value = yield
        if fixturedef.argname == "dockerbin_defaults" and not is_ours(fixturedef.func):
            file = Path(inspect.getfile(fixturedef.func))
            suite_of(self._config).remember_override(value, file)
        return value

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the test's platform and what stopped it on its report."""
        report = yield
        platform = _platform_of(item)
        if platform:
            setattr(report, PLATFORM, str(platform))
            setattr(report, RUNNER, suite_of(self._config).runner_said(platform))
        stop = Stop.of(call)
        if stop:
            first = not stop.skipped and suite_of(self._config).claim(f"cause-{stop.cause}")
            if first:
                report.longrepr = stop.whole
            elif stop.skipped:  # at the test, wherever the skip was raised
                path, line, _ = item.reportinfo()
                report.longrepr = (str(path), (line or 0) + 1, stop.skipped)
            setattr(report, STOP, {"cause": stop.cause, "first": first, "skipped": stop.skipped})
        return report

    @pytest.hookimpl(tryfirst=True)  # before pytest asks for the header
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the platforms of all tests that will run."""
        running = (item for item in session.items if not item.get_closest_marker("skip"))
        platforms = [platform for item in running if (platform := _platform_of(item))]
        suite_of(self._config).wanted = tuple(dict.fromkeys(platforms))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test's outcome for its platform; let builds stop when ``-x`` ends the run."""
        if report.failed:
            self._failures += 1
            most = self._config.getvalue("maxfail")
            if most and self._failures >= most and hasattr(self._config.option, "dist"):
                suite_of(self._config).stop_workers()
        platform = getattr(report, PLATFORM, None)
        outcome = _outcome(report)
        if platform and (said := getattr(report, RUNNER, "")):
            self._runners[platform] = said
        if platform and outcome:
            self._tests.setdefault(platform, Counter())[outcome] += 1
        reason = getattr(report, STOP, {}).get("skipped")
        if reason:
            self._missing[reason] = self._missing.get(reason, 0) + 1

    # -- from xdist workers to their controller ---------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 (xdist has no types)
        """Take what a worker built."""
        for record in getattr(node, "workeroutput", {}).get("dockerbin", ()):
            suite_of(self._config).workers_built = True
            self._note(record)

    def pytest_sessionfinish(self) -> None:
        """Hand what this worker built to the controller."""
        builds = list(suite_of(self._config).builds.values())
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["dockerbin"] = builds
        for record in builds:
            self._note(record)

    def _note(self, record: dict[str, Any]) -> None:
        """Keep what is told of a build; named builds that are equal are told together."""
        which = record["key"] if record["names"] else record["label"]
        known = self._builds.setdefault((which, record["platform"]), record)
        known["names"] = list(dict.fromkeys((*known["names"], *record["names"])))

    # -- what is printed --------------------------------------------------------------------------

    def pytest_report_collectionfinish(self, items: list[pytest.Item]) -> str | list[str] | None:
        """Print the header when it was not wanted before collection; or what would be built."""
        if self._config.option.collectonly and self._config.get_verbosity() > 0:
            return plan(items, suite_of(self._config))
        if self._is_silent() or given(self._config, "platforms") is not None:
            return None
        return header(self._config)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the section: a line for each platform, and what did not run."""
        if self._is_silent():
            return
        lines = [*self._platform_lines(), *self._prebuilt_lines(), *self._missing_lines()]
        if self._delivery and self._delivery.line:
            lines.append(self._delivery.line)
        if lines:
            terminalreporter.ensure_newline()
            terminalreporter.section("dockerbin")
            for line in lines:
                terminalreporter.write_line(line)

    def _is_silent(self) -> bool:
        return self._config.get_verbosity() < 0 or self._config.option.collectonly

    def _platform_lines(self) -> Iterator[str]:
        platforms = {platform for _, platform in self._builds} | self._tests.keys()
        for platform in sorted(platforms):
            builds = [record for (_, at), record in self._builds.items() if at == platform]
            counts = self._tests.get(platform, Counter())
            words = [_counted(counts[name], name) for name in _OUTCOMES if counts[name]]
            told = "; ".join(filter(None, [*map(_build_words, builds), ", ".join(words)]))
            said = self._runners.get(platform)
            suite = suite_of(self._config)
            yield f"{f'{platform} ({said})' if said else _described(platform, suite)}: {told}"

    def _prebuilt_lines(self) -> Iterator[str]:
        folder = suite_of(self._config).settings.prebuilt
        if folder and self._builds and not Prebuilt(folder).is_checked:
            yield f"{folder} has no SHA256SUMS: whether it is what was built was not checked"

    def _missing_lines(self) -> Iterator[str]:
        for reason, count in self._missing.items():
            tests = "1 test" if count == 1 else f"{count} tests"
            yield f"{tests} did NOT run: {reason.removeprefix('dockerbin: ')}"
        if self._missing and suite_of(self._config).selection.missing is Missing.AUTO:
            yield "CI would fail here (--dockerbin-missing=fail)"


class ErrorFolding:
    """Lets one error stand for its repetitions in the terminal.

    pytest prints a heading and a text for each error. Those of tests that were stopped by a cause
    which another test tells in full are taken out of the errors while pytest prints them; they are
    back for the short summary and the counts.
    """

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, object, object]:
        """Take repetitions out before pytest's own summary begins."""
        self._errors = terminalreporter.stats.get("error", [])
        stops = [getattr(report, STOP, None) for report in self._errors]
        told = {stop["cause"] for stop in stops if stop and stop["first"]}
        kept = [
            report
            for report, stop in zip(self._errors, stops, strict=True)
            if not stop or stop["first"] or stop["cause"] not in told
        ]
        if len(kept) < len(self._errors):
            terminalreporter.stats["error"] = kept
        return (yield)


class ErrorUnfolding:
    """Brings back what `ErrorFolding` took out, once pytest has printed the errors."""

    def __init__(self, folding: ErrorFolding) -> None:
        self._folding = folding

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how many were left out, and restore them."""
        errors = self._folding._errors  # noqa: SLF001 (two halves of one thing)
        count = len(errors) - len(terminalreporter.stats.get("error", []))
        if count:
            terminalreporter.stats["error"] = errors
            if terminalreporter.config.option.tbstyle != "no":
                more = "1 more error has" if count == 1 else f"{count} more errors have"
                terminalreporter.write_line(f"dockerbin: {more} a cause that is told above")


_OUTCOMES = ("passed", "failed", "error", "skipped")


def _counted(count: int, outcome: str) -> str:
    return f"{count} {outcome}s" if outcome == "error" and count > 1 else f"{count} {outcome}"


def _build_words(record: dict[str, Any]) -> str:
    name = ", ".join(record["names"]) or record["label"]
    if "error" in record:
        return f"{name} not built ({record['error']})"
    if record["source"] in ("reused", "prebuilt"):
        return f"{name} {record['source']}"
    damaged = " (its stored result was damaged)" if record["source"] == "rebuilt" else ""
    cached = f", {record['cached']} of {record['steps']} steps cached" if record["cached"] else ""
    by = f" by {record['builder']}" if record["builder"] else ""
    return f"{name} built in {record['seconds']:.1f} s{by}{cached}{damaged}"


def _platform_of(item: pytest.Item) -> Platform | None:
    callspec = getattr(item, "callspec", None)
    value = callspec.params.get("dockerbin_platform") if callspec else None
    return value if isinstance(value, Platform) else None


def _outcome(report: pytest.TestReport) -> str | None:
    if report.when == "call" and not report.skipped:
        return report.outcome
    if report.skipped:
        return "skipped"
    return "error" if report.failed else None
