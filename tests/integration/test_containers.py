"""Programs in containers, for real: on the engine that builds, and on one that is far away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from test_dynamic_programs import SORT, SORTS

pytestmark = pytest.mark.engine

DEADLINE = 120.0  # seconds after which a wait is a failure, never a measure
LABEL = "pytest-dockerbin.session"

MARK = """
import os, signal, socket, subprocess, urllib.request
from pathlib import Path

import pytest

from pytest_dockerbin import DockerbinError

pytestmark = pytest.mark.platform("linux/amd64", "linux/arm64")
"""
RUNS = """
def test_streams_and_exit_code(dockerbin_binary):
    result = dockerbin_binary.run("sh", "-c", "cat; echo err >&2; exit 3", input="größe")
    assert (result.returncode, result.stdout, result.stderr) == (3, "größe", "err\\n")
    assert (result.kind, result.emulated) == ("exited", not dockerbin_binary.platform.native)

def test_streams_are_whole_and_apart(dockerbin_binary):
    script = "head -c 1048576 /dev/zero; head -c 1048577 /dev/zero >&2"
    result = dockerbin_binary.run("sh", "-c", script, text=False)
    assert (result.stdout, result.stderr) == (bytes(2**20), bytes(2**20 + 1))

def test_input_is_whole(dockerbin_binary):
    data = bytes(range(256)) * 4096
    assert dockerbin_binary.run("cat", input=data, text=False).stdout == data

def test_more_output_than_is_kept(dockerbin_binary):
    result = dockerbin_binary.run("sh", "-c", "head -c 100000 /dev/zero", max_output=1000)
    assert result.kind == "output-limit"

def test_signals(dockerbin_binary):
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
        result = dockerbin_binary.run("sh", "-c", f"kill -{number:d} $$")
        assert (result.kind, result.signal) == ("signaled", number)

def test_an_exit_code_that_no_signal_makes(dockerbin_binary):
    code = 128 + signal.SIGCHLD
    assert dockerbin_binary.run("sh", "-c", f"exit {code}").returncode == code

def test_environment(dockerbin_binary):
    env = {"A": "b\\nc", "DOCKER_HOST": "x"}
    lines = dockerbin_binary.run("env", env=env).stdout.splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert names == {"A", "c", "DOCKER_HOST", "HOME", "LANG", "PATH", "TERM", "TZ"}
    assert {"A=b", "DOCKER_HOST=x"} <= set(lines)

def test_a_folder_of_its_own(dockerbin_binary):
    script = "pwd; ls; touch here"
    first, second = (dockerbin_binary.run("sh", "-c", script).stdout for _ in range(2))
    assert len(first.splitlines()) == len(second.splitlines()) == 1
    assert first != second

def test_a_folder_that_the_test_names(dockerbin_binary, tmp_path):
    for text in ("old", "new"):
        (tmp_path / "file").write_text(text)
        result = dockerbin_binary.run("sh", "-c", "pwd; cat file", cwd=tmp_path)
        assert result.stdout == f"{tmp_path}\\n{text}"

def test_a_timeout_ends_all(dockerbin_binary):
    limit = 2 / (1 if dockerbin_binary.platform.native else 10)
    script = "sleep 1000 & (setsid sleep 1000 &) & sleep 1000"
    assert dockerbin_binary.run("sh", "-c", script, timeout=limit).kind == "timeout"
    assert "sleep" not in dockerbin_binary.run("ps").stdout

def test_what_a_program_leaves_behind_is_ended(dockerbin_binary):
    assert dockerbin_binary.run("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &").returncode == 0
    assert "sleep" not in dockerbin_binary.run("ps").stdout

def test_no_such_wrapper(dockerbin_binary):
    with pytest.raises(FileNotFoundError, match="/no/such"):
        dockerbin_binary.run("true", wrapper=["/no/such"])

def test_a_cpu_model(dockerbin_binary):
    if dockerbin_binary.platform.native:
        pytest.skip("this processor runs them")
    out = dockerbin_binary.run("env", cpu="cortex-a53").stdout
    assert "QEMU_CPU=cortex-a53" in out.splitlines()
    with pytest.raises(DockerbinError, match="did you mean 'cortex-a53'"):
        dockerbin_binary.run("env", cpu="cortex-a53x")
"""
PROGRAMS = """
def test_ended_at_once(dockerbin_binary):
    program = dockerbin_binary.popen("sleep", "1000")
    program.terminate()
    assert program.wait() == -signal.SIGTERM

def test_a_handler(dockerbin_binary):
    script = "trap 'echo ended; exit 4' TERM; echo ready; while :; do sleep 0.1; done"
    program = dockerbin_binary.popen("sh", "-c", script)
    program.wait_for_line("ready")
    program.terminate()
    assert program.wait() == 4
    assert program.stdout.read() == "ready\\nended\\n"

def test_spoken_to(dockerbin_binary):
    with dockerbin_binary.popen("cat", stdin=subprocess.PIPE) as program:
        program.stdin.write("hello\\n")
        program.wait_for_line("hello")
        assert program.communicate("bye\\n") == ("hello\\nbye\\n", "")
        assert program.returncode == 0

def test_one_is_ended_and_another_goes_on(dockerbin_binary):
    one, other = (dockerbin_binary.popen("cat", stdin=subprocess.PIPE) for _ in range(2))
    one.kill()
    assert one.wait() == -signal.SIGKILL
    assert other.communicate("still here")[0] == "still here"
"""
SERVER = """
def test_server(dockerbin_binary, tmp_path):
    (tmp_path / "index.html").write_text("Hello World!\\n")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = dockerbin_binary.popen("httpd", "-f", "-v", "-p", f"127.0.0.1:{port}", cwd=tmp_path)
    assert server.wait_for_port(port) == port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html") as answer:
        assert answer.read() == b"Hello World!\\n"
    assert "response:200" in server.wait_for_line("response:200").string
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
"""
LAUNCHERS = """
def test_launcher(dockerbin_binary, tmp_path):
    script = 'cat; echo "$A $1"; pwd; echo err >&2; exit 7'
    command = [dockerbin_binary, "sh", "-c", script, "x", "an argument"]
    env = {"A": "a b\\nc", "PATH": "/nowhere"}
    run = subprocess.run(command, input=b"in\\n", capture_output=True, env=env, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (7, b"err\\n")
    assert run.stdout.decode() == f"in\\na b\\nc an argument\\n{tmp_path}\\n"

def test_launcher_hands_down_signals(dockerbin_binary):
    script = "trap 'echo ended; exit 4' TERM; echo ready; while :; do sleep 0.1; done"
    run = subprocess.Popen([dockerbin_binary, "sh", "-c", script], stdout=subprocess.PIPE)
    assert run.stdout.readline() == b"ready\\n"
    run.terminate()
    assert run.communicate()[0] == b"ended\\n"
    assert run.returncode == 4

def test_launched_ones_end_by_themselves(dockerbin_binary):
    command = [dockerbin_binary, "sh", "-c", "echo ready; exec sleep 1000"]
    one, other = (subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2))
    assert one.stdout.readline() == other.stdout.readline() == b"ready\\n"
    one.terminate()
    assert one.wait() == 128 + signal.SIGTERM
    assert other.poll() is None  # it is left to the end of the session
    one.stdout.close(), other.stdout.close()
"""


def containers(folder):
    """Return the ids of what is left of the sessions that a test began."""
    found = []
    for session in folder.glob("cache/v1/sessions/*"):
        command = ["docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}={session.name}"]
        found += subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return found


def wait_until(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.05)


def used(project):
    """Return the containers in which something was executed, one for each time."""
    names = (word for call in project.calls() if "exec" in call for word in call)
    return [name for name in names if name.startswith("pytest-dockerbin-")]


def probes(project):
    return [call for call in project.calls() if "--env=QEMU_VERSION=1" in call]


# -- on the engine that builds --------------------------------------------------------------------


def test_runs(project, tmp_path):
    """One after another in one container for each platform, beside that of the proof."""
    project.dockerfile()
    project.pytester.makepyfile(MARK + RUNS)
    result = project.run("--dockerbin-runner=container")
    result.assert_outcomes(passed=25, skipped=1)
    proved = {word for call in probes(project) for word in call if word in used(project)}
    assert len(probes(project)) == len(proved) == 4, "two platforms, and two CPU models"
    assert len({*used(project)} - proved) == 2
    assert containers(tmp_path) == []


def test_programs_that_are_not_waited_for(project, tmp_path):
    project.dockerfile()
    project.pytester.makepyfile(MARK + PROGRAMS)
    project.run("--dockerbin-runner=container").assert_outcomes(passed=8)
    assert containers(tmp_path) == []


def test_servers_are_reached_at_127_0_0_1(project, tmp_path):
    project.dockerfile()
    project.pytester.makepyfile(MARK + SERVER)
    project.run("--dockerbin-runner=container").assert_outcomes(passed=2)
    assert containers(tmp_path) == []


def test_launchers(project, tmp_path):
    project.dockerfile()
    project.pytester.makepyfile(MARK + LAUNCHERS)
    project.run("--dockerbin-runner=container").assert_outcomes(passed=6)
    assert containers(tmp_path) == []


def test_workers_decide_once_together(project, tmp_path):
    project.dockerfile()
    tests = "".join(
        f"def test_{number}(dockerbin_binary):\n"
        "    assert dockerbin_binary.run('true').runner == 'container'\n"
        for number in range(4)
    )
    project.pytester.makepyfile(MARK + tests)
    project.run("-n2", "--dockerbin-runner=container").assert_outcomes(passed=8)
    assert len(probes(project)) == 2
    assert containers(tmp_path) == []


def test_where_nothing_else_runs_them_a_container_does(project, tmp_path):
    """In a user namespace with a binfmt_misc of its own, which is empty, and without QEMU."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pytest_dockerbin import Builder, Platform, Settings\n"
        "with Builder(Settings(cache_dir=Path(sys.argv[1]))) as builder:\n"
        "    print(builder.runner(Platform.parse('linux/arm64')).name)\n"
    )
    mount = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc"
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, mount], check=False, capture_output=True).returncode:
        pytest.skip("no user namespace with a binfmt_misc of its own")
    bare = f'{mount} && PATH={tmp_path / "bin"} exec "$@"'
    command = [*inside, bare, "sh", sys.executable, "-c", program, str(tmp_path / "cache")]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("container\n", "")
    assert len(probes(project)) == 1
    assert containers(tmp_path) == []


@pytest.mark.parametrize(
    "blocking", ["run('sleep', '1000')", "popen('cat', stdin=-1).wait()", "start()"]
)
def test_a_killed_session_leaves_no_container(project, tmp_path, blocking):
    """Be it in a run, in a test or in a program that another one started."""
    project.dockerfile()
    project.pytester.makepyfile(
        test_it="import subprocess, time\n"
        "from pathlib import Path\n"
        "def start(program):\n"
        "    subprocess.Popen([program, 'sleep', '1000'])\n"
        "    time.sleep(1000)\n"
        "def test_it(dockerbin_binary):\n"
        "    dockerbin_binary.run('true', check=True)\n"
        "    Path('ready').touch()\n"
        "    "
        + ("start(dockerbin_binary)" if "start" in blocking else f"dockerbin_binary.{blocking}")
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    with (tmp_path / "said").open("w") as said:
        process = project.pytester.popen(
            [*command, "--dockerbin-runner=container"], stdout=said, stderr=subprocess.STDOUT
        )
    try:
        wait_until(
            lambda: process.poll() is not None or (project.pytester.path / "ready").exists(),
            "the test runs",
        )
        wanted = 2 if "start" in blocking else 1
        wait_until(lambda: len(containers(tmp_path)) >= wanted, "its containers are there")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL, (tmp_path / "said").read_text()
    wait_until(lambda: containers(tmp_path) == [], "they are gone")


# -- images ---------------------------------------------------------------------------------------


def test_dynamic_programs_in_an_image(project, debian, tmp_path):
    project.dockerfile(SORT)
    project.pytester.makepyfile(test_sort=SORTS.format(settings=""))
    project.run("--dockerbin-runner=container:debian:stable-slim").assert_outcomes(passed=4)
    assert containers(tmp_path) == []


def test_dynamic_programs_with_a_sysroot(project, debian, tmp_path):
    project.dockerfile(SORT)
    (project.pytester.path / ".dockerignore").write_text("*\n")  # pytester writes into its folder
    project.pytester.makepyfile(test_sort=SORTS.format(settings=", sysroot_target='runtime'"))
    project.run("--dockerbin-runner=container").assert_outcomes(passed=4)
    assert containers(tmp_path) == []


def test_a_missing_loader_is_told_and_nothing_started(project, debian):
    project.dockerfile(SORT)
    project.pytester.makepyfile(
        MARK
        + "@pytest.mark.dockerbin(binary='sort')\n"
        + "def test_it(dockerbin_binary):\n"
        + "    result = dockerbin_binary.run()\n"
        + "    assert (result.kind, result.returncode) == ('no-loader', 127)\n"
        + "    assert 'ld-linux' in result.stderr\n"
        + "    assert 'which is not in the container' in result.stderr\n"
        + "    assert '--dockerbin-runner=container' in result.hint\n"
    )
    project.run("--dockerbin-runner=container").assert_outcomes(passed=2)
    proved = {word for call in probes(project) for word in call if word in used(project)}
    assert {*used(project)} == proved


ONE = "from pathlib import Path\ndef test_it(dockerbin_binary): dockerbin_binary.run('true')\n"


def test_an_image_that_is_nowhere(project, tmp_path):
    project.dockerfile()
    project.pytester.makepyfile(ONE)
    image = "pytest-dockerbin.invalid/no-such-image:1"
    result = project.run(f"--dockerbin-runner=container:{image}", "--dockerbin-missing=fail")
    result.assert_outcomes(errors=1)
    line = f"*the Docker Engine has no image '{image}' for linux/*, and can't pull it: *"
    result.stdout.fnmatch_lines([line, "*docker pull --platform=linux/*"])
    assert containers(tmp_path) == []


def test_an_image_of_another_platform(project, tmp_path):
    image = f"pytest-dockerbin.invalid/{tmp_path.name.lower()}:1"
    nothing = bytes(10240)  # an empty tar archive
    subprocess.run(["docker", "import", "-", image], input=nothing, check=True, capture_output=True)
    try:
        project.dockerfile()
        project.pytester.makepyfile(ONE)
        result = project.run(
            f"--dockerbin-runner=container:{image}", "--dockerbin-platforms=linux/arm64"
        )
    finally:
        subprocess.run(["docker", "image", "rm", image], check=True, capture_output=True)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*has no image*for linux/arm64, and can't pull it: *"])


# -- on another engine ----------------------------------------------------------------------------


class Forwarder:
    """Makes an engine's socket a TCP port, so that the engine looks as if it were far away."""

    def __init__(self, path):
        self._path = path
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                threading.Thread(target=self._forward, args=(near,), daemon=True).start()

    def _forward(self, near):
        with near, socket.socket(socket.AF_UNIX) as far:
            far.connect(self._path)
            back = threading.Thread(target=self._pump, args=(far, near))
            back.start()
            self._pump(near, far)
            back.join()

    def _pump(self, source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)  # which docker does too, at the end of its input

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def far(project, tmp_path, monkeypatch):
    """A docker context named ``far`` that leads to the same engine by TCP."""
    own = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    inspect = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    said = subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.strip()
    scheme, _, path = os.environ.get("DOCKER_HOST", said).partition("://")
    if scheme != "unix":
        pytest.skip("the engine is not on this machine")
    forwarder = Forwarder(path)
    config = tmp_path / "config"
    config.mkdir()
    (config / "config.json").write_text("{}")
    if (own / "cli-plugins").exists():
        (config / "cli-plugins").symlink_to(own / "cli-plugins")
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    host = f"host=tcp://127.0.0.1:{forwarder.port}"
    create = ["docker", "context", "create", "far", "--docker", host]
    subprocess.run(create, check=True, capture_output=True)
    project.dockerfile()
    yield project
    forwarder.close()


def test_runs_on_another_engine(far, tmp_path):
    far.pytester.makepyfile(MARK + RUNS + PROGRAMS)
    far.run("--dockerbin-runner=docker:far").assert_outcomes(passed=33, skipped=1)
    executing = [call for call in far.calls() if "exec" in call]
    assert executing
    assert all(call[:3] == ["--context", "far", "exec"] for call in executing)
    assert containers(tmp_path) == []


def test_launchers_on_another_engine(far, tmp_path):
    far.pytester.makepyfile(MARK + LAUNCHERS)
    far.run("--dockerbin-runner=docker:far").assert_outcomes(passed=6)
    assert containers(tmp_path) == []


def test_ports_on_another_engine_are_not_here(far):
    far.pytester.makepyfile(MARK + SERVER)
    result = far.run("--dockerbin-runner=docker:far", "--dockerbin-platforms=linux/amd64")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*RunError: *its engine is not here*"])


def test_an_unknown_context_is_named_with_the_closest(far):
    far.pytester.makepyfile(ONE)
    result = far.run("--dockerbin-runner=docker:fra")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*unknown docker context 'fra'; did you mean 'far'?*"])
