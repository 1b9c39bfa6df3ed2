"""The rows P1 to P14: each measures its contestants and yields its figures."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench import PYTEST, Figure, own
from benchmarks.suites import (
    ANY,
    BY_HAND,
    DOCKERFILE,
    LIST,
    NOTHING,
    OURS,
    PLAIN,
    PLATFORMS,
    READ,
    WHALES,
    Suites,
)
from benchmarks.timing import Sample, Series, in_process, in_turns, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench

WORK = """\
FROM scratch AS build
ARG TARGETARCH
COPY busybox-${TARGETARCH} /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]
FROM scratch
COPY --from=build /bin/busybox /busybox
"""
"""Stands for a compiler: a step of a second or two, natively."""

PEAK = """\
import os
from pathlib import Path

def pytest_unconfigure():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            Path(os.environ["PEAK"]).write_text(line.split()[1])
"""
"""Tells a process's peak in KiB (proc(5)). What `wait4` tells begins with the parent's memory."""


def p1(bench: Bench) -> Iterator[Figure]:
    """Installed and unused."""
    variants = [[str(bench.empty_project)], ["-p", "no:dockerbin", str(bench.empty_project)]]
    series = _forked(bench, variants, 11 if bench.quick else 61)
    named = dict(zip(("installed", "without"), series, strict=True))
    ratio = named["installed"].wall / named["without"].wall
    yield Figure("P1", "installed and unused / -p no:dockerbin", ratio, 1.01, series=named)
    ratio = named["installed"].cpu / named["without"].cpu
    yield Figure("P1", "the same in processor time", ratio, None, series=named)


def p2(bench: Bench) -> Iterator[Figure]:
    """Warm, default settings."""
    project = bench.suites.project("p2")
    by_hand = bench.suites.project("p2-by-hand", BY_HAND)
    series = bench.turns(
        empty=bench.empty(),
        ours=bench.ours(project),
        by_hand=bench.pytest(by_hand, "-p", "no:dockerbin"),
        docker=bench.docker(project),
    )
    bare = series["docker"].wall
    yield Figure(
        "P2", "own time / docker build of 3", own(series, "ours") / bare, 0.6, series=series
    )
    yield Figure(
        "P2", "written by hand, the same", own(series, "by_hand") / bare, None, series=series
    )


def p3(bench: Bench) -> Iterator[Figure]:
    """Reused results."""
    project = bench.suites.project("p3")
    plain = bench.suites.project("p3-plain", PLAIN)
    exported = bench.folder / "p3-exported"
    subprocess.run(
        ["docker", "buildx", "build", f"--platform={LIST}", f"--output={exported}", "."],
        cwd=project, check=True, capture_output=True,
    )  # fmt: skip
    reuse = [f"--dockerbin-platforms={LIST}", "--dockerbin-cache=reuse", str(project)]
    run([*PYTEST, *reuse], project, bench.env())
    variants = [reuse, ["-p", "no:dockerbin", str(plain)]]
    rounds = 11 if bench.quick else 61
    series = _forked(bench, variants, rounds, EXPORTED=str(exported))
    named = dict(zip(("ours", "plain"), series, strict=True))
    ratio = named["ours"].wall / named["plain"].wall
    yield Figure("P3", "reuse / plain fixture of paths", ratio, 1.03, series=named)


def p4(bench: Bench) -> Iterator[Figure]:
    """Cold sessions."""
    project = bench.suites.project("p4")

    def docker_then_pytest() -> Sample:
        first = bench.docker(project)()
        then = bench.empty()()
        return Sample(first.wall + then.wall, first.cpu + then.cpu, 0)

    series = bench.turns(ours=bench.ours(project), docker_then_pytest=docker_then_pytest)
    ratio = series["ours"].wall / series["docker_then_pytest"].wall
    yield Figure("P4", "cached build / docker build && pytest", ratio, 0.80, series=series)
    work = bench.suites.project("p4-work", dockerfile=WORK)
    series = bench.turns(
        3,
        ours=bench.ours(work, "--dockerbin-no-cache"),
        docker=bench.docker(work, "--no-cache"),
    )
    ratio = series["ours"].wall / series["docker"].wall
    yield Figure("P4", "no cache, session / docker build alone", ratio, 1.0, series=series)


def p5(bench: Bench) -> Iterator[Figure]:
    """Many workers."""
    tests = "import pytest\n\n@pytest.mark.parametrize('n', range(40))\n" + OURS.replace(
        "(dockerbin)", "(dockerbin, n)"
    )
    project = bench.suites.project("p5", tests)
    calls = bench.folder / "p5-calls"
    shim = bench.folder / "p5-bin"
    shim.mkdir()
    docker = shutil.which("docker")
    (shim / "docker").write_text(
        f'#!/bin/sh\ncase "$*" in *"buildx build"*) echo >> {calls} ;; esac\nexec {docker} "$@"\n'
    )
    (shim / "docker").chmod(0o755)
    bench.ours(project, "-n8", PATH=f"{shim}:{os.environ['PATH']}")()
    builds = len(calls.read_text().splitlines())
    yield Figure(
        "P5", "docker build calls with -n 8, 40 tests, 3 platforms", builds, 3, unit="calls"
    )
    series = bench.turns(
        3,
        ours=bench.ours(project, "-n8"),
        plain=bench.pytest(bench.empty_project, "-n8", "-p", "no:dockerbin"),
        docker=bench.docker(project),
    )
    added = (series["ours"].wall - series["plain"].wall) / series["docker"].wall
    yield Figure("P5", "added to an empty -n 8 run, in docker builds", added, 0.8, series=series)


def p6(bench: Bench) -> Iterator[Figure]:
    """The inputs' digest."""
    from pytest_dockerbin import build_spec  # noqa: PLC0415 (only what is measured loads it)
    from pytest_dockerbin.fingerprint import inputs_digest  # noqa: PLC0415
    from pytest_dockerbin.known_inputs import KnownInputs  # noqa: PLC0415

    files = 2_000 if bench.quick else 50_000
    project = bench.suites.project("p6", dockerfile=READ)
    Suites.fill(project, files)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
    for command in ([*git, "init", "-q"], [*git, "add", "files"], [*git, "commit", "-qm", "x"]):
        subprocess.run(command, cwd=project, check=True, capture_output=True)
    names = "\n".join(str(path) for path in project.glob("files/*/*"))
    (bench.folder / "p6-names").write_text(names)
    spec = build_spec(project)
    hashing = f"git hash-object --stdin-paths < {bench.folder / 'p6-names'}"
    seen = bench.folder / "p6-seen"
    seen.mkdir()
    known = KnownInputs(seen)
    time.sleep(2.1)  # files that were just changed are not remembered
    series = bench.turns(
        5,
        unchanged=lambda: in_process(lambda: inputs_digest(spec, known)),
        digest=lambda: in_process(lambda: inputs_digest(spec)),
        git_status=lambda: run(["git", "status", "--porcelain"], project, bench.env()),
        git_hash=lambda: run(["sh", "-c", hashing], project, bench.env()),
        docker=bench.docker(project, platforms="linux/amd64"),
    )
    time_of = {name: each.wall for name, each in series.items()}
    what = f"inputs of {files} files"
    status, docker, hashed = (
        time_of[ours] / time_of[its]
        for ours, its in (
            ("unchanged", "git_status"),
            ("unchanged", "docker"),
            ("digest", "git_hash"),
        )
    )
    yield Figure("P6", f"{what} / git status", status, 1.1, series=series)
    yield Figure("P6", f"{what} / cached docker build", docker, 0.10, series=series)
    yield Figure("P6", f"{what} / git hash-object", hashed, 0.7, series=series)


def p7(bench: Bench) -> Iterator[Figure]:
    """Runs of a program."""
    from pytest_dockerbin import Builder, Platform, build_spec  # noqa: PLC0415 (as in p6)

    project = bench.suites.project("p7")
    rounds = 50 if bench.quick else 400
    with Builder() as builder:
        for platform, goal in (("linux/amd64", 1.15), ("linux/arm64", 1.02)):
            artifact = builder.build(build_spec(project), Platform.parse(platform))
            binary = artifact.binary()
            command = [str(binary.path), "true"]
            series = in_turns(
                {
                    "ours": lambda binary=binary: in_process(lambda: binary.run("true")),
                    "subprocess": lambda command=command: in_process(
                        lambda: subprocess.run(
                            command, capture_output=True, text=True, timeout=60, check=True
                        )
                    ),
                },
                rounds,
            )
            ratio = series["ours"].wall / series["subprocess"].wall
            yield Figure("P7", f"run() / subprocess.run, {platform}", ratio, goal, series=series)


def p8(bench: Bench) -> Iterator[Figure]:
    """Large artifacts."""
    count, size = (10, 2**20) if bench.quick else (50, 10 * 2**20)
    tests = "def test_it_is_there(dockerbin):\n    assert len(dockerbin.files) > 1\n"
    project = bench.suites.project("p8", tests, "FROM scratch\nCOPY files /files\n")
    Suites.fill(project, count, size)
    one = "linux/amd64"
    series = bench.turns(
        3,
        empty=bench.empty(),
        ours=bench.pytest(project, f"--dockerbin-platforms={one}"),
        reuse=bench.pytest(project, f"--dockerbin-platforms={one}", "--dockerbin-cache=reuse"),
        docker=bench.docker(project, platforms=one),
    )
    bare = series["docker"].wall
    what = f"{count} files, {count * size // 2**20} MiB"
    yield Figure(
        "P8", f"{what}: added / docker build", own(series, "ours") / bare - 1, 0.25, series=series
    )
    yield Figure(
        "P8", f"{what}: reused / docker build", own(series, "reuse") / bare, 0.05, series=series
    )


def p9(bench: Bench) -> Iterator[Figure]:
    """Peak memory of pytest's own process: docker's client is what it is."""
    empty = bench.suites.project("p9-empty", NOTHING)
    warm = bench.suites.project("p9")
    files = bench.suites.project("p9-files", ANY, READ)
    Suites.fill(files, 2_000 if bench.quick else 50_000)
    large = bench.suites.project("p9-large", ANY, "FROM scratch\nCOPY files /\n")
    Suites.fill(large, 10, (2**20) if bench.quick else (100 * 2**20))
    peak = bench.folder / "p9-peak"

    def measured(project: Path, *args: str) -> Callable[[], Sample]:
        (project / "conftest.py").write_text(PEAK)
        call = bench.pytest(project, *args, PEAK=str(peak))

        def sample() -> Sample:
            return call()._replace(memory=int(peak.read_text()) * 1024)

        return sample

    one = "--dockerbin-platforms=linux/amd64"
    series = bench.turns(
        3,
        empty=measured(empty, "-p", "no:dockerbin"),
        warm=measured(warm, f"--dockerbin-platforms={LIST}"),
        files=measured(files, one, "--dockerbin-cache=reuse"),
        large=measured(large, one),
    )
    base = series["empty"].memory
    for name, goal in (("warm", 1), ("files", 2), ("large", 8)):
        added = (series[name].memory - base) / 2**20
        yield Figure("P9", f"peak memory added, {name}", added, goal, "MiB", series)


def p10(bench: Bench) -> Iterator[Figure]:
    """Collection, and a test's own cost."""
    count = 500 if bench.quick else 10_000
    four = "linux/amd64,linux/arm64,linux/arm/v7,linux/386"
    body = "\n".join(f"def test_{n}(dockerbin_platform):\n    pass\n" for n in range(count))
    ours = bench.suites.project("p10", body)

    def by_hand(name: str, platforms: str) -> Path:
        head = (
            "import pytest\n\n"
            f"@pytest.fixture(scope='session', params={platforms.split(',')!r})\n"
            "def p(request):\n    return request.param\n\n"
        )
        return bench.suites.project(name, head + body.replace("dockerbin_platform", "p"))

    plain, one = by_hand("p10-plain", four), by_hand("p10-one", "linux/amd64")
    series = bench.turns(
        3 if bench.quick else 5,
        ours=bench.pytest(ours, "--collect-only", f"--dockerbin-platforms={four}"),
        plain=bench.pytest(plain, "--collect-only", "-p", "no:dockerbin"),
    )
    ratio = series["ours"].wall / series["plain"].wall
    yield Figure(
        "P10", f"collection of {count} tests x 4 platforms / by hand", ratio, 1.10, series=series
    )
    series = bench.turns(
        3 if bench.quick else 5,
        ours=bench.pytest(ours, "--dockerbin-platforms=linux/amd64"),
        plain=bench.pytest(one, "-p", "no:dockerbin"),
    )
    ratio = series["ours"].wall / series["plain"].wall
    yield Figure(
        "P10",
        f"{count} tests with a fixture of ours / with a plain one",
        ratio,
        1.05,
        series=series,
    )


def p11(bench: Bench) -> Iterator[Figure]:
    """Several builds."""
    dockerfile = DOCKERFILE + "ARG NUMBER\nLABEL number=${NUMBER}\n"
    project = bench.suites.project("p11", "", dockerfile)
    amd64 = "--dockerbin-platforms=linux/amd64"

    def several(name: str, count: int) -> str:
        lines = ["import pytest"]
        for number in range(count):
            lines += [
                f"@pytest.mark.dockerbin(build_args={{'NUMBER': '{number}'}})",
                f"def test_{number}(dockerbin):\n    pass",
            ]
        (project / name).write_text("\n".join(lines))
        return name

    def one_after_the_other(calls: list[Callable[[], Sample]]) -> Callable[[], Sample]:
        def all_of_them() -> Sample:
            samples = [call() for call in calls]
            return Sample(sum(s.wall for s in samples), sum(s.cpu for s in samples), 0)

        return all_of_them

    series = bench.turns(
        empty=bench.empty(),
        ours=bench.pytest(project, several("test_4.py", 4), amd64),
        docker=one_after_the_other(
            [
                bench.docker(project, f"--build-arg=NUMBER={number}", platforms="linux/amd64")
                for number in range(4)
            ]
        ),
    )
    ratio = own(series, "ours") / series["docker"].wall
    yield Figure("P11", "own time of 4 builds / docker build 4 times", ratio, 0.30, series=series)
    three = bench.suites.project("p11-platforms")
    series = bench.turns(
        empty=bench.empty(),
        ours=bench.ours(three),
        docker=one_after_the_other([bench.docker(three, platforms=each) for each in PLATFORMS]),
    )
    ratio = own(series, "ours") / series["docker"].wall
    what = "own time of 3 platforms / docker build 3 times"
    yield Figure("P11", what, ratio, 0.35, series=series)
    most = 40 if bench.quick else 100
    series = bench.turns(
        3,
        ten=bench.pytest(project, several("test_10.py", 10), amd64),
        some=bench.pytest(project, several("test_some.py", most // 2), amd64),
        most=bench.pytest(project, several("test_most.py", most), amd64),
    )
    first = (series["some"].wall - series["ten"].wall) / (most // 2 - 10)
    last = (series["most"].wall - series["some"].wall) / (most - most // 2)
    what = f"a build's time, up to {most} / up to {most // 2}"
    yield Figure("P11", what, last / first, 1.1, series=series)


def p12(bench: Bench) -> Iterator[Figure]:
    """A slow platform holds nobody up."""
    seconds = 5 if bench.quick else 20
    dockerfile = (
        "FROM scratch AS build\nARG TARGETARCH\nCOPY busybox-${TARGETARCH} /bin/busybox\n"
        'RUN ["/bin/busybox", "sh", "-c", "if [ $(/bin/busybox uname -m) = x86_64 ]; '
        f'then /bin/busybox sleep {seconds}; fi"]\n'
        "FROM scratch\nCOPY --from=build /bin/busybox /busybox\n"
    )
    tests = OURS + "    open('ended', 'a').write(f'{dockerbin.platform}\\n')\n"
    project = bench.suites.project("p12", tests, dockerfile)
    bench.pytest(project, "--dockerbin-platforms=linux/amd64,linux/arm64", "--dockerbin-no-cache")()
    order = (project / "ended").read_text().split()
    what = f"results before arm64's, where amd64 takes {seconds} s longer"
    yield Figure("P12", what, order.index("linux/arm64"), 0, unit="results")


def p13(bench: Bench) -> Iterator[Figure]:
    """Ctrl-C."""
    dockerfile = WORK.replace("20000", "200000000")
    project = bench.suites.project("p13", dockerfile=dockerfile)
    samples = []
    for _ in range(3):
        process = subprocess.Popen(
            [*PYTEST, "-v", "--dockerbin-platforms=linux/amd64"],
            cwd=project, env=bench.env(), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            # a shell starts its background jobs with SIGINT ignored, and that is inherited
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )  # fmt: skip
        while not list((bench.folder / "cache").glob("v1/sessions/*/staging/*/*")):
            time.sleep(0.05)
        time.sleep(1)
        began = time.perf_counter()
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        samples.append(Sample(time.perf_counter() - began, 0, 0))
    series = {"ours": Series(tuple(samples))}
    yield Figure("P13", "from Ctrl-C to the prompt", series["ours"].wall, 2.0, "s", series)


def p14(bench: Bench) -> Iterator[Figure]:
    """python-on-whales."""
    project = bench.suites.project("p14")
    whales = bench.suites.project("p14-whales", WHALES)
    series = bench.turns(
        ours=bench.ours(project), whales=bench.pytest(whales, "-p", "no:dockerbin")
    )
    ratio = series["ours"].wall / series["whales"].wall
    yield Figure("P14", "whole session, warm / python-on-whales", ratio, 0.6, series=series)


ROWS = (p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11, p12, p13, p14)


def _forked(bench: Bench, variants: list[list[str]], rounds: int, **more: str) -> list[Series]:
    order = bench.folder / "forked.json"
    order.write_text(json.dumps({"variants": variants, "rounds": rounds}))
    program = Path(__file__).with_name("forked.py")
    env = bench.env(**more)
    if not more:  # unused means that nothing is set either
        del env["PYTEST_DOCKERBIN_CACHE_DIR"]
    told = subprocess.run(
        [sys.executable, program, order],
        env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [
        Series(tuple(Sample(wall, cpu, 0) for wall, cpu in samples))
        for samples in json.loads(told.stdout)
    ]
