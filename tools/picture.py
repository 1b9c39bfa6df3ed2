"""Draws what a terminal shows of a command, as an SVG for light and dark pages.

    python tools/picture.py PROJECT OUTPUT.svg COMMAND...

The command is run for real, in a copy of the project and in a terminal of its own; the picture is
what it wrote there, with the paths of this machine made short. It needs rich, which is in the
dependency group ``pictures``.
"""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COLUMNS = 92

_ANSI_LIGHT = [
    (36, 41, 47), (207, 34, 46), (17, 99, 41), (135, 89, 0),
    (9, 105, 218), (130, 80, 223), (27, 124, 131), (87, 96, 106),
]  # fmt: skip
_ANSI_DARK = [
    (110, 118, 129), (255, 123, 114), (63, 185, 80), (210, 153, 34),
    (88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196),
]  # fmt: skip
LIGHT = TerminalTheme((246, 248, 250), (36, 41, 48), _ANSI_LIGHT, _ANSI_LIGHT)
DARK = TerminalTheme((22, 27, 34), (230, 237, 243), _ANSI_DARK, _ANSI_DARK)

# Fonts of the reader's machine: a picture that fetches something is not shown on many pages.
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px; line-height: {line_height}px; white-space: pre;
}}
{styles}
</style>
<defs>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def said(command: list[str], folder: Path) -> str:
    """Run a command in a terminal; return what it wrote there, with colours."""
    mine, its = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
    env.pop("CI", None)
    parts = []
    with subprocess.Popen(command, cwd=folder, stdin=its, stdout=its, stderr=its, env=env) as run:
        os.close(its)
        with suppress(OSError):  # how Linux tells the end of a terminal
            while part := os.read(mine, 65536):
                parts.append(part)
    os.close(mine)
    text = b"".join(parts).decode().replace("\r\n", "\n")
    # lines that were rewritten: what is left of them is what is seen
    text = "\n".join(line.rpartition("\r")[2].replace("\x1b[K", "") for line in text.split("\n"))
    if run.returncode:
        raise SystemExit(f"{command}: exit code {run.returncode}\n{text}")
    return text.replace(str(folder), f"~/{folder.name}").replace(sys.prefix, "~/.venv")


def drawn(command: str, text: str, theme: TerminalTheme) -> str:
    """Return a picture of a command and what it wrote, in the colours of a theme."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold blue"), (command, "bold")))
    console.print(Text.from_ansi(text.rstrip()))
    return console.export_svg(title="", theme=theme, code_format=_FORMAT, unique_id="terminal")


def for_both(light: str, dark: str) -> str:
    """Join two pictures that differ in colours only: which ones count is the reader's setting."""

    def rules(picture: str) -> str:
        found = "\n".join(re.findall(r"^\.terminal-r\d+ .*$", picture, re.MULTILINE))
        [back] = re.findall(r'<rect fill="(#\w+)" stroke="[^"]*"', picture)
        return f"{found}\n.back {{ fill: {back} }}"

    def body(picture: str) -> str:
        text = re.sub(r"^\.terminal-r\d+ .*\n", "", picture, flags=re.MULTILINE)
        back = r'<rect fill="#\w+" stroke="[^"]*"(?: stroke-width="\d+")?'
        return re.sub(back, '<rect class="back"', text)

    if body(light) != body(dark):
        raise SystemExit("picture: the two themes draw different things")
    css = f"{rules(light)}\n@media (prefers-color-scheme: dark) {{\n{rules(dark)}\n}}\n</style>"
    return body(light).replace("</style>", css, 1)


def main() -> None:
    """Draw the picture that the command line asks for."""
    project, output, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "hello")
        shutil.copytree(project, folder)
        text = said(command, folder)
    shown = " ".join(command)
    picture = for_both(drawn(shown, text, LIGHT), drawn(shown, text, DARK))
    Path(output).write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
