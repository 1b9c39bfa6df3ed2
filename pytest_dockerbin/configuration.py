"""Reads what the user gave and returns it typed: nothing below sees a raw string of pytest's."""

from __future__ import annotations

import os
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pytest

from pytest_dockerbin.build_settings import read_settings
from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.options import BUILD_SETTINGS, all_given, given, ini_key
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.report import FORMATS
from pytest_dockerbin.runner_spec import read_runners
from pytest_dockerbin.settings import (
    CacheMode,
    Missing,
    Progress,
    Selection,
    Settings,
    read_age,
    read_size,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dockerbin.runner_spec import Runners
    from pytest_dockerbin.settings import Builders

_T = TypeVar("_T")

_DEFAULTS = Settings()

# what pytest raises for an ini value that is not of its key's type; the first from pytest 9 on
_UNREADABLE = (pytest.UsageError, TypeError, ValueError)


class _Given(NamedTuple):
    value: Any
    source: str


def _given(config: pytest.Config, name: str) -> _Given | None:
    try:
        found = given(config, name)
    except _UNREADABLE as error:
        raise _unreadable(name, error) from None
    return _Given(*found) if found else None


def _ini(config: pytest.Config, name: str) -> Any:  # noqa: ANN401 (each key has its type)
    try:
        return config.getini(ini_key(name))
    except _UNREADABLE as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> SettingsError:
    """Say which ini key it is that pytest can't read as the type that it has."""
    return SettingsError(f"ini {ini_key(name)}: {error}")


def read_selection(config: pytest.Config) -> Selection:
    """Return which platforms to test and what to do about missing things.

    Raises:
        SettingsError: a value is none of those allowed.
    """
    missing = _given(config, "missing") or _Given("auto", "default")
    if missing.value not in list(Missing):
        raise SettingsError.unknown("value", missing.value, list(Missing), missing.source)
    ini = _ini(config, "platforms") or ["native"]
    found = _given(config, "platforms")
    if found is None or found.source.startswith("ini "):
        return Selection(
            default=_words(ini, "ini dockerbin_platforms"),
            source=found.source if found else "default",
            missing=Missing(missing.value),
        )
    return Selection(
        chosen=_words(found.value, found.source),
        default=_words(ini, "ini dockerbin_platforms"),
        source=found.source,
        named_on_command_line=found.source.startswith("--"),
        missing=Missing(missing.value),
    )


def read_session_settings(config: pytest.Config) -> Settings:
    """Return how to build and run.

    Raises:
        SettingsError: a value is none of those allowed.
    """
    cache_dir = _given(config, "cache-dir")
    builder = _given(config, "builder")
    from_command_line = builder is not None and builder.source.startswith("--")
    return Settings(
        cache_dir=_folder(config, cache_dir) if cache_dir else None,
        cache=_cache_mode(config),
        no_cache=bool(config.getoption("dockerbin_no_cache")),
        prebuilt=_prebuilt(config),
        project=config.rootpath,
        cache_max_size=_read(config, "cache-max-size", read_size, _DEFAULTS.cache_max_size),
        cache_max_age=_read(config, "cache-max-age", read_age, _DEFAULTS.cache_max_age),
        builders=_builders(builder) if from_command_line else (),
        default_builders=_builders(_given_in_ini(config, "builder")),
        runners=_runners(config),
        jobs=_read(config, "jobs", _number, _DEFAULTS.jobs),
        build_timeout=_read(config, "build-timeout", _positive, _DEFAULTS.build_timeout),
        run_timeout=_read(config, "run-timeout", _positive, _DEFAULTS.run_timeout),
        emulation_factor=_read(config, "emulation-factor", _positive, _DEFAULTS.emulation_factor),
    )


def read_output(config: pytest.Config) -> Path | None:
    """Return the folder that is to be written after the tests, if any.

    Raises:
        SettingsError: other files are in it, or those that are to be tested.
    """
    found = _given(config, "output")
    if found is None:
        return None
    folder = _folder(config, found)
    prebuilt = _given(config, "prebuilt")
    if prebuilt and folder.resolve() == _folder(config, prebuilt).resolve():
        raise SettingsError(f"{found.source}: {str(folder)!r} is what {prebuilt.source} tests")
    from pytest_dockerbin.shipping import check_output  # noqa: PLC0415 (few write one)

    check_output(folder, found.source)
    return folder


def read_reports(config: pytest.Config) -> tuple[Path, ...]:
    """Return the files into which the session's report is to be written.

    Raises:
        SettingsError: one has no suffix of a known format, or is a folder.
    """
    found = _given(config, "report")
    if found is None:
        return ()
    paths = [_folder(config, _Given(text, found.source)) for text in found.value]
    for path in paths:
        if path.suffix not in FORMATS:
            known = ", ".join(FORMATS)
            raise SettingsError(f"{found.source}: {path.name!r} has none of the suffixes {known}")
        if path.is_dir():
            raise SettingsError(f"{found.source}: {str(path)!r} is a folder")
    return tuple(dict.fromkeys(paths))


def read_github_summary(config: pytest.Config) -> Path | None:
    """Return the file that becomes the summary of a GitHub Actions job, if it is to have one."""
    found = _given(config, "github-summary")
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(path) if path and (found is None or found.value) else None


def read_build_defaults(config: pytest.Config) -> dict[str, Any]:
    """Return the ini file's build settings, typed.

    Raises:
        SettingsError: a value is none of those allowed.
    """
    found: dict[str, Any] = {}
    for name in BUILD_SETTINGS:
        value = _ini(config, name)
        if value not in (None, "", []):
            found[name] = value
    if str(found.get("verify")).lower() in ("false", "no", "0"):
        found["verify"] = False
    settings: dict[str, Any] = {}
    for name, value in found.items():  # one by one, so that a message names the ini key
        where = f"ini {ini_key(name)}"
        settings |= read_settings({name: value}, base=config.rootpath, where=where)
    return settings


def _given_in_ini(config: pytest.Config, name: str) -> _Given | None:
    value = _ini(config, name)
    return _Given(value, f"ini {ini_key(name)}") if value else None


def _words(value: list[str], source: str) -> tuple[str, ...]:
    """Return the words of a list, checked but not yet read: ``auto`` asks docker."""
    words = [word.strip() for text in value for word in text.split(",") if word.strip()]
    if not words:
        raise SettingsError(f"{source}: expected platforms, such as linux/arm64")
    for word in words:
        if word not in ("native", "auto"):
            try:
                Platform.parse(word)
            except SettingsError as error:
                raise SettingsError(f"{source}: {error.summary}") from None
    return tuple(dict.fromkeys(words))


def _prebuilt(config: pytest.Config) -> Path | None:
    found = _given(config, "prebuilt")
    if found is None:
        return None
    folder = _folder(config, found)
    from pytest_dockerbin.prebuilt import Prebuilt  # noqa: PLC0415 (few have one)

    Prebuilt(folder).check(found.source)
    return folder


def _folder(config: pytest.Config, found: _Given) -> Path:
    if not str(found.value).strip():  # as of a variable that is not set: never the working folder
        raise SettingsError(f"{found.source}: expected a path, and there is nothing")
    return (_base(config, found.source) / Path(found.value).expanduser()).absolute()


def _base(config: pytest.Config, source: str) -> Path:
    """Return the folder that relative paths of a source are relative to."""
    return config.rootpath if source.startswith("ini ") else config.invocation_params.dir


def _runners(config: pytest.Config) -> Runners:
    """Return all sources' runners, one after another: what one leaves open the next may say."""
    try:
        sources = list(all_given(config, "runner"))
    except _UNREADABLE as error:
        raise _unreadable("runner", error) from None
    return tuple(
        runner
        for value, source in sources
        for runner in read_runners(value, source, base=_base(config, source))
    )


def _builders(found: _Given | None) -> Builders:
    if found is None:
        return ()
    builders: list[tuple[Platform | None, str]] = []
    for text in found.value:
        platform, separator, name = text.rpartition("=")
        if not name or name.startswith("-"):
            raise SettingsError(f"{found.source}: {text!r} is not [PLATFORM=]NAME of a builder")
        try:
            builders.append((Platform.parse(platform) if separator else None, name))
        except SettingsError as error:
            raise SettingsError(f"{found.source}: {error.summary}") from None
    return tuple(builders)


def read_progress(config: pytest.Config) -> Progress:
    """Return how builds are told of while they run.

    Raises:
        SettingsError: it is no known way.
    """
    found = _given(config, "progress")
    if found is None:
        return Progress.AUTO
    if found.value not in list(Progress):
        raise SettingsError.unknown("value", found.value, list(Progress), found.source)
    return Progress(found.value)


def _cache_mode(config: pytest.Config) -> CacheMode:
    found = _given(config, "cache")
    if found is None:
        return CacheMode.SESSION
    if found.value not in list(CacheMode):
        raise SettingsError.unknown("value", found.value, list(CacheMode), found.source)
    mode = CacheMode(found.value)
    if mode is CacheMode.ONLY and config.getoption("dockerbin_no_cache"):
        never = f"{found.source}={mode}"
        raise SettingsError(f"--dockerbin-no-cache always builds, and {never} never does")
    return mode


def _read(config: pytest.Config, name: str, read: Callable[[Any, str], _T], default: _T) -> _T:
    """Return what ``read`` makes of what was given, and of where; else the default."""
    found = _given(config, name)
    return read(*found) if found else default


def _number(value: str | int, where: str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = -1
    if number < 0:
        raise SettingsError(f"{where}: {value!r} is not a number of builds")
    return number


def _positive(value: str | float, where: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not isfinite(number) or number <= 0:
        raise SettingsError(f"{where}: {value!r} is not a positive number")
    return number
