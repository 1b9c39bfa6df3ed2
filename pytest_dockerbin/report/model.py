"""What a session did: its platforms, builds, tests and runs.

All of it is JSON values or becomes them, so that it travels from pytest-xdist's workers to their
controller, and into ``--dockerbin-report`` files.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Self

from pytest_dockerbin.errors import BuildError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.manifest import FileRecord, history_command
from pytest_dockerbin.progress import clean
from pytest_dockerbin.results import signal_name
from pytest_dockerbin.steps import StepRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dockerbin.artifact import Artifact
    from pytest_dockerbin.errors import DockerbinError
    from pytest_dockerbin.journal import Ran
    from pytest_dockerbin.platforms import Platform

SCHEMA = 1

INTERRUPTED = "interrupted"
"""The error of a build whose end nobody saw."""

OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
"""How a test may have ended."""

FINE = frozenset({"passed", "xfailed", "xpassed"})
"""The outcomes that nobody has to look at."""

_LAST_LINES = 40
_LAST_BYTES = 16 * 1024  # of a stream, where its lines are long


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformReport:
    """A platform and what ran its programs.

    Attributes:
        platform: in Docker's spelling.
        runner: ``native``, ``binfmt``, ``qemu``, ``container``, ``docker``, or the name of the
            user's command; empty where nothing was run.
        emulator: with its version, such as ``QEMU 7.2.22``; empty without one.
        emulated: whether instructions of another processor were emulated.
        said: what was said to run them, and where: ``qemu, from --dockerbin-runner``; empty where
            nobody said anything.
    """

    platform: str
    runner: str = ""
    emulator: str = ""
    emulated: bool = False
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """One run of a program by a test.

    Attributes:
        program: the exported file's name.
        platform: what it was built for.
        args: the whole command, wrapper and runner included.
        variables: what the runner added to the environment, such as ``QEMU_CPU``.
        kind: how it ended, as `RunResult.kind`.
        returncode: as of `RunResult`.
        signal: the name of the signal that ended it, or nothing.
        runner: what ran it.
        emulator: what emulated, with its version.
        emulated: whether it was emulated.
        started: seconds since the epoch.
        seconds: how long it took.
        max_rss: bytes, or None.
        cpu_time: seconds.
        stdout: the last 40 lines of standard output.
        stderr: likewise of standard error.
        hint: what to do about a failure, or nothing.
        stopped: whether the test, or its end, ended a program that it did not wait for.
    """

    program: str
    platform: str
    args: tuple[str, ...]
    variables: Mapping[str, str]
    kind: str
    returncode: int
    signal: str
    runner: str
    emulator: str
    emulated: bool
    started: float
    seconds: float
    max_rss: int | None
    cpu_time: float
    stdout: str
    stderr: str
    hint: str
    stopped: bool = False

    @classmethod
    def of(cls, ran: Ran) -> Self:
        """Return what is told of a run."""
        result = ran.result
        return cls(
            program=result.program.name,
            platform=str(result.platform),
            args=tuple(map(clean, result.args)),
            variables={name: clean(value) for name, value in result.variables.items()},
            kind=str(result.kind),
            returncode=result.returncode,
            signal="" if result.signal is None else signal_name(result.signal),
            runner=result.runner,
            emulator=result.emulator,
            emulated=result.emulated,
            started=ran.started,
            seconds=result.duration,
            max_rss=result.max_rss,
            cpu_time=result.cpu_time,
            stdout=_end(result.stdout),
            stderr=_end(result.stderr),
            hint=result.hint,
            stopped=ran.stopped,
        )

    @property
    def is_fine(self) -> bool:
        """Whether the program came to its own end with exit code 0, or was only stopped."""
        return self.stopped or (self.kind == "exited" and self.returncode == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestReport:
    """One test on one platform.

    Attributes:
        node: pytest's whole node id.
        name: the same without parameters: tests of the same name are one row of the matrix.
        case: the parameters beside the platform, such as ``1-x``; empty without any.
        platform: in Docker's spelling.
        outcome: one of `OUTCOMES`; ``error`` when setup or teardown failed.
        started: seconds since the epoch.
        seconds: of setup, call and teardown together.
        reason: why it was skipped, or the first line of why it failed; or nothing.
        text: of a failure, all that pytest prints of it; of its repetitions one line.
        runs: the programs that it ran.
        worker: the pytest-xdist worker; empty without.
    """

    __test__ = False  # pytest would take it for a class of tests

    node: str
    name: str
    case: str
    platform: str
    outcome: str
    started: float
    seconds: float
    reason: str = ""
    text: str = ""
    runs: tuple[RunReport, ...] = ()
    worker: str = ""

    @property
    def is_fine(self) -> bool:
        """Whether nobody has to look at it."""
        return self.outcome in FINE

    @property
    def emulator_failed(self) -> bool:
        """Whether it failed where an emulator did last, so that the program may be innocent."""
        failed = [run.kind for run in self.runs if not run.is_fine]
        return not self.is_fine and failed[-1:] == ["emulator-fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """One build for one platform.

    Attributes:
        key: a digest of what is built: equal for builds that were made once for all.
        label: what a person calls it.
        names: of the named builds that it is.
        mark: tells it from other builds of these names, or this label; nothing without any.
        platform: in Docker's spelling.
        source: ``built``, ``reused``, ``rebuilt`` or ``prebuilt``, as of `BuildRecord`; ``failed``.
        seconds: how long it took; where it failed, how long its steps took.
        steps: number of steps of the Dockerfile.
        cached_steps: how many of them were cached.
        started: seconds since the epoch.
        timeline: its steps; of a reused one, those of the build that was stored.
        builder: the name of the buildx builder, or None.
        log_path: the whole log, or None.
        ref: buildx's reference of it, or None.
        digest: of the exported tree, or nothing.
        files: what was exported.
        error: the type of the error, or nothing.
        reason: its first line, or nothing.
        text: all of it for a person, or nothing.
        place: the Dockerfile's path, as seen from the rootdir, and the line that failed, or None.
        result: the folder of its result in the session, on the machine that built it; or nothing.
    """

    key: str
    label: str
    names: tuple[str, ...]
    platform: str
    source: str
    seconds: float = 0.0
    steps: int = 0
    cached_steps: int = 0
    started: float = 0.0
    timeline: tuple[StepRecord, ...] = ()
    builder: str | None = None
    log_path: str | None = None
    ref: str | None = None
    digest: str = ""
    files: tuple[FileRecord, ...] = ()
    error: str = ""
    reason: str = ""
    text: str = ""
    place: tuple[str, int] | None = None
    result: str = ""
    mark: str = ""

    @classmethod
    def begun(cls, key: str, platform: Platform, label: str, names: tuple[str, ...]) -> Self:
        """Return what is told of a build whose end nobody sees."""
        return cls(
            key=key,
            label=label,
            names=names,
            platform=str(platform),
            source="failed",
            error=INTERRUPTED,
        )

    def failed(self, error: DockerbinError, place: tuple[str, int] | None = None) -> Self:
        """Return it with what it failed with, and where in which Dockerfile."""
        told = replace(
            self,
            source="failed",
            error=type(error).__name__,
            reason=error.summary,
            text=error.report(),
            log_path=str(error.log_path) if error.log_path else None,
        )
        if isinstance(error, BuildError):
            ends = (step.started + step.seconds for step in error.steps)
            return replace(
                told,
                place=place,
                timeline=error.steps,
                started=error.started,
                ref=error.ref,
                seconds=max(ends, default=0.0),
            )
        return told

    def ended(self, artifact: Artifact) -> Self:
        """Return it with what it exported."""
        record = artifact.build
        return replace(
            self,
            source=record.source,
            error="",
            seconds=record.seconds,
            steps=record.steps,
            cached_steps=record.cached_steps,
            started=record.started,
            timeline=record.timeline,
            builder=record.builder,
            log_path=str(record.log_path) if record.log_path else None,
            ref=record.ref,
            digest=artifact.digest,
            result=str(artifact.tree.parent),
        )

    @property
    def is_cached(self) -> bool:
        """Whether nothing had to be done for it: no step, or not even a build."""
        done = self.steps - self.cached_steps
        return self.source in ("reused", "prebuilt") or (self.source == "built" and done == 0)

    @property
    def history(self) -> str:
        """What a person types to see the log that BuildKit keeps of it; or nothing."""
        return history_command(self.ref, self.builder) if self.ref else ""

    @property
    def title(self) -> str:
        """The names of the build, or what a person calls it."""
        title = ", ".join(self.names) or self.label
        return f"{title} [{self.mark}]" if self.mark else title

    def to_json(self) -> dict[str, Any]:
        """Return JSON values for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        place = data["place"]
        return cls(
            **{
                **data,
                "names": tuple(data["names"]),
                "timeline": tuple(StepRecord(**step) for step in data["timeline"]),
                "files": tuple(FileRecord(**file) for file in data["files"]),
                "place": (str(place[0]), int(place[1])) if place else None,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that is told of a session.

    Attributes:
        started: seconds since the epoch.
        seconds: how long it took.
        version: of pytest-dockerbin.
        exit_status: pytest's.
        platforms: in the order in which they were asked for.
        builds: in the order of platforms and titles.
        tests: in the order in which they ended.
        missing: reasons for which tests did not run, with the number of tests, as platforms are.
        notes: further lines for a person, such as that a prebuilt folder could not be checked.
    """

    started: float
    seconds: float
    version: str
    exit_status: int
    platforms: tuple[PlatformReport, ...] = ()
    builds: tuple[BuildReport, ...] = ()
    tests: tuple[TestReport, ...] = ()
    missing: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    def counts(self, platform: str | None = None) -> Counter[str]:
        """Return how many tests have each outcome, of one platform or of all."""
        return Counter(test.outcome for test in self.tests if platform in (None, test.platform))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, by the schema that is documented."""
        return {"schema": SCHEMA, **asdict(self)}


def run_from_json(data: Mapping[str, Any]) -> RunReport:
    """Read what `dataclasses.asdict` made of a `RunReport`."""
    return RunReport(**{**data, "args": tuple(data["args"])})


def _end(stream: str | bytes) -> str:
    text = stream.decode(errors="replace") if isinstance(stream, bytes) else stream
    lines = text[-_LAST_BYTES:].splitlines()[-_LAST_LINES:]
    return "\n".join(map(clean, lines))
