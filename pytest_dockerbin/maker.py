"""Makes the result of one job: of a stored or prebuilt one if it serves, else by a build.

What builds is imported by who builds: where every result is a stored one, that leaves out a third
of the time that our modules take (measured with ``-X importtime``: 25 ms of 75).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dockerbin.attestations import read_image, take_files
from pytest_dockerbin.dockerfile import text_of, undeclared_arguments
from pytest_dockerbin.errors import (
    BuildError,
    CacheMissError,
    DockerbinError,
    StoppedError,
    StoreError,
)
from pytest_dockerbin.export import Gauge, seal
from pytest_dockerbin.fingerprint import inputs_digest
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.manifest import ARCHIVE, BuildRecord, Manifest
from pytest_dockerbin.settings import CacheMode
from pytest_dockerbin.tables import size_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_dockerbin.activity import Activity
    from pytest_dockerbin.attestations import Statement
    from pytest_dockerbin.build_name import BuildName
    from pytest_dockerbin.buildx.process import Guard
    from pytest_dockerbin.entries import Entries
    from pytest_dockerbin.hooks import Hooks
    from pytest_dockerbin.job import Job
    from pytest_dockerbin.known_inputs import KnownInputs
    from pytest_dockerbin.locks import Waiting
    from pytest_dockerbin.manifest import FileRecord
    from pytest_dockerbin.prebuilt import Prebuilt
    from pytest_dockerbin.progress import BuildLog
    from pytest_dockerbin.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """How results are made in this session.

    Attributes:
        settings: the session's.
        entries: the stored results; None where the cache folder is not to be trusted.
        known: folders whose files were read before; None where nothing of that is to be trusted.
        problem: why the cache folder can't be used, if that is so.
        log_dir: the folder of build logs.
        guard: has a build ended if this process is killed.
        stopped: tells whether the session is being stopped.
        waiting: how to wait for another session that builds the same.
        turn: gets what is built, and gives the right to run one of few builds.
        activity: hears of builds while they run.
        warn: gets what is wrong and stops nothing: its kind, to tell each once, and a line.
        note_use: gets the key of each stored result that is used.
        find_builder: gives the options of docker by which a builder is reached.
        name_of: gets a job and returns its build's name in a prebuilt folder.
        hooks: who is told of a build.
        verify: raises an error where a tree, built or reused, is not to be used.
    """

    settings: Settings
    entries: Entries | None
    known: KnownInputs | None
    problem: StoreError | None
    log_dir: Path
    guard: Guard
    stopped: Callable[[], bool]
    waiting: Waiting
    turn: Callable[[str], AbstractContextManager[None]]
    activity: Activity
    warn: Callable[[str, str], None]
    note_use: Callable[[str], object]
    find_builder: Callable[[str | None], tuple[str, ...]]
    name_of: Callable[[Job], BuildName]
    hooks: Hooks
    verify: Callable[[Path, Manifest, Job], None]

    def is_stored(self, job: Job) -> bool:
        """Tell whether there is a stored result for ``job``, which may yet turn out damaged."""
        if self.settings.cache is CacheMode.SESSION or self.entries is None or job.asks_for_fresh:
            return False
        inputs = inputs_digest(job.spec, self.known)
        return inputs is not None and self.entries.has(job.entry_key(inputs))

    def make(self, folder: Path, job: Job) -> Manifest:
        """Put what ``job`` exports into ``folder / "tree"`` and return its manifest.

        Raises:
            CacheMissError: nothing may be built, and nothing stored serves.
            NotPrebuiltError: nothing is built, and the prebuilt folder does not hold it.
            DockerbinError: as `buildx.build`, `export.seal`, the hooks and ``verify`` raise them.
        """
        if self.settings.prebuilt:
            from pytest_dockerbin.prebuilt import Prebuilt  # noqa: PLC0415 (see the top)

            return self._copy(Prebuilt(self.settings.prebuilt), folder, job)
        if self.settings.cache is CacheMode.SESSION or job.spec.again:
            return self._build(folder, job)
        inputs = inputs_digest(job.spec, self.known)
        if inputs is None or self.entries is None:
            return self._build_unless_forbidden(folder, job)
        key = job.entry_key(inputs)
        self.note_use(key)
        reused = self._reuse(self.entries, key, folder, job)
        if reused:
            return reused
        if self.settings.cache is CacheMode.ONLY:
            return self._build_unless_forbidden(folder, job, key)
        return self._build_and_store(self.entries, key, inputs, folder, job)

    def log_path(self, job: Job) -> Path:
        """Return where the log of a job's build is, or would be."""
        return self.log_dir / f"{job.name}.log"

    def _copy(self, prebuilt: Prebuilt, folder: Path, job: Job) -> Manifest:
        """Take what was built elsewhere, and trust it no more than a build."""
        began = time.monotonic()
        tree = folder / "tree"
        try:
            prebuilt.copy(self.name_of(job), job.platform, tree)
            files = self._seal(tree, job)
        except OSError as error:
            raise StoreError.while_exporting(str(job.platform), error, folder) from error
        record = BuildRecord(
            seconds=time.monotonic() - began,
            steps=0,
            cached_steps=0,
            log_path=None,
            ref=None,
            source="prebuilt",
        )
        archive = None if job.spec.exporter == "local" else ARCHIVE
        manifest = Manifest(platform=job.platform, files=files, build=record, archive=archive)
        self.verify(tree, manifest, job)
        return manifest

    def _build_unless_forbidden(self, folder: Path, job: Job, key: str | None = None) -> Manifest:
        if self.settings.cache is not CacheMode.ONLY:
            return self._build(folder, job)
        label, platform = job.spec.label(), str(job.platform)
        if job.asks_for_fresh:
            raise CacheMissError.of_fresh(label, platform, job.asks_for_fresh)
        if self.problem:
            raise CacheMissError.without_store(label, platform, self.problem)
        if key is None:
            raise CacheMissError.without_digest(label, platform)
        raise CacheMissError.of_build(label, platform, key)

    def _reuse(self, entries: Entries, key: str, folder: Path, job: Job) -> Manifest | None:
        if job.asks_for_fresh:
            return None
        stored = entries.fetch(key, folder / "tree")
        if stored is None:
            return None
        manifest = replace(stored, build=replace(stored.build, source="reused", log_path=None))
        self.verify(folder / "tree", manifest, job)
        return manifest

    def _build_and_store(
        self, entries: Entries, key: str, inputs: str, folder: Path, job: Job
    ) -> Manifest:
        """Build under the entry's lock, so that two sessions with the same inputs build once."""
        manifest = None
        try:
            with entries.lock(key, str(job), self.waiting, log=self.log_path(job)):
                manifest = self._reuse(entries, key, folder, job)
                if manifest is None:
                    damaged = entries.has(key) and not job.asks_for_fresh
                    manifest = self._build(folder, job, "rebuilt" if damaged else "built")
                    if inputs_digest(job.spec, self.known) == inputs:
                        label = job.spec.label()
                        entries.store(key, folder / "tree", manifest, label=label)
                    # else somebody edited meanwhile: it is the result of neither the old inputs
                    # nor the new ones, and serves this session only
        except (OSError, NotImplementedError) as error:  # the latter: no locks on this file system
            self.warn("store", f"results can't be stored in the cache folder: {error}")
        return manifest or self._build(folder, job)

    def _build(self, folder: Path, job: Job, source: str = "built") -> Manifest:
        options = self.find_builder(job.spec.builder)
        # bake targets inherit arguments that are meant for others
        given = {} if job.spec.baked else dict(job.spec.build_args)
        for name, close in undeclared_arguments(text_of(job.spec) or "", given).items():
            line = f"build_args: no ARG of {job.spec.label()} declares {name!r}"
            line += f"; did you mean {close!r}?" if close else ""
            self.warn(line, line)
        with self.turn(str(job)):
            manifest = self._build_in_turn(folder, job, source, options)
        self.verify(folder / "tree", manifest, job)
        return manifest

    def _build_in_turn(
        self, folder: Path, job: Job, source: str, options: tuple[str, ...]
    ) -> Manifest:
        tree = folder / "tree"
        log_path = self.log_path(job)
        self.hooks.build_started(job.spec, job.platform)
        told = "stopped"  # as by Ctrl-C
        self.activity.begin(str(job), f"building (log {log_path})")
        try:
            try:
                manifest = self._build_into(tree, log_path, job, source, options)
            except OSError as error:
                raise StoreError.while_exporting(str(job.platform), error, folder) from error
            told = _ending(manifest)
        except DockerbinError as error:
            told = told if isinstance(error, StoppedError) else "failed"
            self.hooks.build_finished(job.spec, job.platform, None, error)
            raise
        finally:
            self.activity.end(str(job), told)
        self.hooks.build_finished(job.spec, job.platform, manifest.build, None)
        return manifest

    def _build_into(
        self, tree: Path, log_path: Path, job: Job, source: str, options: tuple[str, ...]
    ) -> Manifest:
        from pytest_dockerbin.buildx.build import build  # noqa: PLC0415 (see the top)
        from pytest_dockerbin.buildx.command import ATTESTATION  # noqa: PLC0415
        from pytest_dockerbin.buildx.process import Timeouts, Watch  # noqa: PLC0415

        gauge = Gauge(tree, job.platform, self.settings.limits)
        began = time.monotonic()

        def tell(log: BuildLog) -> None:
            seconds = f"{time.monotonic() - began:.0f} s"
            step = " and ".join(each.name.partition("\n")[0] for each in log.running)
            self.activity.update(str(job), f"{seconds}, {step}" if step else seconds)

        is_tree = job.spec.exporter == "local"
        if not is_tree:
            tree.mkdir()
        try:
            built = build(
                job.spec,
                job.platform,
                options=options,
                dest=tree if is_tree else tree / ARCHIVE,
                log_path=log_path,
                timeouts=Timeouts(
                    total=self.settings.build_timeout, silence=self.settings.silence_timeout
                ),
                watch=Watch(guard=self.guard, stopped=self.stopped, check=gauge.check, tell=tell),
            )
        except BuildError as error:
            gauge.explain(error)
            raise
        for warning in built.warnings:
            line = f"{job.spec.label()}: {warning}"
            self.warn(line, line)
        record = BuildRecord(
            seconds=built.seconds,
            steps=built.steps,
            cached_steps=built.cached_steps,
            log_path=log_path,
            ref=built.ref,
            source=source,
            builder=job.spec.builder,
            started=built.started,
            timeline=built.timeline,
        )
        attestations: tuple[Statement, ...] = ()
        if job.spec.attests:
            attestations = take_files(tree, ATTESTATION) if is_tree else read_image(tree / ARCHIVE)
        return Manifest(
            platform=job.platform,
            files=self._seal(tree, job),
            build=record,
            archive=None if is_tree else ARCHIVE,
            attestations=attestations,
        )

    def _seal(self, tree: Path, job: Job) -> tuple[FileRecord, ...]:
        verify = job.spec.verify if job.spec.exporter == "local" else False
        return seal(tree, job.platform, verify=verify, limits=self.settings.limits)


def _ending(manifest: Manifest) -> str:
    count = len(manifest.files)
    size = size_text(sum(file.size for file in manifest.files))
    return f"built in {manifest.build.seconds:.1f} s, {count} file{'s' * (count != 1)}, {size}"
