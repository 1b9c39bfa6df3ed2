"""What is in the files of a release, that they can be built again, and that they work."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from building import REPOSITORY, build, copy_of_checkout, tracked


def sums(distributions):
    files = (distributions.sdist, distributions.wheel)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_they_are_the_same_when_they_are_built_again(distributions, tmp_path):
    """By somebody else, elsewhere, at another time."""
    umask = os.umask(0o077)
    try:
        checkout = copy_of_checkout(tmp_path / "elsewhere" / "checkout")
        for path in checkout.rglob("*"):
            os.utime(path, (1, 1))
        again = build(checkout, tmp_path / "dist")
    finally:
        os.umask(umask)
    assert sums(again) == sums(distributions)


def test_the_wheel_has_the_package_and_nothing_else(distributions):
    with zipfile.ZipFile(distributions.wheel) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
    package = {name for name in tracked() if name.startswith("pytest_dockerbin/")}
    assert {name for name in names if ".dist-info/" not in name} == package
    about = {name.partition(".dist-info/")[2] for name in names if ".dist-info/" in name}
    assert about == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    assert {
        "pytest_dockerbin/py.typed",
        "pytest_dockerbin/report/schema.json",
        "pytest_dockerbin/report/templates/report.html",
    } <= names


def test_the_sdist_has_what_the_tests_need(distributions):
    with tarfile.open(distributions.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    hidden = {name for name in tracked() if name.startswith(".")}
    assert names - {"PKG-INFO", ".gitignore"} == set(tracked()) - hidden


def test_its_description_can_be_shown_by_the_index(distributions):
    files = [distributions.sdist, distributions.wheel]
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def installed(distributions, tmp_path_factory):
    """An environment of its own with the wheel, and a folder without the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    tools = ["hypothesis", "jsonschema", "pytest-xdist"]
    command = ["-m", "pip", "install", "-q", "--disable-pip-version-check", distributions.wheel]
    subprocess.run([python, *command, *tools], check=True)
    tests = folder / "tests"
    for name in tracked():
        if name.startswith(("conftest.py", "tests/unit/", "tests/plugin/", "tests/data/")):
            (tests / name).parent.mkdir(parents=True, exist_ok=True)
            (tests / name).write_bytes((REPOSITORY / name).read_bytes())
    (tests / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nmarkers =\n  engine: a real one\n  any_engine: of them\n"
    )
    return python, tests


@pytest.mark.parametrize("part", ["unit/test_report_files.py", "plugin/test_missing_in_tests.py"])
def test_the_wheel_works_without_the_source_tree(installed, part):
    """Tests of what a package forgets most easily: its data files, and its entry point."""
    python, tests = installed
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", Path("tests", part)],
        cwd=tests,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "failed" not in done.stdout
