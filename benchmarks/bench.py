"""What the rows of the benchmark have in common: projects, commands, figures."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from benchmarks.suites import LIST, Suites
from benchmarks.timing import in_turns, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.timing import Sample, Series

PYTEST = (sys.executable, "-m", "pytest")


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        row: such as ``P2``.
        what: what was compared with what.
        value: a ratio, a number of things or of bytes.
        goal: what it should be at most; None where it is told only.
        unit: ``times`` or what is counted.
        series: what was measured for it, by contestant.
        note: what a reader must know of it, or nothing.
    """

    row: str
    what: str
    value: float
    goal: float | None
    unit: str = "times"
    series: Mapping[str, Series] = field(default_factory=dict)
    note: str = ""

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal was reached; None without one."""
        return None if self.goal is None else self.value <= self.goal


class Bench:
    """One run of the benchmark.

    Args:
        folder: where projects are made; empty.
        rounds: how often each contestant is measured.
        quick: whether sizes are those of a look, not of a result.
    """

    def __init__(self, folder: Path, rounds: int, *, quick: bool) -> None:
        self.folder = folder
        self.rounds = rounds
        self.quick = quick
        self.suites = Suites(folder)
        self.empty_project = self.suites.empty()
        self._outs = count()
        self._env = {
            name: value
            for name, value in os.environ.items()
            # without bytecode each run would compile everything anew
            if not name.startswith(("PYTEST", "COV", "CI", "PYTHONDONTWRITEBYTECODE"))
        }
        self._env |= {"PYTEST_DOCKERBIN_CACHE_DIR": str(folder / "cache")}

    def env(self, **more: str) -> dict[str, str]:
        """Return the environment of a contestant."""
        return {**self._env, **more}

    def pytest(
        self, project: Path, *args: str, expect: int = 0, **env: str
    ) -> Callable[[], Sample]:
        """Return what runs pytest in a project."""
        return lambda: run([*PYTEST, *args], project, self.env(**env), expect=expect)

    def ours(self, project: Path, *args: str, **env: str) -> Callable[[], Sample]:
        """Return what runs pytest with this plugin, for three platforms."""
        return self.pytest(project, f"--dockerbin-platforms={LIST}", *args, **env)

    def empty(self) -> Callable[[], Sample]:
        """Return what runs a pytest session of one empty test, without the plugin."""
        return self.pytest(self.empty_project, "-p", "no:dockerbin")

    def docker(self, project: Path, *args: str, platforms: str = LIST) -> Callable[[], Sample]:
        """Return what builds a project with docker alone, into a new folder each time."""

        def build() -> Sample:
            out = self.folder / f"out-{next(self._outs)}"
            sample = run(
                (
                    "docker",
                    "buildx",
                    "build",
                    f"--platform={platforms}",
                    f"--output={out}",
                    *args,
                    ".",
                ),
                project,
                self.env(),
            )
            shutil.rmtree(out)
            return sample

        return build

    def turns(
        self, rounds: int | None = None, **contestants: Callable[[], Sample]
    ) -> dict[str, Series]:
        """Measure contestants in turns."""
        return in_turns(contestants, rounds or self.rounds)


def own(series: Mapping[str, Series], name: str) -> float:
    """Return a contestant's own time: without that of an empty pytest run beside it."""
    return series[name].wall - series["empty"].wall
