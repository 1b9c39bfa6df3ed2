"""The matrix: a row for each test, a column for each platform, a verdict where they meet."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.report.wording import runs_with

if TYPE_CHECKING:
    from pytest_dockerbin.report.model import BuildReport, PlatformReport, Report, TestReport


class State(StrEnum):
    """How a test ended, the worst first; the emulator's faults apart from the program's."""

    FAILED = "failed"
    ERROR = "error"
    EMULATOR = "emulator"
    SKIPPED = "skipped"
    XPASSED = "xpassed"
    XFAILED = "xfailed"
    PASSED = "passed"

    @classmethod
    def of(cls, test: TestReport) -> State:
        """Return that of a test."""
        return cls.EMULATOR if test.emulator_failed else cls(test.outcome)


WORDS = {
    State.FAILED: "FAIL",
    State.ERROR: "ERROR",
    State.EMULATOR: "EMULATOR",
    State.SKIPPED: "skip",
    State.XPASSED: "xpass",
    State.XFAILED: "xfail",
    State.PASSED: "ok",
}

_ORDER = {state: place for place, state in enumerate(State)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A platform.

    Attributes:
        platform: in Docker's spelling; empty for tests that run once, and not for each platform.
        facts: what is told of it, if anything.
    """

    platform: str
    facts: PlatformReport | None

    @property
    def title(self) -> str:
        """What a person calls it."""
        return self.platform or "together"

    @property
    def runs_with(self) -> str:
        """What ran its programs."""
        return runs_with(self.facts) if self.platform else "not by platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The tests of one row and column: one, or one for each of its further parameters."""

    tests: tuple[TestReport, ...]

    @property
    def state(self) -> State:
        """The worst of its tests' states."""
        return min(map(State.of, self.tests), key=_ORDER.__getitem__)

    @property
    def count(self) -> int:
        """How many of its tests are in that state."""
        return sum(State.of(test) is self.state for test in self.tests)

    @property
    def tally(self) -> str:
        """``1/3``: how many of how many; nothing of a single test."""
        return f"{self.count}/{len(self.tests)}" if len(self.tests) > 1 else ""

    @property
    def text(self) -> str:
        """The verdict: ``ok``, ``FAIL 1/3``."""
        return f"{WORDS[self.state]} {self.tally}".strip()

    @property
    def is_fine(self) -> bool:
        """Whether nobody has to look at any of its tests."""
        return all(test.is_fine for test in self.tests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A test on all platforms.

    Attributes:
        name: its node id without parameters.
        cells: one for each column; None where it did not run for that platform.
    """

    name: str
    cells: tuple[Cell | None, ...]

    @property
    def is_fine(self) -> bool:
        """Whether nobody has to look at it."""
        return all(cell is None or cell.is_fine for cell in self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRow:
    """A build for all platforms.

    Attributes:
        title: the build's.
        cells: one for each column; None where it was not built for that platform.
    """

    title: str
    cells: tuple[BuildReport | None, ...]

    @property
    def failed(self) -> bool:
        """Whether it failed for any platform."""
        return any(build is not None and build.error for build in self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The matrix of a session.

    Attributes:
        columns: the platforms, as the report has them; then one for tests that run once, if any.
        rows: sorted by name, so that it does not matter which worker was the first.
        builds: sorted by title.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    builds: tuple[BuildRow, ...]

    @classmethod
    def of(cls, report: Report) -> Grid:
        """Return that of a session."""
        facts = {each.platform: each for each in report.platforms}
        named = {test.platform for test in report.tests}
        platforms = [*facts, *sorted(named - {*facts, ""}), *({""} & named)]
        tests: dict[str, dict[str, list[TestReport]]] = {}
        for test in sorted(report.tests, key=lambda test: test.node):
            tests.setdefault(test.name, {}).setdefault(test.platform, []).append(test)
        builds: dict[str, dict[str, BuildReport]] = {}
        for build in report.builds:
            builds.setdefault(build.title, {})[build.platform] = build
        return cls(
            columns=tuple(Column(platform=name, facts=facts.get(name)) for name in platforms),
            rows=tuple(
                Row(name=name, cells=tuple(_cell(found.get(each)) for each in platforms))
                for name, found in sorted(tests.items())
            ),
            builds=tuple(
                BuildRow(title=title, cells=tuple(map(found.get, platforms)))
                for title, found in sorted(builds.items())
            ),
        )


def _cell(tests: list[TestReport] | None) -> Cell | None:
    return Cell(tests=tuple(tests)) if tests else None
