"""Asks the hooks of conftests and plugins, on a builder's behalf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dockerbin.build_settings import read_settings, setting_names, spec_of
from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.hooks import Hooks
from pytest_dockerbin.runner_spec import RunnerSpec

if TYPE_CHECKING:
    from pytest_dockerbin.artifact import Artifact
    from pytest_dockerbin.errors import DockerbinError
    from pytest_dockerbin.manifest import BuildRecord
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.spec import BuildSpec


_CONFIGURE = "pytest_dockerbin_configure_build"


def hooks_of(config: pytest.Config) -> Hooks:
    """Return what the conftests and plugins of this process do."""
    return Hooks(
        configure_build=partial(_configure_build, config),
        build_started=partial(_build_started, config),
        build_finished=partial(_build_finished, config),
        verify_artifact=partial(_verify_artifact, config),
        choose_runner=partial(_choose_runner, config),
    )


def _configure_build(config: pytest.Config, spec: BuildSpec, platform: Platform) -> BuildSpec:
    results = config.hook.pytest_dockerbin_configure_build(
        config=config, spec=spec, platform=platform
    )
    for given in reversed(results):  # what pytest calls first has the last word
        if not isinstance(given, Mapping):
            raise SettingsError.wrong_value("the result", given, "build settings", _CONFIGURE)
        read = read_settings(given, base=config.rootpath, where=_CONFIGURE)
        added = {name for name, value in given.items() if isinstance(value, Mapping)}
        spec = _changed(spec, read, added)
    return spec


def _changed(spec: BuildSpec, read: Mapping[str, Any], added: set[str]) -> BuildSpec:
    """Return a spec with other settings; of those ``added``, entries that are not named stay."""
    settings = {
        field.name: getattr(spec, field.name)
        for field in fields(spec)
        if field.name in setting_names()
    }
    if "context" in read:
        del settings["dockerfile"]  # another context has a Dockerfile of its own
    for name, value in read.items():
        if name in added:
            named = {key for key, _ in value}
            kept = (pair for pair in settings.get(name, ()) if pair[0] not in named)
            settings[name] = tuple(sorted((*kept, *value), key=itemgetter(0)))
        else:
            settings[name] = value
    said = {name: f"{_CONFIGURE}: {name}" for name in ("context", "dockerfile") if name in read}
    return spec_of(settings, said=said, linked=spec.linked, baked=spec.baked)


def _build_started(config: pytest.Config, spec: BuildSpec, platform: Platform) -> None:
    config.hook.pytest_dockerbin_build_started(config=config, spec=spec, platform=platform)


def _build_finished(
    config: pytest.Config,
    spec: BuildSpec,
    platform: Platform,
    record: BuildRecord | None,
    error: DockerbinError | None,
) -> None:
    config.hook.pytest_dockerbin_build_finished(
        config=config, spec=spec, platform=platform, record=record, error=error
    )


def _verify_artifact(config: pytest.Config, spec: BuildSpec, artifact: Artifact) -> None:
    try:
        config.hook.pytest_dockerbin_verify_artifact(config=config, spec=spec, artifact=artifact)
    except pytest.fail.Exception as failure:
        raise AssertionError(failure.msg) from None


def _choose_runner(config: pytest.Config, platform: Platform, spec: RunnerSpec) -> RunnerSpec:
    where = "pytest_dockerbin_make_runner"
    chosen = config.hook.pytest_dockerbin_make_runner(
        config=config, platform=platform, spec=str(spec)
    )
    if chosen is None:
        return spec
    if not isinstance(chosen, str):
        raise SettingsError.wrong_value("the result", chosen, "text such as 'qemu'", where)
    try:
        return replace(RunnerSpec.parse(chosen, base=config.rootpath), source=where)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error.summary}") from None
