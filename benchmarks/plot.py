"""``python -m benchmarks.plot RESULTS.json OUT.svg``: own time along each measured axis."""

from __future__ import annotations

import io
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt

# black on white turned round; turning the hues back leaves colours what the legend calls them
_DARK = "@media (prefers-color-scheme: dark) { svg { filter: invert(1) hue-rotate(180deg) } }"


def main(results: Path, out: Path) -> None:
    """Draw a panel for each axis; times in seconds, medians."""
    ours: dict[str, list[tuple[int, float]]] = defaultdict(list)
    docker: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for figure in json.loads(results.read_text())["figures"]:
        axis, _, at = figure["note"].rpartition("=")
        if figure["row"] == "scale" and axis:
            ours[axis].append((int(at), figure["value"]))
            samples = figure["series"].get("docker")
            if samples:
                docker[axis].append((int(at), median(wall for wall, *_ in samples)))
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.size": 9})
    panels = [axis for axis in ours if not axis.endswith(", reused")]
    grid, axes = plt.subplots(1, len(panels), figsize=(3 * len(panels), 2.8), squeeze=False)
    for axis, panel in zip(panels, axes[0], strict=True):
        for points, label, style in (
            (docker[axis], "docker buildx build", "s--"),
            (ours[axis], "own time of pytest", "o-"),
            (ours[f"{axis}, reused"], "the same, reused", "^-"),
        ):
            if points:
                panel.plot(*zip(*points, strict=True), style, label=label, markersize=4)
        if max(at for at, _ in ours[axis]) > 100:  # noqa: PLR2004 (orders of magnitude)
            panel.set_xscale("log")
        panel.set_xlabel(axis)
        panel.set_ylabel("seconds")
        panel.set_ylim(bottom=0)
        panel.legend(fontsize=7)
    grid.tight_layout()
    drawn = io.StringIO()
    grid.savefig(drawn, metadata={"Date": None})
    out.write_text(drawn.getvalue().replace("</style>", f"{_DARK}</style>", 1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
