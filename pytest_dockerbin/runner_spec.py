"""How the user says what runs a platform's programs: ``linux/arm64=qemu:-cpu cortex-a53``."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.platforms import Platform

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORM = (
    "auto, native, binfmt, qemu, qemu:WORDS, qemu=PATH, container, container:IMAGE, "
    "docker:CONTEXT, none or a command on PATH"
)
# commas separate where a platform and "=" follow: -cpu max,sve=off is one runner
_SEPARATOR = re.compile(r"\n|,(?=\s*[\w*]+/[\w*/.-]+=)")
# patterns too, so that they are refused and not taken for a command
_PLATFORM = re.compile(
    r"\s*(?!qemu=)([\w.*?-]+(?:/[\w.*?-]+){0,2})=(.*)", re.DOTALL | re.IGNORECASE
)


class Way(StrEnum):
    """A kind of runner."""

    AUTO = "auto"
    """The first of the others that works, but for `DOCKER`, `NONE` and `COMMAND`."""
    NATIVE = "native"
    """This host's own processor."""
    BINFMT = "binfmt"
    """The emulator that the kernel starts for the platform's programs."""
    QEMU = "qemu"
    """QEMU's user-mode emulator, started by name."""
    CONTAINER = "container"
    """A container of the engine that the docker command leads to."""
    DOCKER = "docker"
    """A container of another engine, by its docker context."""
    NONE = "none"
    """Nothing: the platform's programs are not run."""
    COMMAND = "command"
    """The user's own command, with the program and its arguments at its end."""


_BARE = (Way.AUTO, Way.NATIVE, Way.BINFMT, Way.QEMU, Way.CONTAINER, Way.NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSpec:
    """What runs the programs of a platform. Make one with `RunnerSpec.parse`.

    Attributes:
        text: as the user wrote it.
        way: which kind of runner.
        words: for ``qemu``, words of its command line; for a command, the command.
        path: for ``qemu``, the emulator's file; one found on PATH when None.
        name: for ``container``, the image, or nothing; for ``docker``, the context.
        source: where it was said, for the header; nothing where it was not.
    """

    text: str = "auto"
    way: Way = Way.AUTO
    words: tuple[str, ...] = ()
    path: Path | None = None
    name: str = ""
    source: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str, *, base: Path | None = None) -> Self:
        """Read a runner.

        Args:
            text: such as ``qemu:-cpu cortex-a53``.
            base: the folder that relative paths are relative to; by default the working folder.

        Raises:
            SettingsError: it is none, and the closest one is named; or there is no such file.
        """
        if not isinstance(text, str):
            raise SettingsError.wrong_value("runner", text, "text such as 'qemu'")
        text = text.strip()
        if text.lower() in _BARE:
            return cls(text=text, way=Way(text.lower()))
        word, colon, rest = text.partition(":")
        if colon and word.lower() in (Way.QEMU, Way.CONTAINER, Way.DOCKER):
            return cls._with_argument(Way(word.lower()), text, rest.strip())
        if text.lower().startswith("qemu="):
            path = text[len("qemu=") :].strip()
            if not path:
                raise SettingsError(f"{text!r}: expected qemu=PATH of an emulator")
            return cls(text=text, way=Way.QEMU, path=_executable(path, base, text))
        return cls._of_command(text, base)

    @classmethod
    def _with_argument(cls, way: Way, text: str, argument: str) -> Self:
        if way is Way.QEMU:
            words = _split(argument)
            if not words or not words[0].startswith("-"):
                example = "qemu:-cpu cortex-a53"
                raise SettingsError(f"{text!r}: expected options of qemu, such as {example}")
            return cls(text=text, way=way, words=words)
        if not argument or re.search(r"\s", argument) or argument.startswith("-"):
            what = "IMAGE" if way is Way.CONTAINER else "CONTEXT"
            raise SettingsError(f"{text!r}: expected {way}:{what}")
        return cls(text=text, way=way, name=argument)

    @classmethod
    def _of_command(cls, text: str, base: Path | None) -> Self:
        words = _split(text)
        program = words[0] if words else ""
        if "/" in program:
            words = (str(_executable(program, base, text)), *words[1:])
        elif not shutil.which(program):
            raise SettingsError.unknown("runner", text, _BARE, form=_FORM)
        return cls(text=text, way=Way.COMMAND, words=words)

    def __str__(self) -> str:
        return self.text


Runners = tuple[tuple[Platform | None, RunnerSpec], ...]
"""Runners by platform; None stands for all. The first that fits a platform is its runner."""


def read_runners(texts: Iterable[str], where: str, *, base: Path | None = None) -> Runners:
    """Read what one source says of runners, those of a platform before those of all.

    Args:
        texts: each ``[PLATFORM=]SPEC``, or several, on lines of their own or with commas where
            each has its platform. Of two for one platform the last counts.
        where: what the user calls the source, for messages.
        base: the folder that relative paths are relative to.

    Raises:
        SettingsError: one can't be understood.
    """
    found: dict[Platform | None, RunnerSpec] = {}
    for text in (part.strip() for given in texts for part in _SEPARATOR.split(given)):
        if not text:
            continue
        named = _PLATFORM.fullmatch(text)
        try:
            platform = Platform.parse(named[1]) if named else None
            spec = RunnerSpec.parse(named[2] if named else text, base=base)
            found[platform] = replace(spec, source=where)
        except SettingsError as error:
            raise SettingsError(f"{where}: {error.summary}") from None
    if not found:
        raise SettingsError(f"{where}: expected [PLATFORM=]RUNNER, such as linux/arm64=qemu")
    return tuple(sorted(found.items(), key=lambda item: item[0] is None))


def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise SettingsError(f"{text!r}: {str(error).lower()}") from None


def _executable(path: str, base: Path | None, text: str) -> Path:
    file = ((base or Path.cwd()) / Path(path).expanduser()).absolute()
    if not shutil.which(file):
        raise SettingsError(f"{text!r}: there is no executable file {str(file)!r}")
    return file
