"""The session's settings: how to build and run, whatever is built, and for which platforms."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runner_spec import RunnerSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dockerbin.runner_spec import Runners

Builders = tuple[tuple[Platform | None, str], ...]
"""Builder names by platform; None stands for every platform that is not named."""


class Missing(StrEnum):
    """What to do where docker, the daemon or an emulator is missing."""

    AUTO = "auto"
    SKIP = "skip"
    FAIL = "fail"


class CacheMode(StrEnum):
    """When a stored result serves."""

    SESSION = "session"
    """BuildKit is asked once for each build and platform in a session."""
    REUSE = "reuse"
    """A result of an earlier session with the same inputs serves without calling docker."""
    ONLY = "only"
    """As ``reuse``, and nothing is ever built."""


class Progress(StrEnum):
    """How builds are told of while they run."""

    AUTO = "auto"
    """One line that rewrites itself on a terminal, lines elsewhere."""
    PLAIN = "plain"
    """Lines: at a build's start, each 30 s, and at its end."""
    QUIET = "quiet"
    """Not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that one export may hold.

    Attributes:
        size: bytes of all files together.
        files: number of files, links and folders.
        depth: folders below one another.
    """

    size: int = 2 * 1024**3
    files: int = 50_000
    depth: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How builds and runs are done.

    Attributes:
        cache_dir: the folder of the store; the user's cache folder when None.
        cache: when a stored result serves.
        no_cache: whether BuildKit must run every step, and stored results are passed over.
        prebuilt: a folder with what was built elsewhere: nothing is built then.
        project: the folder as seen from which builds have their names; see `BuildName`.
        cache_max_size: bytes of stored results, beyond which those least used are deleted.
        cache_max_age: seconds without use, after which a stored result is deleted.
        builders: buildx builders that win over a build's own ``builder``.
        default_builders: builders for builds that name none.
        runners: what runs the programs of a platform; ``auto`` for those not named.
        jobs: builds that run at once in a session; 0 when none may begin before it is asked for.
        build_timeout: seconds that a build may take.
        silence_timeout: seconds that a build may be silent.
        run_timeout: seconds that a program may run natively.
        limits: the most that one export may hold.
        emulation_factor: what ``run_timeout`` is multiplied by under emulation.

    Raises:
        SettingsError: a value is none of those allowed.
    """

    cache_dir: Path | None = None
    cache: CacheMode = CacheMode.SESSION
    no_cache: bool = False
    prebuilt: Path | None = None
    project: Path = Path()
    cache_max_size: int = 5 * 1024**3
    cache_max_age: float = 14 * 86400.0
    builders: Builders = ()
    default_builders: Builders = ()
    runners: Runners = ()
    jobs: int = 4
    build_timeout: float = 1800.0
    silence_timeout: float = 600.0
    run_timeout: float = 60.0
    emulation_factor: float = 10.0
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        for name in ("cache_dir", "prebuilt", "project"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Path(getattr(self, name)))
        for names, fits, expected in _RULES:
            for name in names.split():
                value = getattr(self, name)
                if not fits(value):
                    raise SettingsError.wrong_value(name, value, expected, "Settings")
        object.__setattr__(self, "cache", CacheMode(self.cache))

    def builder_for(self, platform: Platform, asked: str | None) -> str | None:
        """Return the builder for a platform: option, build setting, ini file, or buildx's own."""
        return _named(self.builders, platform) or asked or _named(self.default_builders, platform)

    def runner_for(self, platform: Platform) -> RunnerSpec:
        """Return what is to run the programs of a platform."""
        fits = (spec for at, spec in self.runners if at in (None, platform))
        return next(fits, RunnerSpec())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _are_by_platform(kind: type, pairs: object) -> bool:
    return isinstance(pairs, tuple) and all(_is_pair(pair, kind) for pair in pairs)


def _is_pair(pair: object, kind: type) -> bool:
    match pair:
        case (None | Platform(), what):
            return isinstance(what, kind)
    return False


# names of settings, whether a value of theirs can be taken, and what is expected
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("cache_dir prebuilt", lambda value: value is None or isinstance(value, Path), "a path"),
    ("project", lambda value: isinstance(value, Path), "a path"),
    ("cache", lambda value: value in list(CacheMode), ", ".join(CacheMode)),
    ("no_cache", lambda value: isinstance(value, bool), "True or False"),
    ("limits", lambda value: isinstance(value, Limits), "a Limits"),
    (
        "jobs cache_max_size",
        lambda value: isinstance(value, int) and value >= 0,
        "a whole number, 0 or more",
    ),
    ("cache_max_age", lambda value: _is_number(value) and value >= 0, "a number, 0 or more"),
    (
        "build_timeout silence_timeout run_timeout emulation_factor",
        lambda value: _is_number(value) and value > 0,
        "a number above 0",
    ),
    (
        "builders default_builders",
        partial(_are_by_platform, str),
        "pairs of a Platform, or None, and a str",
    ),
    (
        "runners",
        partial(_are_by_platform, RunnerSpec),
        "pairs of a Platform, or None, and a RunnerSpec",
    ),
)


def _named(builders: Builders, platform: Platform) -> str | None:
    names = dict(builders)
    return names.get(platform) or names.get(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which platforms the session's tests are for.

    Attributes:
        chosen: words of the command line or environment, or None where neither named any.
        default: words of the ini file, else ``native``.
        source: where the words in force come from, for the header.
        named_on_command_line: whether ``chosen`` is the command line's.
        missing: what to do where something of the machine is missing.
    """

    chosen: tuple[str, ...] | None = None
    default: tuple[str, ...] = ("native",)
    source: str = "default"
    named_on_command_line: bool = False
    missing: Missing = Missing.AUTO

    @property
    def words(self) -> tuple[str, ...]:
        """The words in force for a test without a marker."""
        return self.default if self.chosen is None else self.chosen


def on_ci() -> bool:
    """Tell whether this runs on a CI service, by pytest's own rule."""
    return bool(os.environ.get("CI") or os.environ.get("BUILD_NUMBER"))


_SIZES = {"": 1.0, "B": 1.0, "KIB": 2.0**10, "MIB": 2.0**20, "GIB": 2.0**30, "TIB": 2.0**40}
_TIMES = {"S": 1.0, "M": 60.0, "H": 3600.0, "D": 86400.0}


def read_size(text: str, where: str) -> int:
    """Return the bytes of a size such as ``5 GiB``; a bare number is bytes.

    Args:
        text: what the user gave.
        where: what the user calls it, for the message.

    Raises:
        SettingsError: it is no size.
    """
    return int(_quantity(text, where, _SIZES, "5 GiB"))


def read_age(text: str, where: str) -> float:
    """Return the seconds of an age such as ``14 d``; ``s``, ``m`` and ``h`` are known too.

    Args:
        text: what the user gave.
        where: what the user calls it, for the message.

    Raises:
        SettingsError: it is no age.
    """
    return _quantity(text, where, _TIMES, "14 d")


def _quantity(text: str, where: str, units: dict[str, float], example: str) -> float:
    parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    unit = units.get(parts[2].upper()) if parts else None
    if parts is None or unit is None or not isfinite(number := float(parts[1]) * unit):
        raise SettingsError(f"{where}: {text!r} is no quantity such as {example}")
    return number
