"""Takes the values of secrets out of what a build prints.

A value is found as it is, in base64 and URL-quoted, and so is each line of it: a log is read line
by line. In base64 it is also found within a longer text, such as ``user:token`` of an HTTP header,
and broken into lines of 64 or 76 characters, as tools do. Values and lines under 4 characters stay,
since they would be found in every other word.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from pytest_dockerbin.progress import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHORTEST = 4
"""Characters that a value must have to be taken out."""

_INSTEAD = "***"
_SHORTEST_PART = 8  # of base64: six bytes of the value
_WIDTHS = (64, 76)  # of lines: openssl's, and everybody else's


class Redaction:
    """Replaces values by ``***`` in a line; made once for a build, called for each line.

    Args:
        values: the secrets.
    """

    # by how they begin: a key file has hundreds of lines, and a log may have many thousands
    __slots__ = ("_by_beginning",)

    def __init__(self, values: Iterable[bytes]) -> None:
        self._by_beginning: dict[str, list[str]] = {}
        forms = {clean(form) for value in values for form in _forms(value)}
        for form in sorted(forms, key=len, reverse=True):
            if len(form.strip()) >= SHORTEST:
                self._by_beginning.setdefault(form[:SHORTEST], []).append(form)

    def __call__(self, line: str) -> str:
        """Return the line without any value; forms that overlap are replaced as one."""
        if not self._by_beginning:
            return line
        pieces = []
        kept = 0
        for at in range(len(line) - SHORTEST + 1):
            forms = self._by_beginning.get(line[at : at + SHORTEST])
            if forms is None:
                continue
            found = next((form for form in forms if line.startswith(form, at)), None)
            if found is None:
                continue
            if at >= kept:
                pieces += [line[kept:at], _INSTEAD]
            kept = max(kept, at + len(found))
        return "".join([*pieces, line[kept:]])


def _forms(value: bytes) -> Iterator[str]:
    """Yield everything that a value, and each line of it, may look like."""
    for part in {value, value.strip(), *map(bytes.strip, value.splitlines())}:
        text = part.decode(errors="replace")
        if len(text.strip()) < SHORTEST:
            continue
        yield text
        for quoted in (quote(part), quote(part, safe=""), quote_plus(part)):
            yield quoted
            yield _lower_escapes(quoted)
        for form in _base64_forms(part):
            yield form
            yield form.translate({ord("+"): "-", ord("/"): "_"})


def _lower_escapes(quoted: str) -> str:
    first, *rest = quoted.split("%")
    return "%".join([first, *(text[:2].lower() + text[2:] for text in rest)])


def _base64_forms(part: bytes) -> Iterator[str]:
    for whole in (part, part + b"\n"):
        form = base64.b64encode(whole).decode()
        yield form
        for width in _WIDTHS:
            lines = [form[at : at + width] for at in range(0, len(form), width)]
            yield from (line for line in lines if len(line) >= _SHORTEST_PART)
    # within a longer text it begins at any of three places of a group of four, and the characters
    # at its ends depend on what is around it
    for before in range(3):
        form = base64.b64encode(bytes(before) + part).decode()
        begin = (0, 2, 3)[before]
        end = len(form) - (0, 3, 2)[(before + len(part)) % 3]
        if end - begin >= _SHORTEST_PART:
            yield form[begin:end]
