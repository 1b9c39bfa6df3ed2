"""Runs ``docker buildx build`` for one platform and says in the field's words how it went."""

from __future__ import annotations

import csv
import io
import json
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING

from pytest_dockerbin.engine import unreachable
from pytest_dockerbin.errors import (
    BuildError,
    BuildTimeoutError,
    DaemonLostError,
    EmulatorError,
    EngineError,
    SettingsError,
    StoppedError,
)
from pytest_dockerbin.frontend import builtin_copy
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.progress import BuildLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_dockerbin.errors import DockerbinError
    from pytest_dockerbin.progress import Step
    from pytest_dockerbin.spec import BuildSpec


_RETRY_PAUSE = 2.0  # seconds that a restarting daemon gets
_TURN = 0.2  # seconds between looks at what else could end the build


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """When a build is ended by us.

    Attributes:
        total: seconds from its start.
        silence: seconds without any output.
    """

    total: float = 1800.0
    silence: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who looks after a running build.

    Attributes:
        guard: given the build's process group, has it ended if this process is killed inside the
            ``with`` block.
        stopped: tells whether the session is being stopped.
        check: raises when the build must not go on: this and ``stopped`` are asked several times a
            second.
    """

    guard: Callable[[int], AbstractContextManager[object]] = nullcontext
    stopped: Callable[[], bool] = bool
    check: Callable[[], object] = bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A build that BuildKit finished.

    Attributes:
        seconds: how long it took.
        steps: number of its steps.
        cached_steps: how many of them were cached.
        ref: buildx's reference of it, or None.
    """

    seconds: float
    steps: int
    cached_steps: int
    ref: str | None


def build(
    spec: BuildSpec,
    platform: Platform,
    *,
    dest: Path,
    log_path: Path,
    timeouts: Timeouts,
    watch: Watch = Watch(),
) -> Built:
    """Build ``spec`` for one platform and export the result to ``dest``, a folder not there yet.

    One platform a call: failures stay apart, and every image store can do it. When this returns
    or raises, no process of the build is left.

    Args:
        spec: what to build.
        platform: for which platform.
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
    """
    docker = _docker()
    started = time.monotonic()
    with (
        TemporaryDirectory(prefix="dockerbin-") as folder,
        log_path.open("w", encoding="utf-8", errors="replace") as log_file,
    ):
        metadata = f"{folder}/metadata.json"
        dockerfile = spec.dockerfile
        if spec.frontend == "builtin":
            dockerfile = builtin_copy(dockerfile, log_path.__class__(folder))
        shown = shlex.join(["docker", *_arguments(spec, platform, spec.dockerfile, dest="out")])
        log_file.write(f"$ {shown}\n")
        command = [
            docker,
            *_arguments(spec, platform, dockerfile, dest=str(dest)),
        ]
        command[3:3] = ["--progress=rawjson", f"--metadata-file={metadata}"]
        for last_try in (False, True):
            log = BuildLog(lambda line: print(line, file=log_file))
            try:
                code = _follow(command, log, timeouts, watch)
            except _TimeUp as up:
                raise _too_long(platform, str(up), log, log_path, shown) from None
            except _SessionStopped:
                raise StoppedError.while_building(str(platform)) from None
            if code == 0:
                break
            lost = _lost_daemon(log)
            if not lost:
                raise _failure(spec, platform, code, log, log_path, shown)
            if last_try:
                never_began = not log.steps and _missing_part()
                raise never_began or DaemonLostError.twice(str(platform), lost, log_path)
            log_file.write(f"-- the daemon was lost ({lost}); once more\n")
            shutil.rmtree(dest, ignore_errors=True)
            time.sleep(_RETRY_PAUSE)
        return Built(
            seconds=time.monotonic() - started,
            steps=len(log.steps),
            cached_steps=sum(step.cached for step in log.steps),
            ref=_build_ref(metadata),
        )


def builder_platforms(builder: str | None) -> tuple[Platform, ...]:
    """Return the platforms that a builder says it can build: advice, not the whole truth.

    Raises:
        EngineError: docker or buildx is missing, or the daemon does not answer.
    """
    command = [_docker(), "buildx", "inspect", *([builder] if builder else [])]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    listed = re.findall(r"^\s*Platforms:\s*(.+)$", run.stdout, re.MULTILINE)
    if run.returncode or not listed:  # a builder without a daemon lists none and exits with 0
        raise _missing_part() or EngineError(
            f"docker buildx inspect lists no platforms: {' '.join(run.stderr.split())}"
        )
    platforms = []
    for word in ",".join(listed).split(","):
        try:
            platforms.append(Platform.parse(word.strip().strip("*")))
        except SettingsError:  # an exotic platform that nobody can name in a list here either
            continue
    return tuple(dict.fromkeys(platforms))


# -- the command ----------------------------------------------------------------------------------


def _docker() -> str:
    docker = shutil.which("docker")
    if docker is None:
        raise EngineError.no_docker()
    return docker


def _arguments(spec: BuildSpec, platform: Platform, dockerfile: Path, *, dest: str) -> list[str]:
    """Return docker's arguments. Always ``--flag=value``, so that no value becomes a flag."""
    words = [
        "buildx",
        "build",
        f"--platform={platform}",
        f"--output={_csv('type=local', f'dest={dest}')}",
        f"--file={dockerfile}",
        "--provenance=false",  # else provenance.json lands among the exported files
        "--sbom=false",
    ]
    if spec.builder:
        words.append(f"--builder={spec.builder}")
    if spec.target:
        words.append(f"--target={spec.target}")
    words += [f"--build-arg={name}={value}" for name, value in spec.build_args]
    words += [f"--build-context={name}={value}" for name, value in spec.build_contexts]
    if spec.network:
        words.append(f"--network={spec.network}")
    if spec.no_cache:
        words.append("--no-cache")
    if spec.pull:
        words.append("--pull")
    return [*words, "--", str(spec.context)]


def _csv(*fields: str) -> str:
    """Quote as buildx reads ``--output``: a comma in a folder's name begins no attribute."""
    line = io.StringIO()
    # a line break in a value is quoted only where the writer ends its lines by one
    csv.writer(line).writerow(fields)
    return line.getvalue().removesuffix("\r\n")


def _environment() -> dict[str, str]:
    return {**os.environ, "BUILDX_METADATA_PROVENANCE": "disabled", "NO_COLOR": "1"}


def _build_ref(metadata: str) -> str | None:
    try:
        with open(metadata, encoding="utf-8") as file:  # noqa: PTH123
            ref = json.load(file).get("buildx.build.ref")
    except (OSError, ValueError):  # older buildx wrote none in some modes; nothing depends on it
        return None
    return str(ref) if ref else None


# -- the process ----------------------------------------------------------------------------------


class _SessionStopped(Exception):  # noqa: N818 (control flow inside this module)
    """The session is being stopped."""


class _TimeUp(Exception):  # noqa: N818 (control flow inside this module)
    """Says in its text what was exceeded."""


def _follow(command: list[str], log: BuildLog, timeouts: Timeouts, watch: Watch) -> int:
    """Run the command, feed its output to ``log`` and return its exit code."""
    now = time.monotonic()
    end, silent_end = now + timeouts.total, now + timeouts.silence
    next_look = now + _TURN
    with _process(command) as (process, pieces), watch.guard(process.pid):
        while True:
            now = time.monotonic()
            if now >= end:
                raise _TimeUp(f"took longer than {timeouts.total:g} s")
            if now >= silent_end:
                raise _TimeUp(f"printed nothing for {timeouts.silence:g} s")
            if now >= next_look:
                next_look = now + _TURN
                watch.check()
                if watch.stopped():
                    raise _SessionStopped
            try:
                piece = pieces.get(timeout=min(_TURN, end - now, silent_end - now))
            except queue.Empty:
                continue
            if piece is None:
                break
            silent_end = time.monotonic() + timeouts.silence
            log.feed(piece)
        log.close()
        return process.wait()


@contextmanager
def _process(
    command: list[str],
) -> Iterator[tuple[subprocess.Popen[str], queue.Queue[str | None]]]:
    """Start the command in a process group of its own, and leave none of it behind."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise EngineError(f"the docker command can't be started: {error}") from error
    pieces: queue.Queue[str | None] = queue.Queue()
    assert process.stdout is not None  # noqa: S101 (asked for above)
    reader = threading.Thread(target=_read, args=(process.stdout, pieces), daemon=True)
    reader.start()
    try:
        yield process, pieces
    finally:
        _end(process)
        reader.join(timeout=5)
        process.stdout.close()


def _read(stream: IO[str], pieces: queue.Queue[str | None]) -> None:
    try:
        for line in stream:
            pieces.put(line)
    except ValueError:  # closed while reading: the process was ended by us
        pass
    pieces.put(None)


def _end(process: subprocess.Popen[str]) -> None:
    """End the whole process group: politely, so that the daemon cancels, then by force."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


# -- what went wrong ------------------------------------------------------------------------------

_HINTS = (
    (
        r"failed to resolve source metadata for docker\.io/docker/dockerfile",
        (
            'the "# syntax=" line asks a registry for a frontend; '
            "offline, set dockerbin_frontend = builtin"
        ),
    ),
    (
        r"failed to resolve source metadata for (?P<image>\S+?):? ",
        (
            "the base image is neither in the engine nor could a registry be asked; "
            "offline, give it as a build context: build_contexts={NAME: 'oci-layout://DIR:TAG'}"
        ),
    ),
    (r"no builder .* found", "`docker buildx ls` lists the builders"),
    (r"no space left on device", "free space: `docker buildx prune`, `docker system df`"),
    (
        r"undefined reference to `__atomic_",
        "32-bit processors need -latomic for 64-bit atomics",
    ),
    (r"exec format error", "a step runs a program of another architecture than its platform"),
)


def _failure(
    spec: BuildSpec, platform: Platform, code: int, log: BuildLog, log_path: Path, shown: str
) -> DockerbinError:
    step = log.failed
    if step is None and not log.excerpt:
        missing = _missing_part()
        if missing:
            return missing
    if step and any("exec format error" in line for line in step.log):
        foreign = _emulator_is_missing(spec, platform)
        if foreign:
            return EmulatorError.in_builder(
                str(platform), platform.architecture, _first_line(step.name), log_path
            )
    where = ""
    if log.excerpt:
        file, line, _ = log.excerpt
        where = f"{file}:{line} "
    what = where + (_instruction(step.name) if step and _is_instruction(step) else log.error)
    exit_code = re.search(r"exit code: (\d+)", step.error if step else "")
    how = f" (exit code {exit_code[1]})" if exit_code else ""
    if not what:
        what = f"docker exited with code {code} and said nothing"
    return BuildError(
        f"build failed for {platform}: {what}{how}",
        hint=next((hint for form, hint in _HINTS if re.search(form, _all_words(log))), None),
        log_path=log_path,
        details=_details(log, shown),
    )


def _too_long(
    platform: Platform, how: str, log: BuildLog, log_path: Path, shown: str
) -> BuildTimeoutError:
    last = f"; last step: {_first_line(log.steps[-1].name)}" if log.steps else ""
    return BuildTimeoutError(
        f"build for {platform} {how} and was ended{last}",
        hint="--dockerbin-build-timeout sets the limit, in seconds",
        log_path=log_path,
        details=_details(log, shown),
    )


# what buildx and docker say when the connection to the daemon or builder broke, or was refused
# while it restarts; from buildx#2064, #2380, #2789, #4063 and buildkit#4305
_LOST = re.compile(
    r"rpc error: code = Unavailable|connection refused|connection reset by peer"
    r"|error reading from server: EOF|transport is closing|use of closed network connection"
    r"|broken pipe|unexpected EOF|http2: server sent GOAWAY"
)


def _lost_daemon(log: BuildLog) -> str | None:
    """Return buildx's words for a lost daemon, or None when a step or the Dockerfile failed."""
    own_failure = log.failed and not _LOST.search(log.failed.error)
    if own_failure or log.excerpt or not _LOST.search(log.error):
        return None
    return log.error


def _details(log: BuildLog, shown: str) -> str:
    lines = []
    if log.excerpt:
        # indented, so that no line of a Dockerfile is a command to a CI service
        lines += [f"  {line}" for line in log.excerpt[2].splitlines()]
    if log.tail:
        lines.append(f"last {len(log.tail)} of {log.lines} lines of the build log:")
        lines += [f"  {line}" for line in log.tail]
    if log.error and log.failed:
        lines.append(f"buildx:   {log.error}")
    lines.append(f"command:  {shown}")
    return "\n".join(lines)


def _all_words(log: BuildLog) -> str:
    return "\n".join([*log.tail, log.text, *(log.failed.log if log.failed else ())])


def _is_instruction(step: Step) -> bool:
    return not step.name.startswith("[internal]")


def _instruction(step: str) -> str:
    """Return a step's Dockerfile instruction: its name without ``[build 2/3]``."""
    return _first_line(re.sub(r"^\[[^\]]*\]\s*", "", step))


def _first_line(text: str) -> str:
    return text.partition("\n")[0].strip()


def _missing_part() -> EngineError | None:
    """Look, after a failure, which part of docker is missing; nothing is probed before."""
    docker = shutil.which("docker")
    if docker is None:
        return EngineError.no_docker()
    version = subprocess.run(
        [docker, "buildx", "version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if version.returncode:
        said = (version.stderr or version.stdout).strip() or f"exit code {version.returncode}"
        return EngineError.no_buildx(_first_line(said))
    said_by_engine = unreachable()
    return EngineError.no_daemon(said_by_engine) if said_by_engine else None


def _emulator_is_missing(spec: BuildSpec, platform: Platform) -> bool:
    try:
        return platform not in builder_platforms(spec.builder)
    except EngineError:  # lost in the meantime; the step's own error is the better message
        return False
