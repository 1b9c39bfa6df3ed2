"""``python -m pytest_dockerbin doctor`` on a real machine, with a real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dockerbin.platforms import Platform


@pytest.fixture
def doctor(project):
    """Ask the doctor for JSON, as a program does; return its exit code and the object."""

    def doctor(*words, env=None):
        result = subprocess.run(
            [sys.executable, "-m", "pytest_dockerbin", "doctor", "--json", *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **(env or {})},
        )
        assert result.stderr == ""
        return result.returncode, json.loads(result.stdout)

    return doctor


def docker_says(*words):
    run = subprocess.run(["docker", *words], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.engine
def test_what_docker_says_is_told(doctor):
    code, data = doctor("native")
    assert (code, data["ok"], data["problems"]) == (0, True, [])
    assert data["docker"]["version"] == docker_says("version", "--format={{.Client.Version}}")
    assert data["engine"]["version"] == docker_says("version", "--format={{.Server.Version}}")
    assert data["engine"]["api"] == docker_says("version", "--format={{.Server.APIVersion}}")
    containerd = "containerd.snapshotter" in docker_says("info", "--format={{.DriverStatus}}")
    assert data["engine"]["image_store"] == ("containerd" if containerd else "classic")
    assert data["docker"]["buildx"] in docker_says("buildx", "version")
    assert data["engine"]["address"]
    builder = docker_says("buildx", "inspect")
    assert f"Driver:        {data['builder']['driver']}\n" in builder
    assert data["builder"]["platforms"]
    assert all(platform in builder for platform in data["builder"]["platforms"])


@pytest.mark.engine
def test_platforms_are_built_and_run(doctor, project, tmp_path):
    """As the tests of this project do with them, so the doctor may not say otherwise."""
    code, data = doctor("linux/amd64", "linux/arm64", "linux/s390x")
    assert code == 0
    assert [(each["build"], each["run"]) for each in data["platforms"]] == [(True, True)] * 3
    emulated = {each["platform"]: each["emulated"] for each in data["platforms"]}
    assert emulated.pop(str(Platform.host())) is False
    assert set(emulated.values()) == {True}
    assert len(project.builds()) == 3
    assert list((tmp_path / "cache" / "v1" / "sessions").iterdir()) == []


@pytest.mark.engine
def test_what_cannot_run_here_is_the_exit_code(doctor):
    code, data = doctor("native", "freebsd/amd64")
    assert (code, data["ok"]) == (1, False)
    native, freebsd = data["platforms"]
    assert (native["run"], freebsd["run"]) == (True, False)
    assert data["problems"][0]["problem"] == freebsd["run_error"]


@pytest.mark.engine
def test_a_daemon_that_is_down(doctor, project):
    code, data = doctor(env={"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    assert code == 1
    (problem,) = (each["problem"] for each in data["problems"])
    assert problem.startswith("the Docker daemon does not answer (Cannot connect to the Docker ")
    assert data["engine"]["address"] == "unix:///nowhere/docker.sock"
    assert data["docker"]["version"]
    native = data["platforms"][0]
    assert (native["build"], native["run"]) == (False, True)
    assert project.builds() == []


@pytest.mark.engine
@pytest.mark.parametrize("words", [["--builder", "no-such"], []])
def test_a_builder_that_is_not_there(doctor, words):
    code, data = doctor("native", *words, env={} if words else {"BUILDX_BUILDER": "no-such"})
    assert code == 1
    (problem,) = (each["problem"] for each in data["problems"])
    assert problem == "the builder 'no-such' can't be used (no builder \"no-such\" found)"
    assert data["engine"]["version"]


@pytest.mark.engine
@pytest.mark.alone
def test_an_emulator_that_is_switched_off(doctor):
    """The builder can't use it then, whatever else runs such programs here."""
    handler = Path("/proc/sys/fs/binfmt_misc/qemu-loongarch64")
    if os.geteuid() != 0 or not handler.exists():
        pytest.skip("needs root and a registered qemu-loongarch64 handler to switch off")
    handler.write_text("0")
    try:
        code, data = doctor("linux/loong64")
        (found,) = (h for h in data["binfmt"]["handlers"] if h["name"] == handler.name)
        cures = [str(problem["cure"]) for problem in data["problems"]]
        assert f"switch its emulator on: echo 1 > {handler}" in cures
        assert (code, found["enabled"], found["architecture"]) == (1, False, "loong64")
    finally:
        handler.write_text("1")
    code, data = doctor("linux/loong64")
    assert (code, data["problems"]) == (0, [])
    (found,) = (h for h in data["binfmt"]["handlers"] if h["name"] == handler.name)
    assert found["enabled"]
    assert found["version"]
