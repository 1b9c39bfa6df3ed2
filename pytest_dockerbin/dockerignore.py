r"""Reads .dockerignore and tells, path by path, what BuildKit would not be sent.

A port of its own: ``e2b-dockerfile-utils`` agrees on all of ``dockerignore-truth.json`` too, but
is two releases old, brings a Dockerfile parser along, walks all patterns in Python for each path,
and is wrong where Go's regular expressions show through: ``a|b*``, ``x{2}*``, ``^c*``, ``a\d``,
``[a*b]`` and ``!lit/*/**``, each of which was tried with the real engine.

How BuildKit does it: patterns are cleaned, rewritten as Go regular expressions with little
escaping, and tried on each path from the root down. A pattern that matched a folder matches
everything below; the last one that matches decides; one that could not change the verdict is not
tried, so it is not remembered for what is below either. An excluded folder is still walked if a
``!`` pattern may include something in it. Here, neighbours of one sign are one regular
expression, which changes nothing: of these, it never matters which one matched.
Sources: the behaviour of moby/patternmatcher, of fsutil's filter, and of Go's path/filepath and
regexp/syntax, as buildx 0.29.1 shows it.
"""

from __future__ import annotations

import posixpath
import re
from itertools import groupby
from typing import Self

from pytest_dockerbin.frozen import dataclass

Matches = tuple[bool, ...]
"""Which groups of patterns matched a folder or one above it."""

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)  # what Go takes for white space: not what Python does
_LONGEST_LINE = 64 * 1024 - 1  # bytes; Go's line reader refuses longer ones
_BOM = "\ufeff"


class InvalidPatternError(ValueError):
    """A .dockerignore that BuildKit refuses, or that is too strange to be sure of.

    Never shown: BuildKit is asked then, and says it in its own words.
    """


class IgnoreRules:
    """The patterns of one .dockerignore.

    For one path, ask `excludes`. A walk from the root asks `look` for each entry, with what
    `look` returned for the entry's folder (`start` in the root), and enters a folder that is
    excluded only if `may_include_below` says so.
    """

    def __init__(self, patterns: tuple[_Pattern, ...]) -> None:
        self._groups = tuple(
            (included, re.compile("|".join(f"(?:{p.expression})" for p in group)).match)
            for included, group in groupby(patterns, key=lambda pattern: pattern.included)
        )
        self.start: Matches = (False,) * len(self._groups)
        # without a "!" no folder that matched is ever entered: there is nothing to remember
        self._only = self._groups[0][1] if [i for i, _ in self._groups] == [False] else None
        exceptions = [_without_last_glob(p.text) for p in patterns if p.included]
        self._any_below = any(set(text) & set("*[]?^\\") for text in exceptions)
        self._exceptions = tuple(f"{text}/" for text in exceptions)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a .dockerignore.

        Raises:
            InvalidPatternError: BuildKit would refuse it, or what it does can't be told.
        """
        return cls(tuple(map(_read_pattern, _lines(text))))

    def look(self, path: str, above: Matches) -> tuple[bool, Matches]:
        """Tell whether an entry is excluded, and what to pass on for the entries in it.

        Args:
            path: relative to the context, with slashes.
            above: what this returned for the folder that holds it.
        """
        if self._only:
            return self._only(path) is not None, above
        excluded = False
        matches = []
        for (included, match), matched_above in zip(self._groups, above, strict=True):
            matched = matched_above or (excluded == included and match(path) is not None)
            matches.append(matched)
            if matched:
                excluded = not included
        return excluded, tuple(matches)

    def may_include_below(self, folder: str) -> bool:
        """Tell whether BuildKit enters an excluded folder to look for included entries.

        It does so for every folder as soon as one ``!`` pattern has a wildcard, other than a
        last ``/*`` or ``/**``; else for those that such a pattern's text leads through.
        """
        return self._any_below or any(text.startswith(f"{folder}/") for text in self._exceptions)

    def excludes(self, path: str) -> bool:
        """Tell whether an entry is left out: itself, or because a walk never gets there.

        A folder that is left out is sent all the same if something in it is not.
        """
        matches = self.start
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            excluded, matches = self.look(folder, matches)
            if excluded and not self.may_include_below(folder):
                return True
        return self.look(path, matches)[0]


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A cleaned pattern, whether it had a ``!``, and a regular expression for `re.match`."""

    text: str
    included: bool
    expression: str


def _lines(text: str) -> list[str]:
    """Return the patterns of a file, cleaned once, as BuildKit sends them to the client."""
    patterns = []
    for line in text.removeprefix(_BOM).split("\n"):
        if len(line.encode("utf-8", "surrogateescape")) > _LONGEST_LINE:
            raise InvalidPatternError("a line is longer than BuildKit reads")
        pattern = line.strip(_SPACE)
        if line.startswith("#") or not pattern:
            continue
        sign = pattern[0] if pattern[0] == "!" else ""
        pattern = pattern.removeprefix(sign).strip(_SPACE)
        if pattern:
            pattern = _clean(pattern)
        if len(pattern) > 1:
            pattern = pattern.removeprefix("/")
        patterns.append(sign + pattern)
    return [pattern for pattern in patterns if pattern.strip(_SPACE)]


def _read_pattern(pattern: str) -> _Pattern:
    # cleaned and stripped a second time, now with the sign: "!/" is "!" then
    pattern = _clean(pattern.strip(_SPACE))
    included = pattern.startswith("!")
    text = pattern[1:] if included else pattern
    if not text:
        raise InvalidPatternError("a lone !")
    # BuildKit sends patterns in a header that takes no control character; surrogates are bytes
    # that are not UTF-8; and a BOM inside the file is seen by only some of its matchers
    if re.search("[\0-\x1f\x7f\ud800-\udfff]", text) or text.startswith(_BOM):
        raise InvalidPatternError(f"{text!r} has bytes that BuildKit can't send")
    if not re.fullmatch(_SYNTAX, text):
        raise InvalidPatternError(f"{text!r} is malformed")
    return _Pattern(text, included, _expression(text))


def _clean(path: str) -> str:
    """Return what Go's ``filepath.Clean`` does; unlike it, normpath keeps two leading slashes."""
    return posixpath.normpath(re.sub("^/+", "/", path))


def _without_last_glob(text: str) -> str:
    return text.removesuffix("/**").removesuffix("/*")


# what Go's filepath.Match takes without an error; not compiled before it is needed, as all here
_CHARACTER = r"(?:\\.|[^]\\-])"
_SYNTAX = rf"(?s:(?:[^\\[]|\\.|\[\^?+(?:{_CHARACTER}(?:-{_CHARACTER})?+)++\])*+)"


# -- from a pattern to Go's regular expression ----------------------------------------------------

_PIECE = r"(?s:\*\*/?|\\.|.)"
_ESCAPED = frozenset(".+()$")  # not {|} and ^: a slip of moby's, which everybody's files meet
_WILD = frozenset("*?[]\\")


def _expression(pattern: str) -> str:
    """Return a Python regular expression, for `re.match`, of a cleaned pattern."""
    tokens: list[str] = re.findall(_PIECE, pattern)
    wild = [index for index, token in enumerate(tokens) if token[0] in _WILD]
    if not wild:
        return re.escape(pattern) + r"\Z"
    if wild == [0] and tokens[0].startswith("**"):
        end = pattern[2:]
        if end.startswith("/"):
            return rf"(?:(?s:.*)/)?{re.escape(end[1:])}\Z"
        return rf"(?s:.*){re.escape(end)}\Z"
    if wild == [len(tokens) - 1] and tokens[-1] == "**":
        return re.escape(pattern[:-2])
    return _Translation("^" + "".join(map(_go_text, tokens[:-1])) + _go_last(tokens[-1])).text()


def _go_text(part: str) -> str:
    if part in ("**", "**/"):
        return "(.*/)?"
    if part == "*":
        return "[^/]*"
    if part == "?":
        return "[^/]"
    return f"\\{part}" if part in _ESCAPED else part


def _go_last(part: str) -> str:
    return (".*" if part == "**" else _go_text(part)) + "$"


# -- from Go's regular expression to Python's -----------------------------------------------------

_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r "}
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ASSERTIONS = {"A": r"\A", "z": r"\Z", "b": r"(?a:\b)", "B": r"(?a:\B)"}
_REPEAT = r"\{(0|[1-9][0-9]*)(?:,(0|[1-9][0-9]*)?)?\}"
_MOST_REPEATS = 1000  # Go's own limit
_CODE = r"x([0-9A-Fa-f]{2})|x\{([0-9A-Fa-f]+)\}|(0[0-7]{0,2}|[1-7][0-7]{1,2})"


class _Translation:
    """Reads Go's syntax, as far as patterns can bring it about, and writes Python's.

    A character class of the pattern may hold what a wildcard was rewritten to, so only the whole
    expression can be read: ``[a*b]`` is ``[a[^/]*b]``, which matches ``/b]``.
    """

    def __init__(self, expression: str) -> None:
        self._rest = expression

    def text(self) -> str:
        """Return the expression for `re.match`; Go's matches anywhere unless it has ``^``."""
        branches: list[list[str]] = [[]]
        repeated = False
        while self._rest:
            if self._take("|"):
                branches.append([])
                repeated = False
                continue
            repeat = self._repeat()
            if not repeat:
                branches[-1].append(self._atom())
            elif repeated or not branches[-1]:
                raise InvalidPatternError("a repetition of a repetition, or of nothing")
            else:
                branches[-1][-1] = f"(?:{branches[-1][-1]}){repeat}"
            repeated = bool(repeat)
        if len(branches) == 1:
            return "".join(branches[0])
        return "(?s:.*?)(?:" + "|".join(map("".join, branches)) + ")"

    def _take(self, text: str) -> bool:
        found = self._rest.startswith(text)
        if found:
            self._rest = self._rest[len(text) :]
        return found

    def _next(self) -> str:
        if not self._rest:
            raise InvalidPatternError("it ends too early")
        character, self._rest = self._rest[0], self._rest[1:]
        return character

    def _repeat(self) -> str:
        for sign in "*?":
            if self._take(sign):
                return sign
        found = re.match(_REPEAT, self._rest)
        if not found:
            return ""
        least = int(found[1])
        most = int(found[2]) if found[2] else least
        if not least <= most <= _MOST_REPEATS:
            raise InvalidPatternError("a repetition that Go refuses")
        self._rest = self._rest[found.end() :]
        return found[0]

    def _atom(self) -> str:
        if self._take("(.*/)"):
            return "(?:.*/)"
        if self._take("\\"):
            return self._escape()
        if self._take("["):
            return self._class()
        character = self._next()
        return {"^": r"\A", "$": r"\Z", ".": "."}.get(character, re.escape(character))

    def _escape(self) -> str:
        letter = self._rest[0]
        if letter in _ASSERTIONS:
            return _ASSERTIONS[self._next()]
        if letter.lower() in _CLASSES:
            return f"[{self._perl_class()}]"
        return re.escape(self._escaped_character())

    def _perl_class(self) -> str:
        letter = self._next()
        return f"^{_CLASSES[letter.lower()]}" if letter.isupper() else _CLASSES[letter]

    def _escaped_character(self) -> str:
        code = re.match(_CODE, self._rest)
        if code:
            self._rest = self._rest[code.end() :]
            number = int(code[3], 8) if code[3] else int(code[1] or code[2], 16)
            return _character(number)
        letter = self._next()
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter.isalnum() or not letter.isascii():
            # Go refuses most; \p{Greek} and \Q it knows, and nobody writes
            raise InvalidPatternError(f"\\{letter} is not understood")
        return letter

    def _class(self) -> str:
        negated = self._take("^")
        items: list[str] = []
        outside: list[str] = []  # negated classes among the items: Python has no such thing
        first = True
        while first or not self._take("]"):
            first = False
            item = self._named_class() or self._range()
            (outside if item.startswith("^") else items).append(item.removeprefix("^"))
        alternatives = [f"[{''.join(items)}]"] if items else []
        alternatives += [f"[^{item}]" for item in outside]
        if not outside:
            return f"[{'^' if negated else ''}{''.join(items)}]"
        either = "|".join(alternatives)
        return f"(?!{either})(?s:.)" if negated else f"(?:{either})"

    def _named_class(self) -> str:
        r"""Take ``[:alpha:]`` or ``\d``; the answer begins with ``^`` if it is negated."""
        name, end, rest = self._rest[2:].partition(":]")
        if self._rest.startswith("[:") and end:
            self._rest = rest
            negation = "^" if name.startswith("^") else ""
            if name.removeprefix("^") not in _POSIX:
                raise InvalidPatternError(f"[:{name}:] is not understood")
            return negation + _POSIX[name.removeprefix("^")]
        if self._rest[:1] == "\\" and self._rest[1:2].lower() in _CLASSES:
            self._next()
            return self._perl_class()
        return ""

    def _range(self) -> str:
        low = self._class_character()
        if self._rest[:1] != "-" or self._rest[1:2] in ("]", ""):
            return _in_class(low)
        self._next()
        high = self._class_character()
        if high < low:
            raise InvalidPatternError(f"{low}-{high} is backwards")
        return f"{_in_class(low)}-{_in_class(high)}"

    def _class_character(self) -> str:
        return self._escaped_character() if self._take("\\") else self._next()


def _character(number: int) -> str:
    if number > 0x10FFFF:  # noqa: PLR2004 (the last of Unicode)
        raise InvalidPatternError("a character beyond Unicode")
    return chr(number)


def _in_class(character: str) -> str:
    """Escape a character for use in brackets, where ``^``, ``]`` and doubled signs mean more."""
    return character if character.isalnum() else f"\\U{ord(character):08x}"
