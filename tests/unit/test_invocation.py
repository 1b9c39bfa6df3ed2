"""What run and popen refuse, before anything is started and without a frame of ours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_dockerbin.artifact import Binary
from pytest_dockerbin.errors import EmulatorError, RunError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners import registry
from pytest_dockerbin.runners.host import HostRunner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux programs")

RUNNER = HostRunner(name="native", timeout=30.0, timeout_factor=1.0)


def binary(path="/bin/sh", runner=lambda *_: RUNNER):
    return Binary(path=Path(path), platform=Platform.host(), size=0, sha256="", runner=runner)


def never(*_):
    raise AssertionError("a runner was asked for")


@pytest.fixture(autouse=True)
def ended():
    """Leave nothing running."""
    yield
    registry.end_all()


def frames(caught):
    """Return the names of functions of ours that pytest would show."""
    shown = [
        entry for entry in caught.traceback if not entry.frame.f_locals.get("__tracebackhide__")
    ]
    return [entry.name for entry in shown if "pytest_dockerbin" in str(entry.path)]


LONG = "x" * 1000
BOTH = [
    (("echo", 5), {}, TypeError, "argument 2: expected text or a path, not 5"),
    ((["echo", "x"],), {}, TypeError, "argument 1: expected text or a path, not ['echo', 'x']"),
    ((b"x",), {}, TypeError, "argument 1: expected text or a path, not b'x'"),
    (("a\0b",), {}, ValueError, r"argument 1: expected text without NUL, not 'a\x00b'"),
    (("\ud800",), {}, ValueError, r"argument 1: expected text that can be encoded, not '\ud800'"),
    ((), {"env": ["A=1"]}, TypeError, "env: expected variables such as {'HOME': '/tmp'}, not "),
    ((), {"env": {"A": 1}}, TypeError, "env['A']: expected text or a path, not 1"),
    ((), {"env": {"A": None}}, TypeError, "env['A']: expected text or a path, not None"),
    ((), {"env": {1: "A"}}, TypeError, "env: expected text or a path, not 1"),
    ((), {"env": {"A=B": "x"}}, ValueError, "env: expected names without '=', not 'A=B'"),
    ((), {"env": {"A": "\0"}}, ValueError, r"env['A']: expected text without NUL, not '\x00'"),
    ((), {"pass_env": "HOME"}, TypeError, "pass_env: expected names such as ['HOME'], not 'HOME'"),
    ((), {"pass_env": [1]}, TypeError, "pass_env: expected text or a path, not 1"),
    ((), {"wrapper": "env"}, TypeError, "wrapper: expected words such as ('strace', '-f'), not "),
    ((), {"wrapper": 5}, TypeError, "wrapper: expected words such as ('strace', '-f'), not 5"),
    ((), {"cwd": 5}, TypeError, "cwd: expected text or a path, not 5"),
    ((), {"cwd": "/no"}, FileNotFoundError, "[Errno 2] cwd: there is no such folder: '/no'"),
    (
        (),
        {"cwd": "/dev/null"},
        NotADirectoryError,
        "[Errno 20] cwd: it is no folder: '/dev/null'",
    ),
    ((), {"cpu": 5}, TypeError, "cpu: expected a CPU model of QEMU's, such as 'cortex-a53', not 5"),
    (
        (),
        {"cpu": ""},
        ValueError,
        "cpu: expected a CPU model of QEMU's, such as 'cortex-a53', not ",
    ),
    ((), {"max_output": 0}, ValueError, "max_output: expected a number of bytes, 1 or more, not 0"),
    ((), {"max_output": -5}, ValueError, "max_output: expected a number of bytes, 1 or more, not "),
    ((), {"max_output": 1e6}, TypeError, "max_output: expected a number of bytes, 1 or more, not "),
]
RUN = [
    ((), {"timeout": "5"}, TypeError, "timeout: expected seconds, more than 0, not '5'"),
    ((), {"timeout": True}, TypeError, "timeout: expected seconds, more than 0, not True"),
    ((), {"timeout": -1}, ValueError, "timeout: expected seconds, more than 0, not -1"),
    ((), {"timeout": 0}, ValueError, "timeout: expected seconds, more than 0, not 0"),
    ((), {"timeout": float("nan")}, ValueError, "timeout: expected seconds, more than 0, not nan"),
    ((), {"timeout": float("inf")}, ValueError, "timeout: expected seconds, more than 0, not inf"),
    ((), {"input": 5}, TypeError, "input: expected text or bytes, not 5"),
]
STREAM = "expected subprocess.PIPE, DEVNULL, an open file or its descriptor, or None, not"
POPEN = [
    ((), {"stdout": "file"}, TypeError, f"stdout: {STREAM} 'file'"),
    ((), {"stdin": b"x"}, TypeError, f"stdin: {STREAM} b'x'"),
    ((), {"stdin": subprocess.STDOUT}, ValueError, f"stdin: {STREAM} -2"),
    ((), {"stdout": -9}, ValueError, f"stdout: {STREAM} -9"),
    ((), {"stderr": True}, TypeError, f"stderr: {STREAM} True"),
]


@pytest.mark.parametrize(
    ("call", "args", "given", "error", "said"),
    [("run", *case) for case in BOTH + RUN] + [("popen", *case) for case in BOTH + POPEN],
)
def test_what_can_t_be_meant_is_one_line_before_anything_is_asked_for(
    call, args, given, error, said
):
    with pytest.raises(error, match=f"^{re.escape(said)}") as caught:
        getattr(binary(runner=never), call)(*args, **given)
    assert "\n" not in str(caught.value)
    assert frames(caught) == []


def test_a_long_value_is_not_told_in_full():
    with pytest.raises(TypeError) as caught:
        binary().run(input=[LONG])
    assert len(str(caught.value)) < 100


def test_paths_are_words_and_values_too(tmp_path):
    result = binary().run("-c", 'echo "$A $0"', tmp_path / "x", env={"A": tmp_path}, cwd=tmp_path)
    assert result.stdout == f"{tmp_path} {tmp_path}/x\n"


def test_words_may_have_any_letters():
    assert binary().run("-c", 'echo "$A $0"', "漢", env={"A": "ä"}).stdout == "ä 漢\n"


@pytest.mark.parametrize("data", [b"x", bytearray(b"x"), memoryview(b"x"), "x"])
def test_any_bytes_are_input(data):
    assert binary("/bin/cat").run(input=data).stdout == "x"


@pytest.mark.parametrize("call", ["run", "popen"])
def test_a_wrapper_that_is_not_there_is_told_without_a_frame_of_ours(call):
    with pytest.raises(
        FileNotFoundError, match="wrapper: there is no such program: 'no'"
    ) as caught:
        getattr(binary(), call)(wrapper=("no",))
    assert frames(caught) == []
    assert [entry.name for entry in caught.traceback if "subprocess" in str(entry.path)] == []


def test_a_failure_is_told_without_a_frame_of_ours():
    with pytest.raises(RunError) as caught:
        binary().run("-c", "exit 3", check=True)
    assert frames(caught) == []
    program = binary().popen("-c", "exit 3")
    for wait in (lambda: program.wait_for_line("x"), lambda: program.wait_for_port(80)):
        with pytest.raises(RunError) as caught:
            wait()
        assert frames(caught) == []


@pytest.mark.parametrize("call", ["run", "popen"])
def test_what_nothing_runs_is_told_without_a_frame_of_ours(call):
    def none(*_):
        __tracebackhide__ = True
        raise EmulatorError.by_choice("linux/arm64")

    with pytest.raises(EmulatorError) as caught:
        getattr(binary(runner=none), call)()
    assert frames(caught) == []


@pytest.mark.parametrize("args", [(5,), ("\0",)])
def test_a_command_has_words_only(args):
    with pytest.raises((TypeError, ValueError), match=r"^argument 1: expected text"):
        binary().command(*args)
