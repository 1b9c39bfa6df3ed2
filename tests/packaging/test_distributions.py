"""What is in the files of a release, that they can be built again, and that they work."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import cmarkgfm
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


def descriptions(distributions):
    """The Markdown texts that the index shows, as the wheel and the sdist have them."""
    with zipfile.ZipFile(distributions.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        yield wheel.read(name).decode().partition("\n\n")[2]
    with tarfile.open(distributions.sdist) as sdist:
        (info,) = (each for each in sdist.getmembers() if each.name.count("/PKG-INFO") == 1)
        yield sdist.extractfile(info).read().decode().partition("\n\n")[2]


def targets(text):
    """Where the links and pictures of a Markdown text lead, by GitHub's renderer."""
    page = cmarkgfm.github_flavored_markdown_to_html(text)
    return re.findall(r'<(a|img)\b[^>]*? (?:href|src)="([^"]*)"', page)


def test_its_description_has_no_relative_link_or_picture(distributions):
    """They lead nowhere on the index; in a checkout, they do."""
    readme = (REPOSITORY / "README.md").read_text()
    assert ("img", "docs/pictures/terminal.svg") in targets(readme)
    for text in descriptions(distributions):
        assert "The tutorial" in text
        assert [each for each in targets(text) if not each[1].startswith(("https://", "#"))] == []


def test_links_of_its_description_lead_to_the_release_in_the_repository(tmp_path):
    home = "https://forge.example/me/project"
    checkout = copy_of_checkout(tmp_path / "checkout")
    built = build(checkout, tmp_path / "dist", DOCKERBIN_REPOSITORY=home)
    version = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["version"]
    relative = targets((checkout / "README.md").read_text())
    place = {"a": "blob", "img": "raw"}
    wanted = [
        (kind, to if ":" in to else f"{home}/{place[kind]}/v{version}/{to}")
        for kind, to in relative
    ]
    assert len(wanted) > 20
    for text in descriptions(built):
        assert targets(text) == wanted


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
