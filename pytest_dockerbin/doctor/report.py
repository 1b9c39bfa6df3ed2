"""Shows an examination: to people as tables, to programs as JSON."""

from __future__ import annotations

import textwrap
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.tables import plain, size_text, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_dockerbin.doctor.examination import Ability, Examination
    from pytest_dockerbin.doctor.findings import Finding
    from pytest_dockerbin.errors import DockerbinError
    from pytest_dockerbin.runners.binfmt import Handler

_MARGIN = 9  # signs before the facts: the longest word there is "builder"


def as_json(examination: Examination, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the object that ``--json`` prints; docs/reference/commands.md describes it."""
    docker, cache = examination.docker, examination.cache
    return {
        "ok": examination.ok,
        "host": {
            "platform": str(examination.host.platform),
            "cpu_level": examination.host.cpu_level,
            "page_size": examination.host.page_size,
        },
        "docker": {
            "command": docker.docker.command,
            "version": docker.docker.version,
            "buildx": docker.docker.buildx,
        },
        "engine": {
            "context": docker.engine.context,
            "address": docker.engine.address,
            "version": docker.engine.version,
            "api": docker.engine.api,
            "platform": docker.engine.platform,
            "image_store": docker.engine.image_store,
        },
        "builder": {
            "name": docker.builder.name,
            "driver": docker.builder.driver,
            "platforms": [str(platform) for platform in docker.builder.platforms],
        },
        "binfmt": {
            "enabled": examination.binfmt.enabled,
            "handlers": [_handler_json(handler) for handler in examination.binfmt.handlers],
        },
        "cache": {
            "path": str(cache.path),
            "error": _summary(cache.error),
            "noexec": cache.noexec,
            "size": cache.size,
        },
        "platforms": [_ability_json(ability) for ability in examination.platforms],
        "problems": [{"problem": finding.problem, "cure": finding.cure} for finding in findings],
    }


def _handler_json(handler: Handler) -> dict[str, Any]:
    return {
        "name": handler.name,
        "architecture": handler.architecture,
        "interpreter": handler.interpreter,
        "interpreter_exists": handler.interpreter_exists,
        "interpreter_dynamic": handler.interpreter_dynamic,
        "flags": handler.flags,
        "enabled": handler.enabled,
        "version": handler.version,
    }


def _ability_json(ability: Ability) -> dict[str, Any]:
    return {
        "platform": str(ability.platform),
        "requested": ability.requested,
        "build": ability.build,
        "build_error": _summary(ability.build_error),
        "inspect": True,
        "run": ability.run,
        "run_error": _summary(ability.run_error),
        "runner": ability.runner,
        "emulated": ability.emulated,
        "version": ability.version,
    }


def _summary(error: DockerbinError | None) -> str | None:
    return error.summary if error else None


# -- for people ------------------------------------------------------------------------------------


def as_lines(examination: Examination, findings: Sequence[Finding], *, width: int) -> list[str]:
    """Return lines of at most ``width`` signs, but for commands, which are not broken."""
    lines = [
        *_facts(examination, width),
        "",
        *table(
            ("PLATFORM", "BUILD", "INSPECT", "RUN", "RUNNER", "EMULATED"),
            [_ability_row(ability) for ability in examination.platforms],
            width=width,
        ),
        "",
        *_handler_lines(examination, width),
        "",
        *_problem_lines(findings, width),
    ]
    return [plain(line) for line in lines]


def _facts(examination: Examination, width: int) -> Iterator[str]:
    host, inventory, cache = examination.host, examination.docker, examination.cache
    docker, engine, builder = inventory.docker, inventory.engine, inventory.builder
    level = f"x86-64-{host.cpu_level}" if host.cpu_level else ""
    store = f"{engine.image_store} image store" if engine.image_store else ""
    context = f"context {engine.context}" if engine.context else ""
    builds = f"builds {' '.join(map(str, builder.platforms))}" if builder.platforms else ""
    state = "not usable" if cache.error else "mounted noexec" if cache.noexec else "usable"
    for name, *facts in (
        ("host", str(host.platform), level, f"pages of {host.page_size // 1024} KiB"),
        ("docker", docker.command and (docker.version or "no version"), docker.command),
        ("buildx", docker.buildx),
        (
            "engine",
            engine.version or ("no answer" if docker.command else "unknown"),
            engine.api and f"API {engine.api}",
            engine.platform,
            store,
            engine.address,
            context,
        ),
        (
            "builder",
            builder.name or "unknown",
            builder.driver and f"driver {builder.driver}",
            builds,
        ),
        ("cache", str(cache.path), state, f"holds {size_text(cache.size)}"),
    ):
        text = ", ".join(fact for fact in facts if fact) or "missing"
        yield from _wrapped(text, width, name.ljust(_MARGIN))


def _ability_row(ability: Ability) -> tuple[str, ...]:
    emulated = "no" if ability.emulated is False else ability.version or "yes"
    return (
        str(ability.platform),
        _yes(ability.build),
        _yes(True),
        _yes(ability.run),
        ability.runner or "-",
        emulated if ability.run else "-",
    )


def _handler_lines(examination: Examination, width: int) -> list[str]:
    binfmt = examination.binfmt
    if binfmt.enabled is None:
        return [f"no binfmt_misc at {binfmt.folder}"]
    if not binfmt.handlers:
        return [f"no handlers in {binfmt.folder}"]
    folders = {str(PurePosixPath(handler.interpreter).parent) for handler in binfmt.handlers}
    shared = f"{folders.pop()}/" if len(folders) == 1 else ""
    lines = table(
        ("HANDLER", "FOR", "ENABLED", "FLAGS", "VERSION", "INTERPRETER"),
        [_handler_row(handler, shared) for handler in binfmt.handlers],
        width=width,
    )
    return [*lines, f"interpreters in {shared}"] if shared else lines


def _handler_row(handler: Handler, folder: str) -> tuple[str, ...]:
    """Return a row; ``folder``, where all interpreters lie, is left out of it."""
    missing = "" if handler.interpreter_exists else " (not there)"
    return (
        handler.name,
        handler.architecture or "-",
        _yes(handler.enabled),
        handler.flags or "-",
        handler.version or "-",
        f"{handler.interpreter.removeprefix(folder)}{missing}",
    )


def _problem_lines(findings: Sequence[Finding], width: int) -> Iterator[str]:
    if not findings:
        yield "no problems"
        return
    yield f"{len(findings)} problem{'s' if len(findings) > 1 else ''}:"
    for finding in findings:
        yield from _wrapped(finding.problem, width, "- ")
        if finding.cure:
            yield f"  cure: {finding.cure}"


def _wrapped(text: str, width: int, before: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=before,
        subsequent_indent=" " * len(before),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _yes(true: bool) -> str:
    return "yes" if true else "no"
