"""Says what is wrong on a machine, and the command that cures it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_dockerbin.errors import EmulatorError
from pytest_dockerbin.frozen import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_dockerbin.doctor.examination import Ability, Examination
    from pytest_dockerbin.errors import DockerbinError
    from pytest_dockerbin.runners.binfmt import Handler

_INSTALLER = "docker run --privileged --rm tonistiigi/binfmt --install"
_PACKAGE = "apt-get install qemu-user-static"

# stand in a sentence for those of all platforms that share it
_PLATFORMS, _ARCHITECTURES = "\0platforms", "\0architectures"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        problem: what it is, in one line.
        cure: what to do about it, the command where there is one; None where nothing helps.
    """

    problem: str
    cure: str | None


def find(examination: Examination) -> list[Finding]:
    """Return what is wrong, that which hinders most first."""
    found = [
        *(Finding(error.summary, error.hint) for error in examination.docker.errors),
        *_of_cache(examination),
        *_of_binfmt(examination),
        *_of_runs(examination),
        *_of_builds(examination),
    ]
    return list(dict.fromkeys(found))


def _of_cache(examination: Examination) -> Iterator[Finding]:
    error = examination.cache.error
    if error:
        yield Finding(error.summary, error.hint)


# -- what can't be run or built --------------------------------------------------------------------


def _of_runs(examination: Examination) -> Iterator[Finding]:
    """One finding for all platforms whose programs don't run for the same reason.

    Levels of the host's own processor need QEMU too; nobody lacks them who did not ask for them.
    """
    own = examination.host.platform.architecture
    groups: dict[tuple[str, str | None], list[Ability]] = defaultdict(list)
    for ability in examination.platforms:
        if ability.run_error and (ability.requested or ability.platform.architecture != own):
            cure = _cure_of_run(ability.run_error, ability, examination)
            problem = ability.run_error.summary.replace(str(ability.platform), _PLATFORMS)
            if cure and _ARCHITECTURES in cure:  # each has tried an emulator of another name
                problem = f"{_PLATFORMS} programs can't be run on this host"
            groups[problem, cure].append(ability)
    for (problem, cure), abilities in groups.items():
        platforms, architectures = _named(abilities)
        only = abilities[0].run_error if len(abilities) == 1 else None
        yield Finding(
            only.summary if only else problem.replace(_PLATFORMS, platforms),
            cure.replace(_ARCHITECTURES, architectures) if cure else None,
        )


def _cure_of_run(error: DockerbinError, ability: Ability, examination: Examination) -> str | None:
    """Return what lets programs of a platform run, with a mark where architectures are named."""
    architecture = ability.platform.architecture
    if ability.platform.os != "linux":
        return None
    switch_on = _switch_on(ability, examination)
    if switch_on:
        return switch_on
    if error.hint is None:
        return None
    return error.hint.replace(f"--install {architecture},", f"--install {_ARCHITECTURES},")


def _switch_on(ability: Ability, examination: Examination) -> str | None:
    """Return the cure where a platform's emulator is registered and switched off."""
    sleeping = [
        _write(1, handler, examination)
        for handler in examination.binfmt.handlers
        if handler.architecture == ability.platform.architecture and not handler.enabled
    ]
    return f"switch its emulator on: {' && '.join(sleeping)}" if sleeping else None


def _of_builds(examination: Examination) -> Iterator[Finding]:
    """What fails in the builder, but for emulators that are missing here too: that is told."""
    builder = examination.docker.builder.name
    without_emulator = []
    for ability in examination.platforms:
        error, switch_on = ability.build_error, _switch_on(ability, examination)
        if error is None or (isinstance(error, EmulatorError) and not ability.run):
            continue
        if isinstance(error, EmulatorError) and not switch_on:
            without_emulator.append(ability)
        else:
            yield Finding(error.summary, switch_on or error.hint)
    if without_emulator:
        platforms, architectures = _named(without_emulator)
        yield Finding(
            f"the builder {builder!r} can't run {platforms} steps, although this host runs such "
            "programs",
            f"install the emulator where the builder runs: {_INSTALLER} {architectures}; "
            f"a builder that was started before sees it after: docker buildx stop {builder}",
        )


def _named(abilities: Iterable[Ability]) -> tuple[str, str]:
    """Return the platforms, and the architectures as the binfmt installer takes them."""
    platforms = [ability.platform for ability in abilities]
    architectures = dict.fromkeys(platform.architecture for platform in platforms)
    return ", ".join(map(str, platforms)), ",".join(architectures)


# -- handlers --------------------------------------------------------------------------------------


def _of_binfmt(examination: Examination) -> Iterator[Finding]:
    binfmt = examination.binfmt
    if binfmt.enabled is False:
        yield Finding(
            "binfmt_misc is switched off: the kernel starts no emulator",
            f"echo 1 > {binfmt.folder / 'status'}",
        )
    emulators = [handler for handler in binfmt.handlers if handler.enabled and handler.architecture]
    without_f = [handler for handler in emulators if "F" not in handler.flags]
    if without_f:
        unregister = " && ".join(_write(-1, handler, examination) for handler in without_f)
        architectures = ",".join(dict.fromkeys(str(h.architecture) for h in without_f))
        yield Finding(
            f"containers can't use {_handlers(without_f)}: without the flag F the interpreter "
            "is looked for in the container",
            f"register again: {_PACKAGE}, or {unregister} && {_INSTALLER} {architectures}",
        )
    dynamic = [h for h in emulators if "F" in h.flags and h.interpreter_dynamic]
    if dynamic:
        yield Finding(
            f"containers can't use {_handlers(dynamic)}: the interpreter is linked dynamically, "
            "and its libraries are looked for in the container",
            f"install a static one: {_PACKAGE}",
        )
    without_p = [
        h for h in emulators if "P" not in h.flags and (h.version or "").startswith("QEMU")
    ]
    if without_p:
        yield Finding(
            f"under {_handlers(without_p)} programs are not told the name by which they are "
            "called: without the flag P those that go by it, such as busybox, fail",
            f"register again: {_PACKAGE}",
        )
    yield from _shadowed(emulators, examination)
    for handler in without_f:
        if not handler.interpreter_exists:
            yield Finding(
                f"{_handlers([handler])} starts {handler.interpreter!r}, which is not there",
                f"install it: {_PACKAGE}, or unregister it: {_write(-1, handler, examination)}",
            )


def _shadowed(emulators: list[Handler], examination: Examination) -> Iterator[Finding]:
    """The kernel starts the handler that was registered last, and shows nobody which that is."""
    by_architecture = defaultdict(list)
    for handler in emulators:
        by_architecture[handler.architecture].append(handler)
    for architecture, several in by_architecture.items():
        if len(several) > 1:
            yield Finding(
                f"{_handlers(several)} are all for {architecture}: the kernel starts the one that "
                "was registered last",
                f"unregister those that you do not mean: {_write(-1, several[0], examination)}",
            )


def _handlers(handlers: list[Handler]) -> str:
    names = ", ".join(handler.name for handler in handlers)
    return f"the handler{'s' if len(handlers) > 1 else ''} {names}"


def _write(number: int, handler: Handler, examination: Examination) -> str:
    """Return the command that switches a handler on (1) or takes it away (-1)."""
    return f"echo {number} > {examination.binfmt.folder / handler.name}"
