"""What the README says of ten lines of subprocess, tried beside the same tests with the plugin."""

from __future__ import annotations

import os
import shutil
import sys

import pages
import pytest

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

BY_HAND = pages.REPOSITORY / "docs/samples/migrate/before/conftest.py"
TESTS = """
import pytest, subprocess

pytestmark = pytest.mark.platform("linux/amd64", "linux/arm64")

@pytest.mark.parametrize("number", range(6))
def test_it({fixture}, number):
    assert subprocess.run([{fixture}, "true"]).returncode == 0
"""


@pytest.fixture
def sides(pytester, reader, monkeypatch, tmp_path):
    """Two projects with the same twelve tests, and where each docker command is noted."""
    shim, record = tmp_path / "bin/docker", tmp_path / "commands"
    shim.parent.mkdir()
    shim.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f'open({str(record)!r}, "a").write(repr(sys.argv) + "\\n")\n'
        f'os.execv({shutil.which("docker")!r}, ["docker", *sys.argv[1:]])\n'
    )
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")
    (pytester.path / "pytest.ini").write_text("[pytest]\nmarkers = platform\n")

    def run(dockerfile, *args):
        """Return for each side its result and how often docker was to build."""
        told = {}
        for side, fixture in (("hand", "hello"), ("plugin", "dockerbin_binary")):
            folder = pytester.path / side / "tests"
            folder.mkdir(parents=True, exist_ok=True)
            (folder.parent / "Dockerfile").write_text(dockerfile)
            (folder / "test_it.py").write_text(TESTS.format(fixture=fixture))
            if side == "hand":
                (folder / "conftest.py").write_text(BY_HAND.read_text())
            else:
                (folder.parent / "pytest.ini").write_text("[pytest]\n")
            for name in ("amd64", "arm64"):
                (folder.parent / f"hello-{name}").write_bytes(program(name))
                (folder.parent / f"hello-{name}").chmod(0o755)
            record.write_text("")
            monkeypatch.chdir(folder.parent)
            result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *args)
            builds = [line for line in record.read_text().splitlines() if "'--platform" in line]
            told[side] = (result, len(builds))
        return told

    return run


def program(architecture):
    """Return a program that ends with exit code 0."""
    from pytest_dockerbin.platforms import Platform  # noqa: PLC0415
    from pytest_dockerbin.runners.tiny import tiny_program  # noqa: PLC0415

    return tiny_program(Platform.parse(f"linux/{architecture}"), 0)


RIGHT = "FROM scratch\nARG TARGETARCH\nCOPY hello-${TARGETARCH} /hello\n"


def test_a_program_of_the_wrong_architecture(sides):
    """By hand the tests pass: the machine runs it all the same."""
    told = sides("FROM scratch\nCOPY hello-amd64 /hello\n")
    told["hand"][0].assert_outcomes(passed=12)
    told["plugin"][0].assert_outcomes(passed=6, errors=6)


def test_twelve_tests_of_a_build_that_fails(sides):
    """The cause is told once."""
    told = sides("FROM scratch\nCOPY missing /\n")
    lines = {side: len(result.outlines) for side, (result, _) in told.items()}
    assert lines["hand"] > 1000
    assert lines["plugin"] < 100


def test_twelve_tests_with_four_workers(sides):
    """Two platforms need two builds."""
    told = sides(RIGHT, "-n4")
    assert told["plugin"][1] == 2
    assert 2 < told["hand"][1] <= 8  # a worker builds what its tests need
