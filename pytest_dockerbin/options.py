"""Options, ini keys and environment variables: registered, then read once.

Precedence: command line, environment, ini file, default. Nothing heavy is imported here: every
pytest run that has the plugin installed reads this file.
"""

from __future__ import annotations

import os
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pytest

    from pytest_dockerbin.settings import Builders, Selection, Settings


class _Option(NamedTuple):
    name: str
    help: str
    ini: str | None  # type of the ini key; None: there is none
    variable: bool = False
    flag: bool = True
    choices: tuple[str, ...] | None = None
    metavar: str | None = None
    repeatable: bool = False


_OPTIONS = (
    _Option(
        "platforms",
        "platforms to test, separated by commas: linux/amd64,linux/arm64; "
        "native: this machine's; auto: all that can be built and run here (default: native)",
        "args",
        variable=True,
        metavar="LIST",
        repeatable=True,
    ),
    _Option(
        "missing",
        "where docker or an emulator is missing: skip, fail, or auto: fail on CI and for platforms "
        "named on the command line (default: auto)",
        "string",
        variable=True,
        choices=("auto", "skip", "fail"),
    ),
    _Option(
        "cache-dir",
        "folder of the exported binaries (default: the user's cache folder)",
        "string",
        variable=True,
        metavar="DIR",
    ),
    _Option(
        "builder",
        "buildx builder, for all platforms or for one (default: buildx's current one)",
        "args",
        metavar="[PLATFORM=]NAME",
        repeatable=True,
    ),
    _Option(
        "build-timeout",
        "seconds that one platform's build may take (default: 1800)",
        "float",
        metavar="S",
    ),
    _Option("run-timeout", "seconds that Binary.run() may take (default: 60)", "float", flag=False),
    _Option(
        "emulation-factor",
        "what run timeouts are multiplied by under emulation (default: 10)",
        "float",
        flag=False,
    ),
)

# build settings that can be defaults of a whole project, with the type of their ini key
_BUILD_SETTINGS = {
    "context": ("string", "folder that is sent to BuildKit (default: the rootdir)"),
    "dockerfile": ("string", "the Dockerfile (default: Dockerfile in the context)"),
    "target": ("string", "stage to export (default: the last one)"),
    "build_args": ("linelist", "build arguments, one NAME=VALUE a line"),
    "build_contexts": ("linelist", "named contexts, one NAME=FOLDER a line"),
    "network": ("string", "network of RUN steps: default, host or none"),
    "frontend": ("string", "builtin: the Dockerfile's # syntax= line is not followed"),
    "binary": ("string", "the executable that dockerbin_binary yields (default: the only one)"),
    "verify": ("string", "platform: check the platform of executables (default); static; false"),
}


def register(parser: pytest.Parser) -> None:
    """Add every option and ini key to pytest's."""
    group = parser.getgroup("dockerbin", "binaries built by Docker (pytest-dockerbin)")
    for option in _OPTIONS:
        key = f"dockerbin_{option.name.replace('-', '_')}"
        if option.flag:
            extra: dict[str, Any] = {"action": "append"} if option.repeatable else {}
            if option.choices:
                extra["choices"] = option.choices
            if option.metavar:
                extra["metavar"] = option.metavar
            group.addoption(
                f"--dockerbin-{option.name}", dest=key, default=None, help=option.help, **extra
            )
        parser.addini(key, option.help, type=option.ini, default=None)  # type: ignore[arg-type]
    for name, (kind, text) in _BUILD_SETTINGS.items():
        parser.addini(f"dockerbin_{name}", text, type=kind, default=None)  # type: ignore[arg-type]


class _Given(NamedTuple):
    value: Any
    source: str


def _given(config: pytest.Config, name: str) -> _Given | None:
    """Return what the user gave for an option, and where; None when nothing."""
    key = f"dockerbin_{name.replace('-', '_')}"
    option = next(option for option in _OPTIONS if option.name == name)
    if option.flag and (value := config.getoption(key)) is not None:
        return _Given(value, f"--dockerbin-{name}")
    variable = f"PYTEST_{key.upper()}"
    if option.variable and os.environ.get(variable):
        value = os.environ[variable]
        return _Given([value] if option.repeatable else value, variable)
    if (value := config.getini(key)) not in (None, [], ""):
        return _Given(value, f"ini {key}")
    return None


def anything_given(config: pytest.Config) -> bool:
    """Tell whether the user set anything of ours, so that it is to be checked at the start."""
    return any(_given(config, option.name) for option in _OPTIONS)


def header_wanted(config: pytest.Config) -> bool:
    """Tell whether the platforms were chosen, so that the header names them at once."""
    return _given(config, "platforms") is not None


def read_selection(config: pytest.Config) -> Selection:
    """Return which platforms to test and what to do about missing things.

    Raises:
        SettingsError: a value is none of those allowed.
    """
    from pytest_dockerbin.errors import SettingsError  # noqa: PLC0415 (see the module's docstring)
    from pytest_dockerbin.settings import Missing, Selection  # noqa: PLC0415

    missing = _given(config, "missing") or _Given("auto", "default")
    if missing.value not in list(Missing):
        raise SettingsError.unknown("value", missing.value, list(Missing), missing.source)
    ini = config.getini("dockerbin_platforms") or ["native"]
    given = _given(config, "platforms")
    if given is None or given.source.startswith("ini "):
        return Selection(
            default=_words(ini, "ini dockerbin_platforms"),
            source=given.source if given else "default",
            missing=Missing(missing.value),
        )
    return Selection(
        chosen=_words(given.value, given.source),
        default=_words(ini, "ini dockerbin_platforms"),
        source=given.source,
        named_on_command_line=given.source.startswith("--"),
        missing=Missing(missing.value),
    )


def read_session_settings(config: pytest.Config) -> Settings:
    """Return how to build and run.

    Raises:
        SettingsError: a value is none of those allowed.
    """
    from pytest_dockerbin.settings import Settings  # noqa: PLC0415

    cache_dir = _given(config, "cache-dir")
    builder = _given(config, "builder")
    from_command_line = builder is not None and builder.source.startswith("--")
    return Settings(
        cache_dir=_folder(config, cache_dir) if cache_dir else None,
        builders=_builders(builder) if from_command_line else (),
        default_builders=_builders(_given_in_ini(config, "builder")),
        build_timeout=_seconds(config, "build-timeout", 1800.0),
        run_timeout=_seconds(config, "run-timeout", 60.0),
        emulation_factor=_seconds(config, "emulation-factor", 10.0),
    )


def read_build_defaults(config: pytest.Config) -> dict[str, Any]:
    """Return the ini file's build settings, typed; the context is the rootdir unless given.

    Raises:
        SettingsError: a value is none of those allowed.
    """
    from pytest_dockerbin.spec import read_settings  # noqa: PLC0415

    given: dict[str, Any] = {"context": str(config.rootpath)}
    for name in _BUILD_SETTINGS:
        value = config.getini(f"dockerbin_{name}")
        if value not in (None, "", []):
            given[name] = value
    if str(given.get("verify")).lower() in ("false", "no", "0"):
        given["verify"] = False
    settings: dict[str, Any] = {}
    for name, value in given.items():  # one by one, so that a message names the ini key
        where = f"ini dockerbin_{name}"
        settings |= read_settings({name: value}, base=config.rootpath, where=where)
    return settings


def _given_in_ini(config: pytest.Config, name: str) -> _Given | None:
    key = f"dockerbin_{name.replace('-', '_')}"
    value = config.getini(key)
    return _Given(value, f"ini {key}") if value else None


def _words(value: list[str], source: str) -> tuple[str, ...]:
    """Return the words of a list, checked but not yet read: ``auto`` asks docker."""
    from pytest_dockerbin.errors import SettingsError  # noqa: PLC0415
    from pytest_dockerbin.platforms import Platform  # noqa: PLC0415

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


def _folder(config: pytest.Config, given: _Given) -> Path:
    base = config.rootpath if given.source.startswith("ini ") else config.invocation_params.dir
    return (base / Path(given.value).expanduser()).absolute()


def _builders(given: _Given | None) -> Builders:
    from pytest_dockerbin.errors import SettingsError  # noqa: PLC0415
    from pytest_dockerbin.platforms import Platform  # noqa: PLC0415

    builders: list[tuple[Platform | None, str]] = []
    for text in given.value if given else ():
        platform, separator, name = text.rpartition("=")
        if not name or name.startswith("-"):
            raise SettingsError(
                f"{given.source if given else ''}: {text!r} is not [PLATFORM=]NAME of a builder"
            )
        builders.append((Platform.parse(platform) if separator else None, name))
    return tuple(builders)


def _seconds(config: pytest.Config, name: str, default: float) -> float:
    from pytest_dockerbin.errors import SettingsError  # noqa: PLC0415

    given = _given(config, name)
    if given is None:
        return default
    try:
        number = float(given.value)
    except (TypeError, ValueError):
        number = -1.0
    if not isfinite(number) or number <= 0:
        raise SettingsError(f"{given.source}: {given.value!r} is not a positive number")
    return number
