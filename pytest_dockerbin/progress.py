"""Reads what ``docker buildx build --progress=rawjson`` writes and keeps a log for people.

The stream is a row of JSON objects of BuildKit's ``client.SolveStatus`` (``vertexes``,
``statuses``, ``logs``, ``warnings``; log data in base64), one a line or, from buildx 0.13, indented
over many lines. On failure plain text follows: the Dockerfile's excerpt and the error.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_KEYS = {"vertexes", "statuses", "logs", "warnings"}
_EXCERPT = re.compile(
    r"^(?P<file>[^\n:]+):(?P<line>\d+)\n-{10,}\n(?P<text>.*?)\n-{10,}$", re.MULTILINE | re.DOTALL
)
_ERROR = re.compile(r"^ERROR: (?P<text>.*)\Z", re.MULTILINE | re.DOTALL)
_TAIL = 20
_CONTROL = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]|\x1b")


@dataclass(slots=True)
class Step:
    """One step of a build, as BuildKit last described it."""

    number: int
    name: str
    began: bool = False
    ended: bool = False
    cached: bool = False
    error: str = ""
    log: list[str] = field(default_factory=list)


class BuildLog:
    """Takes the stream in pieces; writes readable lines; knows the steps and the failure.

    Args:
        write: gets each finished line of the readable log, without a line feed.

    Attributes:
        lines: how many lines of steps there were.
        tail: the last 20 of them.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._buffer = ""
        self._partial: dict[str, str] = {}
        self._steps: dict[str, Step] = {}
        self._text: list[str] = []
        self.lines = 0
        self.tail: list[str] = []

    def feed(self, text: str) -> None:
        """Take the next piece of the stream; it may end anywhere."""
        self._buffer += text
        decoder = json.JSONDecoder()
        while self._buffer:
            start = self._buffer.lstrip()
            if not start.startswith("{"):
                line, newline, rest = self._buffer.partition("\n")
                if not newline:
                    return
                self._buffer = rest
                self._plain(line)
                continue
            try:
                event, end = decoder.raw_decode(start)
            except ValueError:
                if not self._is_text_with_brace(start):
                    return  # an object that is not whole yet
                line, _, self._buffer = start.partition("\n")
                self._plain(line)
                continue
            self._buffer = start[end:].removeprefix("\n")
            if _KEYS & event.keys():
                self._event(event)
            else:
                self._plain(start[:end])

    def close(self) -> None:
        """Take what is left when the stream has ended."""
        rest, self._buffer = self._buffer, ""
        for line in rest.splitlines():
            self._plain(line)
        for digest, line in self._partial.items():
            if line:
                self._log_line(self._steps[digest], line)
        self._partial.clear()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that the Dockerfile asks for: ``[build 2/4] RUN ...``, not BuildKit's own."""
        named = (step for step in self._steps.values() if step.name.startswith("["))
        return tuple(step for step in named if not step.name.startswith("[internal]"))

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
        return " ".join((found["text"] if found else self.text).split())

    @staticmethod
    def _is_text_with_brace(start: str) -> bool:
        """Tell a line of text that begins with a brace from an object cut short."""
        return re.match(r'\{\s*("|\}|\Z)', start) is None

    def _event(self, event: dict[str, Any]) -> None:
        for vertex in event.get("vertexes") or ():
            self._vertex(vertex)
        for entry in event.get("logs") or ():
            self._log(entry)
        for warning in event.get("warnings") or ():
            short = base64.b64decode(warning.get("short") or "").decode(errors="replace")
            self._line(f"WARNING: {short}")

    def _vertex(self, vertex: dict[str, Any]) -> None:
        digest = vertex.get("digest", "")
        step = self._steps.get(digest)
        if step is None:
            step = self._steps[digest] = Step(len(self._steps) + 1, vertex.get("name", ""))
        began = vertex.get("started") or vertex.get("cached") or vertex.get("error")
        if began and not step.began:
            step.began = True
            self._line(f"#{step.number} {step.name}")
        if vertex.get("error") and not step.error:
            step.error = vertex["error"]
            self._line(f"#{step.number} ERROR: {step.error}")
        elif vertex.get("completed") and not step.ended:
            step.ended = True
            step.cached = bool(vertex.get("cached"))
            self._line(f"#{step.number} {'CACHED' if step.cached else 'DONE'}")

    def _log(self, entry: dict[str, Any]) -> None:
        digest = entry.get("vertex", "")
        step = self._steps.setdefault(digest, Step(len(self._steps) + 1, ""))
        data = base64.b64decode(entry.get("data") or "").decode(errors="replace")
        *lines, rest = (self._partial.get(digest, "") + data).split("\n")
        self._partial[digest] = rest
        for line in lines:
            self._log_line(step, line)

    def _log_line(self, step: Step, line: str) -> None:
        step.log.append(clean(line.rstrip("\r").rpartition("\r")[2]))
        del step.log[:-_TAIL]
        self._line(f"#{step.number} {step.log[-1]}")

    def _plain(self, line: str) -> None:
        self._text.append(clean(line))
        self._write(clean(line))

    def _line(self, line: str) -> None:
        self.lines += 1
        self.tail.append(clean(line))
        del self.tail[:-_TAIL]
        self._write(clean(line))


def clean(line: str) -> str:
    """Return the line without what could drive a terminal: escapes and control characters."""
    return _CONTROL.sub("", line)
