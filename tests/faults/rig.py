"""What injects faults: a scripted docker, sessions to be killed, strace, small disks."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import scripted_docker

from pytest_dockerbin.activity import Lines
from pytest_dockerbin.errors import DockerbinError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.session import Builder
from pytest_dockerbin.settings import CacheMode, Settings
from pytest_dockerbin.spec import BuildSpec

HERE = Path(__file__).parent
AMD64 = Platform.parse("linux/amd64")
DEADLINE = 300.0  # seconds after which a wait of the rig is a failure, never a measure

# one server that has everything imported: a session costs a fork, and holds nothing of pytest's
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["rig", "pytest_dockerbin.session", "filelock", "pytest_dockerbin.runners.host"]
)


def wait_until(condition, what, seconds=DEADLINE):
    """Return the condition's first true value; fail with a message when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def lives(pid):
    """Tell whether a process is there, and not just waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


# -- docker ---------------------------------------------------------------------------------------


@dataclass
class Docker:
    """A scripted docker in a folder for PATH."""

    bin: Path

    def __post_init__(self):
        self.bin.mkdir(mode=0o755)
        text = (HERE / "scripted_docker.py").read_text()
        (self.bin / "docker").write_text(f"#!{sys.executable} -IS\n{text}")
        (self.bin / "docker").chmod(0o755)
        self.forget()
        (self.bin / "calls.jsonl").chmod(0o666)  # another user's docker records its calls, too
        self.plan()

    def plan(self, *default, builds=()):
        """Say what builds do: pairs of action and value; ``builds`` are for the first ones."""
        plan = {
            "builds": {str(number): list(actions) for number, actions in enumerate(builds)},
            "default": list(default or [("derived", 4)]),
        }
        aside = self.bin / "plan.new"
        aside.write_text(json.dumps(plan))
        aside.replace(self.bin / "plan.json")

    def move(self, folder):
        """Be docker in another folder from now on, one that other users reach."""
        self.bin = folder
        self.__post_init__()

    def forget(self):
        """Begin to count anew."""
        (self.bin / "calls.jsonl").write_text("")

    def calls(self):
        """Return every record so far."""
        try:
            lines = (self.bin / "calls.jsonl").read_text().splitlines()
        except FileNotFoundError:  # its folder is gone
            return []
        calls = []
        for line in lines:
            with suppress(json.JSONDecodeError):  # of one that was killed while it wrote
                calls.append(json.loads(line))
        return calls

    def builds(self):
        """Return the records of every ``docker buildx build`` that builds."""
        calls = [call for call in self.calls() if call.get("build")]
        return [call for call in calls if not any("--call=" in word for word in call["argv"])]

    def ended(self):
        """Return the processes that came to their natural end."""
        return {call["pid"] for call in self.calls() if call.get("ended")}

    def living(self):
        """Return its processes that live, and those that they started."""
        pids = {call["pid"] for call in self.calls()}
        children = {call["child"] for call in self.calls() if "child" in call}
        return sorted(pid for pid in pids | children if lives(pid))

    def kill(self):
        """End what is left of it: for finalizers."""
        for pid in self.living():
            if "docker" in Path(f"/proc/{pid}/cmdline").read_text() or pid in {
                call.get("child") for call in self.calls()
            }:
                os.kill(pid, signal.SIGKILL)

    def environment(self, **more):
        """Return an environment in which it is docker; no test environment's settings get in."""
        # by tox's folder, pytest would take its cache out of the project
        others = ("CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "TOX_ENV_DIR")
        # without it, hundreds of sessions would compile every module anew
        others += ("PYTHONDONTWRITEBYTECODE",)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "COVERAGE_", "COV_", "DOCKER_", "BUILDX_"))
            and name not in others
        }
        nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        return {**kept, **nowhere, "PATH": path, **more}


# -- sessions -------------------------------------------------------------------------------------


@dataclass
class Bench:
    """A context, a cache folder and a scripted docker."""

    folder: Path
    docker: Docker
    sessions: list = field(default_factory=list)

    def __post_init__(self):
        self.context = self.folder / "context"
        self.cache = self.folder / "cache"
        self.tmp = self.folder / "tmp"
        self.context.mkdir()
        self.tmp.mkdir()
        (self.context / "Dockerfile").write_text("FROM scratch\n")
        self.input("0")

    def input(self, text):
        (self.context / "input").write_text(text)

    def session(self, **given):
        """Return a process that waits to build in a session; nothing has begun yet."""
        started = _Session(self, given)
        self.sessions.append(started)
        return started

    def run(self, **given):
        """Run a session that builds once, and return what it saw."""
        session = self.session(**given)
        session.go()
        result = session.result()
        session.close()
        self.sessions.remove(session)
        return result

    def close(self):
        for session in self.sessions:
            session.kill()
        self.docker.kill()

    def expected(self, text=None, count=4):
        """Return the digests that a ``derived`` build of the input exports."""
        given = (text if text is not None else (self.context / "input").read_text()).encode()
        return {
            f"f{n:02}": hashlib.sha256(scripted_docker.derived_text(given, n).encode()).hexdigest()
            for n in range(count)
        }

    def entries(self):
        """Return the folders of stored entries."""
        return sorted((self.cache / "v1" / "entries").glob("??/*"))

    def leftovers(self):
        """Return what nobody works on any more and should not be there."""
        version = self.cache / "v1"
        found = [*version.glob("staging/*"), *version.glob("trash/*"), *version.glob("ended/*")]
        found += version.glob("sessions/*/staging/*")
        # what a session has for itself alone stays, for its log and its binaries: tried elsewhere
        own = [p for p in self.tmp.iterdir() if not p.name.startswith("pytest-dockerbin-")]
        return [str(path.relative_to(self.folder)) for path in (*found, *own)]


class _Session:
    """One process that builds in a session of its own, or in a shared one."""

    def __init__(self, bench, given):
        self._ours, theirs = PROCESSES.Pipe()
        given = {"context": bench.context, "cache_dir": bench.cache, **given}
        environment = bench.docker.environment(TMPDIR=str(bench.tmp), **given.pop("env", {}))
        self.process = PROCESSES.Process(target=_live, args=(theirs, environment, given))
        self.process.start()
        theirs.close()
        assert self._ours.poll(DEADLINE), "the session's process does not begin"
        self.pid = self._ours.recv()

    def go(self, what="build"):
        self._ours.send(what)

    def result(self, seconds=DEADLINE):
        """Return what the session says; None when it died before it said anything."""
        try:
            assert self._ours.poll(seconds), f"a session hangs for {seconds:g} s"
            return self._ours.recv()
        except (EOFError, ConnectionResetError):
            return None

    def kill(self, number=signal.SIGKILL):
        # the server that forked it has waited for it by then, if it came to its end meanwhile
        with suppress(ProcessLookupError):
            if self.process.is_alive():
                os.kill(self.pid, number)
        self.process.join(DEADLINE)

    def close(self):
        self.process.join(DEADLINE)
        assert not self.process.is_alive(), "a session does not end"


def _live(conn, environment, given):
    """Be a session: in the forked process."""
    os.environ.clear()
    os.environ.update(environment)
    import tempfile  # noqa: PLC0415 (it remembers the folder that the server's environment named)

    tempfile.tempdir = environment["TMPDIR"]
    for path, text in given.pop("write", {}).items():
        Path(path).write_text(text)
    prepare = given.pop("prepare", None)
    if prepare:
        prepare()
    conn.send(os.getpid())
    conn.recv()
    try:
        result = build_once(**given)
    except BaseException:  # noqa: BLE001 (told to the parent)
        result = {"traceback": traceback.format_exc()}
    try:
        conn.send(result)
    except OSError:  # an injected error that the rig itself met
        conn.send(result)


def build_once(*, context, session=None, platform="linux/amd64", others=(), heard=None, **settings):
    """Build in a session, and return what a test would have seen.

    What is said is also written to the file ``heard`` at once, each line with its time.
    """
    said, warned = [], []
    began, worked = time.monotonic(), time.process_time()

    def say(line):
        said.append(line)
        if heard:
            with Path(heard).open("a") as file:
                file.write(f"{time.monotonic() - began:.3f} {line}\n")

    settings["cache"] = CacheMode(settings.get("cache", "reuse"))
    spec = BuildSpec(context=context, dockerfile=context / "Dockerfile", verify=False)
    result = {"said": said, "warned": warned}
    try:
        with Builder(
            Settings(**settings), session=session, activity=Lines(say), warn=warned.append
        ) as builder:
            wanted = [Platform.parse(other) for other in others]
            artifact = builder.build(spec, Platform.parse(platform), others=wanted)
            try:
                result["files"] = digests(artifact.path)
            except OSError:  # an injected error that the rig itself met
                result["files"] = digests(artifact.path)
            result["source"] = artifact.build.source
            result["seconds"] = artifact.build.seconds
    except DockerbinError as error:
        result |= {"error": type(error).__name__, "report": error.report()}
    result["share"] = (time.process_time() - worked) / (time.monotonic() - began)
    result["at"] = time.monotonic()
    return result


def digests(folder):
    """Return the digests of all files below a folder; what can't be read is an error."""

    def refuse(error):
        raise error

    found = {}
    for place, _, names in os.walk(folder, onerror=refuse):  # pathlib's rglob leaves such out
        for name in names:
            path = Path(place, name)
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


# -- strace ---------------------------------------------------------------------------------------


def strace_problem():
    """Return why no system call can be injected here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    run = subprocess.run(
        ["strace", "-o", os.devnull, "-e", "trace=none", "true"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"ptrace is refused: {run.stderr.strip()}" if run.returncode else None


class Strace:
    """strace on a waiting process: from here on its system calls are counted, or made to fail."""

    def __init__(self, pid, *options):
        self._process = subprocess.Popen(
            ["strace", "-p", str(pid), *options], stderr=subprocess.PIPE, text=True
        )
        line = self._process.stderr.readline()
        assert "attached" in line, f"strace can't attach: {line}"

    def close(self):
        """Wait for its end, which is that of the process, and return what it printed."""
        said = self._process.stderr.read()
        self._process.wait(DEADLINE)
        self._process.stderr.close()
        return said


def calls_of(bench, call=None, **given):
    """Run a session under strace; return the numbers of its calls that touch the cache folder.

    Without a call, return how many calls of each name do.
    """
    listing = bench.folder / f"strace-{call}"
    session = bench.session(**given)
    # descriptors as paths, so that a write to the store is told from one to a pipe
    traced = ["-e", f"trace={call}"] if call else []
    strace = Strace(session.pid, "-y", "-s", "256", *traced, "-o", str(listing))
    session.go()
    result = session.result()
    session.close()
    strace.close()
    bench.sessions.remove(session)
    assert result is not None
    assert "files" in result, result
    lines = [line for line in listing.read_text().splitlines() if re.match(r"\w+\(", line)]
    if call is None:
        return Counter(line.partition("(")[0] for line in lines if str(bench.cache) in line)
    return [number for number, line in enumerate(lines, 1) if str(bench.cache) in line]


# -- disks ----------------------------------------------------------------------------------------


class Disk:
    """A tmpfs of its own at a folder, until it is closed."""

    def __init__(self, path, options):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "faults", path], check=True)

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)

    def close(self):
        subprocess.run(["umount", "--lazy", self.path], check=True)


ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "EMFILE", "EROFS")}


# -- whole sessions of pytest ---------------------------------------------------------------------


@dataclass
class Project:
    """A folder with a Dockerfile and tests, run by pytest in processes of its own."""

    bench: Bench
    started: list = field(default_factory=list)

    def __post_init__(self):
        self.folder = self.bench.context
        (self.folder / "pytest.ini").write_text("[pytest]\n")
        (self.folder / ".dockerignore").write_text("*\n!input\n")

    def tests(self, text, name="test_it.py"):
        (self.folder / name).write_text(text)

    def start(self, *args, before=(), **env):
        """Start pytest, behind another command, as the leader of a process group: as shells do."""
        environment = self.bench.docker.environment(
            PYTEST_DOCKERBIN_CACHE_DIR=str(self.bench.cache),
            TMPDIR=str(self.bench.tmp),
            # other plugins, hypothesis above all, take twice as long to import as all the rest
            PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
            **env,
        )
        plugins = ("-p", "dockerbin", "-p", "xdist", "-p", "no:cacheprovider")
        process = subprocess.Popen(
            [*before, sys.executable, "-P", "-m", "pytest", *plugins, *args],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            # a shell starts its background jobs with SIGINT ignored, and that is inherited
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        self.started.append(process)
        return process

    def run(self, *args, before=(), **env):
        """Run pytest to its end; return its exit code and what it printed."""
        return self.end(self.start(*args, before=before, **env))

    def end(self, process):
        said, _ = process.communicate(timeout=2 * DEADLINE)
        self.started.remove(process)
        return process.returncode, said

    def processes(self, pytest):
        """Return the pytest processes of a run: the controller first, then its workers."""
        listed = Path(f"/proc/{pytest.pid}/task/{pytest.pid}/children").read_text().split()
        workers = [
            int(pid) for pid in listed if "exec(eval(" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        return [pytest.pid, *workers]

    def close(self):
        for process in self.started:
            for pid in (
                (*self.processes(process)[1:], process.pid) if process.poll() is None else ()
            ):
                os.kill(pid, signal.SIGKILL)
            process.communicate()
