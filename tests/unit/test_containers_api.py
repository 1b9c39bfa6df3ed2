"""Programs in containers, of an engine that is none: what is told where it goes wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from programs import ARM64, dynamic, written

from pytest_dockerbin.artifact import Binary
from pytest_dockerbin.engine import EMPTY
from pytest_dockerbin.errors import EngineError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.results import Command, Kind, Sysroot
from pytest_dockerbin.runner_spec import RunnerSpec
from pytest_dockerbin.runners import chain
from pytest_dockerbin.runners.container import ContainerRunner, _ContainerProcess, _why
from pytest_dockerbin.runners.containers import Container, Containers, Place
from pytest_dockerbin.runners.proof import ProofError
from pytest_dockerbin.runners.tiny import tiny_program

HOST = Platform.host()
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux programs")


def place(image=EMPTY, docker=("docker",)):
    return Place(docker=docker, context="", image=image, platform=HOST)


class Engine:
    """Does nothing, and keeps what it was asked."""

    platform = HOST
    local = True

    def __init__(self):
        self.asked = []

    def has(self, name, path):
        self.asked.append(("has", name, path))
        return path == "/there"

    def put(self, name, _):
        self.asked.append(("put", name))


class Given(Containers):
    """Gives one container, and keeps how it came back."""

    def __init__(self, container):
        super().__init__("of-test-containers", nullcontext)
        self.container = container
        self.came_back = []

    def take(self, _):
        return self.container

    def give_back(self, _, *, ended):
        self.came_back.append(ended)


@pytest.fixture
def container():
    return Container(Engine(), place(), "c1", {})


def runner(containers, image=EMPTY):
    return ContainerRunner(
        name="container",
        timeout=30.0,
        timeout_factor=1.0,
        containers=containers,
        place=place(image, containers.container.place.docker if containers else ("docker",)),
    )


def binary(path, containers):
    made = runner(containers)
    return Binary(path=path, platform=HOST, size=0, sha256="", runner=lambda *_: made)


# -- the containers -------------------------------------------------------------------------------


def test_an_engine_of_an_unknown_processor_is_refused():
    engine = SimpleNamespace(platform=Platform.parse("windows/amd64"))
    with pytest.raises(EngineError) as caught:
        Container(engine, place(), "c1", {}).create()
    assert caught.value.summary == (
        "the Docker Engine refused: containers of windows/amd64 are not known here"
    )


def test_what_is_in_a_container_is_asked_for_once(container):
    for _ in range(2):
        assert container.has("/there")
        assert not container.has("/nowhere")
    assert container.engine.asked == [("has", "c1", "/there"), ("has", "c1", "/nowhere")]


def test_only_a_container_without_an_image_is_given_a_sysroot(tmp_path):
    sysroot = Sysroot(tmp_path, "lib/ld.so")
    assert runner(None).with_sysroot(sysroot).place.sysroot == tmp_path
    assert runner(None, "alpine").with_sysroot(sysroot).place.sysroot is None


def test_a_cpu_model_needs_a_qemu_in_the_container_too(tmp_path):
    tiny = written(tmp_path, tiny_program(HOST, 42))
    case = chain._Case(
        platform=HOST,
        tiny=str(tiny),
        spec=RunnerSpec.parse("container"),
        model="cortex-a53",
        containers=Containers("of-test-containers", nullcontext),
    )
    container = SimpleNamespace(
        put_program=lambda *_: str(tiny), execute=lambda *_: ("/usr/bin/env", "A=B")
    )
    with pytest.raises(ProofError, match=r"no QEMU runs them there, .* for the CPU cortex-a53"):
        chain._proved_in(container, case)


# -- a program in one -----------------------------------------------------------------------------


def test_a_container_that_breaks_before_the_program_starts_is_not_used_again(tmp_path, container):
    containers = Given(container)

    def breaks(*_):
        raise EngineError.refused("no space left on device")

    container.engine.put = breaks
    with pytest.raises(EngineError, match="no space left"):
        binary(written(tmp_path, tiny_program(HOST, 42)), containers).run()
    assert containers.came_back == [False]


def test_what_runc_refuses_is_no_output_of_the_program(tmp_path):
    docker = tmp_path / "docker"
    docker.write_text(
        "#!/bin/sh\n"
        'echo "OCI runtime exec failed: exec failed: /hello: exec format error: unknown"\n'
        "exit 126\n"
    )
    docker.chmod(0o755)
    containers = Given(Container(Engine(), place(docker=(str(docker),)), "c1", {}))
    result = binary(written(tmp_path, tiny_program(HOST, 42)), containers).run()
    assert (result.kind, result.returncode, result.stdout) == (Kind.NO_EMULATOR, 126, "")
    assert "can't be executed" in result.stderr


def test_a_signal_for_what_has_ended_reaches_nobody(container):
    containers = Given(container)
    process = _ContainerProcess(
        ("true",), container=container, containers=containers,
        stdin=subprocess.DEVNULL, stdout=None, stderr=None, env={}, buffered=True,
    )  # fmt: skip
    assert process.wait(60)
    process.signal(signal.SIGTERM)
    process.end()
    process.signal(signal.SIGTERM)
    assert container.engine.asked == []
    assert containers.came_back == [True]


def said_by_runc(program, said, *, old=False, wrapper=()):
    """Return what follows from runc's words, as two versions of docker hand them on."""
    command = Command(program=program, platform=ARM64, env={}, wrapper=wrapper)
    first = wrapper[0] if wrapper else str(program)
    if old:
        return _why(command, 126, b"OCI runtime exec failed: " + said + b": unknown\r\n", b"")
    return _why(command, 255, b"", f"exec {first}: ".encode() + said + b"\n")


@pytest.mark.parametrize("old", [False, True])
def test_why_runc_did_not_start_a_program(tmp_path, old):
    program = written(tmp_path, dynamic("/lib/ld-of-nobody.so"))
    verdict = said_by_runc(program, b"no such file or directory", old=old)
    assert verdict.kind is Kind.NO_LOADER
    assert b"/lib/ld-of-nobody.so, which is not in the container" in verdict.stderr
    assert said_by_runc(program, b"exec format error", old=old).kind is Kind.NO_EMULATOR
    with pytest.raises(PermissionError, match="Permission denied"):
        said_by_runc(program, b"permission denied", old=old)
    assert said_by_runc(program, b"something else", old=old) is None


@pytest.mark.parametrize("old", [False, True])
def test_a_wrapper_that_runc_did_not_start_is_the_test_s_own_mistake(old):
    given = {"wrapper": ("strace",), "old": old}
    with pytest.raises(PermissionError, match="wrapper: Permission denied: 'strace'"):
        said_by_runc(Path("/x"), b"permission denied", **given)
    for words in (b"no such file or directory", b"executable file not found in $PATH"):
        with pytest.raises(FileNotFoundError, match="wrapper: there is no such program: 'strace'"):
            said_by_runc(Path("/x"), words, **given)


def test_words_of_a_program_that_ran_are_its_own():
    command = Command(program=Path("/x"), platform=HOST, env={})
    assert _why(command, 1, b"OCI runtime exec failed: exec format error", b"") is None
    assert _why(command, 1, b"out", b"exec /x: permission denied") is None
