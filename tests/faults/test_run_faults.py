"""Rows F24, F25 and S9: programs that hang, flood, fork, or can't be started."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rig import AMD64, DEADLINE, PROCESSES, lives, wait_until

from pytest_dockerbin.artifact import Binary
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.host import HostRunner
from pytest_dockerbin.runners.tiny import tiny_program


def binary(path, platform=AMD64):
    runner = HostRunner(name="native", timeout=30.0, timeout_factor=1.0)
    return Binary(path=path, platform=platform, size=0, sha256="", runner=lambda *_: runner)


@pytest.fixture
def script(tmp_path):
    """Return a program that executes Python code."""

    def make(code):
        path = tmp_path / "program"
        path.write_text(f"#!{sys.executable} -IS\n{code}")
        path.chmod(0o755)
        return binary(path)

    return make


def run_and_measure(conn, path):
    """Run a flooding program, and tell how much memory that took: in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = binary(path).run(timeout=2.0)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    conn.send((after - before, str(result.kind), len(result.stdout), result.stdout[:1]))


@pytest.mark.fault("F24", "binary floods: at most 64 MiB more memory, head and tail kept")
def test_a_flood_takes_little_memory(trial):
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=run_and_measure, args=(theirs, Path(shutil.which("yes"))))
    process.start()
    assert ours.poll(DEADLINE), "a flood hangs"
    more, kind, length, head = ours.recv()
    process.join()
    trial.hold(more <= 64 * 1024, f"{more // 1024} MiB more")
    trial.note(f"{more / 1024:.1f} MiB more (the row's limit: 64 MiB)")
    trial.hold(kind == "timeout" and head == "y", (kind, head))
    trial.hold(length < 64 * 2**20, length)


LEFT = "binary hangs, forks: ended, 0 processes left"
ESCAPES = "binary forks what leaves its group and ignores SIGTERM: 0 left"
HANGING = {
    "sleeps": (LEFT, "import time; time.sleep(3000)"),
    "ignores SIGTERM": (
        LEFT,
        "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(3000)",
    ),
    "200 processes": (
        LEFT,
        """
import os, time
for _ in range(200):
    if os.fork() == 0:
        time.sleep(3000)
        os._exit(0)
time.sleep(3000)
""",
    ),
    "escapes": (
        ESCAPES,
        """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
    time.sleep(3000)
time.sleep(3000)
""",
    ),
}


def processes_of(path):
    """Return the living processes that a script at ``path`` began."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (
                entry.name.isdigit()
                and str(path) in (entry / "cmdline").read_text()
                and lives(entry.name)
            ):
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(code, id=name, marks=pytest.mark.fault("F24", what))
        for name, (what, code) in HANGING.items()
    ],
)
def test_a_program_that_hangs_is_ended_with_all_it_began(script, trial, code):
    program = script(code)
    began = time.monotonic()
    result = program.run(timeout=2.0)
    trial.took(time.monotonic() - began - 2.0)
    trial.note_longest("after its timeout", 2)
    assert result.kind == "timeout"
    try:
        wait_until(lambda: not processes_of(program.path), "no process is left")
        trial.hold(True)
    except AssertionError as error:
        trial.hold(False, error)
        assert not processes_of(program.path), "processes are left"
    finally:
        for pid in processes_of(program.path):
            os.kill(pid, 9)


@pytest.mark.fault("F24", "core files off")
def test_a_program_may_write_no_core_file(script, trial):
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        pytest.skip("core files are off for this process already")
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        said = script("import resource; print(resource.getrlimit(resource.RLIMIT_CORE)[0])").run()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    trial.hold(said.stdout.strip() == "0", f"the limit is {said.stdout.strip()}")


@pytest.mark.fault("F25", "ETXTBSY, a fork has the file open for writing: none seen")
def test_a_program_that_was_just_written_can_be_started(tmp_path, trial, times):
    program = tiny_program(AMD64, 0)
    if not AMD64.native:
        pytest.skip("needs a host that runs linux/amd64 itself")
    for number in range(times(3, least=10)):
        path = tmp_path / f"p{number}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o755)
        os.write(descriptor, program)
        # a process forked meanwhile has it open for writing, until it executes something
        pid = os.fork()
        if pid == 0:
            time.sleep(0.05)
            os._exit(0)
        os.close(descriptor)
        try:
            result = binary(path).run()
            trial.hold(result.returncode == 0, result)
        except OSError as error:
            trial.hold(error.errno != errno.ETXTBSY, error)
        finally:
            os.waitpid(pid, 0)


@pytest.mark.fault("F25", "noexec mount: the message names it, no traceback")
def test_a_noexec_mount_is_named(disk, trial):
    mounted = disk("size=4m,mode=755,noexec")
    path = mounted.path / "program"
    path.write_bytes(tiny_program(AMD64, 0))
    path.chmod(0o755)
    result = binary(path).run()
    trial.hold(str(mounted.path) in result.stderr and "noexec" in result.stderr, result)


@pytest.mark.fault("F25", "noexec mount: a whole session says so, no traceback")
def test_a_session_on_a_noexec_mount_says_so(bench, project, disk, docker, trial):
    mounted = disk("size=4m,mode=755,noexec")
    bench.cache = mounted.path / "cache"
    project.tests("def test_it(dockerbin_binary): assert dockerbin_binary.run().returncode == 0")
    _, said = project.run()
    trial.hold("noexec" in said and str(mounted.path) in said, said)
    trial.hold("Traceback" not in said, said)


FOREIGN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_run_faults import binary
from pytest_dockerbin.platforms import Platform
result = binary(Path(sys.argv[1]), Platform.parse(sys.argv[3])).run()
print(result.kind, result.returncode, result.stderr)
"""
EMPTY_BINFMT = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc"


@pytest.mark.fault("F25", "foreign program without a handler: the message says what is missing")
@pytest.mark.parametrize("name", ["linux/arm64", "linux/arm/v7", "linux/riscv64", "linux/s390x"])
def test_a_foreign_program_names_the_missing_handler(tmp_path, trial, name):
    """In a user namespace with a binfmt_misc of its own, which is empty."""
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, EMPTY_BINFMT], check=False, capture_output=True).returncode:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("no user namespace with a binfmt_misc of its own")
    path = tmp_path / "program"
    path.write_bytes(tiny_program(Platform.parse(name), 0))
    path.chmod(0o755)
    python = [sys.executable, "-c", FOREIGN, str(path), str(Path(__file__).parent), name]
    command = [*inside, f'{EMPTY_BINFMT} && exec "$@"', "sh", *python]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    right = run.stdout.startswith("no-emulator 126 ") and "binfmt_misc" in run.stdout
    trial.hold(right, f"{run.stdout}{run.stderr}")


DUMP = """
import json, os, sys
descriptors = sorted(map(int, os.listdir("/proc/self/fd")))
print(json.dumps([dict(os.environ), descriptors, sys.stdin.read()]))
"""


@pytest.mark.fault("S9", "environment: at most 8 names, no canary, 3 descriptors, empty input")
def test_a_program_gets_a_closed_environment(script, trial, monkeypatch):
    import json  # noqa: PLC0415

    canary = "canary-4711"
    for name in ("AWS_SECRET_ACCESS_KEY", "LD_PRELOAD", "QEMU_STRACE", "PYTHONPATH", "CI"):
        monkeypatch.setenv(name, canary)
    with Path(os.devnull).open() as leaked:
        os.set_inheritable(leaked.fileno(), True)
        result = script(DUMP).run()
    env, descriptors, said = json.loads(result.stdout)
    env.pop("LC_CTYPE", None)  # Python sets it by itself
    trial.hold(len(env) <= 8, env)
    trial.hold(canary not in env.values(), env)
    trial.hold(len([n for n in descriptors if n > 2]) <= 1, f"{descriptors} (one is the listing's)")
    trial.hold(said == "", said)
