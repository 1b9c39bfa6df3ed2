"""A real daemon that dies in the middle of a build; it is the classic engine, which none shares."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.alone]

ENGINE = Path(__file__).parents[2] / "tools" / "engine"
FLAVOUR = "classic"
DEADLINE = 120.0  # seconds after which a wait is a failure, never a measure

SLOW = """\
FROM scratch AS build
ARG TARGETARCH
COPY busybox-${TARGETARCH} /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo begun; /bin/busybox sleep 20; echo kept > /kept"]
FROM scratch
COPY --from=build /kept /
"""
TESTS = "def test_kept(dockerbin): assert (dockerbin / 'kept').read_text() == 'kept\\n'\n"


class Daemon:
    def kill(self):
        pid = int((self.home / "dockerd.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not lives(pid), "dockerd is gone")

    def start(self):
        subprocess.run([sys.executable, ENGINE, "start", FLAVOUR], check=True, capture_output=True)

    @property
    def home(self):
        return Path(os.environ["DOCKER_HOST"].removeprefix("unix://")).parent


def lives(pid):
    """Tell whether a process is there, and not just waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_until(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def daemon():
    if os.environ.get("DOCKERBIN_TEST_ENGINE") != FLAVOUR:
        pytest.skip(f"only the {FLAVOUR} engine is killed here, which no other test run shares")
    daemon = Daemon()
    yield daemon
    daemon.start()


@pytest.fixture
def building(project, tmp_path):
    """A pytest process whose build is in its slow step."""
    project.dockerfile(SLOW)
    project.pytester.makepyfile(test_kept=TESTS)
    with (tmp_path / "said").open("w") as said:
        process = project.pytester.popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--dockerbin-no-cache"],
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    wait_until(lambda: any(map(is_in_step, logs(tmp_path))), "the step runs")
    yield process
    process.kill()
    process.wait()


def logs(folder):
    return list(folder.glob("cache/v1/sessions/*/logs/*.log"))


def is_in_step(log):
    return re.search(r"^#\d+ begun$", log.read_text(), re.MULTILINE)


def end(process, folder):
    process.wait(DEADLINE)
    return (folder / "said").read_text()


def test_a_daemon_that_comes_back_is_asked_once_more(building, project, daemon, tmp_path):
    daemon.kill()
    daemon.start()
    said = end(building, tmp_path)
    assert building.returncode == 0, said
    assert len(project.builds()) == 2
    assert not list(tmp_path.glob("cache/v1/sessions/*/staging/*"))


def test_a_daemon_that_stays_away_is_named_and_no_build_failure(
    building, project, daemon, tmp_path
):
    daemon.kill()
    said = end(building, tmp_path)
    assert building.returncode == 1, said
    assert "the Docker daemon was lost during the build" in said
    assert "1 error" in said
    assert len(project.builds()) == 2
    assert not list(tmp_path.glob("cache/v1/sessions/*/staging/*"))
    daemon.start()
    passed = project.run()
    passed.assert_outcomes(passed=1)
