"""The errors of pytest-dockerbin and the prose of their messages.

    DockerbinError
    ├── SettingsError            a setting that can't be understood: the user's to correct
    ├── UnavailableError         something of the machine is missing: decided by --dockerbin-missing
    │   ├── EngineError          docker, buildx or the daemon
    │   ├── EmulatorError        nothing here executes programs of that platform
    │   ├── NotPrebuiltError     what --dockerbin-prebuilt does not hold
    │   └── SecretError          the value of a secret
    ├── BuildError               BuildKit refused it or a step failed
    │   ├── DaemonLostError      the daemon went away, twice
    │   └── BuildTimeoutError    it was ended by us, since it took too long
    ├── ArtifactError            what was exported can't be used
    │   ├── EmptyExportError     there is nothing in it
    │   └── WrongPlatformError   an executable of another architecture
    ├── CacheMissError           --dockerbin-cache=only, and there is no stored result
    ├── StoppedError             given up, since the session is being stopped
    ├── StoreError               the cache folder can't be used
    │   └── UntrustedStoreError  its files could be somebody else's
    ├── HookError                a hook of a plugin, or a conftest, failed
    └── RunError                 a program failed in ``run(check=True)``

An error says in its first line what failed, in ``details`` what was seen, in ``hint`` what to do.
Errors travel between pytest-xdist workers as JSON, so they hold only text and paths.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pytest_dockerbin.commands_in_text import defused
from pytest_dockerbin.steps import StepRecord

if TYPE_CHECKING:
    from collections.abc import Iterable


class DockerbinError(Exception):
    """The root of all errors of this package.

    Attributes:
        summary: one line, what failed.
        hint: what to do about it, or None.
        log_path: the file with the whole build log, or None.
        details: further lines for a person: excerpt, last log lines, command; may be empty.
    """

    def __init__(
        self,
        summary: str,
        *,
        hint: str | None = None,
        log_path: Path | None = None,
        details: str = "",
    ) -> None:
        summary = defused(summary)  # names of exported files are in messages, and what they hold
        super().__init__(summary)
        self.summary = summary
        self.hint = hint and defused(hint)
        self.log_path = log_path
        self.details = defused(details)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by JSON, since keyword-only arguments are lost otherwise."""
        return error_from_json, (self.to_json(),)

    def __str__(self) -> str:
        return self.report()

    def report(self) -> str:
        """Return the whole text for a person: summary, details, hint and log path."""
        lines = [self.summary]
        if self.details:
            lines.append(self.details)
        if self.hint:
            lines.append(f"hint:     {self.hint}")
        if self.log_path:
            lines.append(f"full log: {self.log_path}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the error as JSON values, for `error_from_json`."""
        return {
            "error": type(self).__name__,
            "summary": self.summary,
            "hint": self.hint,
            "log_path": str(self.log_path) if self.log_path else None,
            "details": self.details,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `to_json` wrote of an error of this type."""
        return cls(data["summary"], **_told(data))


class DockerbinWarning(UserWarning):
    """Something that this session does without, such as a cache folder that can't be used."""


class SettingsError(DockerbinError):
    """A setting that can't be understood; raised before anything is built."""

    @classmethod
    def unknown(
        cls, what: str, got: str, known: Iterable[str], where: str = "", form: str = ""
    ) -> Self:
        """Say that ``got`` is not among ``known``, with the closest match or else the ``form``."""
        names = sorted(map(str, known))  # a StrEnum's members too
        close = get_close_matches(got.lower(), names, n=1, cutoff=0.5)
        expected = f"expected {form}" if form else f"known: {', '.join(names) or 'none'}"
        if close:
            expected = f"did you mean {close[0]!r}?"
        return cls(f"{_at(where)}unknown {what} {got!r}; {expected}")

    @classmethod
    def wrong_value(cls, name: str, got: object, expected: str, where: str = "") -> Self:
        """Say that a setting's value has the wrong type or form."""
        return cls(f"{_at(where)}{name}={got!r}: expected {expected}")

    @classmethod
    def hidden_value(cls, name: str, expected: str, where: str) -> Self:
        """Say what a setting must be, and nothing of what was given."""
        return cls(f"{where}: {name}: expected {expected}; what was given is not shown")


def _at(where: str) -> str:
    return f"{where}: " if where else ""


class UnavailableError(DockerbinError):
    """Something that the machine lacks; ``--dockerbin-missing`` decides between skip and fail."""


class EngineError(UnavailableError):
    """The docker command, its buildx plugin or the Docker daemon is missing or not answering."""

    @classmethod
    def no_docker(cls) -> Self:
        """There is no ``docker`` command on PATH."""
        return cls(
            "the docker command is not on PATH",
            hint="install Docker Engine with buildx (https://docs.docker.com/engine/install/)",
        )

    @classmethod
    def no_buildx(cls, said: str) -> Self:
        """The docker command has no buildx plugin."""
        return cls(
            f"docker has no buildx plugin ({said})",
            hint="install it: apt-get install docker-buildx-plugin (Docker's packages) "
            "or docker-buildx (Debian's)",
        )

    @classmethod
    def no_daemon(cls, said: str) -> Self:
        """No Docker daemon answers on the address that the docker command uses."""
        return cls(
            f"the Docker daemon does not answer ({said})",
            hint="start it: systemctl start docker, or open Docker Desktop; "
            "`docker context ls` shows which address is used",
        )

    @classmethod
    def no_image(cls, image: str, platform: str, said: str) -> Self:
        """The Docker Engine has no such image for the platform, and gets none."""
        return cls(
            f"the Docker Engine has no image {image!r} for {platform}, and can't pull it: {said}",
            hint=f"put it there: docker pull --platform={platform} {image}, or docker image load",
        )

    @classmethod
    def refused(cls, said: str) -> Self:
        """The Docker Engine did not do what a container needs."""
        return cls(f"the Docker Engine refused: {said}")

    @classmethod
    def no_builder(cls, name: str, said: str) -> Self:
        """Buildx knows no builder of that name, or can't say what it is."""
        return cls(
            f"the builder {name!r} can't be used ({said})",
            hint="`docker buildx ls` lists the builders; `docker buildx use NAME` chooses one",
        )

    @classmethod
    def lost_builder(cls, name: str, said: str) -> Self:
        """A builder whose machine or engine can't be reached."""
        return cls(
            f"the builder {name!r} does not answer ({said})",
            hint=f"see that its machine and its engine are up: docker buildx inspect {name}",
        )

    @classmethod
    def idle_builder(cls, name: str, said: str) -> Self:
        """A builder that is not running."""
        return cls(
            f"the builder {name!r} lists no platforms ({said})",
            hint=f"start it: docker buildx inspect --bootstrap {name}",
        )


class EmulatorError(UnavailableError):
    """No way to execute programs of a platform, on this host or in the builder."""

    @classmethod
    def on_host(cls, platform: str, architecture: str, said: str) -> Self:
        """This host can't execute a program of that platform."""
        return cls(
            f"{platform} programs can't be run on this host: {said}",
            hint=_install_emulator(architecture),
        )

    @classmethod
    def of_system(cls, platform: str, system: str) -> Self:
        """Nothing that is tried here runs programs of that operating system."""
        example = ", such as wine" if system == "windows" else ""
        return cls(
            f"{platform} programs can't be run on this host: no runner here is for {system}",
            hint=f"name a program that runs them: --dockerbin-runner={platform}=COMMAND{example}; "
            "to inspect them, the fixture dockerbin needs none",
        )

    @classmethod
    def of_runner(cls, platform: str, runner: str, said: str) -> Self:
        """The runner that was asked for does not run programs of that platform."""
        return cls(
            f"{platform} programs can't be run by the runner {runner!r}: {said}",
            hint=f"--dockerbin-runner={platform}=auto tries all that this machine has in turn",
        )

    @classmethod
    def of_processor(cls, platform: str, model: str | None, said: str, *, newer: bool) -> Self:
        """Nothing here is a processor of that level, or such a CPU model."""
        hint = "install QEMU for its CPU models: apt-get install qemu-user-static"
        if newer:
            hint += f"; --dockerbin-runner={platform}=native takes this newer processor"
        what = f"the CPU model {model!r}" if model else "a processor of that level"
        return cls(f"{platform} programs can't be run on {what} here: {said}", hint=hint)

    @classmethod
    def by_choice(cls, platform: str) -> Self:
        """The user wants none of that platform's programs run."""
        return cls(f"{platform} programs are not run here: their runner is 'none'")

    @classmethod
    def on_noexec(cls, platform: str, mount: Path) -> Self:
        """Nothing can be executed where results are kept."""
        return cls(
            f"{platform} programs can't be run: {str(mount)!r} is mounted noexec",
            hint="name another folder: --dockerbin-cache-dir=DIR",
        )

    @classmethod
    def in_builder(cls, platform: str, architecture: str, step: str, log_path: Path | None) -> Self:
        """The builder has no emulator for a RUN step of that platform."""
        return cls(
            f"the builder can't run {platform} steps: exec format error in {step}",
            hint=_install_emulator(architecture),
            log_path=log_path,
        )


class NotPrebuiltError(UnavailableError):
    """Something is built nowhere: with ``--dockerbin-prebuilt``, and it is not there either."""

    @classmethod
    def of_platform(cls, platform: str, folder: Path, there: Iterable[object]) -> Self:
        """Nothing was built for that platform."""
        return cls(
            f"the prebuilt folder {str(folder)!r} has nothing for {platform}; "
            f"it has {', '.join(map(str, there)) or 'no platform'}",
            hint="--dockerbin-platforms=LIST chooses among these",
        )

    @classmethod
    def of_build(cls, build: str, platform: str, folder: Path, there: Iterable[str]) -> Self:
        """There are other builds for that platform, and not this one."""
        return cls(
            f"the prebuilt folder {str(folder)!r} has no build {build!r} for {platform}; "
            f"it has {', '.join(there)}",
            hint="write the folder anew with --dockerbin-output=DIR and the same tests",
        )

    @classmethod
    def of_one(cls, there: str, asked: Iterable[str], folder: Path) -> Self:
        """There is one build, and the tests ask for several that it could be."""
        return cls(
            f"the prebuilt folder {str(folder)!r} has one build, {there}, where the tests ask for "
            f"several: {', '.join(asked)}",
            hint="write the folder anew with --dockerbin-output=DIR and the same tests",
        )

    @classmethod
    def of_bake(cls, target: str, file: str, folder: Path) -> Self:
        """Nothing was written of that target or group of a bake file."""
        return cls(
            f"the prebuilt folder {str(folder)!r} has nothing of {file}'s {target!r}",
            hint="write the folder anew with --dockerbin-output=DIR and the same tests",
        )

    @classmethod
    def by_call(cls) -> Self:
        """A test calls ``dockerbin_build``."""
        return cls("dockerbin_build builds, and with --dockerbin-prebuilt nothing is built")

    @classmethod
    def again(cls) -> Self:
        """A test compares an export with a second build of it."""
        return cls("assert_reproducible builds, and with --dockerbin-prebuilt nothing is built")

    @classmethod
    def of_sysroot(cls, platform: str, program: str) -> Self:
        """A dynamic program is to run with libraries that only a build can copy."""
        return cls(
            f"sysroot_target: the loader and libraries of {program!r} for {platform} are copied by "
            f"a build, and with --dockerbin-prebuilt nothing is built",
            hint="link the program statically, or test it where it is built",
        )


class SecretError(UnavailableError):
    """A secret of a build has no value on this machine."""

    @classmethod
    def missing(cls, name: str, why: str) -> Self:
        """The secret ``name`` has no value."""
        return cls(
            f"the secret {name!r} is missing: {why}",
            hint="where it can't be had, as on the CI of a fork: --dockerbin-missing=skip",
        )

    @classmethod
    def no_agent(cls, name: str, why: str) -> Self:
        """The ssh agent or key for the id ``name`` is not there."""
        return cls(
            f"the ssh agent for {name!r} is missing: {why}",
            hint="start one with `ssh-agent` and `ssh-add`, or name a key: ssh={'default': PATH}",
        )


def _install_emulator(architecture: str) -> str:
    return (
        f"install its emulator: docker run --privileged --rm tonistiigi/binfmt "
        f"--install {architecture}, or apt-get install qemu-user-static"
    )


class BuildError(DockerbinError):
    """A build that failed; its summary names Dockerfile line and step where BuildKit did.

    Attributes:
        place: the Dockerfile's name and the line that failed, or None.
        steps: how far it came.
        started: when it began, in seconds since the epoch; 0 if it did not.
        ref: buildx's reference of it, or None.
    """

    def __init__(
        self,
        summary: str,
        *,
        hint: str | None = None,
        log_path: Path | None = None,
        details: str = "",
        place: tuple[str, int] | None = None,
        steps: tuple[StepRecord, ...] = (),
        started: float = 0.0,
        ref: str | None = None,
    ) -> None:
        super().__init__(summary, hint=hint, log_path=log_path, details=details)
        self.place = place
        self.steps = steps
        self.started = started
        self.ref = ref

    def to_json(self) -> dict[str, Any]:
        """Return the error as JSON values, for `error_from_json`."""
        steps = [asdict(step) for step in self.steps]
        place = list(self.place) if self.place else None
        told = {"place": place, "steps": steps, "started": self.started, "ref": self.ref}
        return {**super().to_json(), **told}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `to_json` wrote of an error of this type."""
        file, line = data["place"] or (None, None)
        place = (str(file), int(line)) if line else None
        steps = tuple(StepRecord(**step) for step in data["steps"])
        told = {**_told(data), "started": data["started"], "ref": data["ref"]}
        return cls(data["summary"], **told, place=place, steps=steps)


class BuildTimeoutError(BuildError):
    """A build that took longer than ``build_timeout`` or was silent for too long."""

    @classmethod
    def while_waiting(cls, what: str, holder: str, seconds: float) -> Self:
        """Another process was to make ``what`` and takes longer than a build may."""
        return cls(
            f"{what}: given up after {seconds:.0f} s of waiting for {holder}",
            hint="end that process, or allow builds more time: --dockerbin-build-timeout=S",
        )


class DaemonLostError(BuildError):
    """The connection to the daemon broke during a build, and again when it was tried once more."""

    @classmethod
    def twice(cls, platform: str, said: str, log_path: Path | None) -> Self:
        """The build for ``platform`` lost its daemon two times."""
        return cls(
            f"the Docker daemon was lost during the build for {platform}, twice: {said}",
            hint="the daemon's own log says why: journalctl -u docker",
            log_path=log_path,
        )


class StoppedError(DockerbinError):
    """Something was given up because the session is being stopped."""

    @classmethod
    def while_building(cls, platform: str) -> Self:
        """The build for ``platform`` was ended."""
        return cls(f"the build for {platform} was ended: the session is being stopped")

    @classmethod
    def while_waiting(cls, what: str) -> Self:
        """Nobody waits for ``what`` any more."""
        return cls(f"{what}: no longer waited for: the session is being stopped")


class ArtifactError(DockerbinError):
    """An export that is empty, unsafe or holds something that can't be used."""

    @classmethod
    def unsafe(cls, platform: str, name: str, why: str, hint: str | None = None) -> Self:
        """An exported file that must not be used, or opened."""
        return cls(f"the export for {platform} can't be used: {name!r} {why}", hint=hint)

    @classmethod
    def too_much(cls, platform: str, what: str) -> Self:
        """More was exported than the caps allow."""
        return cls(
            f"the export for {platform} is too large: {what}",
            hint="export only the binaries: FROM scratch + COPY --from=...",
        )

    @classmethod
    def no_image(cls, archive: Path, why: str) -> Self:
        """An export that can't be loaded into an engine."""
        return cls(
            f"the engine finds no image in {archive.name}: {why}",
            hint="export one with exporter='oci' or exporter='docker'",
        )

    @classmethod
    def refused(cls, platform: str, why: str) -> Self:
        """A hook that verifies artifacts has something against it."""
        first, _, rest = why.strip().partition("\n")
        return cls(f"the export for {platform} can't be used: {first or 'refused'}", details=rest)

    @classmethod
    def not_as_written(cls, folder: Path, name: str, why: str, platform: str = "") -> Self:
        """A prebuilt folder that is not what was tested when it was written."""
        tests = f" for {platform}" if platform else ""
        return cls(
            f"the prebuilt folder {str(folder)!r} can't be used{tests}: {name!r} {why}",
            hint="copy it again from where it was written",
        )

    @classmethod
    def no_loader_in_stage(cls, platform: str, loader: str, stage: str) -> Self:
        """The stage that ``sysroot_target`` names can't run what was built."""
        return cls(
            f"sysroot_target: stage {stage!r} has no {loader}, which the program for {platform} "
            f"needs",
            hint="name a stage of the image that the program is made for: its runtime image",
        )

    @classmethod
    def no_library_in_stage(cls, platform: str, names: Iterable[str], stage: str) -> Self:
        """The stage that ``sysroot_target`` names lacks libraries of what was built."""
        return cls(
            f"sysroot_target: stage {stage!r} has no {', '.join(names)}, which the program for "
            f"{platform} needs",
            hint="install it in that stage, or export it beside the program",
        )

    @classmethod
    def not_executable(cls, platform: str, name: str, mode: int, exported: Iterable[str]) -> Self:
        """A program was exported without the x bit."""
        return cls(
            f"the export for {platform} has a program that is not executable: {name!r} has mode "
            f"{mode:o}",
            hint=f"COPY --chmod=755, or RUN chmod +x {name}",
            details=_listed(exported),
        )

    @classmethod
    def no_program(cls, platform: str, exported: Iterable[str]) -> Self:
        """Nothing that was exported is a program, and no script was named."""
        return cls(
            f"the export for {platform} holds no program",
            hint="the last stage must hold one: COPY --from=...; a script has to be named: "
            '@pytest.mark.dockerbin(binary="..."), or ini dockerbin_binary',
            details=_listed(exported),
        )

    @classmethod
    def no_binary(cls, platform: str, wanted: str | None, exported: Iterable[str]) -> Self:
        """The one executable could not be told."""
        if wanted is None:
            summary = f"the export for {platform} does not hold exactly one executable"
            hint = (
                'name it: @pytest.mark.dockerbin(binary="..."), the same keyword of '
                "pytest_dockerbin.fixture, or ini dockerbin_binary"
            )
        else:
            summary = f"the export for {platform} has no executable {wanted!r}"
            hint = "names are paths inside the export, without a leading slash"
        return cls(summary, hint=hint, details=_listed(exported))

    @classmethod
    def not_inspectable(cls, platform: str, path: Path, why: str) -> Self:
        """A program whose file tells nothing, or not the whole."""
        return cls(f"{path.name} for {platform} can't be inspected: {why}", details=f"  in {path}")


def _listed(exported: Iterable[str]) -> str:
    return "\n".join(["exported:", *(f"  {line}" for line in exported)])


class EmptyExportError(ArtifactError):
    """A build that succeeded and exported no file."""

    @classmethod
    def of_build(cls, platform: str) -> Self:
        """The build for ``platform`` exported nothing."""
        return cls(
            f"the build for {platform} exported nothing",
            hint="the last stage (or the stage named by target) must hold the files: "
            "FROM scratch + COPY --from=...",
        )


class WrongPlatformError(ArtifactError):
    """An exported executable is not for the platform that was asked for."""

    @classmethod
    def of_file(cls, platform: str, name: str, found: str, expected: str) -> Self:
        """``name`` is ``found`` where ``expected`` was asked for."""
        return cls(
            f"{name!r}, exported for {platform}, is {found}; expected {expected}",
            hint="the usual cause is a stage that ignores TARGETARCH: a fixed GOARCH or --target, "
            "ARG TARGETARCH with a default, or FROM --platform=... without cross compiling",
        )


class CacheMissError(DockerbinError):
    """Nothing may be built, and nothing is stored for these inputs."""

    @classmethod
    def of_build(cls, label: str, platform: str, key: str) -> Self:
        """Nothing is stored for the build ``label`` for ``platform``."""
        return cls(
            f"--dockerbin-cache=only: no stored result of {label} for {platform}: key {key}",
            hint="run once with --dockerbin-cache=reuse, with the same inputs and settings",
        )

    @classmethod
    def of_fresh(cls, label: str, platform: str, settings: Iterable[str]) -> Self:
        """The ``settings`` ask for a new build each time, so that nothing stored ever serves."""
        said = " and ".join(settings)
        return cls(
            f"--dockerbin-cache=only never builds; with {said}, {label} for {platform} is always "
            "built",
            hint=f"leave out {said}, or let it be built: --dockerbin-cache=reuse",
        )

    @classmethod
    def again(cls) -> Self:
        """A test compares an export with a second build of it."""
        return cls(
            "assert_reproducible builds, and --dockerbin-cache=only never does",
            hint="let it build: --dockerbin-cache=reuse",
        )

    @classmethod
    def without_digest(cls, label: str, platform: str) -> Self:
        """Results of that build are never stored."""
        return cls(
            f"--dockerbin-cache=only: no result of {label} for {platform} is ever stored: a remote "
            f"context, or a file that can't be read, has no digest",
            hint="build it: --dockerbin-cache=session",
        )

    @classmethod
    def without_store(cls, label: str, platform: str, problem: StoreError) -> Self:
        """Nothing is stored, since the cache folder can't be used."""
        return cls(
            f"--dockerbin-cache=only: no stored result of {label} for {platform}: "
            f"{problem.summary}",
            hint=problem.hint,
        )


class StoreError(DockerbinError):
    """The cache folder can't be used."""

    @classmethod
    def while_exporting(cls, platform: str, error: OSError, folder: Path) -> Self:
        """The system refused a file operation on an export."""
        free = shutil.disk_usage(folder).free // 1024**2
        place = Path(str(error.filename or folder))
        inside = "" if place.is_absolute() else f" in {str(folder)!r}"  # opened by its name alone
        return cls(
            f"the export for {platform} can't be written: {error.strerror or error}, "
            f"{str(place)!r}{inside} ({free} MiB free)",
            hint=_MAKE_SPACE,
        )

    @classmethod
    def no_watchdog(cls, error: OSError) -> Self:
        """The process that ends what a killed session leaves could not be started."""
        return cls(
            "the process that ends the builds of a killed session can't be started: "
            f"{error.strerror or error}, {error.filename!r}",
            hint="the system refused it: it may be out of processes or memory; try again",
        )

    @classmethod
    def full_disk(cls, platform: str, folder: Path, free: int) -> Self:
        """The disk of ``folder`` has only ``free`` bytes left while something is exported to it."""
        return cls(
            f"the export for {platform} was ended: {_left(folder, free)}",
            hint=_MAKE_SPACE,
        )


_MAKE_SPACE = "free space there, or name another folder: --dockerbin-cache-dir=DIR"


def advice_for_full_disk(folder: Path, free: int) -> str:
    """Return the hint for a build whose export failed with ``free`` bytes left on its disk."""
    return f"{_left(folder, free)}: {_MAKE_SPACE}"


def _left(folder: Path, free: int) -> str:
    return f"only {free // 1024**2} MiB are left on the disk of {str(folder)!r}"


class UntrustedStoreError(StoreError):
    """The cache folder's files could be somebody else's: nothing in it is read."""


class HookError(DockerbinError):
    """A hook failed, as its author did not expect; ``details`` has the traceback."""

    @classmethod
    def of(cls, name: str, error: Exception, traceback: str) -> Self:
        """The hook ``name`` raised ``error``."""
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        return cls(f"the hook {name} failed: {said}", details=traceback.rstrip())


class RunError(DockerbinError):
    """A program of ``run(check=True)`` did not end with exit code 0."""


_TREE: dict[str, type[DockerbinError]] = {
    cls.__name__: cls
    for cls in (
        DockerbinError,
        SettingsError,
        UnavailableError,
        EngineError,
        EmulatorError,
        NotPrebuiltError,
        SecretError,
        BuildError,
        DaemonLostError,
        BuildTimeoutError,
        StoppedError,
        CacheMissError,
        ArtifactError,
        EmptyExportError,
        WrongPlatformError,
        StoreError,
        UntrustedStoreError,
        HookError,
        RunError,
    )
}


def error_from_json(data: dict[str, Any]) -> DockerbinError:
    """Return the error that `DockerbinError.to_json` wrote."""
    return _TREE[data["error"]].from_json(data)


def _told(data: dict[str, Any]) -> dict[str, Any]:
    log_path = Path(data["log_path"]) if data["log_path"] else None
    return {"hint": data["hint"], "log_path": log_path, "details": data["details"]}
