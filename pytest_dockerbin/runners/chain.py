"""Decides what runs a platform's programs: ways are tried in turn, each proved by running one.

A program's own processor, the emulator that the kernel's ``binfmt_misc`` starts, QEMU started by
name, and a container of a Docker Engine. Tables of registered emulators are not asked: a handler
may be there and not be seen, be seen and not work, and be shadowed by another (Linux documentation,
"Kernel Support for miscellaneous Binary Formats").
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pytest_dockerbin.engine import EMPTY
from pytest_dockerbin.errors import EmulatorError, EngineError, SettingsError
from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runner_spec import Way
from pytest_dockerbin.runners.containers import Place, client_environment
from pytest_dockerbin.runners.mounts import is_noexec, mount_of
from pytest_dockerbin.runners.proof import (
    ProofError,
    emulator_of,
    output_of,
    prove,
    qemu_version,
    write_tiny,
)
from pytest_dockerbin.runners.qemu import (
    default_models,
    emulators,
    find_emulator,
    known_models,
    level_of,
    models_listed_by,
    prefix_variables,
    prefix_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dockerbin.runner_spec import RunnerSpec
    from pytest_dockerbin.runners.containers import Container, Containers


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What runs a platform's programs, as JSON values for all processes of a session.

    Attributes:
        name: what `RunResult.runner` says.
        emulated: whether instructions of another processor are emulated.
        prefix: words before the program; for a container, those of the docker command.
        variables: environment for the program's process.
        argv0: the option of ``prefix`` for the name by which the program is called.
        version: of the emulator, such as ``QEMU 7.2.22``; empty where that is not known.
        cpu: the CPU model that was asked for, as people call it; empty where none was.
        image: the container's image; empty where the program runs on this host.
        context: the docker context of the container's engine; empty for docker's own.
    """

    name: str
    emulated: bool = False
    prefix: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    argv0: str = ""
    version: str = ""
    cpu: str = ""
    image: str = ""
    context: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        pairs = tuple((name, value) for name, value in data["variables"])
        return cls(**{**data, "prefix": tuple(data["prefix"]), "variables": pairs})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """What is to be decided.

    Attributes:
        platform: whose programs.
        tiny: a tiny program of it.
        spec: what the user said of runners.
        model: the CPU model that a test asks for.
        containers: where containers are taken from.
    """

    platform: Platform
    tiny: str
    spec: RunnerSpec
    model: str | None
    containers: Containers

    @property
    def own(self) -> bool:
        """Whether this host's processor may execute such programs: its architecture is theirs."""
        return self.is_of(Platform.host())

    def is_of(self, machine: Platform) -> bool:
        """Tell whether the processor of a machine may execute such programs."""
        runs = {"386": ("386", "amd64"), "arm": ("arm", "arm64")}
        architecture = self.platform.architecture
        return machine.architecture in runs.get(architecture, (architecture,))

    @property
    def models(self) -> tuple[str | None, ...]:
        """CPU models to try; None is the emulator's own default."""
        level = level_of(self.platform)
        if self.model:
            return (self.model,)
        return (level.model,) if level else default_models(self.platform)

    @property
    def cpu(self) -> str:
        """What people call the CPU model."""
        level = level_of(self.platform)
        return self.model or (level.name if level else "")


def decide(
    spec: RunnerSpec,
    platform: Platform,
    folder: Path,
    *,
    containers: Containers,
    model: str | None = None,
) -> Decision:
    """Return what runs programs of ``platform``.

    Args:
        spec: what the user said of it.
        platform: whose programs.
        folder: where a tiny program may be written.
        containers: where containers are taken from.
        model: a CPU model of QEMU's to run them on.

    Raises:
        EmulatorError: nothing does; the message says what was tried, and how it went.
        EngineError: a container was asked for, and there is no engine, or no such image.
        SettingsError: QEMU has no such CPU model; docker has no such context.
    """
    if spec.way is Way.NONE:
        raise EmulatorError.by_choice(str(platform))
    tiny = write_tiny(platform, folder)
    if tiny is None:
        return _unproved(spec, platform)
    case = _Case(platform=platform, tiny=str(tiny), spec=spec, model=model, containers=containers)
    ways = _auto(case) if spec.way is Way.AUTO else (spec.way,)
    failures = {}
    for way in ways:
        try:
            return _DECIDERS[way](case)
        except ProofError as error:
            failures[way] = str(error)
    raise _nothing_runs(case, failures, tiny)


def _unproved(spec: RunnerSpec, platform: Platform) -> Decision:
    """Take the user's command for what has no tiny program, such as ``wine``: as it is.

    Raises:
        EmulatorError: it is not here; or there is none, and nothing else knows of such programs.
    """
    if spec.way is not Way.COMMAND:
        raise EmulatorError.of_system(str(platform), platform.os)
    try:
        program = _found(spec)
    except ProofError as error:
        raise EmulatorError.of_runner(str(platform), str(spec), str(error)) from None
    return Decision(
        name=Path(program).name,
        emulated=platform.architecture != Platform.host().architecture,
        prefix=(program, *spec.words[1:]),
    )


def _nothing_runs(case: _Case, failures: dict[Way, str], tiny: Path) -> EmulatorError:
    platform, model = case.platform, case.model
    said = "; ".join(f"{way}: {why}" for way, why in failures.items())
    if is_noexec(tiny):
        return EmulatorError.on_noexec(str(platform), mount_of(tiny))
    if case.spec.way is not Way.AUTO:
        return EmulatorError.of_runner(str(platform), str(case.spec), failures[case.spec.way])
    if model or (case.own and platform.variant and not platform.native):
        newer = platform.fits_host and not model
        return EmulatorError.of_processor(str(platform), model, said, newer=newer)
    return EmulatorError.on_host(str(platform), platform.architecture, said)


def _auto(case: _Case) -> tuple[Way, ...]:
    """Return the ways to try, best first.

    Never QEMU by name for what this processor should run itself: a test of native programs that is
    ten times slower for some reason is better told the reason.
    """
    platform = case.platform
    container = (Way.CONTAINER,) if shutil.which("docker") else ()
    if platform.native and not case.model:
        # binfmt where all of this runs in an emulator; a container on macOS
        return (Way.NATIVE, Way.BINFMT, *container)
    newer = platform.fits_host or level_of(platform) is not None
    # many 64-bit ARM processors run no 32-bit programs
    native = () if case.model or not case.own or newer else (Way.NATIVE,)
    return (*native, Way.BINFMT, Way.QEMU, *container)


def _native(case: _Case) -> Decision:
    platform, host = case.platform, Platform.host()
    if case.model:
        raise ProofError(f"this host's own processor is no {case.model}")
    version = emulator_of((case.tiny,))
    if version or not case.own:
        raise ProofError(f"{version or 'an emulator'} is what runs them here")
    if platform.architecture == host.architecture and not platform.fits_host:
        level = f"{platform.architecture}/{platform.variant}"
        raise ProofError(f"this host's processor is not {level}")
    return Decision(name="native")


def _binfmt(case: _Case) -> Decision:
    version = emulator_of((case.tiny,))
    if not version and case.own:
        raise ProofError("this host's own processor runs them")
    if not version and case.cpu:
        raise ProofError("its emulator is not QEMU, which CPU models need")
    _refuse_avx512(case.platform)
    fixed = prefix_variables(case.platform.architecture) if version else {}
    models = case.models if version else (None,)
    tries: list[_Try] = [
        ((case.tiny,), {**fixed, **({"QEMU_CPU": model} if model else {})}) for model in models
    ]
    _, variables = _first_that_runs(case, tries)
    return Decision(
        name="binfmt",
        emulated=True,
        variables=tuple(variables.items()),
        version=version,
        cpu=case.cpu,
    )


def _qemu(case: _Case) -> Decision:
    architecture = case.platform.architecture
    emulator = case.spec.path or find_emulator(architecture)
    if emulator is None:
        static, other = emulators(architecture)
        raise ProofError(f"neither {static} nor {other} is on PATH")
    _refuse_avx512(case.platform)
    own = case.spec.words
    said = own[own.index("-cpu") + 1 :][:1] if "-cpu" in own and not case.model else ()
    models = (None,) if said else case.models
    base = (str(emulator), *prefix_words(), *own)
    tries: list[_Try] = [
        ((*base, *(("-cpu", model) if model else ()), case.tiny), {}) for model in models
    ]
    version = qemu_version(output_of((str(emulator), "--version")))
    command, _ = _first_that_runs(case, tries)
    return Decision(
        name="qemu",
        emulated=True,
        prefix=command[:-1],
        argv0="-0",
        version=version,
        cpu=said[0] if said else case.cpu,
    )


def _container(case: _Case) -> Decision:
    docker = shutil.which("docker")
    if docker is None:
        raise ProofError("the docker command is not on PATH")
    other = case.spec.way is Way.DOCKER
    context = case.spec.name if other else ""
    place = Place(
        docker=(docker, "--context", context) if context else (docker,),
        context=context,
        image=(not other and case.spec.name) or EMPTY,
        platform=case.platform.built_as,
    )
    try:
        with case.containers.one(place) as container:
            version, variables = _proved_in(container, case)
            own = case.is_of(container.engine.platform)
    except EngineError as error:
        if case.spec.way is not Way.AUTO:
            raise
        raise ProofError(error.summary) from None
    return Decision(
        name="docker" if other else "container",
        emulated=bool(version) or not own,
        prefix=place.docker,
        variables=tuple(variables.items()),
        version=version,
        cpu=case.cpu if version else "",
        image=place.image,
        context=context,
    )


def _proved_in(container: Container, case: _Case) -> tuple[str, dict[str, str]]:
    """Return what emulates the platform in a container, if anything does, and its variables."""
    probe = container.put_program(Path(case.tiny).name, Path(case.tiny).read_bytes())
    env = client_environment()
    asked = container.execute("--env=QEMU_VERSION=1")
    version = qemu_version(output_of((*asked, probe), env))
    if case.cpu and not version:
        raise ProofError(f"no QEMU runs them there, which is needed for the CPU {case.cpu}")
    if version:
        _refuse_avx512(case.platform)
    models = case.models if version else (None,)
    tries: list[_Try] = []
    for model in models:
        options = ("--env", "QEMU_CPU") if model else ()  # its value is the docker command's
        words = (*container.execute(*options), probe)
        tries.append((words, {**env, **({"QEMU_CPU": model} if model else {})}))
    _, found = _first_that_runs(case, tries)
    return version, {name: found[name] for name in ("QEMU_CPU",) if name in found}


def _command(case: _Case) -> Decision:
    if case.model:
        raise ProofError("a CPU model needs qemu")
    program = _found(case.spec)
    prefix = (program, *case.spec.words[1:])
    prove((*prefix, case.tiny))
    version = emulator_of((*prefix, case.tiny))
    return Decision(
        name=Path(program).name,
        emulated=bool(version) or not case.own,
        prefix=prefix,
        version=version,
    )


def _found(spec: RunnerSpec) -> str:
    program = shutil.which(spec.words[0])
    if program is None:
        raise ProofError("no such executable file")
    return program


_DECIDERS: dict[Way, Callable[[_Case], Decision]] = {
    Way.NATIVE: _native,
    Way.BINFMT: _binfmt,
    Way.QEMU: _qemu,
    Way.CONTAINER: _container,
    Way.DOCKER: _container,
    Way.COMMAND: _command,
}


def _refuse_avx512(platform: Platform) -> None:
    if (platform.architecture, platform.variant) == ("amd64", "v4"):
        raise ProofError("QEMU emulates no AVX-512")


_UNKNOWN_OPTION = re.compile(r"qemu: unknown option '.*?'")  # linux-user/main.c

_Try = tuple[tuple[str, ...], dict[str, str]]


def _first_that_runs(case: _Case, tries: list[_Try]) -> _Try:
    """Return the first command and environment with which the tiny program runs.

    Raises:
        ProofError: none of them does; how the last one failed.
        SettingsError: it failed since QEMU has no CPU model of that name, or no such option.
    """
    *others, last = tries
    for command, variables in others:
        with suppress(ProofError):
            prove(command, variables)
            return command, variables
    try:
        prove(*last)
    except ProofError as error:
        if "unable to find CPU model" in str(error):
            raise _unknown_model(case, *last) from None
        if case.spec.words and (said := _UNKNOWN_OPTION.search(str(error))):
            raise SettingsError(f"{str(case.spec)!r}: {said[0]}") from None
        raise
    return last


def _unknown_model(
    case: _Case, command: tuple[str, ...], variables: Mapping[str, str]
) -> SettingsError:
    """Say which name is closest: ``help`` in the place of a model lists all."""
    if "-cpu" in command:
        at = len(command) - command[::-1].index("-cpu")  # the last one counts
        model, listed = command[at], output_of((*command[:at], "help", case.tiny))
    else:
        model, listed = variables["QEMU_CPU"], output_of(command, {**variables, "QEMU_CPU": "help"})
    own = command[0] if "-cpu" in command else None
    form = f"one that `{models_listed_by(case.platform.architecture, own)}` lists"
    return SettingsError.unknown("CPU model", model, known_models(listed), form=form)
