"""Builds what is asked for, once in a session, whichever process asks first."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from pytest_dockerbin.artifact import Artifact, BuildRecord, Manifest
from pytest_dockerbin.buildx import Timeouts, build, builder_platforms
from pytest_dockerbin.errors import DockerbinError, EngineError, error_from_json
from pytest_dockerbin.export import seal
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.host import HostRunner, prove
from pytest_dockerbin.settings import Settings
from pytest_dockerbin.store import SessionStore, collect, default_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_dockerbin.results import Runner
    from pytest_dockerbin.spec import BuildSpec


def new_session_name() -> str:
    """Return a name that no other session has; names sort by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(4).hex()}"


class Builder:
    """Builds specs for platforms and remembers the results for the session.

    Works without pytest::

        with Builder(Settings()) as builder:
            artifact = builder.build(spec, Platform.parse("linux/arm64"))

    Args:
        settings: how to build and run.
        session: the session's name: processes that give the same one share builds, probes and
            failures.
        log_dir: the folder for build logs; one of the session's own when None.

    Raises:
        StoreError: the cache folder can't be used.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        session: str | None = None,
        log_dir: Path | None = None,
    ) -> None:
        self.settings = settings or Settings()
        root = self.settings.cache_dir or default_root()
        self.session = session or new_session_name()
        self.store = SessionStore(root, self.session)
        self._log_dir = log_dir or self.store.path
        self._results: dict[str, Artifact | DockerbinError] = {}
        self._runners: dict[Platform, Runner | DockerbinError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.collect(self.settings, self.session)

    def close(self) -> None:
        """Leave the session; what it built stays until a later session ends."""
        self.store.close()

    @classmethod
    def collect(cls, settings: Settings, session: str) -> None:
        """Delete what ended sessions left, but for ``session``; for its last process to end."""
        collect(settings.cache_dir or default_root(), keep=session)

    def build(self, spec: BuildSpec, platform: Platform) -> Artifact:
        """Return what ``spec`` exports for ``platform``.

        The first call of a session builds; others, in all its processes, get the same result or
        the same error.

        Raises:
            BuildError: BuildKit refused it, a step failed, or it took too long.
            ArtifactError: what was exported can't be used.
            UnavailableError: docker, buildx, the daemon or the builder's emulator is missing.
        """
        spec = replace(spec, builder=self.settings.builder_for(platform, spec.builder))
        name = f"build-{_short(spec.export_key())}-{platform.slug}"
        found = self._results.get(name)
        if found is None:
            found = self._results[name] = self._build_once(name, spec, platform)
        if isinstance(found, DockerbinError):
            raise found
        return replace(found, default_binary=spec.binary)

    def runner(self, platform: Platform) -> Runner:
        """Return what runs programs of ``platform`` on this host; proved once in a session.

        Raises:
            EmulatorError: nothing does.
        """
        found = self._runners.get(platform)
        if found is None:
            folder = self.store.once(
                f"runner-{platform.slug}",
                _outcome(lambda folder: self._prove(platform, folder)),
            )
            outcome = _read_outcome(folder)
            found = outcome if isinstance(outcome, DockerbinError) else self._host(platform)
            self._runners[platform] = found
        if isinstance(found, DockerbinError):
            raise found
        return found

    def auto_platforms(self) -> tuple[Platform, ...]:
        """Return every platform that the builder builds and this host runs: the word ``auto``.

        Raises:
            EngineError: docker, buildx or the daemon is missing.
        """
        builder = self.settings.builder_for(Platform.host(), None)
        folder = self.store.once(
            "auto-platforms",
            _outcome(lambda _: {"platforms": [str(p) for p in builder_platforms(builder)]}),
        )
        outcome = _read_outcome(folder)
        if isinstance(outcome, DockerbinError):
            raise outcome
        listed = [Platform.parse(text) for text in outcome["platforms"]]
        return tuple(platform for platform in listed if self._can_run(platform))

    @staticmethod
    def _prove(platform: Platform, folder: Path) -> dict[str, Any]:
        prove(platform, folder)
        return {}

    def _can_run(self, platform: Platform) -> bool:
        try:
            self.runner(platform)
        except DockerbinError:
            return False
        return True

    def _host(self, platform: Platform) -> HostRunner:
        factor = 1.0 if platform.native else self.settings.emulation_factor
        return HostRunner(
            name="native" if platform.native else "binfmt",
            timeout=self.settings.run_timeout,
            timeout_factor=factor,
        )

    def _build_once(
        self, name: str, spec: BuildSpec, platform: Platform
    ) -> Artifact | DockerbinError:
        engine = self._engine_error()
        if engine:
            return engine
        folder = self.store.once(name, _outcome(lambda out: self._make(out, spec, platform)))
        outcome = _read_outcome(folder)
        if isinstance(outcome, DockerbinError):
            if isinstance(outcome, EngineError):
                self._remember_engine_error(outcome)
            return outcome
        return Artifact(
            path=folder / "tree",
            manifest=Manifest.from_json(outcome),
            runner=lambda: self.runner(platform),
        )

    def _make(self, folder: Path, spec: BuildSpec, platform: Platform) -> dict[str, Any]:
        log_path = self._log_dir / f"{_short(spec.export_key())}-{platform.slug}.log"
        tree = folder / "tree"
        built = build(
            spec,
            platform,
            dest=tree,
            log_path=log_path,
            timeouts=Timeouts(
                total=self.settings.build_timeout, silence=self.settings.silence_timeout
            ),
        )
        record = BuildRecord(
            seconds=built.seconds,
            steps=built.steps,
            cached_steps=built.cached_steps,
            log_path=log_path,
            ref=built.ref,
        )
        files = seal(tree, platform, verify=spec.verify)
        return Manifest(platform=platform, files=files, build=record).to_json()

    def _engine_error(self) -> EngineError | None:
        """A missing engine is missing for every build of the session: it is asked once."""
        folder = self.store.path / "results" / "engine"
        if not folder.is_dir():
            return None
        error = _read_outcome(folder)
        return error if isinstance(error, EngineError) else None

    def _remember_engine_error(self, error: EngineError) -> None:
        def fail(_: Path) -> dict[str, Any]:
            raise error

        self.store.once("engine", _outcome(fail))


def _short(key: str) -> str:
    return key[:12]


def _outcome(make: Callable[[Path], dict[str, Any]]) -> Callable[[Path], None]:
    """Make ``make`` write its result, or its error of this package, into the folder it fills."""

    def write(folder: Path) -> None:
        try:
            outcome = {"made": make(folder)}
        except DockerbinError as error:
            outcome = {"error": error.to_json()}
        (folder / "outcome.json").write_text(json.dumps(outcome))

    return write


def _read_outcome(folder: Path) -> dict[str, Any] | DockerbinError:
    outcome = json.loads((folder / "outcome.json").read_text())
    if "error" in outcome:
        return error_from_json(outcome["error"])
    made: dict[str, Any] = outcome["made"]
    return made


def cause_of(error: DockerbinError) -> str:
    """Return a name for what went wrong: equal for every test that it stops."""
    return hashlib.sha256(json.dumps(error.to_json()).encode()).hexdigest()[:16]
