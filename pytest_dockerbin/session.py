"""Builds what is asked for, once in a session, whichever process asks first."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import warnings
from collections import deque
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pytest_dockerbin import answers
from pytest_dockerbin.activity import Deferred, Silence
from pytest_dockerbin.ahead import Ahead
from pytest_dockerbin.artifact import Artifact
from pytest_dockerbin.baking import Baking
from pytest_dockerbin.build_name import BuildName
from pytest_dockerbin.build_settings import find_sources
from pytest_dockerbin.buildx.docker import is_down
from pytest_dockerbin.dockerfile import text_of
from pytest_dockerbin.entries import Entries
from pytest_dockerbin.errors import (
    ArtifactError,
    CacheMissError,
    DockerbinError,
    DockerbinWarning,
    EngineError,
    NotPrebuiltError,
    SettingsError,
    StoreError,
    UntrustedStoreError,
)
from pytest_dockerbin.hooks import Hooks
from pytest_dockerbin.job import Job
from pytest_dockerbin.known_inputs import KnownInputs
from pytest_dockerbin.maker import Maker
from pytest_dockerbin.manifest import Manifest
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.record import names_in
from pytest_dockerbin.session_runners import SessionRunners
from pytest_dockerbin.settings import CacheMode, Settings
from pytest_dockerbin.spec import BuildSpec
from pytest_dockerbin.stamps import changed, stamps_of
from pytest_dockerbin.store import (
    VERSION,
    SessionStore,
    collect,
    default_root,
    has_store,
    stop,
)
from pytest_dockerbin.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pytest_dockerbin.activity import Activity
    from pytest_dockerbin.results import Runner
    from pytest_dockerbin.stamps import Stamp


_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_A_SPEC = "a BuildSpec, such as build_spec('.')"


def new_session_name() -> str:
    """Return a name that no other session has; names sort by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(4).hex()}"


class Builder:
    """Builds specs for platforms and remembers the results for the session.

    Works without pytest::

        with Builder(Settings()) as builder:
            artifact = builder.build(build_spec("app", target="bin"), "linux/arm64")

    Args:
        settings: how to build and run.
        session: the session's name: processes that give the same one share builds, probes and
            failures.
        activity: hears of builds while they run, and of long waits for other processes.
        warn: gets a line, once a session, when the cache folder can't be used.
        owner: the process whose end ends the builds of this one too: its parent.
        hooks: what others may change or check.

    Attributes:
        settings: as given.
        session: the session's name.
        store: the session's folder.
        baking: what bake files say.
        runners: what runs the programs.

    Raises:
        StoreError: no folder can be used, not even a temporary one.
        SettingsError: ``session`` is no name, or the prebuilt folder is none.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        session: str | None = None,
        activity: Activity | None = None,
        warn: Callable[[str], None] | None = None,
        owner: int | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.session = session or new_session_name()
        if not _NAME.fullmatch(self.session):  # it is a folder's
            expected = "a name of letters, digits, '_', '-' and '.'"
            raise SettingsError.wrong_value("session", session, expected, "Builder")
        if self.settings.prebuilt:
            from pytest_dockerbin.prebuilt import Prebuilt  # noqa: PLC0415 (as `Maker` says)

            Prebuilt(self.settings.prebuilt).check("Settings: prebuilt")
        self._activity = Deferred(activity or Silence())
        self._warn = warn or warn_user
        self._warnings: deque[str] = deque()
        self._owner = owner
        self._hooks = (hooks or Hooks()).guarded()
        self._watchdog = Watchdog()
        self._ahead = Ahead(self.settings.jobs)
        self.store, entries, problem = self._open()
        self.baking = Baking(self.settings, self.store)
        self.runners = SessionRunners(
            self.settings,
            session=self.session,
            store=self.store,
            hooks=self._hooks,
            watchdog=self._watchdog,
            build=self.build,
        )
        self._maker = Maker(
            settings=self.settings,
            entries=entries,
            known=KnownInputs(_cache_root(self.settings) / VERSION) if entries else None,
            problem=problem,
            log_dir=self.store.path / "logs",
            guard=self._watchdog,
            stopped=self._stopped,
            waiting=self.store.waiting,
            turn=partial(self.store.turn, self.settings.jobs),
            activity=self._activity,
            warn=self._warn_once,
            note_use=lambda key: self.store.claim(f"{_USED}{key}"),
            find_builder=self._find_builder,
            name_of=self._prebuilt_name,
            hooks=self._hooks,
            verify=self._verify,
        )
        self._specs: dict[tuple[BuildSpec, Platform], BuildSpec] = {}
        self._names: dict[Job, BuildName] = {}
        self._results: dict[str, Artifact | DockerbinError] = {}
        self._stamps: dict[Job, dict[str, Stamp]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.collect(self.settings, self.session)

    def close(self) -> None:
        """Leave the session; what it built stays until a later session ends."""
        self._ahead.stop()
        self.runners.close()
        self.store.close()
        self._watchdog.close()

    @classmethod
    def collect(cls, settings: Settings, session: str) -> None:
        """Delete what ended sessions left, but for ``session``; for its last process to end."""
        root = _cache_root(settings)
        shutil.rmtree(_private_root(session), ignore_errors=True)
        # a cache that can't be cleaned is no error of this session; RuntimeError is what filelock
        # says of a lock that it could not release before
        with suppress(OSError, RuntimeError, StoreError):
            if not has_store(root):  # another user's neither, where this one is root
                return
            collect(root, keep=session)
            if settings.cache is CacheMode.REUSE:
                Entries(root / VERSION).collect(
                    max_age=settings.cache_max_age,
                    max_size=settings.cache_max_size,
                    keep=_used_entries(root),
                    interval=_COLLECTION_INTERVAL,
                )
                KnownInputs(root / VERSION).collect(settings.cache_max_age)

    @classmethod
    def stop(cls, settings: Settings, session: str) -> None:
        """Let every process of ``session`` give up what it builds or waits for."""
        for root in (_cache_root(settings), _private_root(session)):
            stop(root, session)

    def build(
        self, spec: BuildSpec, platform: Platform | str, *, others: Iterable[Platform] = ()
    ) -> Artifact:
        """Return what ``spec`` exports for ``platform``.

        The first call of a session builds; others, in all its processes, get the same result or
        the same error.

        Args:
            spec: what to build.
            platform: for which platform.
            others: platforms that the session wants too: while another process builds the one
                that is asked for, one of these is built.

        Raises:
            BuildError: BuildKit refused it, a step failed, or it took too long.
            ArtifactError: what was exported can't be used.
            CacheMissError: nothing may be built, and nothing stored serves.
            NotPrebuiltError: the prebuilt folder does not hold it.
            SettingsError: there is no such Dockerfile, stage, builder or platform; or ``spec`` is
                no `BuildSpec`.
            StoppedError: the session is being stopped.
            UnavailableError: docker, buildx, the daemon or the builder's emulator is missing.
            HookError: a hook failed.
        """
        __tracebackhide__ = True
        if not isinstance(spec, BuildSpec):
            raise SettingsError.wrong_value("spec", spec, _A_SPEC, "Builder.build")
        if not isinstance(platform, Platform):
            platform = Platform.parse(platform)
        job = self._job(spec, platform.built_as)
        if self._activity.is_own and self._ahead.is_pending(job.name):
            self._ahead.hurry(job.name)
            self.wait([job.name])
        if job.name not in self._results:
            self._results[job.name] = self._build_once(job, self._jobs(spec, others))
        self._tell()
        found = self._results[job.name]
        if isinstance(found, DockerbinError):
            raise copy(found)
        return replace(
            found,
            manifest=replace(found.manifest, platform=platform),
            runner=partial(self.runners.of_program, job.spec, platform, found.tree),
            default_binary=job.spec.binary,
            again=partial(self._build_again, job.spec, platform),
            loader=self.runners.load,
        )

    def begin(self, wanted: Mapping[tuple[BuildSpec, Platform], bool]) -> list[str]:
        """Begin with builds in the background, for `build` to be asked for their results later.

        Args:
            wanted: specs and their platforms; True where only a platform whose programs can be run
                here is worth a build.

        Returns:
            A name for each, for `wait` and `is_pending`; empty where nothing was begun.
        """
        if self.settings.prebuilt:
            for spec, platform in wanted:
                with suppress(DockerbinError):  # met again by who asks
                    self._job(spec, platform.built_as)  # what else is asked for is known then
        if self.settings.jobs == 0 or self.settings.prebuilt:
            return [""] * len(wanted)
        names = []
        tasks: dict[str, list[Callable[[], object]]] = {}
        for (spec, platform), to_run in wanted.items():
            try:
                job = self._job(spec, platform.built_as)
            except DockerbinError:  # met again by who asks
                names.append("")
                continue
            names.append(job.name)
            needed = platform if to_run else None
            tasks.setdefault(job.name, []).append(partial(self._build_ahead, job, needed))
        # where the engine is down, the first build finds that out for all
        calls = ((name, partial(_call, each)) for name, each in tasks.items())
        self._ahead.start(calls, one_by_one=is_down())
        return names

    def is_pending(self, name: str) -> bool:
        """Tell whether a build that was begun in the background has not ended."""
        return self._ahead.is_pending(name)

    def wait(self, names: Sequence[str]) -> None:
        """Wait for one of several builds that were begun in the background."""
        try:
            while not self._ahead.wait(names, _TURN):
                self._activity.flush()
        finally:
            self.tell()

    def tell(self) -> None:
        """Tell of the builds in the background; where nobody waits, nothing else does."""
        self._activity.flush()
        self._activity.rest()

    def finish(self) -> None:
        """Begin no more builds in the background, and wait for those that run."""
        self._ahead.finish()
        self.tell()

    def abandon(self) -> None:
        """End the builds in the background."""
        self._ahead.stop()
        self.tell()

    def is_stored(self, spec: BuildSpec, platform: Platform) -> bool:
        """Tell whether ``build`` would find a result of an earlier session, and not build.

        Raises:
            DockerbinError: it can't be built.
        """
        return self._maker.is_stored(self._job(spec, platform.built_as))

    def mend(self, platform: Platform) -> None:
        """Put back what tests changed of the platform's programs; for the start of each test.

        Raises:
            DockerbinError: it had to be built again, and that failed.
        """
        for job, stamps in list(self._stamps.items()):
            artifact = self._results.get(job.name)
            if job.platform != platform.built_as or not isinstance(artifact, Artifact):
                continue
            if changed(artifact.tree, stamps):
                self._mend(job, artifact)

    def runner(self, platform: Platform, model: str | None = None) -> Runner:
        """Return what runs programs of ``platform`` on this host: as `SessionRunners.runner`."""
        __tracebackhide__ = True
        return self.runners.runner(platform, model)

    def auto_platforms(self) -> tuple[Platform, ...]:
        """Return every platform that the builder builds and this host runs: the word ``auto``.

        With a prebuilt folder, those in it take the place of those that the builder builds.

        Raises:
            EngineError: docker, buildx or the daemon is missing.
            ArtifactError: the prebuilt folder can't be used.
        """
        if self.settings.prebuilt:
            from pytest_dockerbin.prebuilt import Prebuilt  # noqa: PLC0415 (as `Maker` says)

            found = Prebuilt(self.settings.prebuilt).platforms()
            return tuple(platform for platform in found if self.runners.can_run(platform))
        from pytest_dockerbin.buildx.inventory import builder_platforms  # noqa: PLC0415 (as above)

        builder = self.settings.builder_for(Platform.host(), None)
        answer = answers.ask(
            self.store,
            "auto-platforms",
            lambda _: {"platforms": [str(each) for each in builder_platforms(builder)]},
        )
        listed = [Platform.parse(text) for text in answers.made_of(answer)["platforms"]]
        return tuple(platform for platform in listed if self.runners.can_run(platform))

    # -- the folders ------------------------------------------------------------------------------

    def _open(self) -> tuple[SessionStore, Entries | None, StoreError | None]:
        """Open the cache folder; where it can't be used, a folder of this session alone."""
        root = _cache_root(self.settings)
        try:
            return self._open_store(root), Entries(root / VERSION), None
        except StoreError as error:
            private = _private_root(self.session)
            store = self._open_store(private)
            self.store = store
            self._warn_once("store", f"{error.summary}; this session uses {str(private)!r}")
            trusted = not isinstance(error, UntrustedStoreError)
            return store, Entries(root / VERSION) if trusted else None, error

    def _open_store(self, root: Path) -> SessionStore:
        return SessionStore(
            root,
            self.session,
            activity=self._activity,
            patience=self.settings.build_timeout + _END_OF_BUILD,
            stopped=lambda: self._ahead.stopped,
            guard=self._watchdog.folder,
        )

    def _stopped(self) -> bool:
        """Tell whether builds should end: an xdist worker outlives its controller by 5 to 8 s."""
        orphaned = self._owner is not None and os.getppid() != self._owner
        return self.store.stopped() or self._ahead.stopped or orphaned

    def _warn_once(self, about: str, line: str) -> None:
        if self.store.claim(f"warning-{hashlib.sha256(about.encode()).hexdigest()[:12]}"):
            self._warnings.append(line)

    def _tell(self) -> None:
        """Tell what was met since a build was asked for last: in the test that asks, not between.

        A warning may be an error to its user.
        """
        if not self._activity.is_own:
            return
        self._activity.flush()
        while self._warnings:
            self._warn(self._warnings.popleft())

    # -- builds -----------------------------------------------------------------------------------

    def _job(self, spec: BuildSpec, platform: Platform) -> Job:
        """Return what is built for a spec, once the hook had its say."""
        if spec.appended or spec.again:  # of one that the hook has seen
            return Job.of(spec, platform, self.settings)
        if (spec, platform) not in self._specs:
            configured = self._hooks.configure_build(spec, platform)
            if not self.settings.prebuilt:
                _check(configured)
            self._specs[spec, platform] = configured
        job = Job.of(self._specs[spec, platform], platform, self.settings)
        self._names.setdefault(job, BuildName.of(spec, self.settings.project))
        return job

    def _prebuilt_name(self, job: Job) -> BuildName:
        """Return the name of the build in the prebuilt folder that a job gets.

        Raises:
            NotPrebuiltError: the session also asks for another one that would get the same.
        """
        from pytest_dockerbin.prebuilt import Prebuilt  # noqa: PLC0415 (as `Maker` says)

        folder = self.settings.prebuilt
        assert folder is not None  # noqa: S101 (nobody asks without)
        asked = self._names[job]
        there = Prebuilt(folder).serving(asked)
        if there is None:  # it says what it has
            return asked
        others = {name for name in self._names.values() if name.is_like(asked)} - {asked}
        if asked == there or not others:
            # other processes of the session, and tests before this one, may have asked for others
            question = answers.named("prebuilt", json.dumps(there))
            answer = answers.ask(self.store, question, lambda _: {"for": list(asked)})
            others = {BuildName(*answers.made_of(answer)["for"])} - {asked}
        if others:
            names = sorted(map(str, {asked, *others}))
            raise NotPrebuiltError.of_one(str(there), names, folder)
        return there

    def _jobs(self, spec: BuildSpec, platforms: Iterable[Platform]) -> Iterator[Job]:
        for platform in platforms:
            try:
                job = self._job(spec, platform.built_as)
            except DockerbinError:  # met again by who asks
                continue
            yield job

    def _verify(self, tree: Path, manifest: Manifest, job: Job) -> None:
        """Ask the hook whether anything is wrong with what was exported."""
        if job.spec.appended:
            return
        artifact = Artifact(
            tree=tree,
            manifest=manifest,
            runner=partial(self.runners.of_program, job.spec, job.platform, tree),
            default_binary=job.spec.binary,
        )
        try:
            self._hooks.verify_artifact(job.spec, artifact)
        except AssertionError as error:
            raise ArtifactError.refused(str(job.platform), str(error)) from None

    def _build_again(self, spec: BuildSpec, platform: Platform) -> Artifact:
        """Build what was built once more, every step, with no cache of any kind."""
        if self.settings.prebuilt:
            raise NotPrebuiltError.again()
        if self.settings.cache is CacheMode.ONLY:
            raise CacheMissError.again()
        fresh = replace(spec, no_cache=True, cache_from=(), cache_to=(), again=True)
        return self.build(fresh, platform)

    def _build_ahead(self, job: Job, to_run: Platform | None) -> None:
        """Build in the background, unless the programs of the platform can't be run here."""
        if job.name not in self._results and (to_run is None or self.runners.can_run(to_run)):
            self._results[job.name] = self._build_once(job)

    def _build_while_waiting(self, asked: Job, others: Iterable[Job]) -> None:
        """Build other platforms for as long as another process builds the one asked for."""
        for job in others:
            if not self.store.is_being_made(_result(asked)):
                return
            free = not self.store.is_made(_result(job)) and not self.store.is_being_made(
                _result(job)
            )
            if free:
                self._build_once(job)

    def _build_once(self, job: Job, others: Iterable[Job] = ()) -> Artifact | DockerbinError:
        try:
            self._build_while_waiting(job, others)
            missing = self._engine_error(job.spec.builder)
            if missing:
                return missing
            log = self._maker.log_path(job)
            folder = self.store.once(_result(job), self._made(job), what=str(job), log=log)
            outcome = answers.read(folder)
        except DockerbinError as error:  # of waiting: what making it raised is in the outcome
            return error
        except OSError as error:
            return StoreError.while_exporting(str(job.platform), error, self.store.path)
        if isinstance(outcome, DockerbinError):
            if isinstance(outcome, EngineError):
                self._remember_engine_error(job.spec.builder, outcome)
            return outcome
        self._stamps[job] = outcome["stamps"]
        return Artifact(
            tree=folder / "tree",
            manifest=Manifest.from_json(outcome["manifest"]),
            runner=partial(self.runners.of_program, job.spec, job.platform, folder / "tree"),
        )

    def _made(self, job: Job) -> Callable[[Path], None]:
        def make(folder: Path) -> dict[str, Any]:
            manifest = self._maker.make(folder, job)
            stamps = stamps_of(folder / "tree", manifest)
            folders, _ = names_in(folder / "tree")
            return {
                "manifest": manifest.to_json(),
                "folders": folders,
                "label": job.spec.label(),
                "stamps": stamps,
            }

        return answers.writer(make)

    def _mend(self, job: Job, artifact: Artifact) -> None:
        """Put the programs back that a test changed: made again, each renamed into its place."""
        result = self.store.path / "results" / _result(job)
        with self.store.making(_result(job), str(job)) as folder:
            made = answers.read_made(result)
            self._stamps[job] = made["stamps"]
            names = changed(artifact.tree, self._stamps[job])
            if not names:  # another process was faster
                return
            manifest = self._maker.make(folder, job)
            for name in names:
                place = artifact.tree / name
                if place.is_dir() and not place.is_symlink():
                    shutil.rmtree(place)
                place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                (folder / "tree" / name).replace(place)
            self._stamps[job] = stamps_of(artifact.tree, manifest)
            made["stamps"] = self._stamps[job]
            answers.rewrite(result, made, aside=folder)

    def _find_builder(self, name: str | None) -> tuple[str, ...]:
        """Return docker's options for a builder: asked once, before it builds anything.

        Raises:
            SettingsError: it does not; an unknown builder is no reason to skip tests.
            EngineError: docker or buildx is missing.
        """
        if name is None:
            return ()
        from pytest_dockerbin.buildx.inventory import find_builder  # noqa: PLC0415 (as `Maker` says)

        asked = answers.named("builder", name)
        answer = answers.ask(self.store, asked, lambda _: {"options": find_builder(name)})
        return tuple(answers.made_of(answer)["options"])

    def _engine_error(self, builder: str | None) -> EngineError | None:
        """A missing engine is missing for all builds of a builder: it is asked once a session."""
        name = answers.named("engine", builder)
        if not self.store.is_made(name):
            return None
        error = answers.read(self.store.path / "results" / name)
        return error if isinstance(error, EngineError) else None

    def _remember_engine_error(self, builder: str | None, error: EngineError) -> None:
        def fail(_: Path) -> dict[str, Any]:
            raise error

        answers.ask(self.store, answers.named("engine", builder), fail)


_TURN = 0.1  # seconds between two looks at what builds in the background tell
_END_OF_BUILD = 30.0  # seconds that a build which took too long may need to end and to say so
_COLLECTION_INTERVAL = 86400.0  # seconds between looks for old stored results
_USED = "entry-"  # begins the claims that name the stored results a session has used


def _call(tasks: Iterable[Callable[[], object]]) -> None:
    for task in tasks:
        task()


def _used_entries(root: Path) -> frozenset[str]:
    """Return the keys that sessions used which still have their folder."""
    claims = (root / VERSION / "sessions").glob(f"*/claims/{_USED}*")
    return frozenset(path.name.removeprefix(_USED) for path in claims)


def _cache_root(settings: Settings) -> Path:
    return (settings.cache_dir or default_root()).absolute()


def _private_root(session: str) -> Path:
    return Path(tempfile.gettempdir()) / f"pytest-dockerbin-{session}"


def _result(job: Job) -> str:
    return f"build-{job.name}"


def warn_user(line: str) -> None:
    """Warn of what a builder met."""
    __tracebackhide__ = True
    # without a place: no line of Python, ours or a test's, is the cause
    warnings.warn_explicit(line, DockerbinWarning, filename="pytest-dockerbin", lineno=1)


def _check(spec: BuildSpec) -> None:
    """Return when what a spec names on this machine is there.

    Raises:
        SettingsError: it is not.
    """
    find_sources(spec)
    text = text_of(spec)
    if spec.sysroot_target and text is not None:
        from pytest_dockerbin.sysroot import find_stage  # noqa: PLC0415 (as above)

        find_stage(text, spec.sysroot_target)


def cause_of(error: DockerbinError) -> str:
    """Return a name for what went wrong: equal for every test that it stops."""
    return hashlib.sha256(json.dumps(error.to_json()).encode()).hexdigest()[:16]
