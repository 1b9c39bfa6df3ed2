"""Values that a build gets and nobody else sees: ``RUN --mount=type=secret``.

A secret is named by its id and says where its value is: ``"env:NAME"``, ``"file:PATH"``, or a
`Secret` that holds it. Values are read when a build begins and are written nowhere. They are part
of no key, as with BuildKit itself: a result is known by the ids.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pytest_dockerbin import surroundings
from pytest_dockerbin.errors import SecretError

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""A variable's name, as shells have it."""

_MOST = 500 * 1024  # bytes; BuildKit refuses larger ones


class Secret:
    """Text that is shown nowhere, such as a token that a fixture fetched.

    Two are equal when their texts are. It can't be pickled, since pickles are written to files.

    Args:
        value: the text.

    Raises:
        TypeError: it is no text.
        ValueError: it is text that no environment variable can hold.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"a Secret holds text, not {type(value).__name__}")
        try:
            fits = b"\0" not in os.fsencode(value)
        except UnicodeEncodeError:  # it would show the text
            fits = False
        if not fits:
            raise ValueError("a Secret is handed to docker in a variable, which can't hold this")
        self._value = value

    def reveal(self) -> str:
        """Return the text."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret can't be pickled, since pickles are written to files")


Source = str | Secret
"""Where a value is: ``env:NAME``, ``file:PATH`` with an absolute path, or the value itself."""

Secrets = tuple[tuple[str, Source], ...]
"""Ids and sources, sorted by id."""

Inodes = frozenset[tuple[int, int]]
"""Files, by device and inode."""


def described(source: Source) -> str:
    """Return a source without any value: ``env:NAME``, ``file:PATH`` or ``value``."""
    return source if isinstance(source, str) else "value"


def kind(source: Source) -> str:
    """Return ``env``, ``file`` or ``value``."""
    return described(source).partition(":")[0]


def attribute(source: Source, number: int) -> str:
    """Return where buildx finds the value of a build's secret ``number``: for ``--secret``."""
    if isinstance(source, Secret):
        return f"env={_variable(number)}"
    scheme, _, where = source.partition(":")
    return f"env={where}" if scheme == "env" else f"src={where}"


def variables(secrets: Secrets) -> dict[str, Secret]:
    """Return the variables that docker needs for `attribute` to be true."""
    return {
        _variable(number): source
        for number, (_, source) in enumerate(secrets)
        if isinstance(source, Secret)
    }


def files(secrets: Secrets) -> Inodes:
    """Return the files that hold values, so that they are known by any name."""
    found = set()
    for _, source in secrets:
        if isinstance(source, str) and source.startswith("file:"):
            with suppress(OSError):
                facts = Path(source.removeprefix("file:")).stat()
                found.add((facts.st_dev, facts.st_ino))
    return frozenset(found)


def read_values(secrets: Secrets) -> tuple[bytes, ...]:
    """Return every value, so that a build can begin.

    Raises:
        SecretError: a variable is unset or empty, or a file can't be read. buildx would take the
            former for an empty value.
    """
    return tuple(_read(name, source) for name, source in secrets)


def find_agents(ssh: Iterable[tuple[str, str]]) -> None:
    """Return when every socket or key of the ``ssh`` setting is there.

    Raises:
        SecretError: one is not.
    """
    for name, place in ssh:
        agent = place or surroundings.variables().get("SSH_AUTH_SOCK", "")
        if not agent:
            raise SecretError.no_agent(name, "SSH_AUTH_SOCK is not set")
        if not Path(agent).exists():
            raise SecretError.no_agent(name, f"there is no {agent!r}")


def _variable(number: int) -> str:
    return f"PYTEST_DOCKERBIN_SECRET_{number}"


def _read(name: str, source: Source) -> bytes:
    if isinstance(source, Secret):
        value = os.fsencode(source.reveal())
        if not value:
            raise SecretError.missing(name, "the Secret is empty")
        return value
    scheme, _, where = source.partition(":")
    if scheme == "env":
        value = os.fsencode(surroundings.variables().get(where, ""))
        if not value:  # what CI services give to the workflows of forks
            state = "empty" if where in surroundings.variables() else "not set"
            raise SecretError.missing(name, f"the variable {where} is {state}")
        return value
    path = Path(where)
    if not path.is_file():  # a pipe could be read only once
        raise SecretError.missing(name, f"there is no file {where!r}")
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError as error:
        raise SecretError.missing(name, f"{where!r} can't be read: {error.strerror}") from error
