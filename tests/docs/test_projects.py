"""The projects that the documentation shows, each run by pytest with the real engine."""

from __future__ import annotations

import re
import shutil

import pages
import pytest

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

PROJECTS = sorted(
    path.parent
    for path in (pages.REPOSITORY / "docs/samples").glob("*/pytest.ini")
    if path.parent.name != "tutorial"  # test_tutorial.py makes it step by step
)


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_a_project_passes(project, pytester, base_images, reader, monkeypatch):
    """All of its tests do, and none is skipped."""
    if project.name == "zig":
        pytest.importorskip("ziglang", reason="needs the dependency group samples")
    monkeypatch.setenv("LICENCE", "let me in")
    shutil.copytree(project, pytester.path, dirs_exist_ok=True)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--dockerbin-missing=fail")
    outcomes = result.parseoutcomes()
    assert outcomes.keys() == {"passed"}, result.stdout.str()


def test_the_readme_is_a_project(pytester, base_images, reader):
    """Its files, named in their first lines, are all that is needed."""
    for block in pages.blocks(pages.REPOSITORY / "README.md"):
        if name := re.match(r"# (Dockerfile|test_\w+\.py)\n", block.text):
            (pytester.path / name[1]).write_text(block.text)
    result = pytester.runpytest_subprocess("-v", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines_random(  # which is built first is chance
        [
            "test_hello.py::test_hello[[]linux/amd64[]] PASSED*",
            "test_hello.py::test_hello[[]linux/arm64[]] PASSED*",
        ]
    )
    assert result.ret == pytest.ExitCode.OK
