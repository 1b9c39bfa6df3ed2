"""The commands that the how-to pages show, as the CI service runs them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "test-elsewhere.md"

TESTS = """
import pytest

@pytest.mark.smoke
def test_starts(dockerbin_binary):
    assert dockerbin_binary.run("true", check=True)

def test_machine(dockerbin_binary, dockerbin_platform):
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[dockerbin_platform.architecture]
    assert dockerbin_binary.run("uname", "-m").stdout == machine + "\\n"
"""


def commands(job: str) -> list[list[str]]:
    """Return the pytest commands of a workflow's job, as words."""
    folded = re.findall(r"- run: >\n((?: {10,}\S.*\n)+)", job)
    return [shlex.split(text) for text in folded if text.split()[0] == "pytest"]


def test_a_build_job_and_a_job_for_each_platform(project, monkeypatch):
    """On the page for GitHub Actions: what is written by the first is tested by the second."""
    workflow = re.search(r"```yaml\n(jobs:.*?)```", PAGE.read_text(), re.DOTALL)[1]
    build, test = workflow.split("\n  test:\n")
    [(_, *first)] = commands(build)
    platforms = re.findall(r"platform: (linux/\w+)", test)
    assert platforms == ["linux/amd64", "linux/arm64"]
    project.dockerfile()
    project.pytester.makeini("[pytest]\nmarkers = smoke: quick\n")
    project.pytester.makepyfile(TESTS)
    result = project.run(*first, env={"CI": "true"})
    result.assert_outcomes(passed=2, deselected=2)
    result.stdout.fnmatch_lines(["linux/amd64, linux/arm64 written to dist"])
    calls = len(project.calls())
    (project.pytester.path / "Dockerfile").unlink()
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    for platform in platforms:
        [(_, *second)] = commands(test.replace("${{ matrix.platform }}", platform))
        project.run(*second, env={"CI": "true"}).assert_outcomes(passed=2)
    assert len(project.calls()) == calls
