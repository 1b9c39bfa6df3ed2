"""Rows F17 to F23 and F26: sessions that end early, workers that die, builds that hang or fail."""

# recorded lines as they are; fixtures are asked for by name
# ruff: noqa: E501, Q003, PLR0917

from __future__ import annotations

import os
import random
import signal
import socketserver
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from rig import lives, wait_until

ONE = "def test_it(dockerbin): pass\n"
FOUR = "\n".join(f"def test_{number}(dockerbin): pass" for number in range(4))
GONE = 5.0  # seconds after which no process may be left, as the table says of a quiet machine


def traces_of(bench, docker):
    """Return what a session left that was ended: a docker client, staging; empty for nothing."""
    left = []
    for what, look in (("docker", docker.living), ("staging", lambda: staging(bench))):
        with suppress(AssertionError):
            wait_until(lambda look=look: not look(), f"no {what} is left")
        if found := look():
            left.append(f"{what} left: {found}")
    docker.kill()
    return ", ".join(left)


def ends_without_traces(bench, docker, trial, what):
    """Hold a session that was ended to leaving no docker client and no staging."""
    left = traces_of(bench, docker)
    trial.hold(not left, f"{what}: {left}")


def staging(bench):
    version = bench.cache / "v1"
    found = [*version.glob("staging/*"), *version.glob("sessions/*/staging/*")]
    return [path.name for path in found] + [path.name for path in bench.tmp.glob("dockerbin-*")]


# 0: SIGINT to the whole group, as a terminal does; 1: to the controller alone, as CI services do
@pytest.mark.fault("F17", "Ctrl-C: exit code 2, no docker client, no staging, lock free")
@pytest.mark.parametrize("workers", [0, 4])
@pytest.mark.parametrize("to_group", [True, False], ids=["group", "controller"])
def test_an_interrupt_ends_the_build_and_the_session(
    bench, project, docker, trial, times, workers, to_group
):
    docker.plan(("log", ["begun"]), ("sleep", 3000))
    project.tests(FOUR)  # with workers: one builds, the others wait for it
    for number in range(times(20)):
        docker.forget()
        run = project.start("--dockerbin-cache=reuse", *([f"-n{workers}"] if workers else []))
        wait_until(docker.builds, "the build begins")
        time.sleep(random.Random(number).uniform(0, 0.3))
        began = time.monotonic()
        (os.killpg if to_group else os.kill)(run.pid, signal.SIGINT)
        code, said = project.end(run)
        trial.took(time.monotonic() - began)
        trial.hold(code == 2, f"exit code {code}: {said}")
        trial.hold("KeyboardInterrupt" in said or "Interrupted" in said, f"not said: {said}")
        ended = [call for call in docker.calls() if call["pid"] in docker.ended()]
        asked = [call["argv"] for call in ended if "argv" in call]
        trial.hold(not ended, f"docker came to its natural end: {asked}")
        ends_without_traces(bench, docker, trial, f"-n{workers}")
    target = "the group" if to_group else "the controller"
    trial.note_longest(
        f"{target}, -n{workers}: to the prompt", 10 if workers and not to_group else 5
    )
    docker.plan()
    trial.hold(project.run("--dockerbin-cache=reuse")[0] == 0, "the next session does not pass")


ENDED = pytest.mark.fault("F18", "SIGTERM, SIGKILL to pytest, controller, worker: no docker left")
STUBBORN = pytest.mark.fault("F18", "the same, and docker ignores SIGTERM")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
@pytest.mark.parametrize(
    ("target", "stubborn"),
    [
        pytest.param("pytest", False, marks=ENDED),
        pytest.param("controller", False, marks=ENDED),
        pytest.param("worker", False, marks=ENDED),
        pytest.param("pytest", True, marks=STUBBORN),
        pytest.param("controller", True, marks=STUBBORN),
    ],
)
def test_a_killed_session_leaves_no_docker_client(
    bench, project, docker, trial, times, number, target, stubborn
):
    actions = [
        ("tree", {"half": "x"}),
        ("log", ["begun"]),
        ("child", {"seconds": 3000}),
        ("sleep", 3000),
    ]
    docker.plan(*([("ignore_term", True)] if stubborn else []), *actions)
    project.tests(ONE)
    for turn in range(times(50 if stubborn else 10)):
        docker.forget()
        run = project.start("--dockerbin-cache=reuse", *([] if target == "pytest" else ["-n1"]))
        wait_until(
            lambda run=run: run.poll() is not None or any("child" in c for c in docker.calls()),
            "the build begins",
        )
        assert run.poll() is None, project.end(run)
        time.sleep(random.Random(turn).uniform(0, 0.2))
        began = frozenset(docker.living())
        victims = project.processes(run)
        at = time.monotonic()
        os.kill(victims[1] if target == "worker" else victims[0], number)
        left = ""
        try:
            # a worker's successor builds again: what the killed one had started must be gone
            wait_until(
                lambda began=began: not any(map(lives, began)),
                f"{target}: docker {began} is gone",
            )
            trial.took(time.monotonic() - at)
        except AssertionError as error:
            left = str(error)
        if target == "worker":
            os.kill(run.pid, signal.SIGKILL)
        for pid in victims[1:]:
            wait_until(lambda pid=pid: not lives(pid), "the worker is gone")
        run.kill()
        project.end(run)
        left = left or traces_of(bench, docker)
        trial.hold(not left, f"{target}, signal {number}: {left}")
    if trial.seconds:
        trial.note_longest(f"{target}, {number.name}: until docker was gone", GONE)


@pytest.mark.fault("F19", "a worker dies while it builds: another one builds, the session ends")
def test_another_worker_builds_where_one_died(bench, project, docker, trial, times):
    project.tests(
        "import pytest\n@pytest.mark.parametrize('n', range(8))\n"
        + ONE.replace("()", "(n)").replace("(dockerbin)", "(dockerbin, n)")
    )
    for turn in range(times(10)):
        docker.plan(builds=[[("log", ["begun"]), ("sleep", 3000)]])
        docker.forget()
        run = project.start("-n4", "--dist=load")
        (build,) = wait_until(docker.builds, "the build begins")
        time.sleep(random.Random(turn).uniform(0, 0.3))
        workers = project.processes(run)[1:]
        (maker,) = [pid for pid in workers if parent_of(build["pid"]) == pid]
        began = time.monotonic()
        os.kill(maker, signal.SIGKILL)
        code, said = project.end(run)
        trial.took(time.monotonic() - began)
        calls = len(docker.builds())
        right = calls == 2 and code in (0, 1) and "passed" in said
        left = traces_of(bench, docker)
        trial.hold(right and not left, f"{calls} docker calls, {left}: {said}")
    trial.note_longest("from the kill to the session's end", 30)


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


TWO_FILES = {
    "test_fails.py": """
import pathlib, time
def test_fails():
    while not pathlib.Path("begun").exists():
        time.sleep(0.02)
    assert False
""",
    "test_builds.py": ONE,
}


@pytest.mark.fault("F20", "-x while another worker builds: its docker is ended, no natural end")
@pytest.mark.parametrize("talk", ["silent", "chatty"])
def test_the_first_failure_ends_the_build_of_another_worker(
    bench, project, docker, trial, times, talk
):
    begun = bench.context / "begun"
    busy = ("sleep", 3000) if talk == "silent" else ("chatter", 3000)
    docker.plan(("log", ["begun"]), ("touch", str(begun)), busy)
    for name, text in TWO_FILES.items():
        project.tests(text, name)
    for _ in range(times(20)):
        begun.unlink(missing_ok=True)
        docker.forget()
        code, said = project.run("-n2", "-x", "--dist=loadfile")
        trial.took(time.time() - begun.stat().st_mtime)
        cut = docker.builds() and not docker.ended()
        left = traces_of(bench, docker)
        trial.hold(cut and code in (1, 2) and not left, f"exit code {code}, {left}: {said}")
    trial.note_longest(f"a {talk} build: from the failure to the end", 5)


HANGS = {
    "says nothing": [("sleep", 3000)],
    "goes silent": [("log", ["one line"]), ("sleep", 3000)],
    "ignores SIGTERM": [("ignore_term", True), ("log", ["one line"]), ("sleep", 3000)],
    "closes its output": [("log", ["one line"]), ("close_stdout", True), ("sleep", 3000)],
    "leaves a child": [("child", {"seconds": 3000, "keeps_stdout": True}), ("sleep", 3000)],
    "talks for ever": [("chatter", 3000)],
}
SILENT = ("says nothing", "leaves a child")


@pytest.mark.fault("F21", "build hangs: ended by a limit, the last step is named, no process left")
@pytest.mark.parametrize("how", HANGS)
def test_a_build_that_hangs_is_ended(bench, docker, trial, how):
    docker.plan(*HANGS[how])
    for limit in (1.0, 10.0, 60.0):  # on a busy machine, docker may begin to speak late
        began = time.monotonic()
        result = bench.run(silence_timeout=limit, build_timeout=2 * limit)
        late = time.monotonic() - began - limit * (2 if how == "talks for ever" else 1)
        named = "[1/1] RUN make" in result.get("report", "")
        if named or how in SILENT:
            break
    trial.took(late)
    trial.note_longest(f"{how}: after the timeout", 3)
    trial.hold(result.get("error") == "BuildTimeoutError", result)
    trial.hold(named or how in SILENT, "the last step is not named")
    ends_without_traces(bench, docker, trial, how)


@pytest.mark.fault("F21", "docker ends, a child of it keeps its output open: not waited for")
@pytest.mark.parametrize("escapes", [False, True])
def test_a_docker_that_ended_is_not_waited_for(bench, docker, trial, escapes):
    child = {"seconds": 3000, "keeps_stdout": True, "escapes": escapes}
    docker.plan(("derived", 4), ("child", child))
    result = bench.run(silence_timeout=20.0)
    trial.hold(result.get("files") == bench.expected(), result)
    if escapes:  # as an ssh connection that others will use: it is not ours to end
        docker.kill()
    ends_without_traces(bench, docker, trial, "a child keeps the output")


FROM_EXCERPT = """Dockerfile:3
--------------------
   1 |     FROM scratch
   2 |
   3 | >>> RUN make
--------------------
"""

# what buildx and docker print, from buildx#2064, #2380, #2789, #4063, buildkit#4305, moby/moby
# and our own recordings; attempts, output
RECORDED = [
    (2, "ERROR: failed to receive status: rpc error: code = Unavailable desc = error reading from server: EOF"),
    (2, "ERROR: failed to solve: Unavailable: error reading from server: EOF\nrpc error: code = Unavailable desc = error reading from server: EOF"),
    (2, "ERROR: failed to receive status: rpc error: code = Unavailable desc = closing transport due to: connection error: desc = \"error reading from server: EOF\", received prior goaway: code: NO_ERROR"),
    (2, "ERROR: failed to list workers: Unavailable: connection error: desc = \"transport: Error while dialing: dial tcp 10.0.0.3:1234: connect: connection refused\""),
    (2, "ERROR: failed to receive status: rpc error: code = Unavailable desc = transport is closing"),
    (2, "ERROR: failed to build: failed to receive status: rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial unix /run/buildkit/buildkitd.sock: connect: connection refused\""),
    (2, "ERROR: failed to solve: rpc error: code = Unavailable desc = connection closed before server preface received"),
    (2, "ERROR: failed to do request: write tcp 10.0.0.2:51234->10.0.0.3:1234: write: connection reset by peer"),
    (2, "ERROR: failed to solve: failed to copy: write |1: broken pipe"),
    (2, "ERROR: failed to read metadata: unexpected EOF"),
    (2, "ERROR: listing workers for Build: failed to list workers: Unavailable: connection error: desc = \"error reading server preface: http2: server sent GOAWAY\""),
    (2, "error during connect: Post \"http://%2Fvar%2Frun%2Fdocker.sock/session\": read unix @->/run/docker.sock: use of closed network connection"),
    (1, FROM_EXCERPT + "ERROR: failed to build: failed to solve: process \"/bin/sh -c make\" did not complete successfully: exit code: 2"),
    (1, FROM_EXCERPT + "ERROR: failed to solve: process \"/bin/sh -c curl http://x # connection refused\" did not complete successfully: exit code: 7"),
    (1, "ERROR: failed to build: failed to solve: dockerfile parse error on line 3: unknown instruction: FORM"),
    (1, "ERROR: failed to build: failed to solve: failed to read dockerfile: open Dockerfile: no such file or directory"),
    (1, "Dockerfile:1\n--------------------\n   1 | >>> FROM docker.io/x/y\n--------------------\nERROR: failed to solve: docker.io/x/y: failed to resolve source metadata for docker.io/x/y: pull access denied, repository does not exist"),
    (1, "Dockerfile:1\n--------------------\n   1 | >>> FROM registry.local/x\n--------------------\nERROR: failed to solve: registry.local/x: failed to do request: Head \"https://registry.local/v2/x/manifests/latest\": dial tcp 10.1.1.1:443: connect: connection refused"),
    (1, "ERROR: failed to build: failed to solve: failed to resolve source metadata for 127.0.0.1:9/scanner:1: failed to do request: Head \"https://127.0.0.1:9/v2/scanner/manifests/1\": dial tcp 127.0.0.1:9: connect: connection refused"),
    (1, "ERROR: failed to build: failed to solve: failed to read downloaded context: failed to load cache key: Get \"http://127.0.0.1:9/x.tar\": dial tcp 127.0.0.1:9: connect: connection refused"),
    (1, "ERROR: failed to build: failed to solve: error writing layer blob: failed to do request: Post \"http://127.0.0.1:9/v2/app/blobs/uploads/\": dial tcp 127.0.0.1:9: connect: connection refused"),
    (1, "ERROR: no builder \"mine\" found"),
    (1, "ERROR: failed to build: failed to solve: target stage \"nope\" could not be found"),
]  # fmt: skip


@pytest.mark.fault("F22", "23 recorded outputs: lost daemon tried twice, failed build once")
@pytest.mark.parametrize("number", range(len(RECORDED)))
def test_a_lost_daemon_is_tried_again_and_a_failed_build_is_not(bench, docker, trial, number):
    attempts, text = RECORDED[number]
    failed = "RUN" in text and "exit code" in text
    steps = [("failed_step", text.rpartition("ERROR: ")[2])] if failed else []
    docker.plan(("log", ["begun"]), *steps, ("print", text + "\n"), ("exit", 1))
    with engine_that_answers(bench.folder / "engine.sock") as address:
        result = bench.run(prepare=without_pause, env={"DOCKER_HOST": address})
    trial.hold(len(docker.builds()) == attempts, f"{len(docker.builds())} attempts: {text}")
    right = result.get("error") == ("DaemonLostError" if attempts == 2 else "BuildError")
    trial.hold(right, f"{text}: {result}")


@contextmanager
def engine_that_answers(path):
    """A Docker Engine that is there, and can nothing but say so."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            while (line := self.rfile.readline()) not in (b"", b"\r\n"):
                asked = line if b"HTTP" in line else asked  # noqa: F821 (the first line has it)
            body = (
                b'{"ApiVersion": "1.45", "MinAPIVersion": "1.24"}' if b"version" in asked else b"OK"
            )
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            self.wfile.write(head % len(body) + body)

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{path}"
        server.shutdown()


def without_pause():
    """Let a restarting daemon have no time: in a session's process."""
    from pytest_dockerbin.buildx import build  # noqa: PLC0415

    build._RESTART = 0.0
    real = time.sleep
    time.sleep = lambda seconds: real(min(seconds, 0.05))


@pytest.mark.fault("F22", "a daemon that comes back: the second try serves, no half export stays")
def test_a_daemon_that_comes_back_serves(bench, docker, trial):
    lost = [("tree", {"f99": "half"}), ("print", RECORDED[0][1] + "\n"), ("exit", 1)]
    docker.plan(builds=[lost])
    result = bench.run(prepare=without_pause)
    trial.hold(result.get("files") == bench.expected(), result)


@pytest.mark.fault(
    "F23", "failing build, many workers: one attempt, whole log once; next session again"
)
def test_a_failing_build_is_tried_once_and_told_once(bench, project, docker, trial):
    failing = [("log", [f"line {n}" for n in range(30)]), ("failed_step", "exit code: 2")]
    docker.plan(*failing, ("print", RECORDED[12][1] + "\n"), ("exit", 1))
    tests = "\n".join(f"def test_{n}(dockerbin): pass" for n in range(40))
    project.tests(tests)
    for args in (["-n8"], []):
        docker.forget()
        code, said = project.run("--dockerbin-cache=reuse", *args)
        trial.hold(len(docker.builds()) == 1, f"{len(docker.builds())} docker calls")
        trial.hold(code == 1 and "40 errors" in said, said)
        trial.hold(said.count("line 29") == 1, f"the log is told {said.count('line 29')} times")


SPY = """
import subprocess, sys
started = []
sys.addaudithook(lambda name, args: started.append(args[0]) if name in ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork") else None)
def pytest_unconfigure():
    heavy = {"docker", "requests", "filelock", "sqlite3", "ssl"} & sys.modules.keys()
    print("HEAVY", sorted(heavy), "STARTED", started)
"""


@pytest.mark.fault("F26", "plugin unused: nothing heavy imported, no process started")
@pytest.mark.parametrize("args", [[], ["--collect-only"], ["--fixtures"], ["-q"]])
def test_a_session_without_tests_of_ours_pays_nothing(project, trial, args):
    project.tests("def test_it(): pass")
    (project.folder / "conftest.py").write_text(SPY)
    code, said = project.run(*args)
    assert code == 0, said
    trial.hold("HEAVY [] STARTED []" in said, said)


@pytest.mark.fault("F26", "plugin unused: what its import takes")
def test_the_import_of_the_plugin_is_cheap(trial):
    code = (
        "import sys, time, pytest; began = time.perf_counter(); import pytest_dockerbin.plugin;"
        "print(time.perf_counter() - began, *sys.modules)"
    )
    for _ in range(5):
        run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        seconds, *modules = run.stdout.decode().split()
        trial.took(float(seconds))
        heavy = {"docker", "requests", "filelock", "sqlite3", "ssl"} & {*modules}
        trial.hold(not heavy, heavy)
    trial.note(f"{min(trial.seconds) * 1000:.1f} ms (the row's limit, of a whole session: 10 ms)")


@pytest.mark.fault("F26", "tests collected, not run: no docker, nothing heavy imported")
def test_collection_of_our_tests_starts_nothing(project, docker, trial):
    project.tests(ONE)
    (project.folder / "conftest.py").write_text(SPY)
    code, said = project.run("--collect-only", "-q")
    assert code == 0, said
    trial.hold("HEAVY [] STARTED []" in said, said)
    trial.hold(not docker.calls(), "docker was called")
