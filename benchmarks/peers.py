"""Whole sessions of what people use today, with the same three tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench import Figure
from benchmarks.suites import BY_HAND, BY_HAND_PARALLEL, PLATFORMS, WHALES
from benchmarks.timing import FailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

# these test images of the native platform; exports and other platforms are out of their reach
DOCKER_TOOLS = """\
from pytest_docker_tools import build

image = build(path=".")

def test_it_is_there(image):
    assert image.id
"""

TESTCONTAINERS = """\
from testcontainers.core.image import DockerImage

def test_it_is_there():
    with DockerImage(path=".") as image:
        assert image.short_id
"""

PEERS = Path(sys.prefix) / "peers"
"""Where the peers are that are pytest plugins: only sessions of their own load them."""

_CONTESTANTS = {
    "subprocess, one call": BY_HAND,
    "subprocess, a call a platform at once": BY_HAND_PARALLEL,
    "python-on-whales": WHALES,
    "pytest-docker-tools, native only": DOCKER_TOOLS,
    "testcontainers, native only": TESTCONTAINERS,
}


def peers(bench: Bench) -> Iterator[Figure]:
    """Yield each peer's whole warm session against ours."""
    ours = bench.suites.project("peers-ours")
    for number, (name, tests) in enumerate(_CONTESTANTS.items()):
        project = bench.suites.project(f"peers-{number}", tests)
        peer = bench.pytest(project, "-p", "no:dockerbin", PYTHONPATH=str(PEERS))
        try:
            peer()
        except FailedError as error:
            last = str(error).splitlines()[-1]
            yield Figure("peers", name, float("nan"), None, note=f"does not work here: {last}")
            continue
        series = bench.turns(ours=bench.ours(ours), peer=peer)
        ratio = series["ours"].wall / series["peer"].wall
        what = f"ours, {len(PLATFORMS)} platforms / {name}"
        yield Figure("peers", what, ratio, None, series=series)
