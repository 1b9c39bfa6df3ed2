"""Platforms that are built by different engines, as a cluster of them or other machines would."""

from __future__ import annotations

import re
import socketserver
import subprocess
import threading

import pytest
from lines import Line

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

PLATFORMS = "linux/amd64,linux/arm64"

SUITE = """
import pytest

@pytest.mark.dockerbin(build_args={"ANSWER": "1"})
def test_one(dockerbin):
    assert (dockerbin / "answer").read_text() == "1\\n"

@pytest.mark.dockerbin(build_args={"ANSWER": "2"})
def test_two(dockerbin):
    assert (dockerbin / "answer").read_text() == "2\\n"
"""

# the step is run on the engine: its cache tells whether it was
STEP = """\
FROM scratch AS build
ARG TARGETARCH
ARG ANSWER
COPY busybox-${TARGETARCH} /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo $ANSWER > /answer"]
FROM scratch
COPY --from=build /answer /
"""


def builders_of(project) -> dict[tuple[str, str], str | None]:
    """Return the builder of each build so far, by platform and argument."""
    found = {}
    for call in project.calls():
        if "build" not in call[:3]:
            continue
        words = dict(word.partition("=")[::2] for word in call if word.startswith("--"))
        found[words["--platform"], words.get("--build-arg", "")] = words.get("--builder")
    return found


@pytest.fixture
def line(second_engine):
    """A line to the second engine."""
    with Line(second_engine) as line, Switch(line) as line.switch:
        yield line
        line.switch.shutdown()
        line.shutdown()


class Switch(socketserver.TCPServer):
    """A TCP port that cuts a line for whoever connects to it."""

    def __init__(self, line: Line) -> None:
        self.line = line
        super().__init__(("127.0.0.1", 0), None)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, _request, _address):
        self.line.cut = True


def test_each_platform_has_its_engine_from_one_option(project, far_context):
    """Natively built here, the other on the second engine; the summary names it."""
    project.dockerfile(STEP)
    project.pytester.makepyfile(SUITE)
    result = project.run(
        f"--dockerbin-platforms={PLATFORMS}",
        f"--dockerbin-builder=linux/arm64={far_context}",
        "-n2",
    )
    result.assert_outcomes(passed=4)
    assert builders_of(project) == {
        (platform, f"ANSWER={answer}"): None if platform == "linux/amd64" else "far"
        for platform in PLATFORMS.split(",")
        for answer in (1, 2)
    }
    result.stdout.fnmatch_lines(["linux/arm64*: *built in * s by far*2 passed"])
    result.stdout.no_fnmatch_line("linux/amd64*by far*")


def test_a_builder_that_does_not_exist_is_named_before_anything_is_built(project, far_context):
    """An error, also where missing things are skipped; the other platform is tested."""
    project.dockerfile(STEP)
    project.pytester.makepyfile(SUITE)
    result = project.run(
        f"--dockerbin-platforms={PLATFORMS}", "--dockerbin-builder=linux/arm64=fra"
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["dockerbin: unknown builder 'fra'; did you mean 'far'?"])
    assert {platform for platform, _ in builders_of(project)} == {"linux/amd64"}
    assert sum(call[:2] == ["buildx", "inspect"] for call in project.calls()) == 1


def test_an_engine_that_is_lost_halfway_takes_only_its_platform_with_it(project, far_context, line):
    """The second build there fails and says why; what was built before, and here, is tested."""
    create = ["docker", "context", "create", "line", f"--docker=host=tcp://127.0.0.1:{line.port}"]
    subprocess.run(create, check=True, capture_output=True)
    project.dockerfile(STEP)
    project.pytester.makepyfile(SUITE)
    project.pytester.makeconftest(
        """
        import socket
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logreport(report):
            if report.nodeid.endswith("[linux/arm64]") and report.when == "call":
                with socket.create_connection(("127.0.0.1", SWITCH)) as switch:
                    switch.recv(1)
        """.replace("SWITCH", str(line.switch.server_address[1]))
    )
    result = project.run(
        f"--dockerbin-platforms={PLATFORMS}", "--dockerbin-builder=linux/arm64=line"
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["ERROR *linux/arm64?"])
    assert re.search(r"dockerbin: .*'line'", result.stdout.str())


CACHED = """
import pytest

@pytest.mark.dockerbin(build_args={"ANSWER": "cached"})
def test_answer(dockerbin):
    assert (dockerbin / "answer").read_text() == "cached\\n"
"""


def test_an_empty_engine_takes_its_steps_from_the_first_one_s_cache(project, far_context):
    """As a second job of a CI does; each platform has its folder in the cache."""
    project.dockerfile(STEP)
    project.pytester.makepyfile(CACHED)
    cache = project.pytester.path / "cache"
    project.pytester.makeini(f"[pytest]\ndockerbin_cache_to = type=local,dest={cache},mode=max\n")
    project.run(f"--dockerbin-platforms={PLATFORMS}").assert_outcomes(passed=2)
    assert {path.name for path in cache.iterdir()} == {"linux_amd64", "linux_arm64"}
    subprocess.run(
        ["docker", "--context=far", "buildx", "prune", "--all", "--force"],
        check=True,
        capture_output=True,
    )
    project.pytester.makeini(f"[pytest]\ndockerbin_cache_from = type=local,src={cache}\n")
    result = project.run(f"--dockerbin-platforms={PLATFORMS}", "--dockerbin-builder=far")
    result.assert_outcomes(passed=2)
    for slug in ("amd64", "arm64"):
        result.stdout.fnmatch_lines(
            [f"linux/{slug}*: *built in * s by far, [23] of 3 steps cached*"]
        )
