"""Says why a build failed, from what buildx printed and what it left unsaid."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pytest_dockerbin.buildx.inventory import builder_platforms, failed_build, missing_part
from pytest_dockerbin.errors import BuildError, BuildTimeoutError, EmulatorError, EngineError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.manifest import history_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_dockerbin.errors import DockerbinError
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.progress import BuildLog, Step

_HINTS = (
    (
        r"failed to resolve source metadata for docker\.io/docker/dockerfile",
        (
            'the "# syntax=" line asks a registry for a frontend; '
            "offline, set dockerbin_frontend = builtin"
        ),
    ),
    (
        r"failed to resolve source metadata for \S*buildkit-syft-scanner",
        (
            "`sbom` asks a registry for its generator; offline, name one that the engine has: "
            "sbom='generator=IMAGE'"
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


# buildx's own steps, before any builder has a word
_CONNECTING = ("[internal] booting buildkit", "[internal] waiting for connection")

_NO_TARGET = re.compile(r'target stage "(.*)" could not be found')

# what buildx and docker say when the connection to the daemon or builder broke, or was refused
# while it restarts; from buildx#2064, #2380, #2789, #4063 and buildkit#4305
_LOST = re.compile(
    r"rpc error: code = Unavailable|connection refused|connection reset by peer"
    r"|error reading from server: EOF|transport is closing|use of closed network connection"
    r"|broken pipe|unexpected EOF|http2: server sent GOAWAY"
)
# the same words where BuildKit has them from somebody else: a registry, or what a context is at
_OTHERS = re.compile(
    r"failed to (resolve source metadata|load cache key|fetch remote|read downloaded context)"
    r"|(Get|Head|Patch|Post|Put) \"https?://[^\"]*/v2/"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a build that did not succeed.

    Attributes:
        platform: what it was for.
        builder: the builder's name, or None.
        options: docker's own, by which the builder is reached.
        log: what buildx said.
        log_path: where all of it stands.
        command: what a person types to see the same.
        stages: gives the names of the Dockerfile's stages.
        emulated: tells by its name whether a step ran programs of a foreign processor.
        started: when the build began, in seconds since the epoch.
    """

    platform: Platform
    builder: str | None
    options: tuple[str, ...] = ()
    log: BuildLog
    log_path: Path
    command: str
    stages: Callable[[], list[str]] = list
    emulated: Callable[[str], bool | None] = lambda _: None
    started: float = 0.0

    def missing(self) -> EngineError | None:
        """Return what is missing now: docker, buildx or the daemon."""
        return missing_part(self.builder)

    def lost_daemon(self) -> str | None:
        """Return buildx's words for a lost daemon; None when a step or the Dockerfile failed."""
        log = self.log
        own_failure = log.failed and not _is_loss(log.failed.error)
        return None if own_failure or log.excerpt or not _is_loss(log.error) else log.error

    def failure(self, code: int) -> DockerbinError:
        """Return the error of a build that ended with exit code ``code``."""
        step = self.log.failed
        nothing_began = step is None or step.name in _CONNECTING
        missing = self.missing() if nothing_began and not self.log.excerpt else None
        if missing:
            return missing
        if step and self._needs_emulator(step):
            return EmulatorError.in_builder(
                str(self.platform),
                self.platform.architecture,
                _first_line(step.name),
                self.log_path,
            )
        summary = f"build failed for {self.platform}: {self._what_failed(step, code)}"
        ref = self._ref() if self.log.steps else None
        return BuildError(
            summary,
            hint=self._hint(),
            log_path=self.log_path,
            details=self._details(summary, ref),
            ref=ref,
            place=self.log.excerpt[:2] if self.log.excerpt else None,
            steps=self.log.timeline(self.emulated),
            started=self.started,
        )

    def too_long(self, how: str) -> BuildTimeoutError:
        """Return the error of a build that was ended because it ``how`` (took too long)."""
        running = ", ".join(_first_line(step.name) for step in self.log.running)
        during = f" during {running}" if running else ""
        # a network that is cut is no error of the client's: it waits
        lost = self.missing() if self.builder else None
        return BuildTimeoutError(
            f"build for {self.platform} {how} and was ended{during}",
            hint=lost.summary if lost else "--dockerbin-build-timeout sets the limit, in seconds",
            log_path=self.log_path,
            details=self._details(),
            steps=self.log.timeline(self.emulated),
            started=self.started,
        )

    def _needs_emulator(self, step: Step) -> bool:
        if not any("exec format error" in line for line in step.log):
            return False
        try:
            return self.platform not in builder_platforms(self.builder)
        except EngineError:  # lost in the meantime; the step's own error is the better message
            return False

    def _what_failed(self, step: Step | None, code: int) -> str:
        log = self.log
        where = f"{log.excerpt[0]}:{log.excerpt[1]} " if log.excerpt else ""
        what = where + (_instruction(step.name) if step and _is_instruction(step) else log.error)
        exit_code = re.search(r"exit code: (\d+)", step.error if step else "")
        how = f" (exit code {exit_code[1]})" if exit_code else ""
        return f"{what or f'docker exited with code {code} and said nothing'}{how}"

    def _hint(self) -> str | None:
        log = self.log
        said = "\n".join([*log.tail, log.text, *(log.failed.log if log.failed else ())])
        if target := _NO_TARGET.search(log.error):
            return self._hint_of_stages(target[1])
        return next((hint for form, hint in _HINTS if re.search(form, said)), None)

    def _hint_of_stages(self, wanted: str) -> str:
        names = self.stages()
        close = get_close_matches(wanted.lower(), names, n=1, cutoff=0.5)
        if close:
            return f"target: did you mean {close[0]!r}?"
        if names:
            return f"the stages with a name are: {', '.join(names)}"
        return "no stage of the Dockerfile has a name: `FROM image AS name` gives it one"

    def _ref(self) -> str | None:
        return failed_build(self.options, self.builder, self.platform, self.started)

    def _details(self, summary: str = "", ref: str | None = None) -> str:
        """Return what was seen, without what the summary or the log's last lines tell."""
        log = self.log
        lines = []
        if log.excerpt:
            # behind a bar, since GitHub's runner takes leading spaces away before it looks for
            # its commands: no line of a Dockerfile may be one
            lines += [f"| {line}" for line in log.excerpt[2].splitlines()]
        if log.tail:
            lines.append(f"last {len(log.tail)} of {log.lines} lines of the build log:")
            lines += [f"  {line}" for line in log.tail]
        told = "\n".join([summary, *log.tail])
        if log.error and log.failed and log.error not in told:
            lines.append(f"buildx:   {log.error}")
        lines.append(f"command:  {self.command}")
        if ref:
            lines.append(f"history:  {history_command(ref, self.builder, self.options)}")
        return "\n".join(lines)


def _is_loss(said: str) -> bool:
    return bool(_LOST.search(said)) and not _OTHERS.search(said)


def _is_instruction(step: Step) -> bool:
    return not step.name.startswith("[internal]")


def _instruction(step: str) -> str:
    """Return a step's Dockerfile instruction: its name without ``[build 2/3]``."""
    return _first_line(re.sub(r"^\[[^\]]*\]\s*", "", step))


def _first_line(text: str) -> str:
    return text.partition("\n")[0].strip()
