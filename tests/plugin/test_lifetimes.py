"""A started program ends with the test, or the fixture, that started it; nothing here builds."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux programs")

CONFTEST = """
import os
from pathlib import Path

import pytest
from pytest_dockerbin import Platform
from pytest_dockerbin.artifact import Binary
from pytest_dockerbin.runners.host import HostRunner

@pytest.fixture
def sleeper(new_sleeper):
    return new_sleeper

@pytest.fixture(scope="session")
def new_sleeper():
    runner = HostRunner(name="native", timeout=30.0, timeout_factor=1.0)
    return Binary(
        path=Path("/bin/sleep"), platform=Platform.host(), size=0, sha256="",
        runner=lambda *_: runner,
    )

def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
"""


def test_a_program_ends_with_its_test_however_that_ends(pytester):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import pytest
        from conftest import lives

        PIDS = []

        @pytest.fixture
        def started(sleeper):
            PIDS.append(sleeper.popen("600").pid)

        def test_passes(sleeper, dockerbin_platform):
            PIDS.append(sleeper.popen("600").pid)

        def test_fails(sleeper, dockerbin_platform):
            assert not any(map(lives, PIDS))
            PIDS.append(sleeper.popen("600").pid)
            pytest.fail("on purpose")

        def test_of_a_fixture(started, dockerbin_platform):
            assert [lives(pid) for pid in PIDS] == [False, False, True]

        def test_all_are_gone(dockerbin_platform):
            assert len(PIDS) == 3
            assert not any(map(lives, PIDS))
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*on purpose*"])


def test_a_program_of_a_wider_fixture_ends_with_the_fixture(pytester):
    pytester.makeconftest(CONFTEST)
    for name in "ab":
        pytester.makepyfile(
            **{
                f"test_{name}": """
        import conftest
        import pytest

        @pytest.fixture(scope="module")
        def server(new_sleeper):
            server = new_sleeper.popen("600")
            yield server
            assert server.poll() is None  # still there for the fixture's own teardown
            conftest.SEEN.append(server.pid)

        def test_one(server, dockerbin_platform):
            assert server.poll() is None
            assert not any(map(conftest.lives, conftest.SEEN))

        def test_two(server, dockerbin_platform):
            assert server.poll() is None
        """
            }
        )
    with (pytester.path / "conftest.py").open("a") as file:
        file.write("\nSEEN = []\n")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=4)


@pytest.mark.parametrize("end", ["pass", "os.kill(os.getpid(), 9)", "os._exit(0)"])
def test_nothing_is_left_when_pytest_ends(pytester, end):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        f"""
        import os
        import pytest
        from pathlib import Path
        from pytest_dockerbin import Builder, Settings

        @pytest.fixture(scope="session")
        def server(request, new_sleeper):
            with Builder(Settings(cache_dir=Path("cache").resolve())) as builder:
                sleeper = new_sleeper.__class__(
                    path=new_sleeper.path, platform=new_sleeper.platform, size=0, sha256="",
                    runner=lambda *_: builder.runner(new_sleeper.platform),
                )
                server = sleeper.popen("600")
                Path("pid").write_text(str(server.pid))
                yield server

        def test_one(server, dockerbin_platform):
            {end}
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider")
    pid = int((pytester.path / "pid").read_text())
    deadline = time.monotonic() + 10
    while lives(pid):
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.02)


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
