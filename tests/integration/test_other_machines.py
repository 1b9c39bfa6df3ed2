"""Builders that are not this machine's engine: over a network, and of another driver."""

from __future__ import annotations

import subprocess

import pytest
from lines import Line

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

PLATFORMS = "--dockerbin-platforms=linux/amd64,linux/arm64"

# its steps are run on the builder, and each time anew unless a cache has them
STEPS = """\
FROM scratch AS build
ARG TARGETARCH
COPY busybox-${TARGETARCH} /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox cat /proc/sys/kernel/random/uuid > /answer"]
RUN ["/bin/busybox", "mkdir", "/out"]
RUN ["/bin/busybox", "cp", "/answer", "/bin/busybox", "/out"]
FROM scratch
COPY --from=build /out /
"""

SUITE = """
def test_it(dockerbin, dockerbin_binary, dockerbin_platform):
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[dockerbin_platform.architecture]
    assert dockerbin_binary.run("uname", "-m").stdout == machine + "\\n"
    print("ANSWER", dockerbin_platform, (dockerbin / "answer").read_text())
"""


def answers(result) -> list[str]:
    """Return what the steps made."""
    return sorted(line for line in result.outlines if line.startswith("ANSWER "))


def test_a_second_job_takes_all_steps_from_the_registry_of_the_first(
    project, line_to_network, registry
):
    """Over TCP, between two networks: the second machine's engine is empty, and runs nothing."""
    project.dockerfile(STEPS)
    project.pytester.makepyfile(SUITE)
    shared = f"type=registry,ref={registry}/app:cache"
    project.pytester.makeini(
        f"[pytest]\ndockerbin_cache_to = {shared},mode=max\ndockerbin_cache_from = {shared}\n"
    )
    first = project.run(PLATFORMS, "-rP")
    first.assert_outcomes(passed=2)
    prune = ["docker", f"--context={line_to_network}", "buildx", "prune", "--all", "--force"]
    subprocess.run(prune, check=True, capture_output=True)
    project.pytester.makeini(f"[pytest]\ndockerbin_cache_from = {shared}\n")
    second = project.run(PLATFORMS, "-rP", f"--dockerbin-builder={line_to_network}")
    second.assert_outcomes(passed=2)
    for architecture in ("amd64", "arm64"):
        second.stdout.fnmatch_lines(
            [f"linux/{architecture}*: *built in * s by tcp, 5 of 5 steps cached*"]
        )
    assert answers(second) == answers(first)


def test_a_cable_that_is_pulled_out_during_a_build_is_told(project, line_to_network, far_network):
    """No connection is closed by that: docker waits, until the build has taken too long."""
    project.dockerfile(STEPS)
    project.dockerfile(
        STEPS.replace('"/bin/busybox cat', '"echo at work; /bin/busybox sleep 600; cat'),
        "slow.Dockerfile",
    )
    project.pytester.makepyfile(
        SUITE
        + """
import pytest

@pytest.mark.platform("linux/arm64")
@pytest.mark.dockerbin(dockerfile="slow.Dockerfile")
def test_lost(dockerbin): pass
"""
    )
    project.pytester.makeconftest(
        f"""
        import subprocess, threading, time

        def cut(config):
            logs = config.rootpath.parent.rglob
            while not any("at work" in log.read_text() for log in logs("*-linux_arm64.log")):
                time.sleep(0.1)
            subprocess.run({far_network.cut()}, check=True)

        def pytest_dockerbin_build_started(config, spec, platform):
            if "slow" in spec.label():
                threading.Thread(target=cut, args=[config], daemon=True).start()
        """
    )
    result = project.run(
        PLATFORMS,
        f"--dockerbin-builder=linux/arm64={line_to_network}",
        "--dockerbin-build-timeout=30",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "dockerbin: build for linux/arm64 took longer than 30 s and was ended during *RUN*",
            f"hint:     the builder 'tcp' does not answer (*{far_network.address}*)",
        ]
    )


@pytest.fixture
def own_engine(docker_config) -> str:
    """The address of docker's engine."""
    ask = ["docker", "context", "inspect", "--format={{.Endpoints.docker.Host}}"]
    return subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()


def test_a_builder_of_several_machines_builds_each_platform_on_its_own(
    project, own_engine, second_engine
):
    """BuildKit by itself on each, as buildx's drivers remote and kubernetes have it."""
    if not own_engine.startswith("unix://"):
        pytest.skip("docker's engine is elsewhere")
    project.dockerfile(STEPS)
    project.pytester.makepyfile(
        SUITE
        + """
import pytest

@pytest.mark.dockerbin(exporter="oci", provenance="max")
def test_image(dockerbin, dockerbin_platform):
    node = {"amd64": "farm0", "arm64": "farm1"}[dockerbin_platform.architecture]
    assert dockerbin.build.ref.startswith(f"farm/{node}/")
    assert dockerbin.path.name == "export.tar"
    assert dockerbin.provenance["predicateType"].startswith("https://slsa.dev/provenance/")
"""
    )
    create = ["docker", "buildx", "create", "--name=farm", "--driver=remote"]
    with Line(own_engine, buildkit=True) as near, Line(second_engine, buildkit=True) as far:
        for line, words in ((near, ["amd64"]), (far, ["arm64", "--append"])):
            node = [f"--platform=linux/{words[0]}", *words[1:], f"tcp://127.0.0.1:{line.port}"]
            subprocess.run([*create, *node], check=True, capture_output=True)
        result = project.run(PLATFORMS, "--dockerbin-builder=farm", "-n2")
        result.assert_outcomes(passed=4)
        result.stdout.fnmatch_lines(["linux/arm64*: *built in * s by farm*"])
        far.shutdown()
        near.shutdown()


def test_a_builder_without_its_machine_is_named(project, docker_config):
    """Something that is missing, as a daemon is; the other platform is tested."""
    project.dockerfile(STEPS)
    project.pytester.makepyfile(SUITE)
    create = ["docker", "buildx", "create", "--name=gone", "--driver=remote", "tcp://127.0.0.1:9"]
    subprocess.run(create, check=True, capture_output=True)
    result = project.run(PLATFORMS, "--dockerbin-builder=linux/arm64=gone", env={"CI": "1"})
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["dockerbin: the builder 'gone' lists no platforms (inactive)"])
