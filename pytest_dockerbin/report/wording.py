"""How reports put things into words: numbers, times, and text that a stranger wrote."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_dockerbin.commands_in_text import defused
from pytest_dockerbin.report.model import INTERRUPTED, OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dockerbin.report.model import BuildReport, PlatformReport, Report

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ODD = re.compile(r"[^\n\t\x20-\x7e]")
_MINUTE, _HOUR = 60, 3600
_BUILT = ("built", "rebuilt")
_EXITS = (
    "all passed",
    "tests failed",
    "interrupted",
    "internal error",
    "usage error",
    "no tests",
)


def shown(text: str) -> str:
    r"""Return a text in which control and direction characters are seen, not obeyed.

    Colours of a terminal are left out, other characters of that kind written as in Python: a
    right-to-left override is ``\u202e``. Line ends and tabs stay. What a CI service
    would obey is taken apart.
    """
    return defused(_ODD.sub(_seen, _COLOURS.sub("", text)))


def _seen(match: re.Match[str]) -> str:
    sign = match[0]
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode()


def line(text: str) -> str:
    """Return the same on one line."""
    return shown(" ".join(text.split()))


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(map(_columns, text))


def cut(text: str, width: int) -> str:
    """Return as much of a text as stands in ``width`` columns."""
    used = 0
    for index, sign in enumerate(text):
        used += _columns(sign)
        if used > width:
            return text[:index]
    return text


def _columns(sign: str) -> int:
    if unicodedata.combining(sign):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def duration(seconds: float) -> str:
    """Return seconds in the unit that suits them."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"


def axis(seconds: float) -> str:
    """Return a mark on an axis of time: a round number."""
    if seconds and seconds < 1:
        return f"{seconds * 1000:g} ms"
    return f"{seconds:g} s" if seconds < _MINUTE else duration(seconds)


def moment(seconds: float) -> str:
    """Return a time since the epoch for people everywhere."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def many(count: int, noun: str) -> str:
    """Return ``1 test`` or ``2 tests``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def outcomes(counts: Mapping[str, int]) -> str:
    """Return how many tests ended how: ``3 passed, 1 failed``."""
    words = (
        many(counts[name], name) if name == "error" else f"{counts[name]:,} {name}"
        for name in OUTCOMES
        if counts[name]
    )
    return ", ".join(words) or "no tests"


def headline(report: Report) -> str:
    """Return the session in one line."""
    on = f" on {many(len(report.platforms), 'platform')}" if report.platforms else ""
    return f"{outcomes(report.counts())}{on}"


def ending(status: int) -> str:
    """Return what an exit code of pytest's means."""
    known = 0 <= status < len(_EXITS)
    return f"{_EXITS[status]}, exit code {status}" if known else f"exit code {status}"


def runs_with(platform: PlatformReport | None) -> str:
    """Return what ran a platform's programs."""
    if platform is None or not platform.runner:
        return "nothing was run"
    if platform.emulated:
        return platform.emulator or f"{platform.runner}, emulated"
    return platform.runner


def build_words(build: BuildReport) -> str:
    """Return how a build ended, and when."""
    if build.source in _BUILT:
        cached = build.steps and build.cached_steps == build.steps
        return f"{'cached' if cached else build.source} {duration(build.seconds)}"
    return INTERRUPTED if build.error == INTERRUPTED else build.source


def step_time(build: BuildReport) -> float:
    """Return the seconds from a build's beginning to the end of its last step."""
    return max((step.started + step.seconds for step in build.timeline), default=0.0)
