"""Nothing that a program began outlives its run, wherever it went."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_dockerbin.artifact import Binary
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.host import HostRunner
from pytest_dockerbin.runners.lineage import family, marked, marked_processes
from pytest_dockerbin.runners.procfs import Kept

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="marks are Linux's")

PYTHON = Path(sys.executable)
RUNNER = HostRunner(name="native", timeout=30.0, timeout_factor=1.0)


def python(code, *args, **given):
    path = Binary(
        path=PYTHON, platform=Platform.host(), size=0, sha256="", runner=lambda *_: RUNNER
    )
    return path.run("-ISc", code, *args, **given)


def gone(pid):
    """Tell whether a process has ended, or ends within 10 s."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 10)[0])
    finally:
        os.close(process)


# each prints the process ids of what it leaves behind
LEAVING = {
    "a child": """
import subprocess
print(subprocess.Popen(["sleep", "600"], stdout=-3, stderr=-3).pid)
""",
    "a session of its own": """
import subprocess
print(subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=-3, stderr=-3).pid)
""",
    "a daemon": """
import os, signal, time
if os.fork():
    os.wait()
else:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if pid := os.fork():
        print(pid, flush=True)
        os._exit(0)
    os.closerange(0, 3)
    os.chdir("/")
    time.sleep(600)
    os._exit(0)
""",
    "a daemon with an empty environment": """
import os
if os.fork():
    os.wait()
else:
    os.setsid()
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exec >&- 2>&-; exec sleep 600"], {})
    print(pid, flush=True)
    os._exit(0)
""",
    "many": """
import os, time
pids = []
for _ in range(50):
    if pid := os.fork():
        pids.append(pid)
    else:
        os.setsid()
        os.closerange(0, 3)
        time.sleep(600)
print(*pids)
""",
}


@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize("then", ["ends", "lingers a second", "hangs"])
def test_what_a_program_leaves_behind_is_ended(how, then):
    linger = {"ends": 0, "lingers a second": 1.1, "hangs": 600}[then]
    code = f"{LEAVING[how]}\nimport sys, time; sys.stdout.flush(); time.sleep({linger})"
    result = python(code, timeout=3)
    assert result.kind == ("timeout" if then == "hangs" else "exited")
    pids = [int(word) for word in result.stdout.split()]
    assert pids
    assert [pid for pid in pids if not gone(pid)] == []


def test_what_forks_on_and_on_is_ended(tmp_path):
    """Each generation leaves its session and ends as soon as it has begun the next."""
    code = (
        "import os, time\n"
        "if os.fork():\n"
        "    while not os.path.exists('9'): time.sleep(0.001)\n"
        "    os._exit(0)\n"
        "for number in range(100000):\n"
        "    os.setsid()\n"
        "    open(str(number), 'w').close()\n"
        "    if os.fork(): os._exit(0)\n"
    )
    assert python(code, cwd=tmp_path).kind == "exited"
    reached = len(list(tmp_path.iterdir()))
    assert 10 <= reached < 100000
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == reached


def test_runs_at_the_same_time_end_only_their_own():
    leaving = LEAVING["a daemon"]
    outer = subprocess.Popen([PYTHON, "-c", "import time; time.sleep(600)"], start_new_session=True)
    kept = Binary(
        path=PYTHON, platform=Platform.host(), size=0, sha256="", runner=lambda *_: RUNNER
    ).popen("-c", "import time; time.sleep(600)")
    results = []
    threads = [threading.Thread(target=lambda: results.append(python(leaving))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert all(gone(int(result.stdout)) for result in results)
        assert len({result.stdout for result in results}) == 6
        assert kept.poll() is None
        assert outer.poll() is None
    finally:
        kept.close()
        outer.kill()
        outer.wait()


def test_what_somebody_else_starts_meanwhile_is_not_ended():
    """Also when it got the mark: another thread forks while a program is being started."""
    begun = []

    def started():
        with marked() as mark:
            process = subprocess.Popen(["sleep", "600"], start_new_session=True)
            begun.extend((mark, process))

    started()
    mark, process = begun
    try:
        assert marked_processes(mark) == [process.pid]
        from pytest_dockerbin.runners.lineage import end_family, end_marked  # noqa: PLC0415

        end_marked(mark, process.pid - 1, time.monotonic())
        end_family(family())
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_what_somebody_else_s_child_began_meanwhile_is_not_ended():
    """A build's command starts its plugin; both got the mark, and have groups of their own."""
    with marked() as mark:
        other = subprocess.Popen(
            ["sh", "-c", "sleep 600 & echo $!; wait"],
            start_new_session=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    below = int(other.stdout.readline())
    try:
        assert sorted(marked_processes(mark)) == sorted((other.pid, below))
        from pytest_dockerbin.runners.lineage import end_marked  # noqa: PLC0415

        end_marked(mark, other.pid - 1, time.monotonic())
        assert sorted(marked_processes(mark)) == sorted((other.pid, below))
    finally:
        os.killpg(other.pid, signal.SIGKILL)
        other.wait()
        other.stdout.close()


# prints whether there is a terminal, and the number of the group
APART = """
import os, sys
from pathlib import Path
from pytest_dockerbin.artifact import Binary
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.host import HostRunner

runner = HostRunner(name="native", timeout=60, timeout_factor=1)
path = Path(sys.executable)
program = Binary(
    path=path, platform=Platform.host(), size=0, sha256="", runner=lambda *_: runner
)
code = '''
import os
try:
    os.close(os.open("/dev/tty", os.O_RDWR))
    print("terminal")
except OSError:
    print("none")
print(os.getpid() == os.getpgrp())
'''
print(program.run("-ISc", code, check=True).stdout.split(), os.path.exists("/dev/tty"))
"""


@pytest.mark.parametrize("terminal", [True, False])
def test_a_program_has_its_own_group_and_no_terminal(terminal):
    """Else it could ask a person for a password, or be stopped since it reads in the background."""
    command = [sys.executable, "-c", APART]
    if terminal:
        import pty  # noqa: PLC0415 (Linux and macOS)

        pid, master = pty.fork()
        if pid == 0:
            os.execv(command[0], command)
        said = b""
        with suppress(OSError):  # Linux's way to tell that nobody writes any more
            while block := os.read(master, 1000):
                said += block
        os.close(master)
        assert os.waitpid(pid, 0)[1] == 0, said
        words = said.decode()
    else:
        words = subprocess.run(
            command, start_new_session=True, capture_output=True, text=True, check=True
        ).stdout
    assert words.strip() == "['none', 'True'] True"


def test_left_behind_is_found_after_a_test_closed_all_descriptors():
    """And after others got their numbers."""
    python("pass")
    pid = os.fork()
    if pid == 0:
        try:
            os.closerange(3, 256)
            taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(60)]
            left = int(python(LEAVING["a daemon"]).stdout)
            os._exit(0 if taken and gone(left) else 1)
        except BaseException:  # noqa: BLE001 (a forked pytest must not go on)
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_file_that_is_read_often_is_read_anew_and_may_be_missing(tmp_path):
    path = tmp_path / "file"
    often = Kept(str(path))
    assert often.read() == b""
    for text in ("one", "another"):
        path.write_text(text)
        assert often.read() == text.encode()
    os.close(often._descriptor)
    with (tmp_path / "other").open("w+") as other:  # it gets the number
        assert other.fileno() == often._descriptor
        assert often.read() == b"another"
    os.close(often._descriptor)
    assert often.read() == b"another"  # nothing has the number
    os.close(often._descriptor)


def test_our_own_limits_are_as_before():
    before = Path("/proc/self/limits").read_text()
    python("pass")
    assert Path("/proc/self/limits").read_text() == before


def test_a_forked_process_has_a_family_of_its_own():
    reading, writing = os.pipe()
    ours = family()
    pid = os.fork()
    if pid == 0:
        os.write(writing, str(family()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert int(os.read(reading, 100)) != ours
    os.close(reading)
    os.close(writing)


KILLED = """
import os, sys
from pathlib import Path
from pytest_dockerbin.runners.host import HostRunner
from pytest_dockerbin.runners.lineage import family
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.results import Command
from pytest_dockerbin.watchdog import Watchdog

watchdog = Watchdog()
runner = HostRunner(name="native", timeout=60, timeout_factor=1, guard=watchdog.programs)
command = Command(
    program=Path(sys.executable),
    platform=Platform.host(),
    args=("-ISc", sys.argv[1]),
    env=dict(os.environ),
)
runner.run(command, input=None, timeout=60, text=True, max_output=1000)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_test_process_leaves_no_program_behind(tmp_path, number):
    pids = tmp_path / "pids"
    code = (
        "import os, time\n"
        "if os.fork() == 0: os.setsid()\n"
        f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([PYTHON, "-c", KILLED, code])
    deadline = time.monotonic() + 30
    while not pids.exists() or len(pids.read_text().split()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    process.wait()
    found = [int(pid) for pid in pids.read_text().split()]
    try:
        assert [pid for pid in found if not gone(pid)] == []
    finally:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
