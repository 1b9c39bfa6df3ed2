"""One build for one platform, tried once more when the daemon was lost."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pytest_dockerbin import surroundings
from pytest_dockerbin.buildx.command import arguments
from pytest_dockerbin.buildx.docker import buildx_words, stage_names
from pytest_dockerbin.buildx.linked import bake_arguments, shown_arguments
from pytest_dockerbin.buildx.process import SessionStopped, TimeUp, follow
from pytest_dockerbin.dockerfile import prepare, run_platforms, stages, text_of
from pytest_dockerbin.errors import DaemonLostError, SettingsError, StoppedError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.progress import BuildLog
from pytest_dockerbin.redaction import Redaction
from pytest_dockerbin.secret import find_agents, read_values, variables

if TYPE_CHECKING:
    from pytest_dockerbin.buildx.diagnosis import Attempt
    from pytest_dockerbin.buildx.process import Timeouts, Watch
    from pytest_dockerbin.spec import BuildSpec
    from pytest_dockerbin.steps import StepRecord

_RETRY_PAUSE = 2.0  # seconds before a lost daemon is asked again
_RESTART = 10.0  # seconds more that it gets while it does not answer at all
_REF = "buildx.build.ref"  # in buildx's metadata, of which bake has one for each target


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A build that BuildKit finished.

    Attributes:
        seconds: how long it took.
        steps: number of its steps.
        cached_steps: how many of them were cached.
        ref: buildx's reference of it, or None.
        started: when it began, in seconds since the epoch.
        timeline: its steps.
        warnings: what BuildKit's checks of the Dockerfile found.
    """

    seconds: float
    steps: int
    cached_steps: int
    ref: str | None
    started: float
    timeline: tuple[StepRecord, ...]
    warnings: tuple[str, ...]


def build(
    spec: BuildSpec,
    platform: Platform,
    *,
    options: tuple[str, ...] = (),
    dest: Path,
    log_path: Path,
    timeouts: Timeouts,
    watch: Watch,
) -> Built:
    """Build ``spec`` for one platform and export the result to ``dest``, a folder not there yet.

    One platform a call: failures stay apart, and every image store can do it. When this returns
    or raises, no process of the build is left.

    Args:
        spec: what to build.
        platform: for which platform.
        options: docker's own, by which its builder is reached.
        dest: where BuildKit writes the files.
        log_path: where the whole log is written as readable lines.
        timeouts: when to give up.
        watch: who looks after it.

    Raises:
        BuildError: BuildKit refused it or a step failed.
        StoppedError: the session was stopped meanwhile.
        BuildTimeoutError: it took too long or was silent for too long.
        DaemonLostError: the daemon went away, and again at the second try.
        EngineError: docker, buildx or the daemon is missing.
        EmulatorError: the builder has no emulator for the platform.
        SecretError: a secret has no value, or there is no ssh agent; nothing was started.
    """
    secrets = tuple(secret for each in spec.all for secret in each.secrets)
    redact = Redaction(read_values(secrets))
    find_agents(agent for each in spec.all for agent in each.ssh)
    buildx = buildx_words(options)
    started, started_at = time.monotonic(), time.time()
    emulated = _Emulation(spec, platform)
    with (
        # beside the export: it goes with it when this process is killed
        TemporaryDirectory(prefix="dockerbin-", dir=dest.parent) as folder,
        # by lines: somebody may follow a long build in it
        log_path.open("w", buffering=1, encoding="utf-8", errors="replace") as log_file,
    ):
        words, stdin = _words(spec, platform, Path(folder), dest=str(dest))
        metadata = Path(folder) / "metadata.json"
        words[1:1] = ["--progress=rawjson", f"--metadata-file={metadata}"]
        shown = _shown(spec, platform, options, redact)
        command = [*buildx, *words]
        defaults = _defaults(spec)
        log_file.write(f"$ {shown}\n")

        def attempt(log: BuildLog) -> Attempt:
            # where every build succeeds, this leaves out a seventh of the time that modules take
            from pytest_dockerbin.buildx.diagnosis import Attempt  # noqa: PLC0415

            return Attempt(
                platform=platform,
                builder=spec.builder,
                options=options,
                log=log,
                log_path=log_path,
                command=shown,
                stages=lambda: _stages(spec, command, stdin),
                emulated=emulated,
                started=started_at,
            )

        began = False
        lost: str | None = None
        last_try = False
        while True:
            log = BuildLog(lambda line: print(line, file=log_file), redact)
            try:
                given = variables(secrets)
                code = follow(command, log, timeouts, watch, given, stdin=stdin, defaults=defaults)
            except TimeUp as up:
                raise attempt(log).too_long(str(up)) from None
            except SessionStopped:
                raise StoppedError.while_building(str(platform)) from None
            if code == 0:
                break
            if watch.stopped():  # whoever ended it: nobody is to look for its cause
                raise StoppedError.while_building(str(platform))
            failed = attempt(log)
            still_away = lost if lost and failed.missing() else None
            lost = failed.lost_daemon() or still_away
            if not lost:
                raise failed.failure(code)
            began = began or bool(log.steps)
            if last_try:
                # a daemon that is not there is for --dockerbin-missing; one that died here is not
                never_was_there = None if began else failed.missing()
                raise never_was_there or DaemonLostError.twice(str(platform), lost, log_path)
            log_file.write(f"-- the daemon was lost ({lost}); once more\n")
            shutil.rmtree(dest, ignore_errors=True)
            _wait_for_daemon(failed, watch)
            last_try = True
        return Built(
            seconds=time.monotonic() - started,
            steps=len(log.steps),
            cached_steps=sum(step.cached for step in log.steps),
            ref=_build_ref(spec, metadata),
            started=started_at,
            timeline=log.timeline(emulated),
            warnings=tuple(log.warnings),
        )


def _defaults(spec: BuildSpec) -> dict[str, str]:
    """Return what is in buildx's environment where nobody said otherwise."""
    defaults = {
        # buildx collects less garbage of its own: 88 ms of processor time become 76
        "GOGC": "400",
        # it leaves the processors to the engine, whose client it is. On two, three cached builds
        # at once take 509 instead of 582 ms, an export of 500 MB 2.45 instead of 3.06 s
        "GOMAXPROCS": str(max(1, (os.cpu_count() or 1) // 4)),
    }
    if not any(each.attests for each in spec.all):  # into which goes what git says
        defaults["BUILDX_GIT_INFO"] = "false"  # 163 ms of a cached build become 137
    if _traces_by_http():
        defaults["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
    return defaults


def _traces_by_http() -> bool:
    """Tell whether spans go to a collector that takes HTTP, as ours do, and buildx's should.

    Else it would try gRPC, for 10 s a build. That has port 4317 by convention: OpenTelemetry,
    "OTLP Specification".
    """
    given = surroundings.variables()
    endpoint = given.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or given.get(
        "OTEL_EXPORTER_OTLP_ENDPOINT", ""
    )
    return bool(endpoint) and not endpoint.rstrip("/").endswith(":4317")


class _Emulation:
    """Tells which steps of a build run programs of a foreign processor, by the steps' names.

    Only of this machine's processor is it known which platforms are foreign: builders that are
    named may be elsewhere.
    """

    _RUN = re.compile(r"\[(?P<platform>\w+/[\w/]+\S* )?((?P<stage>\S+) +)?\d+/\d+\] RUN")

    def __init__(self, spec: BuildSpec, platform: Platform) -> None:
        self._target = platform
        text = None if spec.linked or spec.builder else text_of(spec)
        self._stages = None if text is None else run_platforms(text)

    def __call__(self, step: str) -> bool | None:
        found = self._RUN.match(step)
        if not found:
            return False
        if self._stages is None:
            return None
        said = found["platform"] or self._stages.get(found["stage"] or "stage-0", "")
        if "BUILDPLATFORM" in said:
            return False
        try:
            platform = Platform.parse(said.partition("->")[0].strip()) if said else self._target
        except SettingsError:  # an argument's value
            return None
        return not platform.native


def _words(
    spec: BuildSpec, platform: Platform, folder: Path, *, dest: str
) -> tuple[list[str], Path | None]:
    """Return buildx's arguments, and the file that it reads on standard input."""
    if spec.linked:
        return bake_arguments(spec, platform, folder, dest=dest), None
    dockerfile, stdin = prepare(spec, folder)
    return arguments(spec, platform, dockerfile, dest=dest), stdin


def _stages(spec: BuildSpec, command: list[str], stdin: Path | None) -> list[str]:
    told = stage_names(command, stdin)
    return stages(text_of(spec) or "")[0] if told is None else told


def _shown(spec: BuildSpec, platform: Platform, options: tuple[str, ...], redact: Redaction) -> str:
    """Return what a person types to build the same."""
    if spec.linked:
        return shlex.join(
            ["docker", *options, "buildx", *map(redact, shown_arguments(spec, platform))]
        )
    if spec.dockerfile_text is None:
        dockerfile, end = str(spec.dockerfile), ""
    else:
        dockerfile, end = "-", " < Dockerfile"
    words = arguments(spec, platform, dockerfile, dest="out")
    if spec.is_archive:
        end = f" < {shlex.quote(str(spec.context))}"
    return shlex.join(["docker", *options, "buildx", *map(redact, words)]) + end


def _wait_for_daemon(failed: Attempt, watch: Watch) -> None:
    """Give a daemon that restarts the time for it: systemd alone waits for 2 seconds."""
    time.sleep(_RETRY_PAUSE)
    end = time.monotonic() + _RESTART
    while time.monotonic() < end and not watch.stopped() and failed.missing():
        time.sleep(_RETRY_PAUSE / 4)


def _build_ref(spec: BuildSpec, metadata: Path) -> str | None:
    try:
        told = json.loads(metadata.read_text())
        ref = (told.get(spec.baked.target, {}) if spec.linked and spec.baked else told).get(_REF)
    except (OSError, ValueError):  # older buildx wrote none in some modes; nothing depends on it
        return None
    return str(ref) if ref else None
