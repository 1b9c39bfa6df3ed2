"""The builds of one pytest process: what the fixtures and hooks ask."""

from __future__ import annotations

import os
from collections import deque
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import pytest

from pytest_dockerbin.build_name import BuildName, Export
from pytest_dockerbin.build_settings import merged, read_settings, spec_of, with_whole_paths
from pytest_dockerbin.configuration import (
    read_build_defaults,
    read_github_summary,
    read_output,
    read_progress,
    read_reports,
    read_selection,
    read_session_settings,
)
from pytest_dockerbin.errors import (
    BuildError,
    DockerbinError,
    NotPrebuiltError,
    SettingsError,
    UnavailableError,
)
from pytest_dockerbin.options import ini_key
from pytest_dockerbin.outcomes import as_outcomes, skip_if_missing
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.plugin_hooks import hooks_of
from pytest_dockerbin.report.model import BuildReport, PlatformReport
from pytest_dockerbin.reporting.live import activity_of
from pytest_dockerbin.runner_spec import Way
from pytest_dockerbin.session import Builder, new_session_name, warn_user

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager

    from pytest_dockerbin.artifact import Artifact, Binary
    from pytest_dockerbin.results import Runner
    from pytest_dockerbin.runner_spec import RunnerSpec
    from pytest_dockerbin.selection import BuildMarks
    from pytest_dockerbin.settings import Progress, Selection, Settings
    from pytest_dockerbin.spec import BuildSpec

suite_key = pytest.StashKey["Suite"]()
_session_name_key = pytest.StashKey[str]()

SESSION = "dockerbin_session"
"""Key of an xdist worker's input: the name of the session that it is part of."""


_PLACES = ("context", "dockerfile")  # settings whose messages say who said them


class _Said(NamedTuple):
    """Build settings, and where the places among them were said.

    Attributes:
        settings: names and values.
        where: by name, in the words of messages.
    """

    settings: dict[str, Any]
    where: dict[str, str]

    @classmethod
    def by(cls, where: str, settings: Mapping[str, Any]) -> Self:
        """Return settings that were all said at one place."""
        said = {name: f"{where}: {name}" for name in _PLACES if name in settings}
        return cls(dict(settings), said)

    def __or__(self, nearer: _Said) -> _Said:
        return _Said(merged(self.settings, nearer.settings), {**self.where, **nearer.where})

    def alone_above(self, below: _Said) -> _Said:
        """Return them above those of farther places, for a build that stands alone.

        Another context has a Dockerfile of its own, and is no target of a bake file.
        """
        settings = below.settings
        if "context" in self.settings:
            left = {"dockerfile", "bake", "target"} if "bake" in settings else {"dockerfile"}
            settings = {name: settings[name] for name in settings if name not in left}
        return _Said(settings, below.where) | self


class Build(Protocol):
    """The type of the ``dockerbin_build`` fixture's value."""

    def __call__(
        self,
        context: str | os.PathLike[str] | None = None,
        *,
        platform: str | Platform | None = None,
        **settings: Any,  # noqa: ANN401 (each setting has its own type; they are checked by name)
    ) -> Artifact:
        """Build ``context`` with ``settings`` for ``platform``, the native one when None.

        Without a context it is the one that the defaults or a bake file say.
        """


def suite_of(config: pytest.Config) -> Suite:
    """Return the process's suite; made when first asked for."""
    if suite_key not in config.stash:
        config.stash[suite_key] = Suite(config)
    return config.stash[suite_key]


def session_name(config: pytest.Config) -> str:
    """Return the session's name: the controller's in its workers."""
    if _session_name_key not in config.stash:
        given = getattr(config, "workerinput", {}).get(SESSION)
        config.stash[_session_name_key] = given or new_session_name()
    return config.stash[_session_name_key]


class _Facts(NamedTuple):
    """What is told of a platform's runner, and what it was made of."""

    runner: Runner | None
    spec: RunnerSpec | None
    report: PlatformReport


class Suite:
    """What the tests of this process build and run.

    Args:
        config: pytest's.

    Raises:
        SettingsError: a setting can't be understood.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.selection: Selection = read_selection(config)
        self.settings: Settings = read_session_settings(config)
        self.build_defaults: dict[str, Any] = read_build_defaults(config)
        self.output: Path | None = read_output(config)
        self.progress: Progress = read_progress(config)
        self.reports: tuple[Path, ...] = read_reports(config)
        self.github_summary: Path | None = read_github_summary(config)
        self.builds: dict[tuple[str, Platform], BuildReport] = {}
        self.exports: dict[tuple[BuildName, str, Platform], Export] = {}
        self.workers_built = False
        self.wanted: tuple[Platform, ...] = ()
        self.asked: tuple[Platform, ...] = ()  # as `in_order` says
        self._planned: dict[tuple[BuildMarks, bool], BuildSpec] = {}
        self._overrides: list[tuple[object, Path]] = []
        self._warnings: deque[str] = deque()
        self._notes_build = False
        self._facts: dict[Platform, _Facts] = {}

    @cached_property
    def builder(self) -> Builder:
        """The process's builder; nothing of docker or of the cache is touched before."""
        return Builder(
            self.settings,
            session=session_name(self._config),
            activity=activity_of(self._config, self.progress),
            warn=self._warn,
            owner=os.getppid() if hasattr(self._config, "workerinput") else None,
            hooks=hooks_of(self._config),
        )

    def close(self) -> None:
        """End this process's part of the session; the last process also cleans up."""
        began = "builder" in self.__dict__
        if began:
            self.builder.close()
        if (began or self.workers_built) and not hasattr(self._config, "workerinput"):
            Builder.collect(self.settings, session_name(self._config))

    def auto_platforms(self) -> tuple[Platform, ...]:
        """Return the platforms of the word ``auto``."""
        return self._auto_platforms

    @cached_property
    def _auto_platforms(self) -> tuple[Platform, ...]:
        return self.builder.auto_platforms()

    def platform_of_test(self, given: object) -> Platform:
        """Return the value of the ``dockerbin_platform`` fixture, from its parameter."""
        with self._outcomes(Platform.host()):
            try:
                return self.platform(given)
            except SettingsError as error:
                raise SettingsError(f"dockerbin_platform: {error.summary}") from None
        raise AssertionError  # coverage: for types (an error has ended the test)

    def platform(self, given: object) -> Platform:
        """Return a platform from a parameter.

        Without one, as for a `unittest.TestCase` or ``getfixturevalue``, it is the first selected.

        Raises:
            SettingsError: it is no platform.
        """
        if given is None:
            word = self.selection.words[0]
            if word == "auto":
                return next(iter(self.auto_platforms()), Platform.host())
            return Platform.parse(word)
        return given if isinstance(given, Platform) else Platform.parse(str(given))

    def remember_override(self, value: object, file: Path) -> object:
        """Note what a file's ``dockerbin_defaults`` gave; return it with paths as seen from there.

        What is returned is to be the fixture's value: a nearer file may take it over.
        """
        value = with_whole_paths(value, file.parent)
        self._overrides.append((value, file.parent))
        return value

    def artifact(
        self, marks: BuildMarks | None, defaults: Mapping[str, Any], platform: Platform
    ) -> Artifact:
        """Return the artifact of the ``dockerbin`` fixture."""
        with self._outcomes(platform):
            settings = self._defaults(defaults)
            if marks:
                settings |= _Said.by("@pytest.mark.dockerbin", dict(marks.settings))
            return self._export(self._spec(settings), platform)

    def binary(self, artifact: Artifact, platform: Platform) -> Binary:
        """Return the program of the ``dockerbin_binary`` fixture."""
        with self._outcomes(platform):
            self.builder.runner(platform)
            binary = artifact.binary()
            binary.runner(binary.path)  # its sysroot is built here, not in the test
            return binary

    def require_runner(self, platform: Platform) -> None:
        """End the test here, before anything is built for it, if its program can't be run."""
        with self._outcomes(platform):
            self.builder.runner(platform)

    def skip_if_missing(self, error: UnavailableError, platform: Platform | None) -> None:
        """Skip a test that met something missing while it ran, by ``--dockerbin-missing``."""
        skip_if_missing(error, self.selection, platform or self.platform(None))

    def runner_said(self, platform: Platform) -> str:
        """Return what was said to run a platform's programs, and where; nothing where no one did.

        What a hook says is known once it was asked.
        """
        asked = self.builder.runners.chosen if "builder" in self.__dict__ else {}
        spec = asked.get(platform) or self.settings.runner_for(platform)
        return "" if spec.way is Way.AUTO else f"{spec}, from {spec.source}"

    def builds_of(self, artifacts: Iterable[Artifact]) -> list[BuildReport]:
        """Return what is told of the builds that exported them, each once."""
        results = {str(artifact.tree.parent) for artifact in artifacts}
        return [build for build in self.builds.values() if build.result in results]

    def runner_facts(self, platform: Platform) -> PlatformReport:
        """Return what runs a platform's programs, as far as that was decided by now."""
        builder = self.builder if "builder" in self.__dict__ else None
        runner = builder.runners.known(platform) if builder else None
        spec = builder.runners.chosen.get(platform) if builder else None
        known = self._facts.get(platform)
        # in every phase of every test somebody asks, and it changes once or twice: 20 us a time
        if known is None or known.runner is not runner or known.spec is not spec:
            report = PlatformReport(
                platform=str(platform),
                runner=runner.name if runner else "",
                emulator=runner.version if runner else "",
                emulated=runner.emulated if runner else False,
                said=self.runner_said(platform),
            )
            known = self._facts[platform] = _Facts(runner, spec, report)
        return known.report

    def mend(self, platform: Platform) -> None:
        """Put back programs that earlier tests changed, so that the next one gets them whole."""
        if "builder" not in self.__dict__:
            return
        try:  # not inside `_outcomes`: 10 us a test, and there is seldom anything to mend
            self.builder.mend(platform)
        except DockerbinError as error:
            with self._outcomes(platform):
                raise error from None

    def matrix(
        self, param: tuple[Iterable[Platform], BuildMarks] | None, defaults: Mapping[str, Any]
    ) -> Mapping[Platform, Artifact]:
        """Return the mapping of the ``dockerbin_matrix`` fixture."""
        platforms, marks = param or ((self.platform(None),), None)
        return MappingProxyType({p: self.artifact(marks, defaults, p) for p in platforms})

    def build(
        self,
        given: Mapping[str, Any],
        defaults: Mapping[str, Any],
        platform: str | Platform | None,
        *,
        base: Path,
    ) -> Artifact:
        """Build for ``dockerbin_build``: a missing engine ends the test, an error is raised."""
        __tracebackhide__ = True
        try:
            wanted = Platform.host() if platform is None else self.platform(platform)
        except SettingsError as error:
            raise SettingsError(f"dockerbin_build: {error.summary}") from None
        read = read_settings(given, base=base, where="dockerbin_build")
        try:
            if self.settings.prebuilt:
                raise NotPrebuiltError.by_call()
            return self._build(self._spec_of(_Said.by("dockerbin_build", read), defaults), wanted)
        except UnavailableError as error:
            with self._outcomes(wanted):
                raise error from None
        raise AssertionError  # coverage: for types (the block above always raises)

    def named(
        self,
        name: str,
        settings: Mapping[str, Any],
        defaults: Mapping[str, Any],
        platform: Platform,
    ) -> Artifact:
        """Return the artifact of a named build."""
        with self._outcomes(platform):
            said = _Said.by("pytest_dockerbin.fixture", settings)
            return self._export(self._spec_of(said, defaults), platform, name=name)

    def bake_targets(
        self, settings: Mapping[str, Any], *, named: bool
    ) -> Mapping[str, tuple[Platform, ...]] | None:
        """Return the bake targets that a test's build stands for, each with its platforms.

        None where there is no bake file, or where docker is missing: then the tests say so, each
        by ``--dockerbin-missing``.

        Args:
            settings: of the test's markers, or of a named build.
            named: whether they are those of a named build.

        Raises:
            SettingsError: there is no such file or target, or bake can't read it.
        """
        whole = self._whole(settings, named=named).settings
        if "bake" not in whole:
            return None
        try:
            found = self.builder.baking.targets(whole["bake"], whole.get("target"))
        except UnavailableError:
            return None
        return {name: found.platforms(name) for name in found.names}

    def planned(self, marks: BuildMarks, *, named: bool) -> BuildSpec:
        """Return the build of a fixture, as far as is known before its test runs.

        Raises:
            SettingsError: it can't be built.
            UnavailableError: bake can't be asked.
        """
        if (marks, named) not in self._planned:
            whole = self._whole(dict(marks.settings), named=named)
            self._planned[marks, named] = self._spec(whole)
        return self._planned[marks, named]

    def is_stored(self, spec: BuildSpec, platform: Platform) -> bool:
        """Tell whether there is a result of an earlier session; False where that can't be told."""
        try:
            return self.builder.is_stored(spec, platform)
        except (DockerbinError, AssertionError):  # also a hook's: its test will tell
            return False

    def _whole(self, settings: Mapping[str, Any], *, named: bool) -> _Said:
        """Return the settings of a test's markers, or of a named build, above the ini file's."""
        if named:
            return _Said.by("pytest_dockerbin.fixture", settings).alone_above(self._of_ini())
        return self._of_ini() | _Said.by("@pytest.mark.dockerbin", settings)

    def _spec_of(self, said: _Said, defaults: Mapping[str, Any]) -> BuildSpec:
        """Return the build of settings that stand alone, above the defaults."""
        __tracebackhide__ = True
        return self._spec(said.alone_above(self._defaults(defaults)))

    def _spec(self, said: _Said) -> BuildSpec:
        __tracebackhide__ = True
        settings = said.settings
        if "bake" not in settings:
            given = {"context": self._config.rootpath, **settings}
            return spec_of(given, built=self.settings.prebuilt is None, said=said.where)
        found = self.builder.baking.targets(settings["bake"], settings.get("target"))
        beside = {key: settings[key] for key in settings if key not in ("bake", "target")}
        return found.spec(found.only(), beside)

    def _export(self, spec: BuildSpec, platform: Platform, *, name: str | None = None) -> Artifact:
        """Build for a fixture whose tests decide whether ``--dockerbin-output`` writes it."""
        export = Export(
            build=BuildName.of(spec, self.settings.project),
            label=spec.label(),
            target=spec.target,
            platform=platform.built_as,
            result=None,
            bake=self.builder.baking.baked_as(spec),
        )
        # equal builds have a result in common, and each its name
        key = export.build, spec.export_key(), platform.built_as
        self.exports.setdefault(key, export)
        artifact = self._build(spec, platform, name=name)
        self.exports[key] = export._replace(result=artifact.tree.parent)
        return artifact

    def _build(self, spec: BuildSpec, platform: Platform, *, name: str | None = None) -> Artifact:
        __tracebackhide__ = True
        key = spec.export_key(), platform
        names = self.builds[key].names if key in self.builds else ()
        if name and name not in names:
            names = (*names, name)
        self.builds[key] = begun = BuildReport.begun(*key, spec.label(), names)
        self._notes_build = True
        try:
            artifact = self.builder.build(spec, platform, others=self._others(spec, platform))
            self.builds[key] = begun.ended(artifact)
        except DockerbinError as error:
            self.builds[key] = begun.failed(error, self._place(spec, error))
            raise
        finally:
            self._notes_build = False
            self._tell_warnings()
        return artifact

    def _warn(self, line: str) -> None:
        """Warn; while a build is noted, after that: with ``-W error`` it is an error."""
        self._warnings.append(line)
        if not self._notes_build:
            self._tell_warnings()

    def _tell_warnings(self) -> None:
        __tracebackhide__ = True
        while self._warnings:
            warn_user(self._warnings.popleft())

    def _place(self, spec: BuildSpec, error: DockerbinError) -> tuple[str, int] | None:
        """Return the Dockerfile, as seen from the rootdir, and its line that failed, if any did."""
        if not isinstance(error, BuildError) or error.place is None:
            return None
        name, line = error.place
        if isinstance(spec.dockerfile, Path):
            name = os.path.relpath(spec.dockerfile, self._config.rootpath)
        return name, line

    def _others(self, spec: BuildSpec, platform: Platform) -> list[Platform]:
        """Return the other platforms for which this session may want a build."""
        others = [other for other in self.wanted if other != platform]
        if spec.baked is None:
            return others
        of_target = self.builder.baking.targets(spec.baked.files, spec.baked.target).platforms(
            spec.baked.target
        )
        return [other for other in others if other in of_target]

    def _of_ini(self) -> _Said:
        places = (name for name in _PLACES if self._config.getini(ini_key(name)))
        where = {name: f"ini {ini_key(name)}" for name in places}
        return _Said(dict(self.build_defaults), where)

    def _defaults(self, defaults: Mapping[str, Any]) -> _Said:
        """Return the ini file's settings under those of ``dockerbin_defaults``."""
        __tracebackhide__ = True
        ini = self._of_ini()
        base = next((at for value, at in self._overrides if value is defaults), None)
        if base is None:  # not overridden: the ini file's, which were read already
            return ini
        read = read_settings(defaults, base=base, where="dockerbin_defaults")
        return ini | _Said.by("dockerbin_defaults", read)

    def _outcomes(self, platform: Platform) -> AbstractContextManager[None]:
        return as_outcomes(self.selection, platform)

    def stop_workers(self) -> None:
        """Let the workers give up their builds, of which nobody will see the tests."""
        if not hasattr(self._config, "workerinput"):
            Builder.stop(self.settings, session_name(self._config))

    def claim(self, thing: str) -> bool:
        """Return True to the one asker, in all processes of the session, that may say a thing."""
        return self.builder.store.claim(thing)
