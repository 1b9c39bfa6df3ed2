"""How a session's own time grows: with files, artifact size, builds and workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bench import Figure, own
from benchmarks.suites import ANY, DOCKERFILE, OURS, READ, Suites

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench
    from benchmarks.timing import Sample

NATIVE = "--dockerbin-platforms=linux/amd64"


def scale(bench: Bench) -> Iterator[Figure]:
    """Yield own times along each axis, and docker's beside them."""
    for count in (1, 1_000, 2_000) if bench.quick else (1, 1_000, 10_000, 50_000):
        name = f"scale-files-{count}"
        project = bench.suites.project(name, ANY, READ)
        Suites.fill(project, count)
        docker = bench.docker(project, platforms="linux/amd64")
        yield _point(bench, "files in the context", count, bench.pytest(project, NATIVE), docker)
        reuse = bench.pytest(project, NATIVE, "--dockerbin-cache=reuse")
        yield _point(bench, "files in the context, reused", count, reuse, docker)
    for size in (1, 10) if bench.quick else (1, 100, 500, 1000):
        name = f"scale-size-{size}"
        project = bench.suites.project(name, ANY, FILES)
        Suites.fill(project, 10, size * 2**20 // 10)
        docker = bench.docker(project, platforms="linux/amd64")
        yield _point(bench, "MiB exported", size, bench.pytest(project, NATIVE), docker)
        reuse = bench.pytest(project, NATIVE, "--dockerbin-cache=reuse")
        yield _point(bench, "MiB exported, reused", size, reuse, docker)
    project = bench.suites.project(
        "scale-builds", "", DOCKERFILE + "ARG NUMBER\nLABEL n=${NUMBER}\n"
    )
    for count in (1, 4, 10) if bench.quick else (1, 4, 10, 40, 100):
        lines = ["import pytest"]
        for number in range(count):
            lines += [
                f"@pytest.mark.dockerbin(build_args={{'NUMBER': '{number}'}})",
                f"def test_{number}(dockerbin):\n    pass",
            ]
        (project / f"test_{count}.py").write_text("\n".join(lines))
        yield _point(bench, "builds", count, bench.pytest(project, f"test_{count}.py", NATIVE))
    tests = "import pytest\n\n@pytest.mark.parametrize('n', range(40))\n" + OURS.replace(
        "(dockerbin)", "(dockerbin, n)"
    )
    project = bench.suites.project("scale-workers", tests)
    for workers in (0, 2) if bench.quick else (0, 2, 4, 8):
        empty = bench.pytest(bench.empty_project, f"-n{workers}", "-p", "no:dockerbin")
        ours = bench.ours(project, f"-n{workers}")
        yield _point(bench, "workers", workers, ours, empty=empty)


FILES = "FROM scratch\nCOPY files /files\n"


def _point(
    bench: Bench,
    axis: str,
    at: int,
    ours: Callable[[], Sample],
    docker: Callable[[], Sample] | None = None,
    *,
    empty: Callable[[], Sample] | None = None,
) -> Figure:
    beside = {"docker": docker} if docker else {}
    rounds = min(3, bench.rounds)
    series = bench.turns(rounds, empty=empty or bench.empty(), ours=ours, **beside)
    what = f"own time, {axis}: {at}"
    return Figure("scale", what, own(series, "ours"), None, "s", series, note=f"{axis}={at}")
