"""What the watchdog does when its process is killed; programs and folders have tests elsewhere."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from processes import lives

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")

CHANGING = """
import os, threading
from pytest_dockerbin.surroundings import Surroundings, kept
from pytest_dockerbin.watchdog import Watchdog

def change():
    number = 0
    while not ended.is_set():
        number += 1
        os.environ["PYTEST_CURRENT_TEST"] = "x" * (number % 50)
        os.environ.pop(f"OTHER_{number % 5}", None)
        os.environ[f"OTHER_{(number + 1) % 5}"] = "y"

ended = threading.Event()
changing = threading.Thread(target=change, daemon=True)
with kept(Surroundings.now()):
    changing.start()
    for _ in range(40):
        watchdog = Watchdog()
        with watchdog.command("true"):
            pass
        watchdog.close()
ended.set()
changing.join()
"""

STARTING = """
import os, signal, subprocess, sys
from pytest_dockerbin.watchdog import Watchdog

with Watchdog().start() as mark:
    print(*mark, flush=True)
    subprocess.Popen(
        ["sh", "-c", "sleep 600 & echo $! $$; wait"],
        env={**os.environ, **mark},
        start_new_session=True,
    )
    sys.stdin.read(1)
    os.kill(os.getpid(), signal.SIGKILL)
"""

KILLED = """
import sys, time
from pytest_dockerbin.watchdog import Watchdog

watchdog = Watchdog()
with watchdog.command("false"):
    pass
noted = watchdog.command(*sys.argv[1:])
noted.__enter__()
print("noted", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_was_started_a_moment_before_the_kill_is_ended_with_its_children():
    """It has no number yet that could have been noted: it is found by its environment."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTING], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        (variable,) = process.stdout.readline().decode().split()
        started = [int(word) for word in process.stdout.readline().split()]
        with subprocess.Popen(["sleep", "600"], env={variable: "another"}) as another:
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.wait() == -signal.SIGKILL
            deadline = time.monotonic() + 60
            while any(map(lives, started)):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert another.poll() is None
            another.kill()


def test_it_starts_while_tests_change_the_environment():
    """As a background build starts it: the C library's own was refused by the kernel (EFAULT)."""
    done = subprocess.run([sys.executable, "-c", CHANGING], check=False)
    assert done.returncode == 0


def test_a_command_is_run_again_until_it_says_what_it_did(tmp_path):
    """A container that was asked for a moment before is not there at the first try."""
    turns, done = tmp_path / "turns", tmp_path / "done"
    code = (
        f"echo turn >> {turns}; test $(wc -l < {turns}) -lt 3 || {{ touch {done}; echo removed; }}"
    )
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, "sh", "-c", code], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"noted\n"
        assert not turns.exists()
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not done.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert turns.read_text() == "turn\n" * 3
