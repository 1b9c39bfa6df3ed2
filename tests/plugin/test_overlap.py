"""Builds go on while other tests run, and tests wait for no other platform's build.

Nothing here depends on speed: builds and tests wait for one another, and in the wrong order they
would wait in vain.
"""

from __future__ import annotations

import sys

import pytest

PLATFORMS = "--dockerbin-platforms=linux/amd64,linux/arm64"

DOCKER = """\
#!{python} -IS
import json, os, sys, time

here = os.environ["HERE"]
with open(here + "/calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
platform = next(w.partition("=")[2] for w in sys.argv if w.startswith("--platform="))
dest = next(w.partition("dest=")[2] for w in sys.argv if w.startswith("--output="))
name = platform.rpartition("/")[2]
open(here + "/began-" + name, "w").close()
end = time.monotonic() + 60
while name in os.environ.get("FAKE_WAITS", "").split() and not os.path.exists(here + "/go-" + name):
    if time.monotonic() > end:
        sys.exit("ERROR: waited in vain")
    time.sleep(0.02)
os.mkdir(dest)
open(dest + "/text", "w").close()
open(here + "/ended-" + name, "w").close()
"""

WAITING = """
import os, time

def there(name):
    end = time.monotonic() + 60
    while not os.path.exists(name):
        assert time.monotonic() < end, name
        time.sleep(0.02)

def touch(name):
    open(name, "w").close()

"""


@pytest.fixture
def project(built_project, monkeypatch):
    """A project whose builds note that they begin and end, and wait for a file."""
    docker = built_project.path / "bin" / "docker"
    docker.write_text(DOCKER.format(python=sys.executable))
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:1")  # of which nobody knows that it is down
    monkeypatch.setenv("HERE", str(built_project.path))
    monkeypatch.setenv("FAKE_WAITS", "amd64 arm64")
    return built_project


def calls(project):
    """Return how often docker was asked to build."""
    file = project.path / "calls"
    return file.read_text().count(" build ") if file.exists() else 0


def test_other_tests_run_while_builds_do(project):
    project.makepyfile(
        WAITING
        + """
def test_text(dockerbin):
    pass

def test_plain():
    for name in "amd64", "arm64":
        there("began-" + name)
        touch("go-" + name)
"""
    )
    project.runpytest_subprocess(PLATFORMS).assert_outcomes(passed=3)
    assert calls(project) == 2


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_slow_platform_holds_nobody_up(project, workers):
    """The build for amd64 ends only when arm64's test has run."""
    project.makepyfile(
        WAITING
        + """
touch("go-arm64")

def test_text(dockerbin, dockerbin_platform):
    if dockerbin_platform.architecture == "arm64":
        touch("go-amd64")
"""
    )
    project.runpytest_subprocess(PLATFORMS, *workers).assert_outcomes(passed=2)
    assert calls(project) == 2


def test_the_next_module_s_tests_are_not_held_up_either(project):
    """Fixtures of modules and classes are torn down as if the order had been this one."""
    project.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="module")
        def module(request):
            yield
            print("\\nleft", request.module.__name__)
        """
    )
    project.makepyfile(
        test_a=WAITING
        + """
touch("go-arm64")

def test_text(dockerbin, module):
    pass

class TestIt:
    def test_text(self, dockerbin, dockerbin_platform, module):
        pass
""",
        test_b=WAITING
        + """
def test_text(dockerbin, dockerbin_platform, module):
    if dockerbin_platform.architecture == "arm64":
        touch("go-amd64")

def test_plain(module):
    pass
""",
    )
    result = project.runpytest_subprocess(PLATFORMS, "-v", "-s")
    result.assert_outcomes(passed=7)


def test_with_no_jobs_nothing_is_built_before_a_test_asks(project, monkeypatch):
    monkeypatch.setenv("FAKE_WAITS", "")
    project.makepyfile(
        WAITING
        + """
def test_plain():
    assert not os.path.exists("calls")

def test_text(dockerbin):
    pass
"""
    )
    result = project.runpytest_subprocess(PLATFORMS, "--dockerbin-jobs=0", "-p", "no:randomly")
    result.assert_outcomes(passed=3)


def test_a_number_of_jobs_that_is_none_is_one_line(project):
    result = project.runpytest_subprocess("--dockerbin-jobs=some")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [
        "ERROR: dockerbin: --dockerbin-jobs: 'some' is not a number of builds"
    ]


def test_collection_alone_builds_nothing(project):
    project.makepyfile("def test_text(dockerbin):\n    pass\n")
    project.runpytest_subprocess(PLATFORMS, "--collect-only")
    project.runpytest_subprocess(PLATFORMS, "-k", "absent")
    assert calls(project) == 0


def test_a_test_may_change_its_environment_while_builds_begin(project):
    project.makepyfile(
        WAITING
        + """
def test_plain(monkeypatch, tmp_path):
    here = os.getcwd()
    there("began-amd64")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:1")  # of which nobody knows that it is down
    monkeypatch.setenv("HERE", "/nowhere")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    touch(here + "/go-amd64")
    there(here + "/began-arm64")
    touch(here + "/go-arm64")

def test_text(dockerbin):
    pass
"""
    )
    result = project.runpytest_subprocess(PLATFORMS, "--dockerbin-jobs=1")
    result.assert_outcomes(passed=3)


def test_what_nobody_waits_for_any_more_is_ended(project, tmp_path):
    project.makepyfile(
        WAITING
        + """
def test_plain():
    there("began-amd64")
    assert False

def test_text(dockerbin):
    pass
"""
    )
    result = project.runpytest_subprocess("--dockerbin-platforms=linux/amd64", "-x")
    result.assert_outcomes(failed=1)
    assert not (project.path / "ended-amd64").exists()
    (staging,) = (tmp_path / "cache").glob("v1/sessions/*/staging")
    assert list(staging.iterdir()) == []


def test_a_program_that_can_t_be_run_here_is_not_built(project):
    project.makepyfile("def test_it(dockerbin_binary):\n    pass\n")
    result = project.runpytest_subprocess(
        "--dockerbin-platforms=linux/arm64", "--dockerbin-runner=none"
    )
    result.assert_outcomes(errors=1)
    assert calls(project) == 0


def test_a_build_with_a_secret_sees_what_a_fixture_sets_first(project, monkeypatch):
    monkeypatch.setenv("FAKE_WAITS", "")
    monkeypatch.delenv("TOKEN", raising=False)
    project.makeconftest(
        """
        import os, pytest

        @pytest.fixture(scope="session")
        def token():
            os.environ["TOKEN"] = "from a fixture"
        """
    )
    project.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(secrets={"token": "env:TOKEN"})
        def test_text(token, dockerbin):
            assert (dockerbin / "text").exists()
        """
    )
    result = project.runpytest_subprocess("--dockerbin-platforms=linux/amd64")
    result.assert_outcomes(passed=1)
    assert calls(project) == 1


def test_tests_may_run_in_another_order_than_they_stand_in(project):
    project.makeconftest(
        """
        def pytest_runtestloop(session):
            for item in reversed(session.items):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            return True
        """
    )
    project.makepyfile(
        WAITING
        + """
touch("go-amd64"), touch("go-arm64")

def test_text(dockerbin):
    pass

def test_plain():
    pass
"""
    )
    project.runpytest_subprocess(PLATFORMS).assert_outcomes(passed=3)
    assert calls(project) == 2


def test_what_can_t_begin_before_is_built_when_a_test_asks(project):
    project.makeconftest(
        """
        from pytest_dockerbin.errors import StoreError
        from pytest_dockerbin.session import Builder

        def begin(*_):
            raise StoreError("the disk fails")

        Builder.begin = begin
        """
    )
    project.makepyfile(
        WAITING
        + """
touch("go-amd64"), touch("go-arm64")

def test_text(dockerbin):
    pass
"""
    )
    project.runpytest_subprocess(PLATFORMS).assert_outcomes(passed=2)
    assert calls(project) == 2
