"""Follows a page word for word: writes the files that it shows and types its commands."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Self

import pages

if TYPE_CHECKING:
    from pathlib import Path

_NUMBER = re.compile(r"\d+(\.\d+)*")


class Terminal:
    """One shell, in which a reader types one command after the other."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.communicate()

    def type(self, command: str) -> tuple[int, list[str]]:
        """Run a command; return its exit code and the lines that it wrote."""
        self._number += 1
        mark = f"end of command {self._number}: "
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null; printf '\\n%s%s\\n' '{mark}' $?\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(mark):
                return int(line.removeprefix(mark)), lines
            lines.append(line.rstrip())
        raise AssertionError(f"the shell ended in {command!r}: {lines}")

    def folder(self) -> str:
        """Return where the reader is."""
        return self.type("pwd")[1][0]


def follow(page: Path, folder: Path, env: dict[str, str]) -> list[str]:
    """Do what a page says, in an empty folder; return the commands that were typed.

    A command must succeed, unless what is shown of it has the word FAILED, and print what is shown:
    line by line in that order, where ``...`` stands for any lines or words, whatever the numbers,
    and however far it goes on.
    """
    typed = []
    with Terminal(folder, env) as terminal:
        for block in pages.blocks(page):
            if block.caption:
                place = folder / terminal.folder() / block.caption
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(block.text)
            elif block.language == "console":
                for command, shown in pages.commands(block):
                    code, lines = terminal.type(command)
                    said = "\n".join(lines)
                    fails = "FAILED" in "\n".join(shown)
                    assert bool(code) is fails, f"{block}: {command}: exit code {code}\n{said}"
                    missing = first_missing(shown, lines)
                    assert missing is None, f"{block}: {command}: no {missing!r} in\n{said}"
                    typed.append(command)
    return typed


def first_missing(shown: list[str], lines: list[str]) -> str | None:
    """Return the first line that should have been printed and was not."""
    rest = iter([_plain(line) for line in lines if line])
    for line in shown:
        if line and line != "...":
            form = re.compile(".*".join(map(re.escape, _plain(line).split("..."))))
            if not any(form.match(other) for other in rest):
                return line
    return None


def _plain(line: str) -> str:
    # BuildKit may know the page already, and pytest tells minutes too
    line = re.sub(r", \d+ of \d+ steps cached| \(\d+:\d\d:\d\d\)", "", line)
    return _NUMBER.sub("0", re.sub("={2,}", "==", " ".join(line.split())))


def steps_of(workflow: dict) -> list[str]:
    """Return what a workflow's jobs have the shell run."""
    jobs = workflow["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]
