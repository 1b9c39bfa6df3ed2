"""The examples, each alone in a folder, by the very command that its README shows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"

PASSED = {
    "bake-two-tools": 10,
    "c-cross": 13,
    "cpp-sysroot": 6,
    "export-binaries": 2,
    "go-version": 7,
    "http-server": 6,
    "python-helper": 19,
}


def folders() -> list[Path]:
    return sorted(path for path in EXAMPLES.iterdir() if path.is_dir())


def test_every_example_is_run_here():
    assert sorted(PASSED) == [folder.name for folder in folders()]


def test_every_example_is_in_the_list():
    index = (EXAMPLES / "README.md").read_text()
    assert re.findall(r"\[.*?\]\(([\w-]+)/\)", index) == sorted(PASSED)


@pytest.mark.parametrize("name", PASSED)
def test_an_example_stands_alone(name):
    folder = EXAMPLES / name
    assert (folder / "pytest.ini").is_file()
    assert (folder / "README.md").is_file()
    assert list(folder.rglob("Dockerfile"))
    assert list(folder.rglob("test_*.py"))


@pytest.fixture(scope="session")
def frontend() -> list[str]:
    """Have the images that the examples start from, and what else to say to pytest."""
    done = subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "engine", "images"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    answer = done.stdout.splitlines()[-1]
    assert answer in {"registry: yes", "registry: no"}
    # Without a registry, what a `# syntax=` line names is not to be had.
    return [] if answer == "registry: yes" else ["-o", "dockerbin_frontend=builtin"]


def commands(readme: Path) -> list[str]:
    """Return what a README tells to type."""
    return re.findall(r"^\$ (.*)$", readme.read_text(), re.MULTILINE)


def words(command: str) -> tuple[dict[str, str], list[str]]:
    """Take a command of a shell apart: its variables, and its words."""
    parts = shlex.split(command)
    first = next(place for place, word in enumerate(parts) if "=" not in word)
    return dict(part.split("=", 1) for part in parts[:first]), parts[first:]


@pytest.mark.engine
@pytest.mark.any_engine
@pytest.mark.parametrize("name", PASSED)
def test_an_example_does_what_its_readme_says(name, frontend, pytester, monkeypatch, tmp_path):
    install, test, *_ = commands(EXAMPLES / name / "README.md")
    assert install.startswith("pip install pytest-dockerbin")
    variables, (program, *arguments) = words(test)
    assert program == "pytest"
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
    shutil.copytree(EXAMPLES / name, pytester.path, dirs_exist_ok=True, ignore=ignored)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    command = [sys.executable, "-m", "pytest", *arguments, "-p", "no:cacheprovider", *frontend]
    pytester.run(*command).assert_outcomes(passed=PASSED[name])
    if name == "python-helper":
        counts_without_pytest(pytester.path / "src")


def counts_without_pytest(source: Path) -> None:
    """What passed is where the package looks for it."""
    done = subprocess.run(
        [sys.executable, "-c", "import wordcount; print(wordcount.count('one two'))"],
        env={**os.environ, "PYTHONPATH": str(source)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "2\n"
    helpers = source / "wordcount" / "helpers"
    found = sorted(path.parent.name for path in helpers.glob("*/wordcount"))
    assert found == ["linux_amd64", "linux_arm64", "linux_arm_v7"]
