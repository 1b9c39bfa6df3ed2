"""Build a Dockerfile's binaries for every platform, and test them natively or under emulation.

Everything here works without pytest too; names are imported when they are first used, so that the
plugin costs nothing where it is not.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

    from pytest_dockerbin.activity import Lines
    from pytest_dockerbin.artifact import Artifact, Binary
    from pytest_dockerbin.build_settings import build_spec
    from pytest_dockerbin.comparison import Comparison, compare
    from pytest_dockerbin.errors import (
        ArtifactError,
        BuildError,
        BuildTimeoutError,
        CacheMissError,
        DaemonLostError,
        DockerbinError,
        DockerbinWarning,
        EmptyExportError,
        EmulatorError,
        EngineError,
        HookError,
        NotPrebuiltError,
        RunError,
        SecretError,
        SettingsError,
        StoppedError,
        StoreError,
        UnavailableError,
        UntrustedStoreError,
        WrongPlatformError,
    )
    from pytest_dockerbin.fixtures import fixture
    from pytest_dockerbin.hooks import Hooks
    from pytest_dockerbin.inspection.info import BinaryInfo, SymbolVersion
    from pytest_dockerbin.manifest import BuildRecord, FileRecord
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.results import Kind, RunningProgram, RunResult
    from pytest_dockerbin.runner_spec import RunnerSpec
    from pytest_dockerbin.secret import Secret
    from pytest_dockerbin.session import Builder
    from pytest_dockerbin.settings import CacheMode, Settings
    from pytest_dockerbin.spec import BuildSpec
    from pytest_dockerbin.suite import Build

__all__ = [
    "Artifact",
    "ArtifactError",
    "Binary",
    "BinaryInfo",
    "Build",
    "BuildError",
    "BuildRecord",
    "BuildSpec",
    "BuildTimeoutError",
    "Builder",
    "CacheMissError",
    "CacheMode",
    "Comparison",
    "DaemonLostError",
    "DockerbinError",
    "DockerbinWarning",
    "EmptyExportError",
    "EmulatorError",
    "EngineError",
    "FileRecord",
    "HookError",
    "Hooks",
    "Kind",
    "Lines",
    "NotPrebuiltError",
    "Platform",
    "RunError",
    "RunResult",
    "RunnerSpec",
    "RunningProgram",
    "Secret",
    "SecretError",
    "Settings",
    "SettingsError",
    "StoppedError",
    "StoreError",
    "SymbolVersion",
    "UnavailableError",
    "UntrustedStoreError",
    "WrongPlatformError",
    "build_spec",
    "compare",
    "fixture",
]

_HOMES = {
    "activity": ("Lines",),
    "artifact": ("Artifact", "Binary"),
    "build_settings": ("build_spec",),
    "manifest": ("BuildRecord", "FileRecord"),
    "comparison": ("Comparison", "compare"),
    "fixtures": ("fixture",),
    "hooks": ("Hooks",),
    "inspection.info": ("BinaryInfo", "SymbolVersion"),
    "platforms": ("Platform",),
    "results": ("Kind", "RunningProgram", "RunResult"),
    "runner_spec": ("RunnerSpec",),
    "secret": ("Secret",),
    "session": ("Builder",),
    "settings": ("CacheMode", "Settings"),
    "spec": ("BuildSpec",),
    "suite": ("Build",),
}


class _OwnModules:
    """Finds this package's modules before pytest does, which would rewrite their assertions.

    There are none to rewrite, and its way of reading a module from the cache takes five times as
    long: 1 ms of every pytest run, 25 ms of one that uses the plugin. Where site-packages can't be
    written it caches nothing, and would compile every module in every run.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, _: object = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, path) if name.startswith(_OURS) else None


_OURS = f"{__name__}."
sys.meta_path.insert(0, _OwnModules)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((home for home, names in _HOMES.items() if name in names), "errors")
    return getattr(import_module(f"{__name__}.{home}"), name)
