"""What the watchdog does when its process is killed; programs and folders have tests elsewhere."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")

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
