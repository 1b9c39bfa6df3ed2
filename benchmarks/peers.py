"""Whole sessions of what people use today, with the same three tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench import Figure
from benchmarks.suites import BY_HAND, BY_HAND_PARALLEL, DOCKERFILE, OURS, PLATFORMS, WHALES
from benchmarks.timing import FailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench
    from benchmarks.timing import Sample

# it builds images in a folder of its own, and reads "$" in a Dockerfile as its own; the export is
# what its users write
CONTAINER = f"""\
import shutil
import subprocess
from pathlib import Path
import pytest
from pytest_container import MultiStageBuild, get_selected_runtime

@pytest.fixture(scope="session", params={PLATFORMS!r})
def exported(request, tmp_path_factory):
    context = tmp_path_factory.mktemp("context")
    shutil.copytree(".", context, dirs_exist_ok=True)
    build = MultiStageBuild(Path("Dockerfile").read_text().replace("$", "$$"), {{}})
    platform = f"--platform={{request.param}}"
    image = build.build(
        context, request.config, get_selected_runtime(), extra_build_args=[platform]
    )
    out = tmp_path_factory.mktemp("out")
    create = ["docker", "create", platform, image, "/busybox"]
    name = subprocess.run(create, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["docker", "cp", f"{{name}}:/busybox", out], check=True)
    subprocess.run(["docker", "rm", name], check=True)
    return out

def test_it_is_there(exported):
    assert (exported / "busybox").stat().st_size > 100_000
"""

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
    "pytest-container": CONTAINER,
    "pytest-docker-tools, native only": DOCKER_TOOLS,
    "testcontainers, native only": TESTCONTAINERS,
}


def peers(bench: Bench) -> Iterator[Figure]:
    """Yield our whole session against each peer's: warm, cold, and with four workers."""
    dockerfile = DOCKERFILE + "COPY files /files\n"
    ours = _project(bench, "peers-ours", OURS, dockerfile)
    for number, (name, tests) in enumerate(_CONTESTANTS.items()):
        project = _project(bench, f"peers-{number}", tests, dockerfile)
        plain = ("-p", "no:dockerbin")
        try:
            bench.pytest(project, *plain, **_ENVIRONMENT)()
        except FailedError as error:
            lines = str(error).splitlines()
            why = [line[1:].strip() for line in lines if line.startswith("E  ")] or lines
            yield Figure("peers", name, float("nan"), None, note=f"does not work here: {why[-1]}")
            continue
        for how, args in _WAYS.items():
            if bench.quick and how != "warm":
                continue
            contestants = {
                "ours": (ours, bench.ours(ours, *args)),
                "peer": (project, bench.pytest(project, *plain, *args, **_ENVIRONMENT)),
            }
            series = bench.turns(
                min(5, bench.rounds),
                **{
                    each: _changed(where, call) if how == "cold" else call
                    for each, (where, call) in contestants.items()
                },
            )
            ratio = series["ours"].wall / series["peer"].wall
            what = f"ours, {len(PLATFORMS)} platforms / {name}, {how}"
            yield Figure("peers", what, ratio, None, series=series)


_ENVIRONMENT = {"PYTHONPATH": str(PEERS), "CONTAINER_RUNTIME": "docker"}
_WAYS = {"warm": (), "cold": (), "warm with -n 4": ("-n4",)}


def _project(bench: Bench, name: str, tests: str, dockerfile: str) -> Path:
    project = bench.suites.project(name, tests, dockerfile)
    (project / "files").mkdir()
    (project / "files" / "changed").touch()
    return project


def _changed(project: Path, call: Callable[[], Sample]) -> Callable[[], Sample]:
    """Return what builds something that BuildKit has not seen."""

    def changed() -> Sample:
        (project / "files" / "changed").write_bytes(os.urandom(100))
        return call()

    return changed
