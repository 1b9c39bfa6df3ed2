"""Reads what ``docker buildx build --progress=rawjson`` writes and keeps a log for people.

The stream is a row of JSON objects of BuildKit's ``client.SolveStatus`` (``vertexes``,
``statuses``, ``logs``, ``warnings``; log data in base64), one a line or, from buildx 0.13, indented
over many lines. On failure plain text follows: the Dockerfile's excerpt and the error.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.commands_in_text import defused
from pytest_dockerbin.steps import StepRecord

if TYPE_CHECKING:
    from collections.abc import Callable

_KEYS = {"vertexes", "statuses", "logs", "warnings"}
_TEXTS = ("digest", "name", "error", "vertex", "data", "short")
_EXCERPT = re.compile(
    r"^(?P<file>[^\n:]+):(?P<line>\d+)\n-{10,}\n(?P<text>.*?)\n-{10,}$", re.MULTILINE | re.DOTALL
)
_ERROR = re.compile(r"^ERROR: (?P<text>.*)\Z", re.MULTILINE | re.DOTALL)
_ABOUT = re.compile(r"(failed to build: )?failed to solve: ")  # what every error begins with
_BEGINNING = re.compile(r'\{\s*("|\}|\Z)')  # of an object, rather than of text in braces
_TAIL = 20
# bake puts the target's name first: [app build 2/4], [app internal], and [app] before other work
_STEP = re.compile(r"\[(?!(\S+ )?internal\]|[\w.-]+\] (?:exporting|resolving|sending))")
_CONTROL = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u2028\u2029]|\x1b")


class Step:
    """One step of a build, as BuildKit last described it.

    Attributes:
        number: counts the steps of a build, BuildKit's own too.
        name: such as ``[build 2/4] RUN make``.
        began: whether BuildKit works at it, or did.
        ended: whether it is done, and well.
        cached: whether its result came from the cache.
        error: what it failed with, or nothing.
        log: the last lines that it printed.
        started: when BuildKit first began it, in seconds since the epoch; None if it did not.
        completed: when BuildKit last ended it, likewise.
    """

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.began = False
        self.ended = False
        self.cached = False
        self.error = ""
        self.log: list[str] = []
        self.started: float | None = None
        self.completed: float | None = None


class BuildLog:
    """Takes the stream in pieces; writes readable lines; knows the steps and the failure.

    Args:
        write: gets each finished line of the readable log, without a line feed.
        redact: takes the values of secrets out of a text; nothing is kept or written before.

    Attributes:
        lines: how many lines of steps there were.
        tail: the last 20 of them.
        warnings: what BuildKit's checks of the Dockerfile found.
    """

    def __init__(self, write: Callable[[str], None], redact: Callable[[str], str] = str) -> None:
        self._write = write
        self._redact = redact
        self._buffer = ""
        self._behind_event = False
        self._partial: dict[str, bytes] = {}
        self._steps: dict[str, Step] = {}
        self._text: list[str] = []
        self.lines = 0
        self.tail: list[str] = []
        self.warnings: list[str] = []

    def feed(self, text: str) -> None:
        """Take the next piece of the stream; it may end anywhere."""
        self._buffer += text
        while self._buffer and self._take():
            pass

    def close(self) -> None:
        """Take what is left when the stream has ended."""
        rest, self._buffer = self._buffer, ""
        for line in rest.splitlines():
            self._plain(line)
        for digest, data in self._partial.items():
            if data:
                self._log_line(self._steps[digest], data)
        self._partial.clear()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that the Dockerfile asks for: ``[build 2/4] RUN ...``, not BuildKit's own.

        A step that BuildKit joined to the same one of another build is told twice, under two
        digests: it is the one at which BuildKit worked.
        """
        found: dict[str, Step] = {}
        for step in self._steps.values():
            if _STEP.match(step.name):
                known = found.setdefault(step.name, step)
                if (step.began, not step.cached) > (known.began, not known.cached):
                    found[step.name] = step
        return tuple(found.values())

    @property
    def running(self) -> tuple[Step, ...]:
        """The steps that began and have not ended; the Dockerfile's, or else BuildKit's own."""
        under_way = tuple(
            step
            for step in self._steps.values()
            if step.began and not step.ended and not step.error
        )
        steps = self.steps
        return tuple(step for step in under_way if step in steps) or under_way

    def timeline(self, emulated: Callable[[str], bool | None]) -> tuple[StepRecord, ...]:
        """Return the record of every step that began, in that order, BuildKit's own too; once each.

        All times are BuildKit's, whose clock may not be this machine's: the first step's start
        is the beginning.

        Args:
            emulated: tells by its name whether a step ran programs of a foreign processor.
        """
        steps = self.steps
        begun = [
            (step.started, step)
            for step in self._steps.values()
            if step.started is not None and (step in steps or not _STEP.match(step.name))
        ]
        begun.sort(key=itemgetter(0))
        first = begun[0][0] if begun else 0.0
        ends = (step.completed for _, step in begun if step.completed is not None)
        last = max(ends, default=first)  # of a step that we ended BuildKit tells no end
        return tuple(
            StepRecord(
                name=step.name.partition("\n")[0],
                started=round(started - first, 3),
                seconds=round(max((step.completed or last) - started, 0.0), 3),
                cached=step.cached,
                emulated=None if step.cached else emulated(step.name),
                error=step.error,
            )
            for started, step in begun
        )

    @property
    def failed(self) -> Step | None:
        """The step that failed by itself, not because another one did."""
        for step in self._steps.values():
            if step.error and not step.error.endswith("context canceled"):
                return step
        return None

    @property
    def text(self) -> str:
        """All that was not an event: excerpt and error, for `excerpt` and `error`."""
        return "\n".join(self._text)

    @property
    def excerpt(self) -> tuple[str, int, str] | None:
        """File name, line number and marked lines of the Dockerfile, where buildx printed them."""
        found = _EXCERPT.search(self.text)
        return (found["file"], int(found["line"]), found["text"]) if found else None

    @property
    def error(self) -> str:
        """The error in buildx's words, on one line; all plain text where it gave no ``ERROR:``."""
        found = _ERROR.search(self.text)
        text = " ".join((found["text"] if found else self.text).split())
        return _ABOUT.sub("", text, count=1) if _ABOUT.match(text) else text

    def _take(self) -> bool:
        """Take the first event or line out of the buffer; False while it is not whole."""
        if self._behind_event:
            self._behind_event = False
            self._buffer = self._buffer.removeprefix("\n")
            return True
        start = self._buffer.lstrip(" \t")
        if start.startswith("{"):
            try:
                event, end = json.JSONDecoder().raw_decode(start)
            except ValueError:
                if _BEGINNING.match(start):
                    return False
            else:
                if _is_event(event):
                    self._event(event)
                    self._buffer = start[end:]
                    self._behind_event = True
                    return True
        line, newline, rest = self._buffer.partition("\n")
        if not newline:
            return False
        self._buffer = rest
        self._plain(line)
        return True

    def _event(self, event: dict[str, Any]) -> None:
        for vertex in event.get("vertexes") or ():
            self._vertex(vertex)
        for entry in event.get("logs") or ():
            self._log(entry)
        for warning in event.get("warnings") or ():
            self._warning(warning)

    def _warning(self, warning: dict[str, Any]) -> None:
        """Keep what a check of the Dockerfile found: the rule, the line, the page about it."""
        short = self._shown(_data(warning, "short").decode(errors="replace"))
        self._line(f"WARNING: {short}")
        url = warning.get("url")
        self.warnings.append(f"{short}: {self._shown(url)}" if isinstance(url, str) else short)

    def _vertex(self, vertex: dict[str, Any]) -> None:
        digest = vertex.get("digest") or ""
        step = self._steps.get(digest)
        if step is None:
            step = self._steps[digest] = Step(len(self._steps) + 1, "")
        step.name = step.name or self._shown(vertex.get("name") or "")
        if step.started is None:
            step.started = _seconds(vertex.get("started"))
        step.completed = _seconds(vertex.get("completed")) or step.completed
        began = vertex.get("started") or vertex.get("cached") or vertex.get("error")
        if began and not step.began:
            step.began = True
            self._line(f"#{step.number} {step.name}")
        if vertex.get("error") and not step.error:
            step.error = self._shown(vertex["error"])
            self._line(f"#{step.number} ERROR: {step.error}")
        elif vertex.get("completed") and not step.ended:
            step.ended = True
            step.cached = bool(vertex.get("cached"))
            self._line(f"#{step.number} {'CACHED' if step.cached else 'DONE'}")

    def _log(self, entry: dict[str, Any]) -> None:
        digest = entry.get("vertex") or ""
        step = self._steps.setdefault(digest, Step(len(self._steps) + 1, ""))
        # bytes until a line is whole: a piece may end within a character
        *lines, rest = (self._partial.get(digest, b"") + _data(entry, "data")).split(b"\n")
        self._partial[digest] = rest
        for line in lines:
            self._log_line(step, line)

    def _log_line(self, step: Step, line: bytes) -> None:
        shown = line.rstrip(b"\r").rpartition(b"\r")[2]  # of a progress bar its last state
        step.log.append(self._shown(shown.decode(errors="replace")))
        del step.log[:-_TAIL]
        self._line(f"#{step.number} {step.log[-1]}")

    def _plain(self, line: str) -> None:
        self._text.append(self._shown(line))
        self._write(self._text[-1])

    def _line(self, line: str) -> None:
        self.lines += 1
        self.tail.append(self._shown(line))
        del self.tail[:-_TAIL]
        self._write(self.tail[-1])

    def _shown(self, text: str) -> str:
        return self._redact(clean(text))  # a value may be whole only without the escapes in it


def _seconds(text: object) -> float | None:
    """Return a time of BuildKit's, in RFC 3339, as seconds since the epoch; None if it is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return None


def _is_event(data: dict[str, Any]) -> bool:
    """Tell an event from other JSON, such as a failing here-document's that the error quotes."""
    keys = _KEYS & data.keys()
    return bool(keys) and all(
        isinstance(entry, dict) and all(isinstance(entry.get(n), str | None) for n in _TEXTS)
        for entries in (data[key] or [] for key in keys)
        for entry in (entries if isinstance(entries, list) else [None])
    )


def _data(entry: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(entry.get(name) or "")
    except ValueError:
        return b""


def clean(line: str) -> str:
    """Return the line without what could drive a terminal or a CI service."""
    return defused(_CONTROL.sub("", line))  # without escapes, what they parted may be a command
