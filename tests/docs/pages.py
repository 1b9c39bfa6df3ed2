"""What a reader of the documentation is shown: the blocks of its pages, in their order."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")))

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|:{3,})(?P<info>[^\n`]*)\n"
    r"(?P<body>.*?)^(?P=indent)(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
_DIRECTIVE = re.compile(r"\{(?P<name>[\w-]+)\} *(?P<argument>.*)")
_OPTION = re.compile(r":(?P<name>[\w-]+):(?: +(?P<value>.*))?")


@dataclass(frozen=True)
class Block:
    """One block of a page: written there, or a file that is shown there."""

    page: Path
    line: int
    language: str
    text: str
    caption: str = ""
    source: Path | None = None
    """The file that is shown."""

    def __str__(self) -> str:
        inside = self.page.is_relative_to(REPOSITORY)
        page = self.page.relative_to(REPOSITORY) if inside else self.page
        return f"{page.as_posix()}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        block
        for match in _FENCE.finditer(text)
        if (block := _block(page, text.count("\n", 0, match.start()) + 1, match))
    ]


def _block(page: Path, line: int, match: re.Match[str]) -> Block | None:
    info, body = match["info"].strip(), textwrap.dedent(match["body"])
    if not (directive := _DIRECTIVE.match(info)):
        return Block(page, line, info, body)
    options, lines = {}, body.splitlines(keepends=True)
    while lines and (option := _OPTION.match(lines[0])):
        options[option["name"]] = option["value"] or ""
        del lines[0]
    caption = options.get("caption", "")
    if directive["name"] == "code-block":
        return Block(page, line, directive["argument"], "".join(lines).lstrip("\n"), caption)
    if directive["name"] == "literalinclude":
        source = (page.parent / directive["argument"]).resolve()
        shown = source.read_text(encoding="utf-8")
        return Block(page, line, options.get("language", ""), shown, caption, source)
    return None


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """Return what a console block has a reader type, each with what it then shows."""
    told: list[tuple[str, list[str]]] = []
    lines = iter(block.text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line.removeprefix("$ ")
            while command.endswith("\\"):
                command = f"{command}\n{next(lines)}"
            told.append((command, []))
        elif told:
            told[-1][1].append(line)
    return told


ALL = tuple(block for page in PAGES for block in blocks(page))
