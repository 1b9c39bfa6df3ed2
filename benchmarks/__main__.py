"""``python -m benchmarks [--quick] [P1 ...]``: measures, prints the table and writes it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bench import Bench
from benchmarks.peers import peers
from benchmarks.rows import ROWS
from benchmarks.scaling import scale
from benchmarks.timing import FailedError

if TYPE_CHECKING:
    from benchmarks.bench import Figure

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure what was asked for; a goal that is not reached is no failure."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    rows = (*ROWS, peers, scale)
    names = [row.__name__.upper() for row in rows]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="small sizes, under 5 minutes")
    parser.add_argument("--rounds", type=int, help="runs of each contestant (9; 3 with --quick)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    given = parser.parse_args()
    wanted = {name.upper() for name in given.rows} or {*names}
    if unknown := wanted - {*names}:
        parser.error(f"unknown rows: {', '.join(sorted(unknown))}")
    rounds = given.rounds or (3 if given.quick else 9)
    machine = _machine()
    given.output.mkdir(parents=True, exist_ok=True)
    goals: list[Figure] = []
    growth: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="dockerbin-bench-") as folder:
        bench = Bench(Path(folder), rounds, quick=given.quick)
        for row in rows:
            if row.__name__.upper() not in wanted:
                continue
            # a table of its own: it is drawn, and can be measured anew without the others
            figures, name = (growth, "growth") if row is scale else (goals, "full")
            name = f"quick-{name}" if given.quick else name
            try:
                for figure in row(bench):
                    figures.append(figure)
                    print(_line(figure), flush=True)
            except (FailedError, OSError, subprocess.SubprocessError) as error:
                print(f"{row.__name__.upper()}: {error}", file=sys.stderr, flush=True)
            # after each row: what is cut off leaves what it has
            (given.output / f"{name}.json").write_text(_json(figures, machine))
            (given.output / f"{name}.md").write_text(_markdown(figures, machine))
    return 0


def _line(figure: Figure) -> str:
    goal = "" if figure.goal is None else f"  goal {figure.goal:g}"
    reached = {True: "  reached", False: "  NOT reached", None: ""}[figure.is_reached]
    walls = ", ".join(
        f"{name} {each.wall:.3f} s ±{each.spread:.0%} (cpu {each.cpu:.3f})"
        for name, each in figure.series.items()
    )
    note = f"  [{figure.note}]" if figure.note else ""
    value = f"{figure.row:6}{figure.value:8.3f} {figure.unit:6}"
    return f"{value} {figure.what}{goal}{reached}{note}\n{'':15}{walls}"


def _machine() -> dict[str, str]:
    docker = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    buildx = subprocess.run(
        ["docker", "buildx", "version"], capture_output=True, text=True, check=True
    )
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processors": str(len(os.sched_getaffinity(0))),
        "load": f"{os.getloadavg()[1]:.1f} (5 minutes, at the start)",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pytest": version("pytest"),
        "docker": docker.stdout.strip(),
        "buildx": buildx.stdout.split()[1],
    }


def _json(figures: list[Figure], machine: dict[str, str]) -> str:
    def told(figure: Figure) -> dict[str, Any]:
        return {
            "row": figure.row,
            "what": figure.what,
            "value": None if isnan(figure.value) else figure.value,
            "unit": figure.unit,
            "goal": figure.goal,
            "reached": figure.is_reached,
            "note": figure.note,
            "series": {
                name: [list(s) for s in each.samples] for name, each in figure.series.items()
            },
        }

    return json.dumps({"machine": machine, "figures": list(map(told, figures))}, indent=1) + "\n"


def _markdown(figures: list[Figure], machine: dict[str, str]) -> str:
    lines = [
        "# What pytest-dockerbin costs",
        "",
        ", ".join(f"{name} {value}" for name, value in machine.items()),
        "",
        "| row | what | figure | goal | |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for figure in figures:
        goal = "" if figure.goal is None else f"≤ {figure.goal:g}"
        reached = {True: "reached", False: "**not reached**", None: ""}[figure.is_reached]
        value = f"{figure.value:.3g} {figure.unit if figure.unit != 'times' else ''}".strip()
        value = figure.note if isnan(figure.value) else value
        lines.append(f"| {figure.row} | {figure.what} | {value} | {goal} | {reached} |")
    lines += ["", "Medians of wall-clock seconds, with half the distance of the quartiles:", ""]
    lines += [
        "| row | contestant | seconds | spread | processor seconds |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    seen = set()
    for figure in figures:
        for name, each in figure.series.items():
            line = (
                f"| {figure.row} | {name} | {each.wall:.4g} | {each.spread:.0%} | {each.cpu:.4g} |"
            )
            if line not in seen:
                seen.add(line)
                lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
