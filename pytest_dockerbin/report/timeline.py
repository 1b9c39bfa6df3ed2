"""The steps of builds on an axis of time, and where the time went."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Self

from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.report.wording import duration, step_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dockerbin.report.model import BuildReport
    from pytest_dockerbin.steps import StepRecord

_TICKS = 3  # at most, beside 0
_NICE = (1, 2, 5)
_MOST_STEPS = 200


class Work(StrEnum):
    """What a step's time went into: programs of the Dockerfile, or fetching and copying."""

    EMULATED = "emulated"
    NATIVE = "native"
    OTHER = "other"
    CACHED = "cached"
    FAILED = "failed"

    @classmethod
    def of(cls, step: StepRecord) -> Work:
        """Return that of a step."""
        if step.error:
            return cls.FAILED
        if step.cached:
            return cls.CACHED
        if step.emulated:
            return cls.EMULATED
        return cls.NATIVE if "] RUN " in step.name and step.emulated is False else cls.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A step on the axis.

    Attributes:
        step: what it shows.
        work: its kind.
        left: where it begins, in percent of the axis.
        width: how long it is, likewise.
    """

    step: StepRecord
    work: Work
    left: float
    width: float

    @property
    def words(self) -> str:
        """What it shows, in words."""
        if self.work is Work.CACHED:
            return f"cached, at {duration(self.step.started)}"
        words = f"{duration(self.step.seconds)}, from {duration(self.step.started)}"
        if self.step.emulated:
            words += ", emulated"
        return f"{words}, failed" if self.work is Work.FAILED else words


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A build's bars.

    Attributes:
        build: whose they are.
        bars: in the order in which the steps began.
        left_out: number of steps that are too many to be shown, the shortest.
        shares: each kind of work, the seconds and number of its steps, and their percentage.
    """

    build: BuildReport
    bars: tuple[Bar, ...]
    left_out: int
    shares: tuple[tuple[Work, float, int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A build's platforms below one another, on one axis.

    Attributes:
        title: the build's.
        ticks: seconds that are marked, and where, in percent.
        lanes: one for each platform.
    """

    title: str
    ticks: tuple[tuple[float, float], ...]
    lanes: tuple[Lane, ...]

    @classmethod
    def all_of(cls, builds: Sequence[BuildReport]) -> tuple[Self, ...]:
        """Return those of a session."""
        titles = sorted({build.title for build in builds})
        return tuple(cls._of(t, [each for each in builds if each.title == t]) for t in titles)

    @classmethod
    def _of(cls, title: str, builds: Sequence[BuildReport]) -> Self:
        end = max([0.001, *map(step_time, builds)])
        return cls(
            title=title,
            ticks=tuple((at, round(100 * at / end, 2)) for at in _ticks(end)),
            lanes=tuple(_lane(build, end) for build in builds),
        )


def _ticks(end: float) -> list[float]:
    """Return round numbers from 0 to the end of the axis."""
    size = 0.001
    while True:
        for nice in _NICE:
            if end / (size * nice) <= _TICKS:
                count = int(end / (size * nice))
                return [round(place * size * nice, 3) for place in range(count + 1)]
        size *= 10


def _lane(build: BuildReport, end: float) -> Lane:
    longest = sorted(build.timeline, key=lambda step: (-step.seconds, step.started))
    chosen = {id(step) for step in longest[:_MOST_STEPS]}
    bars = tuple(
        Bar(
            step=step,
            work=Work.of(step),
            left=round(100 * step.started / end, 2),
            width=round(100 * step.seconds / end, 2),
        )
        for step in build.timeline
        if id(step) in chosen
    )
    return Lane(
        build=build,
        bars=bars,
        left_out=len(build.timeline) - len(bars),
        shares=tuple(_shares(build.timeline)),
    )


def _shares(steps: Sequence[StepRecord]) -> list[tuple[Work, float, int, float]]:
    whole = sum(step.seconds for step in steps) or 1.0
    shares = []
    for work in Work:
        found = [step.seconds for step in steps if Work.of(step) is work]
        if found:
            shares.append((work, sum(found), len(found), round(100 * sum(found) / whole, 2)))
    return shares
