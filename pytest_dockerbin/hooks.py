"""What others may change or check of a builder's work, handed in as functions."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.errors import DockerbinError, HookError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from pytest_dockerbin.artifact import Artifact
    from pytest_dockerbin.manifest import BuildRecord
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.runner_spec import RunnerSpec
    from pytest_dockerbin.spec import BuildSpec


def _same_spec(spec: BuildSpec, _: Platform) -> BuildSpec:
    return spec


def _same_runner(_: Platform, spec: RunnerSpec) -> RunnerSpec:
    return spec


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Functions that a `Builder` calls; each does nothing unless given.

    Those that return something must return the same in all processes of a session.

    Attributes:
        configure_build: gets a spec and a platform, and returns what to build instead.
        build_started: gets what BuildKit is about to build.
        build_finished: gets what was built, and how; or None and the error that it ended with.
        verify_artifact: gets what a spec exported before anybody else does, built or reused. An
            `AssertionError` says that it can't be used, and why.
        choose_runner: gets a platform and what the settings say of its runner, and returns what
            runs its programs.
    """

    configure_build: Callable[[BuildSpec, Platform], BuildSpec] = _same_spec
    build_started: Callable[[BuildSpec, Platform], None] = _nothing
    build_finished: Callable[
        [BuildSpec, Platform, BuildRecord | None, DockerbinError | None], None
    ] = _nothing
    verify_artifact: Callable[[BuildSpec, Artifact], None] = _nothing
    choose_runner: Callable[[Platform, RunnerSpec], RunnerSpec] = _same_runner

    def guarded(self) -> Hooks:
        """Return them such that all but errors of this package and assertions is a `HookError`.

        Other processes of the session can be told that, so they do not try again.
        """
        return Hooks(**{field.name: _guarded(self, field.name) for field in fields(self)})


def _told(error: Exception) -> str:
    """Return an error's traceback, from the first line that is not of what calls hooks."""
    frames = error.__traceback__
    while frames and frames.tb_next and _calls_hooks(frames):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def _calls_hooks(frames: TracebackType) -> bool:
    module = str(frames.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] in ("pytest_dockerbin", "pluggy")


def _guarded(hooks: Hooks, name: str) -> Callable[..., Any]:
    hook = getattr(hooks, name)

    def call(*args: object) -> object:
        __tracebackhide__ = True
        try:
            return hook(*args)
        except (DockerbinError, AssertionError):
            raise
        except Exception as error:
            raise HookError.of(name, error, _told(error)) from error

    return call
